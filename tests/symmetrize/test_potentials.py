"""Potentials: models that differentiate inside are measured, and forces averaged over frames are not let through."""

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.errors import ModelOutputError
from geoequiv.testing import assert_equivariant

SIGNATURE = "pos: point -> energy: scalar per graph, forces: vector"
ENERGY = "pos: point -> energy: scalar per graph"


class Energy(nn.Module):
    """Of all pairs; with an axis of its own unless ``axis`` is zero."""

    def __init__(self, axis=1.0):
        super().__init__()
        self.axis = nn.Parameter(axis * torch.tensor([1.0, 0.3, 0.2], dtype=torch.float64))

    def forward(self, pos):
        gap = pos.unsqueeze(-2) - pos.unsqueeze(-3)
        return (gap.square().sum(-1) / 3 + (gap * self.axis).sum(-1)).sin().sum((-1, -2))


class Potential(Energy):
    """Takes the gradient in its forward pass, in the three ways that one sees."""

    def __init__(self, axis=1.0, how="asks"):
        super().__init__(axis)
        self.how = how

    def forward(self, pos):
        if self.how == "makes":
            pos = pos.detach().requires_grad_()
        if self.how == "switches on":
            with torch.enable_grad():
                pos = pos.detach().requires_grad_()
                energy = super().forward(pos)
                return energy.detach(), -torch.autograd.grad(energy.sum(), pos)[0]
        energy = super().forward(pos)
        (gradient,) = torch.autograd.grad(energy.sum(), pos, create_graph=self.how == "keeps")
        return energy, -gradient


WAYS = pytest.mark.parametrize("how", ["asks", "keeps", "makes", "switches on"])


def clouds(dtype=torch.float64, items=3):
    return {"pos": torch.randn(items, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)}


@WAYS
def test_every_measurement_measures_them(how):
    x = clouds()
    invariant, other = Potential(0.0, how), Potential(1.0, how)
    assert_equivariant(invariant, x, SIGNATURE, "SE(3)")
    assert ge.equivariance_error(other, x, SIGNATURE, "SE(3)", num_samples=4).relative > 0.1
    assert ge.certify(invariant, x, SIGNATURE, "SE(3)").verdict == "exact"
    assert ge.certify(other, x, SIGNATURE, "SE(3)").verdict == "broken"
    small = ge.lie_derivative(invariant, x, SIGNATURE, "SO(3)", method="finite-difference")
    assert all(abs(each.value) < 1e-6 for each in small.relative.values())
    wrapped = ge.GroupAveraging(other, SIGNATURE.replace("pos: point", "pos: vector"), "O")
    assert_equivariant(wrapped, x, SIGNATURE.replace("pos: point", "pos: vector"), "O")
    assert not x["pos"].requires_grad


def test_other_errors_of_a_model_are_its_own():
    def broken(pos):
        raise RuntimeError("of the model")

    with pytest.raises(RuntimeError, match="of the model"):
        ge.equivariance_error(broken, clouds(), SIGNATURE, "SE(3)")


@WAYS
@pytest.mark.parametrize("frame", ["pca", "minimal"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_forces_are_not_averaged_over_frames(how, frame, dtype):
    x = clouds(dtype)
    pos = x["pos"].requires_grad_()
    averaged = ge.FrameAveraging(Potential(1.0, how).to(dtype), SIGNATURE, "SE(3)", frame)
    with pytest.raises(ModelOutputError, match=r"'forces' is minus the gradient of 'energy'.*ge\.Conservative"):
        averaged(pos)
    decorated = ge.frame_averaging(SIGNATURE, "SE(3)", frame)(Potential(1.0, how).to(dtype).forward)
    with pytest.raises(ModelOutputError, match=r"ge\.Conservative"):
        decorated(pos)


@pytest.mark.parametrize("frame", ["pca", "minimal", "weighted"])
def test_the_right_order_gives_the_gradient_of_the_average(frame):
    x = clouds(items=2)
    right = ge.Conservative(ge.FrameAveraging(Energy(), ENERGY, "SE(3)", frame))
    assert_equivariant(right, x, SIGNATURE, "SE(3)", 1e-8)
    forces, step = right(**x)["forces"], 1e-6
    along = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ahead, behind = (right(pos=x["pos"] + sign * step * along)["energy"] for sign in (1, -1))
    slope = (ahead - behind) / (2 * step)
    torch.testing.assert_close(-(forces * along).sum((1, 2)), slope, rtol=1e-5, atol=1e-7)


def test_what_is_no_gradient_or_stays_one_passes():
    x = clouds()
    pos = x["pos"].requires_grad_()

    def direct(pos):
        return pos.square().sum((1, 2)), pos.roll(1, -1)

    for averaged in (
        ge.FrameAveraging(direct, SIGNATURE, "SE(3)"),
        ge.FrameAveraging(Potential(0.0, "keeps"), SIGNATURE, "SE(3)"),  # invariant: the average changes nothing
        ge.GroupAveraging(Potential(1.0, "keeps"), SIGNATURE, "T(3)*O"),  # forces add up to zero: centring is free
    ):
        energy, forces = averaged(pos)
        if averaged.model is not direct:
            (gradient,) = torch.autograd.grad(energy.sum(), pos)
            torch.testing.assert_close(forces, -gradient, atol=1e-9, rtol=1e-9)
        assert not averaged.forces_open


def test_the_check_draws_nothing():
    """The first call draws for dropout what it would draw without the check."""

    class Dropped(nn.Module):
        def forward(self, pos):
            return nn.functional.dropout(pos, 0.5, self.training).square().sum((1, 2)), pos.roll(1, -1)

    x = clouds()
    results = []
    for checked in (True, False):
        averaged = ge.FrameAveraging(Dropped(), SIGNATURE, "SE(3)").train()
        averaged.forces_open = checked
        torch.manual_seed(0)
        results.append(averaged(**x)[0])
    assert torch.equal(*results)
