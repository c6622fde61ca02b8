"""Run directories: written atomically, locked, never overwritten."""

import json
import math
import os

import pytest

from geoequiv.bench.spec import RunSpec
from geoequiv.bench.store import RunLocked, Store, write_atomically
from geoequiv.errors import DataError

SPEC = RunSpec.of(
    "suite",
    {"task": {"name": "a"}, "model": {"name": "b"}, "symmetry": {"name": "none"}, "train": {}, "seed": 0},
)


def test_the_states_of_a_run(tmp_path):
    store = Store(tmp_path)
    assert store.state(SPEC) == "new"
    with store.locked(SPEC) as directory:
        assert store.state(SPEC) == "new"
        (directory / "checkpoint.ckpt").write_bytes(b"")
        assert store.state(SPEC) == "half-finished"
        store.write_record(SPEC, {"status": "failed"})
        assert store.state(SPEC) == "failed"
        store.write_record(SPEC, {"status": "finished"})
        assert store.state(SPEC) == "finished"
    assert "name: a" in (directory / "config.yaml").read_text()


def test_a_run_is_locked_for_others_until_it_ends(tmp_path):
    store = Store(tmp_path)
    with store.locked(SPEC), pytest.raises(RunLocked, match="another process"), store.locked(SPEC, timeout=0):
        raise AssertionError("the lock was given twice")
    with store.locked(SPEC, timeout=0):
        pass


def test_a_failed_attempt_is_set_aside_whole(tmp_path):
    store = Store(tmp_path)
    for attempt in (1, 2):
        with store.locked(SPEC) as directory:
            (directory / "log.csv").write_text(f"attempt {attempt}")
            store.write_record(SPEC, {"status": "failed"})
            store.set_aside(SPEC)
        assert store.state(SPEC) == "new"
        assert (directory / f"failed-{attempt}" / "log.csv").read_text() == f"attempt {attempt}"
        assert (directory / f"failed-{attempt}" / "record.json").exists()


def test_attempts_are_counted_on_also_where_one_was_deleted(tmp_path):
    store = Store(tmp_path)
    directory = store.directory(SPEC)
    (directory / "failed-2").mkdir(parents=True)
    for number in (3, 4):
        store.write_record(SPEC, {"status": "failed"})
        store.set_aside(SPEC)
        assert (directory / f"failed-{number}" / "record.json").exists()
        (directory / "failed-for-me").mkdir(exist_ok=True)


def test_who_may_read_a_record_is_as_for_any_new_file(tmp_path):
    mask = os.umask(0o027)
    try:
        write_atomically(tmp_path / "record.json", "{}")
    finally:
        os.umask(mask)
    assert (tmp_path / "record.json").stat().st_mode & 0o777 == 0o640


def test_records_are_json_also_where_numbers_are_not_finite(tmp_path):
    store = Store(tmp_path)
    store.write_record(SPEC, {"status": "finished", "values": [math.nan, {"worst": math.inf}, 1.5]})
    text = (store.directory(SPEC) / "record.json").read_text()
    loaded = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert loaded["values"] == [None, {"worst": None}, 1.5]


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def interrupted(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_an_output_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"Cannot write results to '.*file/inside': Not a directory"):
        Store(tmp_path / "file" / "inside").prepare()
    with pytest.raises(DataError, match=r"Cannot write .*file/inside"):
        write_atomically(tmp_path / "file" / "inside", "text")


def test_a_damaged_record_is_named(tmp_path):
    store = Store(tmp_path)
    store.write_record(SPEC, {"status": "finished"})
    path = store.directory(SPEC) / "record.json"
    path.write_text(path.read_text()[:-5])
    with pytest.raises(DataError, match=f"Cannot read {path}"):
        store.state(SPEC)
