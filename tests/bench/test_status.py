"""What `geoequiv status` says of a folder in which runs are to do, running, interrupted, finished and failed."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from geoequiv.bench.status import RunStatus, status_lines, status_of, write_runs
from geoequiv.bench.suite import read_suite
from geoequiv.bench.suite_run import run_suite
from geoequiv.cli import main
from geoequiv.errors import ConfigError, DataError
from geoequiv.records import locking
from geoequiv.records.locking import Holder, holder_of
from geoequiv.records.store import Store
from geoequiv.session import Session

ENTRIES = """\
- model: {name: linear}
  seeds: [0, 1, 2, 3]
- model: my_models:NotFinite
"""


def test_every_state_is_told(suite_file, tmp_path, data_dir, capsys, monkeypatch):
    suite, root = read_suite(suite_file(ENTRIES)), tmp_path / "out"
    first, second, third, fourth, failing = suite.runs
    store = Store(root)
    run_suite(suite, root, ids=[first.run_id, failing.run_id], session=Session(data_dir=data_dir))
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "70")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    (root / third.run_id).mkdir()
    (root / third.run_id / "checkpoint.ckpt").touch()
    capsys.readouterr()
    with store.locked(second) as directory:
        (directory / "log.csv").write_text("epoch,train_total\n1,0.5\n")
        found = {each.spec: each for each in status_of(root)}
        assert main(["status", str(root)]) == 0
    states = [found[spec].state for spec in suite.runs]
    assert states == ["finished", "running", "interrupted", "to do", "failed"]
    running = found[second]
    assert running.holder.job == "70_3"
    assert running.epoch == 1
    assert running.seconds == pytest.approx(found[fourth].seconds / 2)  # one of its two epochs is done
    text = capsys.readouterr().out
    assert f"on {running.holder.host} (job 70_3, process {running.holder.pid}) since " in text
    assert "epoch 1 of 2" in text
    assert "failed       " in text
    assert "nan" in text
    assert "5 runs: 1 to do, 1 running, 1 interrupted, 1 finished, 1 failed" in text
    assert "of training, with 1 at the same time" in text
    assert {each.spec: each for each in status_of(root)}[second].state == "to do"  # nothing was saved


def test_runs_that_differ_in_options_are_told_apart(suite_file, tmp_path):
    suite = read_suite(suite_file("- {model: {name: egnn, depth: [1, 2]}}\n"))
    (tmp_path / "out").mkdir()
    write_runs(tmp_path / "out", suite.name, suite.runs)
    titles = [each.spec.title for each in status_of(tmp_path / "out")]
    assert titles == [spec.title for spec in suite.runs]
    assert "egnn (model.depth=2)" in titles[1]


def test_time_left(suite_file):
    spec = read_suite(suite_file("- {model: linear}")).runs[0]
    since = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    running = RunStatus(spec, "running", Holder("node1", 7, "", since.isoformat()), 1, seconds=60.0)
    waiting = [RunStatus(spec, "to do", seconds=180.0), RunStatus(spec, "to do")]
    lines = list(status_lines([running, *waiting], since + timedelta(minutes=12)))
    assert "on node1 (process 7) since " in lines[0]
    assert ", for 12 min, epoch 1 of 2" in lines[0]
    assert lines[2] == "Time left: about 4 min of training, with 1 at the same time, by finished runs."
    assert lines[3] == "Time left: unknown for 1: no run of the same model, method and task has finished."
    two = list(status_lines([running, replace(running, spec=spec), *waiting], since))
    assert "Time left: about 2 min of training, with 2 at the same time" in two[3]


def test_nothing_begun_and_a_damaged_file(suite_file, tmp_path):
    with pytest.raises(DataError, match="holds no suite that was begun"):
        status_of(tmp_path)
    suite = read_suite(suite_file("- {model: linear}"))
    write_runs(tmp_path, suite.name, suite.runs)
    (one,) = status_of(tmp_path)
    assert (one.spec, one.state, one.seconds) == (suite.runs[0], "to do", None)
    (tmp_path / "tiny.runs.jsonl").write_text("[")
    with pytest.raises(DataError, match=r"Cannot read the runs of a suite in '.*tiny\.runs\.jsonl'"):
        status_of(tmp_path)


def test_a_holder_that_died_holds_nothing(suite_file, tmp_path):
    spec, store = read_suite(suite_file("- {model: linear}")).runs[0], Store(tmp_path / "out")
    with store.locked(spec) as directory:
        left_behind = (directory / locking.HOLDER).read_bytes()
        assert holder_of(directory).job == ""
    assert not (directory / locking.HOLDER).exists()
    (directory / locking.HOLDER).write_bytes(left_behind)
    assert holder_of(directory) is None


def test_an_unknown_id_is_refused_before_anything_is_done(suite_file, tmp_path, data_dir):
    suite = read_suite(suite_file("- {model: linear}"))
    with pytest.raises(ConfigError, match=r"The suite 'tiny' has no run 'abc'\. .*--dry-run"):
        run_suite(suite, tmp_path / "out", ids=["abc"], session=Session(data_dir=data_dir))


def test_some_runs_of_a_suite_without_boards(suite_file, tmp_path, data_dir, capsys):
    path = suite_file(ENTRIES)
    first, second, *_ = read_suite(path).runs
    ids = f"{first.run_id},{second.run_id}"
    command = ["run", str(path), "--output", "out", "--data-dir", str(data_dir), "--only", ids]
    assert main([*command, "--dry-run"]) == 0
    assert "2 runs (2 to do)" in capsys.readouterr().out
    assert main([*command, "--no-leaderboard"]) == 0
    out = tmp_path / "out"
    assert {each.name for each in out.iterdir()} == {"tiny.runs.jsonl", first.run_id, second.run_id}
    assert main(command) == 0
    assert (out / "leaderboard.md").exists()


def test_the_data_of_a_suite_are_prepared(suite_file, tmp_path, capsys):
    path, cache = suite_file("- {model: linear}"), tmp_path / "cache"
    assert main(["data", "prepare", str(path), "--data-dir", str(cache), "task.train=16"]) == 0
    assert "train 16, val 8, test 16; checksum" in capsys.readouterr().out
    before = {each: each.stat().st_mtime_ns for each in cache.rglob("*.npz")}
    assert before
    assert main(["run", str(path), "--data-dir", str(cache), "task.train=16"]) == 0
    assert {each: each.stat().st_mtime_ns for each in cache.rglob("*.npz")} == before
