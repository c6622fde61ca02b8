"""A user's own potential in a suite: it differentiates in its forward pass, and is trained, scored and measured."""

import numpy as np
import pytest

from geoequiv.bench.runner import run
from geoequiv.bench.suite import read_suite
from geoequiv.records.store import Store
from geoequiv.session import Session

POTENTIAL = """
import torch
from torch import nn


class Potential(nn.Module):
    def __init__(self, axis: float = 0.0) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(1.0))
        self.axis = axis

    def forward(self, pos, t):
        if pos.is_leaf:
            pos = pos.detach().requires_grad_()
        gap = pos.unsqueeze(-2) - pos.unsqueeze(-3)
        energy = self.k * (gap.square().sum(-1) + self.axis * gap[..., 0].square()).sum((-1, -2)) + t.squeeze(-1)
        (gradient,) = torch.autograd.grad(energy.sum(), pos, create_graph=self.training)
        return {"energy": energy, "forces": -gradient, "loss": None}
"""
SUITE = """\
name: potential
task:
  name: files
  path: {path}
  signature: "pos: point, t: scalar per graph -> energy: scalar per graph, forces: vector"
  train: 20
  val: 10
  test: 10
train: {{epochs: 2, batch_size: 10, lr: 1e-3}}
evaluate: {{num_items: 4, num_samples: 2, batch_size: 8, repeats: 1}}
entries:
  - model: ["my_potential:Potential", {{name: "my_potential:Potential", axis: 0.5}}]
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    (tmp_path / "my_potential.py").write_text(POTENTIAL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    rng = np.random.default_rng(0)
    np.savez(
        "mine.npz", pos=rng.normal(size=(40, 4, 3)), t=rng.normal(size=40), energy=rng.normal(size=40),
        forces=rng.normal(size=(40, 4, 3)),
    )  # fmt: skip
    (tmp_path / "suite.yaml").write_text(SUITE.format(path=tmp_path / "mine.npz"))
    return read_suite(tmp_path / "suite.yaml")


def test_a_potential_is_trained_and_measured(suite, tmp_path):
    store = Store(tmp_path / "results")
    exact, broken = (run(spec, store, Session(data_dir=tmp_path / "data")).record for spec in suite.runs)
    for record in (exact, broken):
        assert (record.status, record.error) == ("finished", None)
        assert record.numbers["flops/backward"].value >= 0
    assert exact.numbers["relative"].value < 1e-5 < 1e-2 < broken.numbers["relative"].value
