"""Signals in the middle of a suite, two of the draws of benchmarks/interruptions.py; and workers without a parent."""

import json
import signal
import time
from pathlib import Path

import pytest

import interruptions


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return interruptions.Suite(tmp_path_factory.mktemp("suite"))


@pytest.mark.parametrize(
    ("signum", "jobs", "whole_group", "fraction"),
    [(signal.SIGTERM, 1, False, 0.7), (signal.SIGUSR1, 2, True, 0.8)],
)
def test_an_interrupted_suite_ends_with_the_status_and_resumes(suite, signum, jobs, whole_group, fraction):
    assert suite.interrupted(interruptions.Draw(0, signum, jobs, whole_group, fraction)) == ""


def test_the_page_has_the_committed_counts():
    root = Path(__file__).parents[2]
    found = json.loads((root / "benchmarks/results/fuzz/interruptions.json").read_text())
    page = " ".join((root / "docs/reference/faults.md").read_text(encoding="utf-8").split())
    signals = ", ".join(f"{name} {count}" for name, count in found["signals"].items())
    assert f"{found['draws']} draws, {found['wrong']} wrong ({signals};" in page
    assert f"--draws {found['draws']} --seed {found['seed']}" in page


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads the children of a process from /proc")
def test_workers_end_with_a_parent_that_is_killed(suite):
    process = suite.start("killed", 2)
    try:
        deadline = time.monotonic() + 120
        while len(workers := children(process.pid)) < 3:  # two workers, and Python's resource tracker
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.kill()
        process.communicate(timeout=60)  # until the last worker has closed it
    deadline = time.monotonic() + 30
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline, "a worker goes on without its parent"
        time.sleep(0.01)
