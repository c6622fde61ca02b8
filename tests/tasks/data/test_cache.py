"""Laws of the data cache: one file per parameters, whole or absent, named and rebuilt when damaged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from geoequiv.errors import DataError
from geoequiv.tasks import data_directory, list_cached, verify
from geoequiv.tasks.data.cache import HEADER, cache_path, checksum, load_or_build, load_or_compute, write_atomically

PARAMETERS = {"seed": 1, "train": 3}


def build():
    return {"x": np.arange(6.0).reshape(2, 3), "mark": np.array([True, False])}


def never():
    raise AssertionError("built again")


def overwrite_archive(path, **changes):
    """Rewrite the archive as a valid one with other arrays under the old header."""
    with np.load(path) as archive:
        content = {name: archive[name] for name in archive.files}
    np.savez(path, **{**content, **changes})


def test_built_once_then_read(tmp_path):
    first = load_or_build("a/b", PARAMETERS, build, tmp_path)
    again = load_or_build("a/b", PARAMETERS, never, tmp_path)
    assert again.path == first.path
    assert again.checksum == first.checksum == checksum(build())
    for name, array in build().items():
        np.testing.assert_array_equal(again.arrays[name], array)
        assert again.arrays[name].dtype == array.dtype


def test_name_tells_the_task_and_depends_on_every_parameter(tmp_path):
    path = cache_path("a/b", PARAMETERS, tmp_path)
    assert path.parent == tmp_path
    assert path.name.startswith("a-b-")
    assert path == cache_path("a/b", dict(reversed(PARAMETERS.items())), tmp_path)
    others = [{**PARAMETERS, "seed": 2}, {**PARAMETERS, "train": 4}, {**PARAMETERS, "simulator": 2}]
    assert len({path, cache_path("a/c", PARAMETERS, tmp_path), *(cache_path("a/b", p, tmp_path) for p in others)}) == 5


def test_checksum_sees_values_names_dtypes_and_shapes():
    x = np.arange(6.0)
    different = [{"x": x}, {"y": x}, {"x": x + 1}, {"x": x.astype("f4")}, {"x": x.reshape(2, 3)}]
    assert len({checksum(arrays) for arrays in different}) == 5
    assert checksum({"x": x}) == checksum({"x": x.astype(">f8")}) == checksum({"x": np.repeat(x, 2)[::2]})


def spoil_truncate(path):
    path.write_bytes(path.read_bytes()[:-40])


def spoil_flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def spoil_empty(path):
    path.write_bytes(b"")


def spoil_checksum(path):
    overwrite_archive(path, x=np.ones((2, 3)))


def spoil_parameters(path):
    overwrite_archive(load_or_build("a/b", {"seed": 7}, build, path.parent).path)
    os.replace(cache_path("a/b", {"seed": 7}, path.parent), path)


def spoil_header(path):
    overwrite_archive(path, **{HEADER: np.array("[]")})


def spoil_pickle(path):
    overwrite_archive(path, x=np.array([{}], dtype=object))


@pytest.mark.parametrize(
    "spoil",
    [spoil_truncate, spoil_flip, spoil_empty, spoil_checksum, spoil_parameters, spoil_header, spoil_pickle],
)
def test_a_damaged_file_is_named_kept_and_rebuilt(tmp_path, spoil):
    path = load_or_build("a/b", PARAMETERS, build, tmp_path).path
    whole = path.read_bytes()
    spoil(path)
    spoiled = path.read_bytes()
    with pytest.warns(UserWarning, match="Damaged data file") as warned:
        rebuilt = load_or_build("a/b", PARAMETERS, build, tmp_path)
    assert str(path) in str(warned[0].message)
    assert path.read_bytes() == whole
    assert path.with_name(path.name + ".damaged").read_bytes() == spoiled
    assert rebuilt.checksum == checksum(build())


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "numbers"
    write_atomically(path, lambda file: file.write(b"old"))

    def interrupted(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match=r"numbers .*No space left on device.*GEOEQUIV_DATA"):
        write_atomically(path, interrupted)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["numbers"]


def test_an_unwritable_folder_is_named_before_anything_is_simulated(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"Cannot write data file .*file/under.*data_dir=… or .* GEOEQUIV_DATA"):
        load_or_build("a/b", PARAMETERS, never, tmp_path / "file" / "under")


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the tests may run as root, who may write anywhere
    with pytest.raises(DataError, match=r"Cannot write data file .*permission denied"):
        load_or_build("a/b", PARAMETERS, never, tmp_path)


def test_processes_may_build_the_same_file_at_once(tmp_path):
    code = (
        "import sys, time, numpy as np\n"
        "from geoequiv.tasks.data.cache import load_or_build\n"
        "def build():\n"
        "    time.sleep(0.5)\n"
        "    return {'x': np.arange(1e5)}\n"
        "print(load_or_build('a/b', {}, build, sys.argv[1]).checksum)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) for _ in "ab"
    ]
    printed = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert printed == {checksum({"x": np.arange(1e5)})}
    assert [entry.status for entry in list_cached(tmp_path)] == ["ok"]
    assert len(os.listdir(tmp_path)) == 1


def test_list_and_verify(tmp_path):
    assert list_cached(tmp_path / "absent") == []
    good = load_or_build("a/b", PARAMETERS, build, tmp_path).path
    bad = load_or_build("nbody/charged", PARAMETERS, build, tmp_path).path
    spoil_truncate(bad)
    entries = list_cached(tmp_path)
    assert [(entry.task, entry.path, entry.bytes) for entry in entries] == [
        ("a/b", good, good.stat().st_size),
        ("nbody/charged", bad, bad.stat().st_size),
    ]
    assert entries[0].status == verify(good) == "ok"
    assert entries[1].status == verify(bad)
    assert verify(bad).startswith(f"damaged: {bad} cannot be read")
    assert verify(tmp_path / "absent.npz").startswith("damaged: ")


def test_other_files_in_the_folder_are_none_of_the_cache_s(tmp_path):
    good = load_or_build("a/b", PARAMETERS, build, tmp_path).path
    np.savez(tmp_path / "md17_ethanol.npz", R=np.zeros(3))
    assert [entry.path for entry in list_cached(tmp_path)] == [good]


def test_where_data_goes(monkeypatch, tmp_path):
    monkeypatch.setenv("GEOEQUIV_DATA", str(tmp_path / "env"))
    assert data_directory(tmp_path) == tmp_path
    assert data_directory() == tmp_path / "env"
    monkeypatch.delenv("GEOEQUIV_DATA")
    assert data_directory() == Path.home() / ".cache" / "geoequiv"


def test_numbers_are_computed_once_per_key(tmp_path):
    path = tmp_path / "n.json"
    assert load_or_compute(path, "k1", lambda: {"mse": 0.5}) == {"mse": 0.5}
    assert load_or_compute(path, "k1", never) == {"mse": 0.5}
    assert load_or_compute(path, "k2", lambda: {"mse": 0.25}) == {"mse": 0.25}
    kept = json.loads(path.read_text())
    assert (kept["key"], kept["values"]) == ("k2", {"mse": 0.25})


def test_numbers_of_a_former_version_without_checksum_are_computed_again(tmp_path):
    (tmp_path / "n.json").write_text('{"key": "k", "values": {"mse": 0.5}}')
    assert load_or_compute(tmp_path / "n.json", "k", lambda: {"mse": 0.25}) == {"mse": 0.25}


def test_one_wrong_bit_in_kept_numbers_is_noticed(tmp_path):
    path = tmp_path / "n.json"
    load_or_compute(path, "k", lambda: {"mse": 0.5})
    path.write_text(path.read_text().replace("0.5", "0.7"))
    with pytest.warns(UserWarning, match=r"Damaged data file: .*its checksum does not match"):
        assert load_or_compute(path, "k", lambda: {"mse": 0.5}) == {"mse": 0.5}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": "k", "values": 3, "checksum": 3}'])
def test_damaged_numbers_are_named_and_computed_again(tmp_path, content):
    path = tmp_path / "n.json"
    path.write_text(content)
    with pytest.warns(UserWarning, match=r"Damaged data file: .*n\.json"):
        assert load_or_compute(path, "k", lambda: {"mse": 0.5}) == {"mse": 0.5}
    assert path.with_name("n.json.damaged").read_text() == content


def test_numbers_are_given_even_if_they_cannot_be_kept(tmp_path):
    with pytest.warns(UserWarning, match="Computed but not kept"):
        assert load_or_compute(tmp_path / "absent" / "n.json", "k", lambda: {"mse": 0.5}) == {"mse": 0.5}
