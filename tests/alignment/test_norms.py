"""Norms are folded without changing the outputs; then the residual stream can be rotated, and heads mixed."""

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.alignment import apply, barrier, fold_norms, match_activations, match_weights, mix, path, permutation_spec
from geoequiv.alignment.derive import difference, outputs_of, with_state
from geoequiv.alignment.gauge import least, squares
from geoequiv.errors import AlignmentError
from geoequiv.models import Transformer

from .networks import SIGNATURE, clouds, make
from .test_barrier import data
from .test_matching import largest_difference, many


@pytest.mark.parametrize("name", ["transformer", "transformer, rms"])
def test_folding_leaves_the_function_and_frees_the_stream(name):
    model, inputs = make(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded = fold_norms(model, inputs)
    assert len(folded.norms) == 5
    assert not folded.left
    assert difference(outputs_of(model, inputs), outputs_of(folded.model, inputs)) < 1e-12
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not permutation_spec(model, inputs)["embed"].rotates
    spec = permutation_spec(folded.model, inputs)
    stream = spec["embed"]
    assert (stream.scales, stream.flips, stream.mixes, stream.rotates) == (False, True, False, True)
    rotation = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))[0]
    changed = mix(spec, {"embed": rotation}, folded.model.state_dict())
    assert difference(outputs_of(model, inputs), outputs_of(with_state(folded.model, changed), inputs)) < 1e-12
    with pytest.raises(AlignmentError, match="cannot be mixed by a matrix that is not orthogonal"):
        mix(spec, {"embed": 2 * rotation}, folded.model.state_dict())
    again = fold_norms(folded.model, inputs)
    assert again.norms == ()


@pytest.mark.parametrize("name", ["transformer", "transformer, rms", "wide"])
@pytest.mark.parametrize("general", [False, True])
def test_rotations_are_found_in_the_weights(name, general):
    """Of the residual stream and of permuted heads: a wide stream has more units than inputs to fix it."""
    torch.manual_seed(0)
    wide = name == "wide"
    model = Transformer(SIGNATURE, 24, 2, heads=2).double().eval() if wide else make(name)[0]
    model = fold_norms(model, make("transformer")[1]).model
    spec, state = permutation_spec(model, make("transformer")[1], verify=False), model.state_dict()
    generator, rotations = torch.Generator().manual_seed(3), {}
    for stream in spec.streams:
        if stream.rotatable:
            matrix = torch.randn(stream.size, stream.size, dtype=torch.float64, generator=generator)
            rotations[stream.name] = matrix if general and stream.mixes else torch.linalg.qr(matrix)[0]
    assert len(rotations) == 9
    changed = mix(spec, rotations, apply(spec, spec.random(generator), state))
    found = match_weights(state, changed, spec, mixes=not general, invertible=general)
    assert largest_difference(state, found.apply(changed)) < 1e-6
    if not general:  # permutations alone do not
        assert largest_difference(state, match_weights(state, changed, spec).apply(changed)) > 0.1


def test_norms_inside_a_wrapper_are_folded():
    """Its state dict has the keys of the model inside, its modules have not."""
    torch.manual_seed(0)
    model = ge.FrameAveraging(Transformer(SIGNATURE, 8, 1, heads=2), SIGNATURE, "SE(3)").double()
    inputs = {name: value.double() for name, value in clouds().items()}
    folded = fold_norms(model, inputs)
    assert len(folded.norms) == 3
    assert difference(outputs_of(model, inputs), outputs_of(folded.model, inputs)) < 1e-12


def test_folding_by_hand():
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 1, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 8.0]]))
        model[0].bias.copy_(torch.tensor([1.0, 0.0]))
        model[1].weight.copy_(torch.tensor([2.0, 3.0]))
        model[1].bias.copy_(torch.tensor([1.0, -1.0]))
        model[2].weight.copy_(torch.tensor([[5.0, 7.0]]))
    state = fold_norms(model, torch.randn(3, 2).double()).model.state_dict()
    assert state["0.weight"].tolist() == [[-1, -3], [1, 3]]
    assert state["0.bias"].tolist() == [0.5, -0.5]
    assert state["2.weight"].tolist() == [[-5.5, 5.5]]
    assert state["2.bias"].tolist() == [-2]


def test_norms_that_cannot_be_folded_are_named():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 2)).double()
    folded = fold_norms(model, torch.randn(5, 3).double())
    assert folded.norms == ()
    assert folded.left == {"1": "something other than a linear map reads it"}
    bent = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.LayerNorm(4), nn.Linear(4, 2)).double()
    assert fold_norms(bent, torch.randn(5, 3).double()).left == {
        "2": "something other than norms and sums reads its input"
    }


def planted(name, seed=3):
    """A folded network, and the same after a rotation of its residual stream, mixed heads and permuted units."""
    model, inputs = make(name)
    model = fold_norms(model, inputs).model
    spec = permutation_spec(model, inputs, verify=False)
    generator = torch.Generator().manual_seed(seed)
    matrices = {}
    for stream in spec.streams:
        noise = torch.randn(stream.size, stream.size, generator=generator, dtype=torch.float64)
        if stream.mixes:
            matrices[stream.name] = torch.eye(stream.size) + 0.4 * noise
        elif stream.rotates:
            matrices[stream.name] = torch.linalg.qr(noise)[0]
    state = model.state_dict()
    changed = apply(spec, spec.random(generator), mix(spec, matrices, state))
    return model, spec, state, changed


@pytest.mark.parametrize("taps", ["last", "all"])
@pytest.mark.parametrize("name", ["transformer", "gnn"])
def test_planted_invertible_maps_are_found(name, taps):
    model, spec, state, changed = planted(name)
    other = with_state(model, changed)
    found = match_activations(model, other, spec, many(name), invertible=True, taps=taps)
    assert largest_difference(state, changed) > 0.5
    assert largest_difference(state, found.apply(changed)) < 1e-8
    plain = match_activations(model, other, spec, many(name), mixes=True, taps=taps)
    assert largest_difference(state, plain.apply(changed)) > 0.05  # rotations alone do not find them


def test_least_weights_are_least_and_the_same_for_all():
    model, spec, state, changed = planted("gnn")
    one, two = least(spec, state), least(spec, changed)
    total = [sum(float(each[name].square().sum()) for name in spec.shapes) for each in (state, one.state, two.state)]
    assert total[1] == pytest.approx(total[2], rel=1e-9)
    assert total[1] < total[0]
    write, read = (squares(spec["embed"], one.state, sign) for sign in (1, -1))
    assert torch.allclose(write, read, atol=1e-9)
    assert (
        difference(outputs_of(model, make("gnn")[1]), outputs_of(with_state(model, one.state), make("gnn")[1])) < 1e-9
    )


def test_a_turned_transformer_has_no_barrier():
    """The plant is in the folded form; the barrier folds both itself, and permutations alone do not do."""
    model, _, _, changed = planted("transformer")
    other = with_state(model, changed)
    pairs = data(model)
    report = barrier(model, other, SIGNATURE, pairs, "mse", matching="invertible")
    assert abs(report.barrier) < 1e-6
    assert abs(report.without_repair) < 1e-6
    assert barrier(model, other, SIGNATURE, pairs, "mse", repair=False).barrier > 1e-3
    whole = make("transformer")[0]
    again = barrier(whole, whole, SIGNATURE, pairs, "mse", matching="rotations", repair=False)
    assert len(again.folded) == 5
    states = [each.state_dict() for each in again.networks]
    _, values = path(again.networks[0], *states, SIGNATURE, pairs, "mse", 3)
    assert values == pytest.approx([again.first, again.middle, again.second], rel=1e-9)
    assert abs(again.barrier) < 1e-9
