"""Planted answers: networks whose units were permuted, scaled, flipped or rotated are matched back exactly."""

import pytest
import torch
from torch import nn

from geoequiv.alignment import apply, match_activations, match_weights, mix, permutation_spec, scale
from geoequiv.alignment.assignment import assign
from geoequiv.alignment.derive import difference, outputs_of, with_state
from geoequiv.alignment.moments import capture
from geoequiv.errors import AlignmentError

from .networks import NETWORKS, clouds, make, rows

#: all networks with units that can be permuted
FAMILIES = [name for name, (_, _, count) in NETWORKS.items() if count != 0]
#: of these, such that a unit is dead on the batches
DEAD = ("plain", "concat", "vgg", "vgg11", "resnet", "resnet, 8", "gcnn", "pgcnn", "group norm")


def planted(name, seed=5):
    model, inputs = make(name)
    spec = permutation_spec(model, inputs, verify=False)
    state = model.state_dict()
    return model, spec, state, apply(spec, spec.random(torch.Generator().manual_seed(seed)), state)


def many(name, batches=3):
    """Batches large enough to rank units."""
    generator = torch.Generator().manual_seed(1)
    inputs = make(name)[1]
    for _ in range(batches):
        if name in ("words", "positions"):
            yield torch.randint(11, (24, 5), generator=generator)
        elif isinstance(inputs, dict):
            yield {key: torch.randn(24, *value.shape[1:], dtype=value.dtype, generator=generator)
                   for key, value in inputs.items()}  # fmt: skip
        else:
            yield torch.randn(24, *inputs.shape[1:], dtype=inputs.dtype, generator=generator)


def largest_difference(a, b):
    return max(float((a[key] - b[key]).abs().max()) for key in a if a[key].numel())


@pytest.mark.parametrize("name", FAMILIES)
def test_planted_permutations_are_found(name):
    """In activations and in weights, to the last bit; so that merging changes nothing and there is no barrier."""
    model, spec, state, changed = planted(name)
    other = with_state(model, changed)
    assert largest_difference(state, changed) > 0.1
    found = match_activations(model, other, spec, many(name))
    dead = sum(found.dead.values())
    assert largest_difference(state, found.apply(changed)) < 1e-12
    assert dead == 0 or name in DEAD
    assert min(found.after.values(), default=1.0) > 0.999 or dead
    found = match_weights(state, changed, spec)
    assert largest_difference(state, found.apply(changed)) < 1e-12
    assert min(found.after.values()) > 0.999999 > min(found.before.values())


#: networks with units that can be scaled or flipped
SCALED = [
    "plain", "concat", "vgg", "words", "positions", "deepsets", "gnn", "egnn", "egnn, gated", "transformer",
    "transformer, rms", "painn", "tfn", "segnn", "se3 transformer", "gatr", "nequip", "vector neurons",
    "vector neurons, max",
]  # fmt: skip


def scaled(spec, state, seed=3):
    """A state dict with random factors wherever its spec allows them, and these."""
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for stream in spec.streams:
        signs = torch.randint(2, (max(stream.flips, 1), stream.size), generator=generator) * 2.0 - 1
        size = torch.rand(stream.size, generator=generator) + 0.5 if stream.scales else torch.ones(stream.size)
        if stream.flips or stream.scales:
            factors[stream.name] = (signs if stream.flips else torch.ones_like(signs)).double()
            factors[stream.name][0] *= size
    return scale(spec, factors, state), factors


@pytest.mark.parametrize("name", SCALED)
def test_planted_scaled_permutations_are_found(name):
    """Units of irreps change sign, each factor of a product for itself; ReLU units and those in heads their size.

    Dead units ("vgg") and streams that no module returns ("words") too, and next to a batch norm ("vgg"), whose own
    units cannot be scaled in all of their places at once.
    """
    model, spec, state, changed = planted(name)
    changed, factors = scaled(spec, changed)
    assert factors
    other = with_state(model, changed)
    outputs = [outputs_of(each, next(many(name))) for each in (model, other)]
    assert difference(*outputs) < 1e-9
    found = match_weights(state, changed, spec, scales=True)
    assert largest_difference(state, found.apply(changed)) < 1e-9
    found = match_activations(model, other, spec, many(name), scales=True)
    assert largest_difference(state, found.apply(changed)) < 1e-9
    assert largest_difference(state, match_activations(model, other, spec, many(name)).apply(changed)) > 0.01


@pytest.mark.parametrize("name", sorted({*FAMILIES} - {*SCALED}))
def test_other_networks_have_no_units_to_scale(name):
    assert scaled(planted(name)[1], planted(name)[2])[1] == {}


def test_a_unit_that_nothing_reads_gets_its_size_from_what_writes_it():
    model, spec, state, _ = planted("plain")
    state["2.weight"][:, 1] = 0.0
    model = with_state(model, state)
    stream = spec.streams[0]
    assert [place.tensor for place in stream.places if place.sign == -1] == ["2.weight"]
    factor = torch.ones(6, dtype=torch.float64)
    factor[1] = 2.5
    changed = scale(spec, {stream.name: factor}, state)
    found = match_weights(state, changed, spec, scales=True)
    assert largest_difference(state, found.apply(changed)) < 1e-12


def test_swapped_heads_are_found():
    _, spec, state, _ = planted("transformer")
    heads = spec["blocks.0.query_key_value"]
    assert heads.size == 2
    found = match_weights(state, apply(spec, {heads.name: torch.tensor([1, 0])}, state), spec)
    assert found.permutation(heads.name).tolist() == [1, 0]


def test_planted_scales_and_flips():
    model, spec, state, changed = planted("plain")
    relu, tanh = spec.streams
    factors = {relu.name: torch.rand(6).double() + 0.5, tanh.name: torch.tensor([1.0, -1, 1, -1, -1, 1]).double()}
    changed = scale(spec, factors, changed)
    found = match_activations(model, with_state(model, changed), spec, many("plain"), scales=True)
    assert largest_difference(state, found.apply(changed)) < 1e-10
    without = match_activations(model, with_state(model, changed), spec, many("plain"))
    assert largest_difference(state, without.apply(changed)) > 0.1


@pytest.mark.parametrize("name", ["gnn", "egnn", "deepsets"])
def test_planted_rotations_of_the_residual_stream(name):
    model, spec, state, changed = planted(name)
    rotation = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))[0]
    changed = mix(spec, {"embed": rotation}, changed)
    found = match_activations(model, with_state(model, changed), spec, many(name), mixes=True)
    assert set(found.matrices) == {"embed"}
    assert largest_difference(state, found.apply(changed)) < 1e-8


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_planted_rotations_inside_heads(order):
    model, spec, state, _ = planted("transformer")
    generator, rotations = torch.Generator().manual_seed(2), {}
    for stream in spec.inside("blocks.0.query_key_value"):
        rotations[stream.name] = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=generator))[0]
    changed = apply(spec, {"blocks.0.query_key_value": torch.tensor(order)}, mix(spec, rotations, state))
    found = match_activations(model, with_state(model, changed), spec, many("transformer"), mixes=True)
    assert largest_difference(state, found.apply(changed)) < 1e-8
    plain = match_activations(model, with_state(model, changed), spec, many("transformer"))
    assert largest_difference(state, plain.apply(changed)) > 0.1


def test_dead_and_broken_units_are_counted():
    model, spec, state, _ = planted("mlp")
    state["body.0.weight"][2], state["body.0.bias"][2] = 0.0, -3.0
    state["body.2.bias"][5] = float("nan")
    model = with_state(model, state)
    found = match_activations(model, model, spec, many("mlp"))
    assert found.dead["body.0"] == 1
    assert found.broken["body.2"] == 1
    assert found.broken["body.0"] == 0
    assert found.broken["body.4"] == 8  # what reads it is broken too
    assert found.permutation("body.0").tolist() == list(range(8))


def test_correlations_against_numpy():
    model, spec, _, _ = planted("plain")
    other = make("plain", seed=1)[0]
    data = list(many("plain"))
    found = match_activations(model, other, spec, data)
    a, b = (net[:4](torch.cat(data)).detach() for net in (model, other))
    corr = torch.corrcoef(torch.cat([a, b], -1).T)[:6, 6:]
    order = assign(corr)
    assert order.tolist() == found.permutation("2").tolist()
    assert found.after["2"] == pytest.approx(float(corr[torch.arange(6), order].mean()), abs=1e-12)
    assert found.before["2"] == pytest.approx(float(corr.diagonal().mean()), abs=1e-12)
    assert found.samples == 72


def every_tap(model, inputs):
    return [sight.tap for sights in permutation_spec(model, inputs).taps.values() for sight in sights]


def test_what_is_written_in_place_later_is_copied():
    model, inputs = make("resnet")
    taps = every_tap(model, inputs)
    assert capture(model, inputs, taps, copy=False) is None
    captured = capture(model, inputs, taps, copy=True)
    inside = next(tap for tap in taps if tap.module == "1.m")
    assert bool((captured[inside] < 0).any())  # as the norm returned it, before the ReLU wrote into it
    assert capture(*make("mlp"), every_tap(*make("mlp")), copy=False) is not None


def test_weights_that_are_not_finite_count_as_nothing():
    _, spec, state, _ = planted("mlp")
    state["body.2.weight"][1, 2] = float("nan")
    state["body.0.bias"][3] = float("inf")
    changed = apply(spec, spec.random(torch.Generator().manual_seed(5)), state)
    found = match_weights(state, changed, spec).apply(changed)
    assert all(torch.equal(found[key].nan_to_num(7.0), value.nan_to_num(7.0)) for key, value in state.items())


def test_outputs_that_are_not_finite_are_told():
    model, inputs = make("mlp")
    with torch.no_grad():
        model.last.bias[0] = float("nan")
    with pytest.raises(AlignmentError, match="outputs are not finite on this batch, so the spec cannot be verified"):
        permutation_spec(model, inputs)


def test_too_few_samples():
    model, spec, _, changed = planted("mlp")
    with pytest.raises(AlignmentError, match=r"2 samples are too few to match the 8 units of 'body.0'"):
        match_activations(model, with_state(model, changed), spec, [make("mlp")[1]])


def test_architectures_that_differ():
    model, spec, state, _ = planted("plain")
    other = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    with pytest.raises(AlignmentError, match="architectures differ"):
        match_activations(model, other, spec, [rows()])
    with pytest.raises(AlignmentError, match="architectures differ"):
        match_weights(state, other.state_dict(), spec)


def test_every_family_is_listed():
    assert set(FAMILIES) < set(NETWORKS)
    assert clouds().keys() == {"pos", "vel", "charge"}
