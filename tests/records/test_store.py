"""Run directories: written atomically, locked, found under any of their ids, never overwritten."""

import json
import os

import pytest

from geoequiv.bench.spec import RunSpec
from geoequiv.errors import DataError
from geoequiv.records import index, read_run
from geoequiv.records.former_options import essential
from geoequiv.records.locking import RunLocked
from geoequiv.records.store import Store

CONFIG = {
    "task": {"name": "a"},
    "model": {"name": "b"},
    "symmetry": {"name": "augmentation", "group": "O(3)", "fused": True, "num_samples": 1},
    "train": {"epochs": 1, "log_every": 1},
    "evaluate": {"repeats": 1},
    "seed": 0,
}
SPEC = RunSpec.of("suite", CONFIG)


@pytest.fixture
def failed(record):
    return record(status="failed", error="boom", config=CONFIG)


@pytest.fixture
def finished(record):
    return record(config=CONFIG)


def test_the_states_of_a_run(tmp_path, failed, finished):
    store = Store(tmp_path)
    assert store.state(SPEC) == "new"
    with store.locked(SPEC) as directory:
        assert store.state(SPEC) == "new"
        (directory / "checkpoint.ckpt").write_bytes(b"")
        assert store.state(SPEC) == "interrupted"
        store.write_record(SPEC, failed)
        assert store.state(SPEC) == "failed"
        store.write_record(SPEC, finished)
        assert store.state(SPEC) == "finished"
    assert directory.name == SPEC.run_id
    assert "name: a" in (directory / "config.yaml").read_text()


def test_a_run_is_locked_for_others_until_it_ends(tmp_path):
    store = Store(tmp_path)
    with store.locked(SPEC), pytest.raises(RunLocked, match="another process"), store.locked(SPEC, timeout=0):
        raise AssertionError("the lock was given twice")
    with store.locked(SPEC, timeout=0):
        pass


def test_a_failed_attempt_is_set_aside_whole(tmp_path, failed):
    store = Store(tmp_path)
    for attempt in (1, 2):
        with store.locked(SPEC) as directory:
            (directory / "log.csv").write_text(f"attempt {attempt}")
            (directory / "items.npz").write_text("items")
            store.write_record(SPEC, failed)
            store.set_aside(SPEC)
        assert store.state(SPEC) == "new"
        assert (directory / f"failed-{attempt}" / "log.csv").read_text() == f"attempt {attempt}"
        assert (directory / f"failed-{attempt}" / "record.json").exists()
        assert not (directory / "items.npz").exists()


def test_attempts_are_counted_on_also_where_one_was_deleted(tmp_path, failed):
    store = Store(tmp_path)
    directory = store.directory(SPEC)
    (directory / "failed-2").mkdir(parents=True)
    for number in (3, 4):
        store.write_record(SPEC, failed)
        store.set_aside(SPEC)
        assert (directory / f"failed-{number}" / "record.json").exists()
        (directory / "failed-for-me").mkdir(exist_ok=True)


def test_an_output_that_cannot_be_written_is_named(tmp_path, finished):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"Cannot write results to '.*file/inside': Not a directory"):
        Store(tmp_path / "file" / "inside").prepare()
    with pytest.raises(DataError, match=r"Cannot write .*file/inside"):
        Store(tmp_path / "file" / "inside").write_record(SPEC, finished)


def test_a_damaged_record_is_named(tmp_path, finished):
    store = Store(tmp_path)
    store.write_record(SPEC, finished)
    path = store.directory(SPEC) / "record.json"
    path.write_text(path.read_text()[:-5])
    with pytest.raises(DataError, match=f"Cannot read {path}.*truncated"):
        store.state(SPEC)


def test_a_run_made_under_the_former_id_is_found(tmp_path, finished):
    assert SPEC.former_id != SPEC.run_id
    directory = tmp_path / SPEC.former_id
    directory.mkdir()
    (directory / "record.json").write_text(finished.text())
    assert Store(tmp_path).directory(SPEC) == directory
    assert Store(tmp_path).state(SPEC) == "finished"
    with Store(tmp_path).locked(SPEC) as held:
        assert held == directory


def test_a_run_under_any_other_id_is_found_by_its_configuration(tmp_path, finished):
    """Measured by other settings, and before an option was there that has since come with its former behaviour."""
    symmetry = {"name": "augmentation", "group": "O(3)"}
    former = {**CONFIG, "symmetry": symmetry, "evaluate": {"repeats": 7}}
    directory = tmp_path / "0123456789ab"
    directory.mkdir()
    (directory / "record.json").write_text(finished.changed(config=former).text())
    store = Store(tmp_path)
    assert store.directory(SPEC) == directory
    assert store.state(SPEC) == "finished"
    other = RunSpec.of("suite", {**CONFIG, "symmetry": {**CONFIG["symmetry"], "num_samples": 2}})
    assert store.state(other) == "new"
    assert store.directory(other) == tmp_path / other.run_id


def test_a_half_finished_run_is_found_by_its_configuration(tmp_path):
    directory = tmp_path / "0123456789ab"
    directory.mkdir()
    store = Store(tmp_path)
    assert store.state(SPEC) == "new"  # there is nothing in it yet
    (directory / "checkpoint.ckpt").write_bytes(b"")
    (directory / "config.yaml").write_text(json.dumps({**CONFIG, "evaluate": {"repeats": 7}}))
    assert store.state(SPEC) == "interrupted"
    assert store.directory(SPEC) == directory


def test_packed_runs_are_found(tmp_path, finished, failed):
    store = Store(tmp_path)
    path = tmp_path / "records.jsonl"
    path.write_text(finished.changed(run_id="0123456789ab").text() + "\n")
    assert store.state(SPEC) == "finished"
    assert store.record(SPEC).run_id == "0123456789ab"
    assert store.state(RunSpec.of("suite", {**CONFIG, "seed": 1})) == "new"
    path.write_text(failed.text() + "\n")
    assert store.state(SPEC) == "failed"
    store.write_record(SPEC, finished)  # done again: the run directory counts
    assert store.state(SPEC) == "finished"
    assert not list(tmp_path.glob("records.jsonl/*"))


def test_neutral_options_are_told_by_value_and_type():
    assert essential({"symmetry": {"name": "augmentation", "fused": 1}})["symmetry"] == {
        "name": "augmentation", "fused": 1}  # fmt: skip
    assert essential({"symmetry": {"name": "remul", "fused": True, "beta": 1.0}})["symmetry"] == {
        "name": "remul", "beta": 1.0}  # fmt: skip
    assert essential({"seed": 0}) == {"seed": 0}


def test_who_may_read_a_record_is_as_for_any_new_file(tmp_path, finished):
    mask = os.umask(0o027)
    try:
        Store(tmp_path).write_record(SPEC, finished)
    finally:
        os.umask(mask)
    assert (tmp_path / SPEC.run_id / "record.json").stat().st_mode & 0o777 == 0o640


def test_runs_under_other_ids_are_found_by_one_index(tmp_path, finished, monkeypatch):
    """Each directory is read once, however many runs are looked for; new ones are seen."""
    read = []
    monkeypatch.setattr(index, "read_run", lambda directory: read.append(directory.name) or read_run(directory))
    store = Store(tmp_path)
    specs = [RunSpec.of("suite", {**CONFIG, "seed": seed}) for seed in range(30)]
    for number, spec in enumerate(specs):
        if number == 20:
            assert [store.state(each) for each in specs] == ["finished"] * 20 + ["new"] * 10
        directory = tmp_path / f"{number:012x}"
        directory.mkdir()
        (directory / "record.json").write_text(finished.changed(config=spec.config, seed=number).text())
    assert [store.state(each) for each in specs] == ["finished"] * 30
    assert sorted(read) == sorted(f"{number:012x}" for number in range(30))
    (tmp_path / f"{3:012x}" / "record.json").unlink()
    (tmp_path / f"{3:012x}").rmdir()
    assert store.state(specs[3]) == "new"


def test_directories_without_a_configuration_are_looked_at_when_they_change(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(index, "read_run", lambda directory: looked.append(directory.name))
    directory = tmp_path / "0123456789ab"
    directory.mkdir()
    long_ago = 1_000_000_000
    os.utime(directory, (long_ago, long_ago))
    store = Store(tmp_path)
    specs = [RunSpec.of("suite", {**CONFIG, "seed": seed}) for seed in range(20)]
    assert [store.state(spec) for spec in specs] == ["new"] * 20
    assert looked == [directory.name]
    (directory / "config.yaml").write_text(json.dumps(specs[7].config))
    assert [store.directory(spec) == directory for spec in specs] == [spec is specs[7] for spec in specs]
    assert looked == [directory.name] * 2


def test_new_runs_of_an_empty_folder_are_told_by_their_ids_alone(tmp_path):
    class New:
        run_id = "0123456789ab"

    (tmp_path / "leaderboard.md").write_text("")
    assert Store(tmp_path).state(New()) == "new"
    assert Store(tmp_path).directory(New()) == tmp_path / New.run_id
