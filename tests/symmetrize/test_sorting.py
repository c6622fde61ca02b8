"""Frames of S(n): exact on graphs with any symmetry, by one call of the model, and complete."""

import math

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.fields import Layout, Side
from geoequiv.symmetrize import SortingFrame

from .small_graphs import (
    GRAPHS,
    HEXAGON,
    MLP,
    PETERSEN,
    SIGNATURE,
    TRIANGLES,
    complete,
    framed,
    random_weights,
    relabelled,
    relabellings,
)


@pytest.mark.parametrize("name", GRAPHS)
def test_exact_and_separating(name):
    adjacency = GRAPHS[name][0]
    n = len(adjacency)
    wrapped = framed(n)
    x = {"adj": adjacency.expand(2, n, n)}
    options = {"num_samples": 12} if n > 4 else {}
    assert ge.equivariance_error(wrapped, x, SIGNATURE, f"S({n})", **options).worst < 1e-10
    if n > 1:
        assert ge.equivariance_error(wrapped.model, x, SIGNATURE, f"S({n})", **options).relative > 0.1
    single = {"adj": x["adj"].float()}
    wrapped.model.float()
    assert ge.equivariance_error(wrapped, single, SIGNATURE, f"S({n})", **options).worst < 1e-5


def coset_by_hand(a, canonical):
    """All g with g⁻¹ a = canonical, of all n! relabellings."""
    everything = relabellings(len(a))
    return [g for g in everything if torch.equal(relabelled(a, g.argsort()), canonical)]


@pytest.mark.parametrize("name", ["path", "pentagon", "two triangles", "star", "symmetric weights", "directed cycle"])
def test_naive_twin_and_frames_are_equivariant(name):
    """The average over the coset, found among all relabellings, by a plain loop; its gradient too."""
    adjacency = GRAPHS[name][0]
    n = len(adjacency)
    wrapped = framed(n)
    side, g = Side.parse("adj: adjacency"), ge.group(f"S({n})").sample(generator=torch.Generator().manual_seed(4))
    cosets = []
    for a in (adjacency, relabelled(adjacency, g.permutation)):
        order = wrapped.frame({"adj": a}, side, Layout.of({"adj": a}, side))[0].permutation[0]
        cosets.append(coset_by_hand(a, a[order][:, order]))
        assert len(cosets[-1]) == GRAPHS[name][1]
    transformed = {tuple(g.permutation[h].tolist()) for h in cosets[0]}
    assert transformed == {tuple(h.tolist()) for h in cosets[1]}  # frame(g x) = g frame(x)

    a, b = (adjacency.clone().requires_grad_() for _ in range(2))
    total = {}
    for h in cosets[0]:
        q = h.argsort()
        out = wrapped.model(a[h][:, h])
        rotated = {"y": out["y"][q], "z": out["z"][q][:, q], "energy": out["energy"]}
        total = {key: total.get(key, 0) + value / len(cosets[0]) for key, value in rotated.items()}
    here = wrapped(b)
    assert all(torch.allclose(total[key], here[key], atol=1e-12) for key in total)
    slopes = [
        torch.autograd.grad((out["y"].sin().sum() + (out["z"] ** 2).sum() + out["energy"]), leaf)[0]
        for out, leaf in ((total, a), (here, b))
    ]
    assert torch.allclose(*slopes, atol=1e-12)


def test_one_call_whatever_the_symmetry():
    seen = []

    def model(adj):
        seen.append(adj.shape)
        return adj.cumsum(-1)

    wrapped = ge.FrameAveraging(model, "adj: adjacency -> z: adjacency", "S(6)", "sorting")
    batch = torch.stack([HEXAGON, TRIANGLES, complete(6), random_weights(6), torch.zeros(6, 6).double()])
    whole = wrapped(batch)
    assert seen == [(5, 6, 6)]
    alone = torch.stack([wrapped(each) for each in batch])
    assert torch.allclose(whole, alone, atol=1e-14)  # an item does not see the rest of its batch
    assert torch.allclose(wrapped(batch.reshape(5, 1, 6, 6)).squeeze(1), whole)


def test_twice_is_once_and_equivariant_models_stay():
    batch = torch.stack([HEXAGON, TRIANGLES, complete(6), random_weights(6)])
    wrapped = framed(6)
    twice = ge.FrameAveraging(wrapped, SIGNATURE, "S(6)", "sorting")
    once = wrapped(batch)
    assert all(torch.allclose(value, once[key], atol=1e-14) for key, value in twice(batch).items())
    exact = lambda adj: adj @ adj + adj.sum((-1, -2), keepdim=True)  # noqa: E731
    unchanged = ge.FrameAveraging(exact, "adj: adjacency -> z: adjacency", "S(6)", "sorting")
    assert torch.allclose(unchanged(batch), exact(batch), atol=1e-12)


def test_gradients_are_finite_differences_away_from_ties():
    wrapped = ge.FrameAveraging(MLP(4), SIGNATURE, "S(4)", "sorting")
    a = random_weights(4)[None].requires_grad_()
    slope = torch.func.grad(lambda adj: wrapped(adj)["energy"].sum())(a.detach())
    assert torch.allclose(slope, torch.autograd.grad(wrapped(a)["energy"].sum(), a)[0])
    assert torch.autograd.gradcheck(lambda adj: tuple(wrapped(adj).values()), a)
    loss = wrapped(PETERSEN[:4, :4])["energy"]
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in wrapped.parameters())


def test_isometries_and_relabellings_by_wrapping_twice():
    signature = "pos: point -> f: vector"
    torch.manual_seed(0)
    net = nn.Linear(18, 18).double()
    flat = lambda pos: net(pos.flatten(-2)).sin().unflatten(-1, (6, 3))  # noqa: E731
    angle = torch.arange(6).double() * math.pi / 3
    hexagon = torch.stack([angle.cos(), angle.sin(), 0 * angle], -1)
    inner = ge.FrameAveraging(flat, signature, "S(6)", SortingFrame(ge.group("S(6)"), tolerance=1e-6))
    wrapped = ge.FrameAveraging(inner, signature, "SE(3)", "minimal")
    for pos in (random_weights(6)[None, :, :3], hexagon[None]):
        assert ge.equivariance_error(wrapped, {"pos": pos}, signature, "SE(3)*S(6)", num_samples=20).worst < 1e-10
        assert ge.equivariance_error(flat, {"pos": pos}, signature, "SE(3)*S(6)", num_samples=3).relative > 0.1
