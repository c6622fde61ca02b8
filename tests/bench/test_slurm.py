"""The engine "slurm" as far as it goes without SLURM: its options, its tasks, and what a task does in a job."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from geoequiv.bench import slurm_runs
from geoequiv.bench.slurm import array_tasks, sbatch_options
from geoequiv.bench.slurm_task import ArrayTask, is_running
from geoequiv.bench.suite import read_suite
from geoequiv.bench.suite_run import run_suite
from geoequiv.cli import main
from geoequiv.errors import ConfigError
from geoequiv.records.store import Store
from geoequiv.session import Session, Slurm
from geoequiv.signals import Ended

FOUR = "- {model: linear, seeds: [0, 1, 2, 3]}"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Programs of SLURM that say what they are told to, first on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def say(program: str, text: str, status: int = 0) -> None:
        (folder / program).write_text(f"#!/bin/sh\necho '{text}'\nexit {status}\n")
        (folder / program).chmod(0o755)

    return say


def test_runs_are_shared_out_among_tasks(suite_file, tmp_path):
    suite = read_suite(suite_file(FOUR))
    session = Session(device="cuda", engine="slurm", slurm=Slurm(runs_per_task=3, cpus=2), data_dir=Path("data"))
    tasks = array_tasks(suite.runs, Store(Path("out")), session)
    assert [each.specs for each in tasks] == [suite.runs[:3], suite.runs[3:]]
    assert {each.session for each in tasks} == {Session(device="cuda", data_dir=tmp_path / "data")}
    assert {(each.root, each.threads) for each in tasks} == {(tmp_path / "out", 2)}


def test_options_of_sbatch():
    options = sbatch_options(Slurm(partition="gpu", minutes=240, gpus=1, sbatch=(("account", "physics"),)))
    assert options["partition"] == "gpu"
    assert (options["time"], options["gpus_per_node"], options["signal_delay_s"]) == (240, 1, 90)
    assert options["additional_parameters"] == {"requeue": True, "account": "physics"}
    assert sbatch_options(Slurm(minutes=1))["signal_delay_s"] == 30  # not before the job begins
    assert sbatch_options(Slurm())["gpus_per_node"] is None


def test_a_dry_run_says_how_many_tasks(suite_file, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")  # nothing of SLURM is asked
    command = ["run", str(suite_file(FOUR)), "--dry-run", "--engine", "slurm", "--runs-per-task", "3", "--gpus", "1"]
    assert main(command) == 0
    assert "SLURM: an array of 2 tasks of up to 3 runs, at most 2 at the same time." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--time", "4:00:00", "--wait"], "--time, --wait can be given with --engine slurm only"),
        (["--engine", "slurm", "--jobs", "2"], "does one run at a time in each job; got 2"),
        (["--engine", "slurm"], "--engine slurm needs SLURM on this machine: there is no program 'scontrol'"),
        (["--engine", "slurm", "--device", "cuda", "train.devices=2"], "pass --gpus 2"),
    ],
)
def test_what_does_not_go_together(suite_file, data_dir, capsys, monkeypatch, options, message):
    path = suite_file(FOUR)
    monkeypatch.setenv("PATH", "")
    assert main(["run", str(path), "--data-dir", str(data_dir), *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("time", ["4h", "1:2:3:4", "-3", "2-", ""])
def test_a_time_that_is_none(suite_file, capsys, time):
    with pytest.raises(SystemExit):
        main(["run", str(suite_file(FOUR)), "--engine", "slurm", f"--time={time}"])
    assert "expected a time such as 4:00:00" in capsys.readouterr().err


def test_a_larger_array_than_slurm_takes(suite_file, data_dir, programs):
    programs("scontrol", "MaxArraySize            = 3")
    session = Session(engine="slurm", slurm=Slurm(), data_dir=data_dir)
    with pytest.raises(ConfigError, match=r"4 runs are 4 tasks, .* arrays of 3 .*: pass --runs-per-task 2 or more"):
        run_suite(read_suite(suite_file(FOUR)), Path("out"), session=session)


def task_of(suite, data_dir, failed=()):
    return ArrayTask(suite.runs, dict(failed), Path("out").absolute(), Session(data_dir=data_dir), 1)


def test_a_task_does_its_runs_and_fails_each_once(suite_file, data_dir, capsys):
    suite = read_suite(suite_file("- model: [{name: linear}, my_models:NotFinite]"))
    task, store = task_of(suite, data_dir), Store(Path("out"))
    task()
    states = [store.state(spec) for spec in suite.runs]
    assert states == ["finished", "failed"]
    task()  # as after it was queued again
    failing = suite.runs[1]
    assert not list(store.directory(failing).glob("failed-*"))
    assert capsys.readouterr().out.count("started") == 2
    task_of(suite, data_dir, {failing.run_id: store.record(failing).started}.items())()  # it was asked for again
    assert list(store.directory(failing).glob("failed-*"))


@pytest.mark.parametrize(("state", "queued"), [("RUNNING", True), ("COMPLETING", False)])
def test_a_signal_saves_and_queues_again_unless_slurm_has_ended_the_job(
    suite_file, data_dir, programs, monkeypatch, state, queued, capsys
):
    suite = read_suite(suite_file("- {model: linear}"))
    programs("squeue", state)
    heard = []
    former = signal.signal(signal.SIGUSR2, lambda signum, frame: heard.append(signum))  # as submitit's
    monkeypatch.setattr(slurm_runs, "perform", lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        if queued:
            task_of(suite, data_dir)()
        else:
            with pytest.raises(Ended):
                task_of(suite, data_dir)()
    finally:
        signal.signal(signal.SIGUSR2, former)
    assert heard == [signal.SIGUSR2] * queued
    assert "Received SIGTERM" in capsys.readouterr().out


def test_what_submitit_calls_when_the_job_begins_again(suite_file, data_dir):
    task = task_of(read_suite(suite_file(FOUR)), data_dir)
    again = task.checkpoint()
    assert again.function == task
    assert (again.args, again.kwargs) == ((), {})


def test_a_job_that_slurm_does_not_know_is_not_running(programs):
    programs("squeue", "slurm_load_jobs error: Invalid job id specified", 1)
    assert not is_running("1_2")


def test_jobs_go_on_without_the_command(suite_file, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("geoequiv.bench.suite_run.run_suite", interrupted)
    assert main(["run", str(suite_file(FOUR)), "--engine", "slurm", "--wait"]) == 130
    assert "What was submitted goes on without this command" in capsys.readouterr().err


def test_a_job_handles_signals_before_it_loads_torch():
    code = "import sys, geoequiv.bench.slurm_task; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
