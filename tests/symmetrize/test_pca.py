"""Principal-axes frames: their sizes, draws and gradients."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

import geoequiv as ge
from geoequiv.fields import Layout, act
from geoequiv.symmetrize import GroupFrame, LearnedFrame, MinimalFrame, PCAFrame, StochasticFrame, WeightedFrame
from geoequiv.testing import assert_equivariant

from .asymmetric import SIGNATURE, Net, clouds, net

FRAMED = ["SO(3)", "O(3)", "SE(3)", "E(3)"]


@pytest.mark.parametrize("name", FRAMED)
def test_frame_law(name):
    """frame(gx) = g frame(x) as sets, with the stated size and handedness."""
    G = ge.group(name)
    frame = PCAFrame(G)
    side = SIGNATURE.inputs
    x, g = clouds(7, 5), G.sample(7)
    transformed = act(g, x, side)
    a = ge.compose(g, frame(x, side, Layout.of(x, side))[0])
    b = frame(transformed, side, Layout.of(transformed, side))[0]
    assert a.shape == ((4 if G.is_proper else 8), 7)
    gap = (a.linear.unsqueeze(1) - b.linear.unsqueeze(0)).abs().amax((-1, -2))  # [F, F, items]
    assert (gap.amin(0) < 1e-9).all()
    if G.is_proper:
        assert (a.det > 0).all()
    if G.translates:
        assert torch.allclose(a.translation, b.translation)


def test_frames_in_the_plane():
    signature = "x: point -> y: vector"
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    x = torch.randn(5, 4, 2, dtype=torch.float64)
    for name, size in (("SE(2)", 2), ("E(2)", 4), ("SO(2)", 2), ("O(2)", 4)):
        wrapped = ge.FrameAveraging(model, signature, name)
        assert_equivariant(wrapped, {"x": x}, signature, name, 1e-9)
        assert (
            len(wrapped.frame({"x": x}, wrapped.signature.inputs, Layout.of({"x": x}, wrapped.signature.inputs, 2))[0])
            == size
        )
    assert_equivariant(
        ge.GroupAveraging(model, signature, ge.group("D4", dim=2)), {"x": x}, signature, ge.group("D4", dim=2)
    )


def test_stochastic_frames_draw_one_and_average_out():
    """One call of the backbone per step while training; its mean over draws is the full average, within 5 σ."""
    calls = []

    class Spy(Net):
        def forward(self, pos, vel, charge):
            calls.append(len(pos))
            return super().forward(pos, vel, charge)

    torch.manual_seed(0)
    spy = Spy().double()
    wrapped = ge.FrameAveraging(spy, SIGNATURE, "SE(3)", "stochastic")
    x = clouds(3, 5)
    full = wrapped.eval()(**x)["forces"]
    assert calls == [12]
    wrapped.train()
    draws = torch.stack([wrapped(**x)["forces"] for _ in range(400)])
    assert calls[1:] == [3] * 400
    sigma = draws.std(0) / 400**0.5
    assert ((draws.mean(0) - full).abs() <= 5 * sigma + 1e-12).all()


@pytest.mark.parametrize("name", ["SE(3)", "E(3)"])
def test_gradient_equals_finite_differences(name):
    wrapped = ge.FrameAveraging(net(), SIGNATURE, name)
    x = clouds(2, 4)

    def energy(pos):
        return wrapped(pos, x["vel"], x["charge"])["energy"]

    assert torch.autograd.gradcheck(energy, x["pos"].requires_grad_(), atol=1e-6)
    assert torch.autograd.gradgradcheck(energy, x["pos"], atol=1e-5)


def test_forces_of_a_framed_energy_are_equivariant():
    wrapped = ge.FrameAveraging(net(), SIGNATURE, "SE(3)")

    def forces(pos, vel, charge):
        with torch.enable_grad():
            pos = pos.detach().requires_grad_()
            energy = wrapped(pos, vel, charge)["energy"].sum()
            return -torch.autograd.grad(energy, pos)[0]

    assert_equivariant(forces, clouds(4, 5), "pos: point, vel: vector, charge: scalar -> forces: vector", "SE(3)", 1e-8)


@pytest.mark.parametrize(
    "pos",
    [torch.zeros(1, 4, 3), torch.eye(3)[None], torch.tensor([[[1.0, 0, 0], [-1, 0, 0]]]), torch.ones(1, 1, 3)],
    ids=["coincident", "regular triangle", "collinear", "one point"],
)
def test_gradients_stay_finite_where_eigenvalues_coincide(pos):
    pos = pos.double().requires_grad_()
    wrapped = ge.FrameAveraging(lambda pos: pos.tanh().cumsum(-1), "pos: point -> y: vector", "E(3)")
    wrapped(pos).square().sum().backward()
    assert torch.isfinite(pos.grad).all()


@pytest.mark.parametrize("frame", [PCAFrame, MinimalFrame, StochasticFrame, WeightedFrame, LearnedFrame, GroupFrame])
def test_frames_of_positions_alone(frame):
    """``frame(x) → elements, weights``: with g⁻¹x, and x a cloud, a batch or graphs."""
    x = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    made = frame(ge.group("T(3)*O" if frame is GroupFrame else "SE(3)"))
    elements, weights = made(x)
    again, other = made({"pos": x}, "pos: point", Layout((2,), 5))
    assert torch.equal(elements.linear, again.linear)
    assert weights is None or torch.equal(weights, other)
    alone = made(x[0])[0].linear
    assert torch.allclose(alone, elements.linear[: len(alone), 0])
    graphs = Batch.from_data_list([Data(pos=each) for each in x])
    assert torch.allclose(made(graphs)[0].linear.expand_as(elements.linear), elements.linear)
