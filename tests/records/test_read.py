"""Reading run directories and packed files, damaged ones too."""

import json

import pytest

from geoequiv import records
from geoequiv.errors import DataError


def pack(folder, made, name="records.jsonl"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(each.text() + "\n" for each in made), encoding="utf-8")
    return folder


def test_packed_reads_as_the_folders(record, write, tmp_path):
    made = [record(seed=seed, value=0.1 * seed) for seed in range(4)]
    folder, packed = write(tmp_path / "folder", made), pack(tmp_path / "packed", made)
    assert records.read(folder) == records.read(packed) == records.read(packed / "records.jsonl")
    assert [each.path for each in records.read(packed).records] == [f"{each.run_id}/record.json" for each in made]


def test_a_run_directory_counts_before_the_packed_record(record, write, tmp_path):
    pack(tmp_path, [record(seed=0), record(seed=2)])
    write(tmp_path, [record(seed=0, value=0.25), record(seed=1)])
    found = records.read(tmp_path)
    assert [(each.seed, each.value("metric")) for each in found.records] == [(0, 0.25), (1, 0.5), (2, 0.5)]
    assert found.left_out == ()


def test_several_paths_count_a_run_once(record, write, tmp_path):
    first = write(tmp_path / "a", [record(seed=0)])
    second = pack(tmp_path / "b", [record(seed=0), record(seed=1)])
    found = records.read([first, second])
    assert [each.path for each in found.records] == [
        f"{first}/{0:012x}/record.json", f"{second}/{1:012x}/record.json"]  # fmt: skip
    assert "the same run as" in found.left_out[0].reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"schema": 2, "run_id"', "damaged or truncated"),
        ("[]", "expected a JSON object, got list"),
        ('{"schema": 9}', "a later geoequiv wrote"),
        ('{"schema": 2}', "does not fit the schema"),
        ('{"schema": 1, "run_id": 3}', "does not fit the schema"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": "\\ud800"}', "not valid Unicode"),
        ('{"a": ["\\u0000"]}', "control character U+0000"),
        ('{"\\u001B[2J": 1}', "control character U+001B"),
        ('{"a": {"b": "\\u202e"}}', "control character U+202E"),
        ('{"a": "\u202e"}', "control character U+202E"),
        ('{"a": "\x9b31m"}', "control character U+009B"),
    ],
)
def test_a_damaged_line_costs_only_itself(record, tmp_path, line, reason):
    path = tmp_path / "records.jsonl"
    path.write_text(record(seed=0).text() + "\n" + line + "\n" + record(seed=1).text(), encoding="utf-8")
    found = records.read(tmp_path)
    assert len(found.records) == 2
    (left_out,) = found.left_out
    assert left_out.path == "records.jsonl, line 2"
    assert reason in left_out.reason


def test_a_packed_file_cut_anywhere_keeps_its_whole_lines(record, tmp_path):
    content = "".join(record(seed=seed).text() + "\n" for seed in range(3)).encode()
    first = content.index(b"\n") + 1
    for cut in range(first, len(content), 37):
        (tmp_path / "cut.jsonl").write_bytes(content[:cut])
        found = records.read(tmp_path / "cut.jsonl")
        whole = content[:cut].count(b"\n")
        assert len(found.records) in (whole, whole + 1)
        assert len(found.records) + len(found.left_out) == whole + (not content[:cut].endswith(b"\n"))


def test_nothing_usable_is_an_error_that_says_what(record, tmp_path):
    (tmp_path / "records.jsonl").write_text('{"schema"\n')
    with pytest.raises(DataError, match=r"No usable record.*truncated"):
        records.read(tmp_path / "records.jsonl")
    with pytest.raises(DataError, match=r"No usable record.*truncated"):
        records.read(tmp_path)
    with pytest.raises(DataError, match=r"No results folder at .*, and no packed file"):
        records.read(tmp_path / "gone")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="it is empty"):
        records.read(tmp_path / "empty.jsonl")


def test_former_and_present_schema_side_by_side(record, write, tmp_path):
    from pathlib import Path

    write(tmp_path, [record(seed=0)])
    former = next((Path(__file__).parent / "schema_1").glob("*.json"))
    (tmp_path / former.stem).mkdir()
    (tmp_path / former.stem / "record.json").write_text(former.read_text())
    found = records.read(tmp_path)
    assert len(found.records) == 2
    assert {each.version for each in found.records} == {2}
    assert json.loads(former.read_text())["metric"]["value"] in [each.value("metric") for each in found.records]


def test_read_run(record, write, tmp_path):
    folder = write(tmp_path, [record(seed=0)])
    assert records.read_run(folder / f"{0:012x}").seed == 0
    assert records.read_run(folder) is None


def test_a_record_nested_deeply_is_left_out(record, tmp_path):
    """What pydantic reads it cannot write."""
    content = record().as_json()
    for _ in range(300):
        content["config"] = {"model": content["config"]}
    (tmp_path / "records.jsonl").write_text(f"{record(run_id='a' * 12).text()}\n{json.dumps(content)}\n")
    (left_out,) = records.read(tmp_path / "records.jsonl").left_out
    assert left_out.reason == "nested too deeply"


def test_a_number_of_thousands_of_digits_is_left_out(record, tmp_path):
    text = record().text().replace('"seed":0', '"seed":' + "9" * 5000)
    (tmp_path / "records.jsonl").write_text(f"{record(run_id='a' * 12).text()}\n{text}\n")
    (left_out,) = records.read(tmp_path / "records.jsonl").left_out
    assert left_out.reason == "a number has thousands of digits"
