"""Suites are run: whole records, failures that stop nothing else, workers, and resuming after a kill."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from geoequiv.bench import runner, waiting
from geoequiv.bench.suite import read_suite
from geoequiv.bench.suite_run import run_suite
from geoequiv.errors import DataError, RunError
from geoequiv.measurements import timing
from geoequiv.records import read
from geoequiv.records.locking import holder_of
from geoequiv.records.run_directory import read_record
from geoequiv.records.store import Store
from geoequiv.session import Session

WAYS = """\
- model: {name: gnn, width: 8, depth: 1}
  symmetry:
    - none
    - augmentation: {group: SO(3)}
    - remul: {group: SO(3), beta: 10}
    - frame_averaging: {group: SE(3), frame: [pca, stochastic]}
    - group_averaging: {group: O}
- model: {name: egnn, width: 8, depth: 1}
"""


def run(path, output, data_dir, jobs=1, **options):
    console = Console(file=io.StringIO(), width=200)
    session = Session(jobs=jobs, data_dir=data_dir, console=console)
    result = run_suite(read_suite(path), Path(output), session=session, **options)
    return result, console.file.getvalue()


def numbers(output):
    """Of every record, what must be the same however the run came about: all but times, machine and log."""
    found = {}
    for record in (read_record(path.parent) for path in sorted(Path(output).glob("*/record.json"))):
        kept = {key: each for key, each in record.numbers.items() if not key.startswith("seconds/")}
        found[record.run_id] = (record.status, record.model, record.method, record.config, record.metric, kept)
    return found


def test_every_way_of_getting_symmetry_ends_in_a_record(suite_file, data_dir):
    path = suite_file(WAYS)
    result, text = run(path, "out", data_dir)
    assert result.complete
    records = {spec.title: outcome.record for spec, outcome in result.outcomes}
    assert len(records) == 7
    for record in records.values():
        assert record.numbers["metric"].n == 16
        assert record.value("metric") > 0
        parts = [record.numbers.get(f"metric/{side}/clamp_event") for side in ("with", "without")]
        total = sum(part.value * part.n for part in parts if part)
        assert total / 16 == pytest.approx(record.value("metric"), rel=1e-5)
        assert record.value("epochs/run") == 2
        assert record.settings["equivariance"]["group"] == "E(3)"
        assert record.value("params") > 0
        assert record.value("flops/backward") > record.value("flops/forward") > 0
        assert record.value("seconds/inference") > 0
        assert record.settings["timing"]["batch_size"] == 8
        assert len(record.task_card.checksum) == 64
        assert record.environment["torch"]
        assert record.environment["cpu"]
    exact = {title: record.value("relative") for title, record in records.items()}
    assert exact["egnn · none · seed 0"] < 1e-5
    assert exact["gnn · none · seed 0"] > 1e-2
    assert records["egnn · none · seed 0"].method.label == "built-in E(3)"
    assert "own" not in records["gnn · none · seed 0"].settings
    groups = {
        "egnn · none · seed 0": "E(3)",
        "gnn · frame averaging SE(3) (pca) · seed 0": "SE(3)",
        "gnn · group averaging O · seed 0": "O",
    }
    for title, group in groups.items():  # each exact over the group it claims, whatever the rows are compared over
        assert records[title].settings["own"]["group"] == group
        assert records[title].value("own/relative") < 1e-5
    assert exact["gnn · group averaging O · seed 0"] > 1e-3
    assert records["gnn · frame averaging SE(3) (pca) · seed 0"].method.label == "frame averaging SE(3) (pca)"
    assert all(record.run_id == record.identity for record in records.values())
    assert "egnn · none · seed 0  finished in" in text
    assert len(read("out").records) == 7
    assert read("out").left_out == ()
    for record in read("out").records:  # the metric is the mean over the items that are kept
        items = read("out").items(record)["metric"]
        assert items.shape == (16,)
        assert items.mean() == pytest.approx(record.value("metric"), rel=1e-5)

    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("record.json")}
    result, text = run(path, "out", data_dir)
    assert {outcome.status for _, outcome in result.outcomes} == {"skipped"}
    assert "7 runs: 7 finished before" in text
    assert before == {path: path.stat().st_mtime_ns for path in Path("out").rglob("record.json")}

    run(path, "workers", data_dir, jobs=2)
    assert numbers("workers") == numbers("out")


FAILING = """\
- model: [my_models:WrongShape, my_models:NotFinite, my_models:Shift]
"""


def test_a_failed_run_is_recorded_and_the_others_go_on(suite_file, data_dir):
    path = suite_file(FAILING)
    result, text = run(path, "out", data_dir)
    assert not result.complete
    wrong, nan, fine = (outcome.record for _, outcome in result.outcomes)
    assert [wrong.status, nan.status, fine.status] == ["failed", "failed", "finished"]
    assert "ModelOutputError" in wrong.error
    assert "Traceback" in wrong.error
    assert "shape" in wrong.error
    assert "RunError" in nan.error
    assert "nan" in nan.error
    assert text.count("failed: my_models:WrongShape") == 1
    assert fine.method.label == "none"

    result, text = run(path, "out", data_dir)
    assert not result.complete
    assert "--resume does them again" in text

    models = Path("my_models.py")
    models.write_text(models.read_text().replace(".mean(dim=1)", ""), encoding="utf-8")
    run(path, "out", data_dir, jobs=2, resume=True)  # workers import the mended module
    states = [Store(Path("out")).state(spec) for spec, _ in result.outcomes]
    assert states == ["finished", "failed", "finished"]
    directory = Store(Path("out")).directory(result.outcomes[0][0])
    assert read_record(directory / "failed-1") == wrong.model_copy(update={"path": "failed-1/record.json"})


def test_what_fails_after_the_training_does_not_cost_it(suite_file, data_dir):
    path = suite_file("- model: my_models:Shift")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "timing", None)  # is called, and fails
        result, _ = run(path, "out", data_dir)
    ((spec, outcome),) = result.outcomes
    assert outcome.status == "failed"
    directory = Store(Path("out")).directory(spec)
    kept = {name: (directory / name).read_bytes() for name in ("checkpoint.ckpt", "log.csv")}
    result, _ = run(path, "out", data_dir, resume=True)
    assert result.complete
    assert kept == {name: (directory / name).read_bytes() for name in kept}
    assert [each.name for each in (directory / "failed-1").iterdir()] == ["record.json"]
    run(path, "whole", data_dir)
    assert numbers("out") == numbers("whole")


def test_what_needs_no_training_fails_before_it(suite_file, data_dir, monkeypatch):
    monkeypatch.setattr(runner, "task_card", None)
    monkeypatch.setattr(runner, "fit", lambda *_, **__: pytest.fail("trained first"))
    result, _ = run(suite_file("- model: my_models:Shift"), "out", data_dir)
    ((_, outcome),) = result.outcomes
    assert "'NoneType' object is not callable" in outcome.record.error


ONE = "- model: {name: egnn, width: 4, depth: 1}"
OWN = """\
name: own
task: {name: files, path: mine.npz, signature: "pos: point -> energy: scalar per graph", train: 8, val: 4, test: 4}
train: {epochs: 1, batch_size: 8}
evaluate: {num_items: 2, num_samples: 2, batch_size: 4, repeats: 1}
"""


def test_finished_runs_are_of_the_data_that_are_there(suite_file, data_dir):
    def write(seed):
        rng = np.random.default_rng(seed)
        np.savez("mine.npz", pos=rng.normal(size=(16, 3, 3)), energy=rng.normal(size=16))

    write(0)
    path = suite_file(ONE, OWN)
    assert run(path, "out", data_dir)[0].complete
    assert run(path, "out", data_dir)[0].complete
    for seeds in ("0", "[0, 1]"):  # also where one more run is to be done, on the new data
        write(1)
        path = suite_file(f"{ONE}\n  seeds: {seeds}", OWN)
        with pytest.raises(RunError, match=r"The data in 'mine.npz' have changed .* another --output"):
            run(path, "out", data_dir)
    assert len(list(Path("out").glob("*/record.json"))) == 1
    Path("mine.npz").unlink()
    result, text = run(suite_file(ONE, OWN), "out", data_dir)
    assert result.complete
    assert "could not be compared" in text


def test_other_data_of_a_task_are_said_and_not_refused(suite_file, data_dir):
    """A simulation may differ in its last digits from machine to machine."""
    path = suite_file(ONE)
    assert "Compare its rows" not in run(path, "out", data_dir)[1]
    (kept,) = Path("out").glob("*/record.json")
    record = json.loads(kept.read_text())
    record["task_card"]["checksum"] = "f" * 64
    del record["checksum"]
    kept.write_text(json.dumps(record))
    result, text = run(suite_file(f"{ONE}\n  seeds: [0, 1]"), "out", data_dir)
    assert result.complete
    assert f"have changed since run {record['run_id']} finished" in text
    assert text.count("Compare its rows with care.") == 1


def test_a_worker_that_dies_costs_only_its_run(suite_file, data_dir):
    path = suite_file("- model: [my_models:Dies, my_models:Shift]")
    result, _ = run(path, "out", data_dir, jobs=2)
    dead, fine = (outcome.record for _, outcome in result.outcomes)
    assert (dead.status, fine.status) == ("failed", "finished")
    assert "ended with exit status 7" in dead.error


@pytest.mark.parametrize(("left_as", "expected"), [(None, "finished"), ("finished", "skipped"), ("failed", "failed")])
def test_a_run_that_another_process_has_is_waited_for(suite_file, data_dir, monkeypatch, left_as, expected):
    """Until that has done it, or has left it: the run is then done here."""
    path = suite_file("- model: [my_models:Shift, {name: linear}]")
    spec, other = read_suite(path).runs
    store = Store(Path("out"))
    holding = store.locked(spec)
    holding.__enter__()
    if left_as is not None:
        (store.root / spec.run_id / "checkpoint.ckpt").touch()

    def leave(seconds):
        assert store.state(other) == "finished"  # the others are not kept waiting
        if left_as is not None:
            record = store.record(other).model_copy(update={"run_id": spec.run_id, "config": spec.config})
            store.write_record(spec, record.changed(status=left_as, error=None if left_as == "finished" else "boom"))
        holding.__exit__(None, None, None)

    monkeypatch.setattr(waiting, "sleep", leave)
    result, text = run(path, "out", data_dir)  # a run that is held is not an interrupted one
    assert dict(result.outcomes)[spec].status == expected
    assert text.count("is being trained by another process: waiting for it") == 1


def test_nothing_is_trained_if_the_output_cannot_be_written(suite_file, data_dir):
    Path("file").write_text("")
    with pytest.raises(DataError, match="Cannot write results to 'file/out'"):
        run(suite_file("- model: my_models:Shift"), "file/out", data_dir)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_suite_resumes_to_the_same_records(suite_file, data_dir, jobs):
    path = suite_file(
        """\
        - model: my_models:Shift
          symmetry: [none, {remul: {group: SO(3), beta: 1}}]
          train: {epochs: 12}
        - model: my_models:Shift
        """
    )
    run(path, "whole", data_dir)
    command = [sys.executable, "-m", "geoequiv", "run", str(path), "--output", "cut", "--data-dir", str(data_dir)]
    with open("cut.log", "w") as log:
        slow = {**os.environ, "GEOEQUIV_TEST_SLEEP": "0.1"}
        process = subprocess.Popen([*command, "--jobs", str(jobs)], env=slow, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while not list(Path("cut").glob("*/checkpoint.ckpt")) and time.monotonic() < deadline:
            assert process.poll() is None, Path("cut.log").read_text()
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    # a run that a worker of the killed command still holds would be waited for; workers end within a second
    free = 0
    while free < 60 and time.monotonic() < deadline:
        free = 0 if any(map(holder_of, Path("cut").glob("[0-9a-f]*/"))) else free + 1
        time.sleep(0.02)
    assert numbers("cut") == {}
    assert list(Path("cut").glob("*/checkpoint.ckpt"))
    with pytest.raises(RunError, match=r"were interrupted in 'cut': .*Pass --resume"):
        run(path, "cut", data_dir)
    result, text = run(path, "cut", data_dir, resume=True)
    assert result.complete
    assert "to continue" in text
    assert numbers("cut") == numbers("whole")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR2])  # SIGINT, SIGHUP, SIGUSR1 go the same way
def test_a_signal_to_the_parent_lets_its_workers_save(suite_file, data_dir, signum):
    path = suite_file("- {model: my_models:Shift, seeds: [0, 1]}")
    command = [sys.executable, "-m", "geoequiv", "run", str(path), "--output", "cut", "--data-dir", str(data_dir)]
    command += ["--jobs", "2", "train.epochs=1000", "train.checkpoint_seconds=1e6"]
    with open("cut.log", "w") as log:
        slow = {**os.environ, "GEOEQUIV_TEST_SLEEP": "0.01"}
        process = subprocess.Popen(command, env=slow, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while len(list(Path("cut").glob("*/log.csv"))) < 2 and time.monotonic() < deadline:
            assert process.poll() is None, Path("cut.log").read_text()
            time.sleep(0.02)
        assert not list(Path("cut").glob("*/checkpoint.ckpt"))
        process.send_signal(signum)
        assert process.wait(60) == 128 + signum
    assert len(list(Path("cut").glob("*/checkpoint.ckpt"))) == 2


FILES = ("record.json", "log.csv", "checkpoint.ckpt", "checkpoint.former.ckpt", "items.npz")


def test_nothing_is_written_through_links_that_were_planted_in_a_results_folder(suite_file, data_dir, tmp_path):
    path = suite_file("- {model: linear}")
    (spec,) = read_suite(path).runs
    directory, outside = tmp_path / "out" / spec.run_id, tmp_path / "outside"
    directory.mkdir(parents=True)
    outside.mkdir()
    for name in (*FILES, *(f".{each}.tmp" for each in (*FILES, "config.yaml"))):
        (outside / name).write_text("mine")
        if not name.startswith("record"):  # that one would be a record that cannot be read
            (directory / name).symlink_to(outside / name)
    result, text = run(path, tmp_path / "out", data_dir, resume=True)
    assert result.complete, text
    assert {each.read_text() for each in outside.iterdir()} == {"mine"}
    assert not any((directory / name).is_symlink() for name in FILES)


def test_a_run_directory_that_is_a_link_is_named_and_stays_empty(suite_file, data_dir, tmp_path):
    path = suite_file("- {model: linear}")
    (spec,) = read_suite(path).runs
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / spec.run_id).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"is a symbolic link to .*elsewhere"):
        run(path, tmp_path / "out", data_dir)
    assert not any((tmp_path / "elsewhere").iterdir())
