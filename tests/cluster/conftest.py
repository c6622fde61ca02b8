"""A SLURM of one node on this machine, for all tests of this folder; they are skipped where it is not installed."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from geoequiv.records.run_directory import read_record

START = Path(__file__).parent / "start_slurm.sh"
NEEDED = ("slurmctld", "slurmd", "munged", "sbatch", "scontrol")
#: asks for the tests that take minutes
LONG = "GEOEQUIV_CLUSTER_TESTS"

SUITE = """\
name: tiny
task: {name: nbody/charged, train: 64, val: 8, test: 8}
train: {epochs: 6, batch_size: 16, lr: 1e-2, checkpoint_seconds: 1e6, schedule: cosine}
evaluate: {num_items: 4, num_samples: 2, batch_size: 8, repeats: 1}
seeds: [0, 1]
entries:
  - model: cluster_models:Slow
    symmetry:
      - none
      - augmentation: {group: SO(3)}
      - remul: {group: SO(3), beta: 1}
      - frame_averaging: {group: SE(3), frame: [pca, stochastic]}
      - group_averaging: {group: O, num_samples: 2}
"""
MODELS = '''
"""A model that takes its time and counts its training steps, in a file of its process."""

import os
import time

import torch
from torch import nn


class Slow(nn.Module):
    def __init__(self, signature) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.1), nn.Linear(8, 3))

    def forward(self, pos, vel, charge):
        if self.training and torch.is_grad_enabled() and "STEPS" in os.environ:
            with open(f"{os.environ['STEPS']}/{os.environ.get('SLURM_JOB_ID')}-{os.getpid()}", "ab") as file:
                file.write(b".")
            time.sleep(float(os.environ.get("SLEEP", 0)))
        return pos + self.net(vel)
'''


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[Callable[[str], None]]:
    """SLURM runs; call it with "stop-node" or "start-node"."""
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        pytest.skip(f"SLURM is not installed here: no {', '.join(missing)} (Debian: slurm-wlm munge)")
    if os.geteuid() != 0:
        pytest.skip("SLURM on one node is started as root")
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([START, folder], capture_output=True, text=True)
    if started.returncode:
        pytest.fail(f"{started.stderr}\n{started.stdout}")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    try:
        yield lambda action: subprocess.run([START, folder, action], check=True)
    finally:
        subprocess.run(["scancel", "--me"], check=False)
        subprocess.run([START, folder, "stop"], check=True)
        del os.environ["SLURM_CONF"]


@dataclass(frozen=True)
class Place:
    """A folder with a suite, whose runs are done by commands."""

    folder: Path
    data: Path

    def command(self, output: str, *more: str) -> list[str]:
        """`geoequiv run` of the suite."""
        start = [sys.executable, "-m", "geoequiv", "run", "suite.yaml", "--data-dir", str(self.data)]
        return [*start, "--output", output, *more]

    def run(self, output: str, *more: str, sleep: float = 0.0) -> str:
        """Run it to its end; returns what it has said."""
        (self.folder / f"{output}.steps").mkdir(exist_ok=True)
        environment = {**os.environ, "STEPS": str(self.folder / f"{output}.steps"), "SLEEP": str(sleep)}
        done = subprocess.run(
            self.command(output, *more), cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr + self.job_output(output)
        return done.stdout

    def job_output(self, output: str) -> str:
        """What the jobs have said."""
        return "\n".join(path.read_text() for path in sorted((self.folder / output / "slurm").glob("*_log.out")))

    def steps(self, output: str) -> int:
        """Forward passes of trainings, in all processes."""
        return sum(path.stat().st_size for path in (self.folder / f"{output}.steps").iterdir())

    def results(self, output: str) -> dict:
        """Of every run, what must be the same bit for bit: record but for times and machine, log, and weights."""
        found = {}
        for path in sorted((self.folder / output).glob("*/record.json")):
            record = read_record(path.parent)
            numbers = {key: each for key, each in record.numbers.items() if not key.startswith("seconds/")}
            saved = torch.load(path.parent / "checkpoint.ckpt", weights_only=True)
            weights = [saved["model"], saved["progress"]["best_weights"]]
            bits = [{name: tensor.numpy().tobytes() for name, tensor in each.items()} for each in weights]
            train = {key: each for key, each in record.config["train"].items() if key != "checkpoint_seconds"}
            what = (record.status, record.protocol, {**record.config, "train": train}, record.task_card, numbers)
            found[record.run_id] = (*what, (path.parent / "log.csv").read_bytes(), bits)
        return found


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Place:
    """The suite, with its uninterrupted runs in the folder "whole"."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "suite.yaml").write_text(SUITE)
    (folder / "cluster_models.py").write_text(MODELS)
    found = Place(folder, folder / "data")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    found.run("whole")
    return found


def until(what: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it does not.
    """
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it has not come"
        time.sleep(0.2)


def queue() -> list[str]:
    """Jobs that are pending, running or completing, by the id of the element and of its array: "14 12 RUNNING"."""
    done = subprocess.run(["squeue", "-h", "-r", "-o", "%A %F %T"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
