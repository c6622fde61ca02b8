"""Learned matchings find planted permutations, and refinement never makes the merged network worse."""

import pytest
import torch
from torch.nn import functional as F

import geoequiv as ge
from geoequiv.alignment import (
    Matching,
    apply,
    match_activations,
    match_sinkhorn,
    permutation_spec,
    refine_straight_through,
)
from geoequiv.alignment.derive import outputs_of, with_state
from geoequiv.alignment.labels import tensors_in
from geoequiv.alignment.refine import sinkhorn, soften
from geoequiv.errors import AlignmentError
from geoequiv.models import MLP

from .networks import SIGNATURE, make
from .test_barrier import data
from .test_matching import FAMILIES, largest_difference, many, planted


def test_sinkhorn_is_doubly_stochastic():
    matrix = sinkhorn(torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), 100)
    assert torch.allclose(matrix.sum(0), torch.ones(6, dtype=torch.float64))
    assert torch.allclose(matrix.sum(1), torch.ones(6, dtype=torch.float64), atol=1e-6)


def test_a_hard_soft_permutation_is_a_permutation():
    _, spec, state, _ = planted("gnn")
    order = spec.random(torch.Generator().manual_seed(0))
    matrices = {name: torch.eye(len(p), dtype=torch.float64)[p] for name, p in order.items()}
    assert largest_difference(apply(spec, order, state), soften(spec, matrices, state)) < 1e-12


@pytest.mark.parametrize("name", FAMILIES)
def test_sinkhorn_finds_planted_permutations(name):
    _, spec, state, changed = planted(name)
    found = match_sinkhorn(state, changed, spec, steps=25)
    assert largest_difference(state, found.apply(changed)) < 1e-12
    assert min(found.after.values(), default=1.0) > 0.999


def loss(model, inputs, targets):
    return F.mse_loss(model(**inputs), targets["pos"])


@pytest.mark.parametrize("name", FAMILIES)
def test_straight_through_finds_planted_permutations(name):
    """What the network itself says is the target, so that only merging with all units in their places loses nothing."""
    model, spec, state, changed = planted(name)
    inputs = next(many(name))
    inputs = {key: value[:8] for key, value in inputs.items()} if isinstance(inputs, dict) else inputs[:8]
    outputs = outputs_of(model, inputs)

    def difference(model, inputs, targets):
        outputs = model(**inputs) if isinstance(inputs, dict) else model(inputs)
        return sum(F.mse_loss(ours, theirs) for ours, theirs in zip(tensors_in(outputs), targets, strict=True))

    found, losses = refine_straight_through(model.train(), changed, spec, [(inputs, outputs)], difference, steps=1)
    assert largest_difference(state, found.apply(changed)) < 1e-12
    assert losses[0] > 1e-12 > losses[1]
    assert model.training


def test_networks_inside_a_wrapper_are_refined():
    torch.manual_seed(0)
    model = ge.FrameAveraging(MLP(SIGNATURE, 8, 2, nodes=4), SIGNATURE, "SE(3)").double()
    pairs = data(model, batches=1)
    spec = permutation_spec(model, pairs[0][0], verify=False)
    state = model.state_dict()
    changed = apply(spec, spec.random(torch.Generator().manual_seed(5)), state)
    found, _ = refine_straight_through(model, changed, spec, pairs, loss, steps=1)
    assert largest_difference(state, found.apply(changed)) < 1e-12


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
    model, spec, state, changed = planted("mlp")
    start = Matching(spec, (), matrices={"body.0": torch.eye(8)})
    with pytest.raises(AlignmentError, match="permutations alone"):
        refine_straight_through(model, changed, spec, data(model), loss, start=start)
    with pytest.raises(AlignmentError, match="permutations alone"):
        match_sinkhorn(state, changed, spec, start=start)
    with pytest.raises(AlignmentError, match="loader is empty"):
        refine_straight_through(model, changed, spec, [], loss)
