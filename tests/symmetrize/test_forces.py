"""Forces as gradients of an averaged energy are exactly equivariant, and so is training on them, on any cloud."""

import pytest
import torch
from torch import nn

import geoequiv as ge

from . import molecules


class Energy(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 4))

    def forward(self, pos):
        return self.layers(pos).sin().sum((-1, -2))


def derivatives(wrapped, pos):
    """Forces, and the gradients of their square by the parameters and by the positions."""
    pos = pos.clone().requires_grad_()
    forces = -torch.autograd.grad(wrapped(pos).sum(), pos, create_graph=True)[0]
    weights = [p for p in wrapped.model.parameters() if p.ndim > 1]
    by_weights = torch.autograd.grad(forces.square().sum(), weights, retain_graph=True)
    (by_pos,) = torch.autograd.grad(forces.square().sum(), pos)
    return forces.detach(), torch.cat([g.flatten() for g in by_weights]), by_pos


def error(found, expected):
    assert torch.isfinite(found).all()
    return float((found - expected).norm() / (expected.norm() + 1e-9))


@pytest.mark.parametrize("name", molecules.CLOUDS)
@pytest.mark.parametrize("frame", ["pca", "minimal", "weighted", "learned"])
@pytest.mark.parametrize("group", ["SE(3)", "E(3)"])
def test_forces_are_equivariant(name, frame, group):
    torch.manual_seed(0)
    wrapped = ge.FrameAveraging(Energy(), "pos: point -> energy: scalar", group, frame).double()
    R = ge.group(group).sample(generator=torch.Generator().manual_seed(1)).linear
    pos = molecules.CLOUDS[name][0]
    here, there = derivatives(wrapped, pos), derivatives(wrapped, (pos + 0.7) @ R.mT)
    assert error(here[0] @ R.mT, there[0]) < 1e-9
    assert error(here[1], there[1]) < 1e-9
    assert error(here[2] @ R.mT, there[2]) < 1e-8


def test_a_bare_energy_fails():
    """The tester tested."""
    bare = nn.ModuleDict({"model": Energy().double()})
    bare.forward = bare["model"].forward
    R = ge.group("SO(3)").sample(generator=torch.Generator().manual_seed(1)).linear
    pos = molecules.CLOUDS["methane"][0]
    here, there = derivatives(bare, pos), derivatives(bare, pos @ R.mT)
    assert error(here[0] @ R.mT, there[0]) > 0.1
    assert error(here[1], there[1]) > 0.01
