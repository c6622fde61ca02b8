"""Where a frame jumps, gradients with respect to positions are not those of the average, and a warning says so."""

import warnings

import pytest
import torch

import geoequiv as ge
from geoequiv.symmetrize import JumpWarning, MinimalFrame, PCAFrame
from geoequiv.symmetrize.frames import jumps

from . import molecules

SIGNATURE = "pos: point -> energy: scalar per graph"


def energy(pos):
    """No symmetry at all: each atom has a weight of its own."""
    weights = torch.linspace(-0.9, 1.1, 24, dtype=torch.float64).reshape(3, 8)
    atoms = torch.linspace(0.5, 1.5, pos.shape[-2], dtype=torch.float64).unsqueeze(-1)
    return (atoms * torch.sin(pos @ weights + 0.3)).sum((-1, -2)).unsqueeze(-1)


def planar():
    """A generic planar molecule: its only symmetry is the reflection in its plane."""
    return molecules.random(7, 3) * torch.tensor([1.0, 1.0, 0.0])


def off(model, cloud, step=1e-4):
    """Largest difference of the gradient from central differences, relative to the largest of these."""
    pos = cloud[None].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(pos).sum(), pos)
    central = torch.zeros_like(gradient)
    with torch.no_grad():
        for index in torch.cartesian_prod(torch.arange(len(cloud)), torch.arange(3)).tolist():
            ahead, behind = cloud.clone(), cloud.clone()
            ahead[*index] += step
            behind[*index] -= step
            central[0, *index] = (model(ahead[None]) - model(behind[None])).sum() / (2 * step)
    return float((gradient - central).abs().max() / central.abs().max())


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.setattr(jumps, "_warned", set())


@pytest.mark.parametrize("frame", ["minimal", "learned"])
def test_forces_of_planar_molecules_are_off_and_warned_of_once(frame, fresh):
    """Water: the two frames that its axis of symmetry leaves become one wherever an atom is displaced."""
    torch.manual_seed(0)
    model = ge.FrameAveraging(energy, SIGNATURE, "E(3)", frame)
    pos = molecules.water()[None].requires_grad_()
    with pytest.warns(JumpWarning, match=r"jumps at 1 of 1 clouds \(the first is item 0\).*forces.*'weighted'"):
        model(pos)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(pos)
        assert off(model, molecules.water()) > 0.5


@pytest.mark.parametrize("frame", ["pca", "weighted"])
def test_others_have_right_forces_there(frame, fresh):
    model = ge.FrameAveraging(energy, SIGNATURE, "E(3)", frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert off(model, molecules.water()) < 1e-6
        assert off(model, planar()) < 1e-6


def test_no_warning_without_gradients_or_jumps(fresh):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for frame in ("minimal", "learned", "pca"):
            model = ge.FrameAveraging(energy, SIGNATURE, "E(3)", frame)
            model(planar()[None])
            model(molecules.random(7)[None].requires_grad_())
            with torch.no_grad():
                model(planar()[None].requires_grad_())


def test_diagnose_warns_each_time():
    both = torch.stack([molecules.random(7), planar()])
    group = ge.group("E(3)")
    for _ in range(2):
        with pytest.warns(JumpWarning, match=r"MinimalFrame frame jumps at 1 of 2 clouds \(the first is item 1\)"):
            report = MinimalFrame(group).diagnose({"pos": both}, "pos: point")
    assert (report.distance > 0).tolist() == [True, False]
    with pytest.warns(JumpWarning, match="PCAFrame"):
        PCAFrame(group).diagnose({"pos": molecules.methane()}, "pos: point")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PCAFrame(group).diagnose({"pos": both}, "pos: point")
