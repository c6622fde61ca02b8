"""Jobs of a real SLURM that are signalled, requeued, out of time, doubled, or lose their node: no run is lost.

These take minutes: GEOEQUIV_CLUSTER_TESTS=1 asks for them.
"""

import os
import subprocess
import time

import pytest

from .conftest import LONG, queue, until

pytestmark = pytest.mark.skipif(LONG not in os.environ, reason=f"takes minutes: set {LONG}=1")
ENGINE = ("--engine", "slurm", "--array-parallelism", "2", "--runs-per-task", "3")
RUNNING = "RUNNING"


@pytest.fixture(autouse=True)
def _an_empty_queue(slurm):
    yield
    subprocess.run(["scancel", "--me"], check=True)
    until(lambda: queue() == [])


def running() -> list[str]:
    return [line.split()[0] for line in queue() if line.endswith(RUNNING)]


def in_mid_run(place, output: str, steps: int = 8) -> list[str]:
    """The jobs that run, when they have done some training steps."""
    until(lambda: len(running()) == 2 and place.steps(output) >= steps)
    return running()


def whole(place, output: str, lost_steps: int = 0) -> None:
    """Every run is there, equal bit for bit, done once, and no more steps were done than without interruption."""
    until(lambda: queue() == [], 400)
    said = place.job_output(output)
    assert place.results(output) == place.results("whole"), said
    assert not list((place.folder / output).glob("*/failed-*"))
    assert said.count(" finished in ") == 12, said
    extra = place.steps(output) - place.steps("whole")
    assert 0 <= extra <= lost_steps, said


@pytest.mark.parametrize(
    "action",
    [
        ["scontrol", "requeue"],
        ["scancel", "--signal=USR2"],
        ["scancel", "--signal=USR1"],
        ["scancel", "--signal=TERM"],
    ],
    ids=lambda words: " ".join(words),
)
def test_signalled_in_mid_run(place, action):
    output = "-".join(word.strip("-").replace("=", "-") for word in action)
    place.run(output, *ENGINE, "--time", "30", sleep=0.2)
    jobs = in_mid_run(place, output)
    # at once; scancel delivers a signal and may still say that the job cannot be altered now, and then send it again
    subprocess.run([*action, *([",".join(jobs)] if action[0] == "scontrol" else jobs)], check=False)
    whole(place, output)
    assert place.job_output(output).count("a training is saved") >= 2


def test_the_time_limit(place):
    place.run("limit", *ENGINE, "--time", "1", sleep=0.5)
    whole(place, "limit")
    assert "Received SIGUSR2; a training is saved" in place.job_output("limit")


def test_cancelled_jobs_stay_cancelled_and_their_runs_go_on(place):
    place.run("cancelled", *ENGINE, "--time", "30", sleep=0.2)
    in_mid_run(place, "cancelled")
    subprocess.run(["scancel", "--me"], check=True)
    until(lambda: queue() == [])
    assert len(place.results("cancelled")) < 12
    assert len(list((place.folder / "cancelled").glob("*/checkpoint.ckpt"))) >= 2
    place.run("cancelled", *ENGINE, "--time", "30", "--resume")
    whole(place, "cancelled")


def test_two_arrays_on_one_folder(place):
    place.run("two", *ENGINE, "--time", "30", sleep=0.1)
    place.run("two", *ENGINE, "--time", "30", sleep=0.1)
    assert len({line.split()[1] for line in queue()}) == 2
    whole(place, "two")


def test_a_node_that_dies(slurm, place):
    place.run("node", *ENGINE, "--time", "30", "train.checkpoint_seconds=0", sleep=0.2)
    in_mid_run(place, "node")
    slurm("stop-node")
    slurm("start-node")
    whole(place, "node", lost_steps=12)


def test_signalled_as_soon_as_it_begins(place):
    """Torch is not loaded by then: nothing is lost."""
    place.run("soon", *ENGINE, "--time", "30")
    until(lambda: place.job_output("soon").count("Loading pickle") == 2)
    time.sleep(1.0)
    assert place.steps("soon") == 0
    subprocess.run(["scancel", "--signal=USR2", *running()], check=False)
    whole(place, "soon")
