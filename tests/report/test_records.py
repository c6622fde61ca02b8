"""Reading a results folder: what is valid, what is named and left out."""

import json

import pytest

from geoequiv.errors import DataError
from geoequiv.records import read
from geoequiv.report import leaderboard


def test_missing_folder_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"No results folder at .*nowhere.*geoequiv run"):
        leaderboard(tmp_path / "nowhere")


def test_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"holds no \*/record\.json.*geoequiv run"):
        leaderboard(tmp_path)


def test_unfinished_runs_only(tmp_path):
    (tmp_path / "abc").mkdir()
    (tmp_path / "abc" / "config.yaml").write_text("seed: 0\n")
    with pytest.raises(DataError, match=r"1 unfinished run.*--resume"):
        leaderboard(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"schema": 1, "run_id": "ab', "damaged or truncated"),
        ("", "damaged or truncated"),
        ("[]", "expected a JSON object, got list"),
        ("{}", "does not fit the schema: schema: expected one of 1, 2, got None"),
        ('"\\ud800"', "not valid Unicode"),
    ],
)
def test_a_broken_record_is_named_and_left_out(results, record, content, reason):
    folder = results([record()])
    (folder / "broken").mkdir()
    (folder / "broken" / "record.json").write_text(content)
    store = read(folder)
    assert len(store.records) == 1
    assert [item.path for item in store.left_out] == ["broken/record.json"]
    assert reason in store.left_out[0].reason
    (board,) = leaderboard(folder)
    assert board.left_out == store.left_out
    assert len(board.rows) == 1


def test_bytes_that_are_not_text(results, record):
    folder = results([record()])
    (folder / "broken").mkdir()
    (folder / "broken" / "record.json").write_bytes(b"\xff\xfe\x00")
    assert read(folder).left_out[0].reason == "not UTF-8 text"


@pytest.mark.parametrize("change", [{"schema": 0}, {"seed": "zero?"}, {"status": "odd"}, {"metric": None}])
def test_records_outside_the_schema_are_left_out(results, record, change):
    store = read(results([record(), record(seed=1) | change]))
    assert len(store.records) == 1
    assert "does not fit the schema" in store.left_out[0].reason


def test_a_value_that_is_not_finite_does_not_count(results, record):
    bad = record(seed=1)
    bad["metric"]["value"] = float("nan")
    folder = results([record(), bad])
    assert "NaN" in (folder / f"{bad['run_id']}-001" / "record.json").read_text()
    (board,) = leaderboard(folder)
    assert board.rows[0].metric.n == 1
    assert len(board.left_out) == 1


def test_only_broken_records_is_an_error_that_names_them(tmp_path):
    (tmp_path / "abc").mkdir()
    (tmp_path / "abc" / "record.json").write_text(json.dumps({"schema": 1})[:-3])
    with pytest.raises(DataError, match=r"abc/record\.json: not valid JSON"):
        leaderboard(tmp_path)


def test_later_versions_may_add_keys(results, record):
    assert len(read(results([record(added="later")])).records) == 1
