"""Specs are derived for every family, leave the function as it is, and name the layer that has no rule."""

import pytest
import torch
from torch import nn

from geoequiv.alignment import apply, permutation_spec, scale
from geoequiv.alignment.derive import difference, nullspace, outputs_of, reduced, with_state
from geoequiv.alignment.spec import compose, inverse, mix
from geoequiv.errors import AlignmentError

from .networks import NETWORKS, clouds, make, rows


@pytest.mark.parametrize("name", NETWORKS)
def test_random_permutations_leave_every_family_as_it_is(name):
    model, inputs = make(name)
    spec = permutation_spec(model, inputs)
    count = NETWORKS[name][2]
    assert (count is None and len(spec) > 5) or len(spec) == count, str(spec)
    state = model.state_dict()
    changed = apply(spec, spec.random(torch.Generator().manual_seed(3)), state)
    assert any(not torch.equal(changed[key], state[key]) for key in state) or not count
    assert difference(outputs_of(model, inputs), outputs_of(with_state(model, changed), inputs)) < 1e-10
    for stream in spec.streams:  # test the tester: permuting one place alone changes the outputs
        place = stream.places[0]
        wrong = dict(state)
        source = torch.arange(state[place.tensor].shape[place.axis])
        source[place.index] = place.index.roll(1, 0)
        wrong[place.tensor] = state[place.tensor].index_select(place.axis, source)
        same = difference(outputs_of(model, inputs), outputs_of(with_state(model, wrong), inputs))
        assert same > 1e-9 or stream.size < 3, stream


def test_a_spec_by_hand():
    model, inputs = make("plain")
    places = [[(p.tensor, p.axis, p.sign, p.flips) for p in s.places] for s in permutation_spec(model, inputs).streams]
    assert places == [[("0.weight", 0, 1, 0), ("0.bias", 0, 1, 0), ("2.weight", 1, -1, 0)],
                      [("2.weight", 0, 0, 1), ("2.bias", 0, 0, 1), ("4.weight", 1, 0, 1)]]  # fmt: skip


def test_what_units_bear():
    spec = permutation_spec(*make("plain"))
    relu, tanh = spec.streams
    assert (relu.scales, relu.flips, relu.mixes) == (True, False, False)
    assert (tanh.scales, tanh.flips, tanh.mixes) == (False, True, False)
    assert not any(stream.scales for stream in permutation_spec(*make("vgg")).streams[:1])


@pytest.mark.parametrize("name", ["plain", "gnn", "transformer", "segnn", "concat", "resnet"])
def test_scales_flips_and_mixtures_leave_the_function(name):
    model, inputs = make(name)
    spec, state = permutation_spec(model, inputs), model.state_dict()
    before, tried = outputs_of(model, inputs), 0
    for stream in spec.streams:
        generator = torch.Generator().manual_seed(1)
        changed = []
        if stream.scales:
            changed.append(scale(spec, {stream.name: torch.rand(stream.size, generator=generator) + 0.5}, state))
        if stream.flips:
            signs = torch.randint(2, (stream.size,), generator=generator) * 2 - 1
            changed.append(scale(spec, {stream.name: signs.double()}, state))
        if stream.mixes:
            matrix = torch.randn(stream.size, stream.size, generator=generator, dtype=torch.float64)
            changed.append(mix(spec, {stream.name: matrix}, state))
        for other in changed:
            tried += 1
            assert difference(before, outputs_of(with_state(model, other), inputs)) < 1e-8, stream
    assert tried or name == "resnet"


@pytest.mark.parametrize("name", ["painn", "tfn", "nequip", "gatr", "transformer, rms"])
def test_units_of_products_flip_factor_by_factor(name):
    model, inputs = make(name)
    spec, state = permutation_spec(model, inputs), model.state_dict()
    before = outputs_of(model, inputs)
    flipping = [stream for stream in spec.streams if stream.flips]
    assert flipping
    for stream in flipping:
        for which in range(stream.flips):
            signs = torch.ones(stream.flips, stream.size, dtype=torch.float64)
            signs[which, ::2] = -1.0
            changed = scale(spec, {stream.name: signs}, state)
            assert difference(before, outputs_of(with_state(model, changed), inputs)) < 1e-10, stream
            place = next(place for place in stream.places if place.flips >> which & 1)
            wrong = dict(state)
            line = torch.ones(state[place.tensor].shape[place.axis], dtype=torch.float64)
            line[place.index[::2]] = -1.0
            shape = (-1, *(1,) * (state[place.tensor].ndim - place.axis - 1))
            wrong[place.tensor] = state[place.tensor] * line.reshape(shape)  # one place of the pattern alone
            assert difference(before, outputs_of(with_state(model, wrong), inputs)) > 1e-9, stream
        with pytest.raises(AlignmentError, match="would change the function"):
            scale(spec, {stream.name: -torch.ones(stream.flips + 1, stream.size)}, state)


def test_nullspaces_by_hand():
    assert reduced([0b011, 0b110]) == [0b101, 0b011]
    assert nullspace([0b011, 0b110], 3) == [0b111]
    assert nullspace([], 2) == [0b01, 0b10]
    assert nullspace([0b1, 0b10], 2) == []


def test_compose_and_inverse():
    model, inputs = make("gnn")
    spec, state = permutation_spec(model, inputs), model.state_dict()
    p, q = (spec.random(torch.Generator().manual_seed(seed)) for seed in (1, 2))
    for changed, expected in [
        (apply(spec, compose(p, q), state), apply(spec, q, apply(spec, p, state))),
        (apply(spec, inverse(p), apply(spec, p, state)), state),
        (apply(spec, spec.identity(), state), state),
    ]:
        assert all(torch.equal(changed[key], expected[key]) for key in state)


def test_tied_weights_are_permuted_together():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.middle, self.down = nn.Linear(3, 5, bias=False), nn.Linear(5, 5), nn.Linear(5, 5)
            self.down.weight = self.middle.weight
            self.last = nn.Linear(5, 1)

        def forward(self, x):
            return self.last(self.down(self.middle(self.up(x)).relu()).relu())

    model = Tied()
    spec = permutation_spec(model, rows())
    (stream,) = spec.streams
    assert {p.tensor for p in stream.places} >= {"middle.weight", "down.weight", "up.weight", "last.weight"}


class Sorts(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.last(self.first(x).sort(-1).values)


class Chooses(nn.Module):
    """Looks at one unit by its number."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)
        self.bend = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        hidden = self.first(x)
        return self.last(torch.cat([hidden[:, :2].tanh(), hidden[:, 2:].relu()], -1))


class Secret(nn.Module):
    """Hides what it does from the tracer."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        hidden = self.first(x)
        ramp = torch.zeros(4, dtype=hidden.dtype)
        with torch.utils._python_dispatch._disable_current_modes():
            secret = hidden * torch.arange(4, dtype=hidden.dtype)
        return self.last(hidden + ramp) + secret.sum(-1, keepdim=True)


def test_units_treated_differently_are_not_permuted():
    sizes = sorted(stream.size for stream in permutation_spec(Chooses(), rows()).streams)
    assert sizes == [2, 2]


def test_a_layer_without_a_rule_is_named():
    with pytest.raises(AlignmentError, match=r"Layer 'the network itself' uses aten.sort"):
        permutation_spec(Sorts(), rows())
    with pytest.raises(AlignmentError, match=r"Layer '1' uses aten.sort"):
        permutation_spec(nn.Sequential(nn.Linear(3, 3), Sorts()), rows())


def test_a_wrong_spec_is_seen_and_named():
    with pytest.raises(AlignmentError, match=r"Permuting the units of 'first' changes the outputs"):
        permutation_spec(Secret(), rows())


def test_architectures_that_differ():
    model, inputs = make("plain")
    spec = permutation_spec(model, inputs)
    with pytest.raises(AlignmentError, match=r"'0.weight' is \[6, 3\] in the spec and \[5, 3\]"):
        apply(spec, spec.identity(), {**model.state_dict(), "0.weight": torch.zeros(5, 3)})
    with pytest.raises(AlignmentError, match=r"has a tensor '0.bias', the state dict none"):
        apply(spec, {}, {key: value for key, value in model.state_dict().items() if key != "0.bias"})
    with pytest.raises(AlignmentError, match="has 6 units"):
        apply(spec, {"0": torch.zeros(6, dtype=torch.int64)}, model.state_dict())
    with pytest.raises(AlignmentError, match="Unknown stream '9'"):
        spec["9"]
    with pytest.raises(AlignmentError, match="would change the function"):
        scale(spec, {"0": -torch.ones(6)}, model.state_dict())
    with pytest.raises(AlignmentError, match="cannot be mixed"):
        mix(spec, {"0": torch.eye(6)}, model.state_dict())


def test_the_model_is_left_as_it_was():
    model, _ = make("vgg")
    model.train()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    permutation_spec(model, make("vgg")[1])
    assert model.training
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert clouds()["pos"].dtype == torch.float32
