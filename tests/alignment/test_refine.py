"""Learned matchings find planted permutations, and refinement never makes the merged network worse."""

import pytest
import torch
from networks import SIGNATURE, make
from test_barrier import data
from test_matching import largest_difference, many, planted
from torch.nn import functional as F

from geoequiv.alignment import (
    Matching,
    apply,
    match_activations,
    match_sinkhorn,
    permutation_spec,
    refine_straight_through,
)
from geoequiv.alignment.derive import with_state
from geoequiv.alignment.refine import sinkhorn, soften
from geoequiv.errors import AlignmentError


def test_sinkhorn_is_doubly_stochastic():
    matrix = sinkhorn(torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), 100)
    assert torch.allclose(matrix.sum(0), torch.ones(6, dtype=torch.float64))
    assert torch.allclose(matrix.sum(1), torch.ones(6, dtype=torch.float64), atol=1e-6)


def test_a_hard_soft_permutation_is_a_permutation():
    _, spec, state, _ = planted("gnn")
    order = spec.random(torch.Generator().manual_seed(0))
    matrices = {name: torch.eye(len(p), dtype=torch.float64)[p] for name, p in order.items()}
    assert largest_difference(apply(spec, order, state), soften(spec, matrices, state)) < 1e-12


@pytest.mark.parametrize("name", ["mlp", "gnn", "egnn", "transformer"])
def test_sinkhorn_finds_planted_permutations(name):
    _, spec, state, moved = planted(name)
    found = match_sinkhorn(state, moved, spec, steps=150)
    assert largest_difference(state, found.apply(moved)) < 1e-12
    assert min(found.after.values()) > 0.999


def loss(model, inputs, targets):
    return F.mse_loss(model(**inputs), targets["pos"])


def test_straight_through_finds_a_planted_permutation():
    model, spec, state, moved = planted("mlp")
    found, losses = refine_straight_through(model, moved, spec, data(model, batches=1), loss, steps=3)
    assert largest_difference(state, found.apply(moved)) < 1e-12
    assert min(losses) == pytest.approx(0.01, rel=0.2)
    assert losses[0] > min(losses) * 1.001


def test_straight_through_is_never_worse_than_its_start():
    first, inputs = make("mlp")
    second = make("mlp", seed=1)[0]
    spec = permutation_spec(first, inputs, verify=False)
    start = match_activations(first, second, spec, many("mlp"))
    pairs = data(first, batches=1)
    found, losses = refine_straight_through(first, second.state_dict(), spec, pairs, loss, start=start, steps=8)
    from geoequiv.alignment import evaluate, interpolate

    merged = with_state(first, interpolate(first.state_dict(), found.apply(second.state_dict())))
    assert evaluate(merged, SIGNATURE, pairs, "mse") == pytest.approx(min(losses), rel=1e-9)
    assert min(losses) <= losses[0]


def test_bad_starts():
    model, spec, state, moved = planted("mlp")
    start = Matching(spec, (), matrices={"body.0": torch.eye(8)})
    with pytest.raises(AlignmentError, match="permutations alone"):
        refine_straight_through(model, moved, spec, data(model), loss, start=start)
    with pytest.raises(AlignmentError, match="permutations alone"):
        match_sinkhorn(state, moved, spec, start=start)
    with pytest.raises(AlignmentError, match="loader is empty"):
        refine_straight_through(model, moved, spec, [], loss)
