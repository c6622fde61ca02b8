"""Tiny suites, a data cache that all tests of this folder share, and models of a user."""

import os
import textwrap
from pathlib import Path

import pytest

HEAD = """\
name: tiny
task: {name: nbody/charged, train: 32, val: 8, test: 16}
train: {epochs: 2, batch_size: 16, lr: 1e-3, checkpoint_seconds: 0}
evaluate: {num_items: 4, num_samples: 2, batch_size: 8, repeats: 1}
"""
MODELS = '''
"""Models of a user."""

import os
import time

import torch
from torch import nn


class Shift(nn.Module):
    """Takes no signature."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.full((), scale))

    def forward(self, pos, vel, charge):
        time.sleep(float(os.environ.get("GEOEQUIV_TEST_SLEEP", 0)))
        return pos + self.step * vel


def largest_input(model, task):
    return float(task.splits["test"].inputs["pos"].abs().max())


class WrongShape(Shift):
    def forward(self, pos, vel, charge):
        return (pos + self.step * vel).mean(dim=1)


class NotFinite(Shift):
    def forward(self, pos, vel, charge):
        return (pos + self.step * vel) * float("nan")


class Dies(Shift):
    def forward(self, pos, vel, charge):
        os._exit(7)
'''


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def suite_file(tmp_path, monkeypatch):
    """Write a suite and the user's models into an empty folder, which becomes the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    Path("my_models.py").write_text(MODELS, encoding="utf-8")

    def write(entries: str, head: str = HEAD, name: str = "suite.yaml") -> Path:
        path = tmp_path / name
        path.write_text(head + "entries:\n" + textwrap.indent(textwrap.dedent(entries), "  "), encoding="utf-8")
        return path

    return write
