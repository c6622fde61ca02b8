"""Barriers: 0 for planted symmetries and for equivariant networks, large for untrained ones."""

import sys

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.alignment import (
    apply,
    barrier,
    barrier_of,
    evaluate,
    interpolate,
    mix,
    path,
    permutation_spec,
    repair,
    symmetry_barrier,
)
from geoequiv.alignment.derive import with_state
from geoequiv.alignment.repairing import repairable, spreads
from geoequiv.errors import AlignmentError
from geoequiv.fields import Signature, act, call_model
from geoequiv.groups import Element
from geoequiv.models import EGNN, GNN, MLP, Transformer
from geoequiv.testing.inputs import random_inputs

from .networks import MOLECULES, NETWORKS, SIGNATURE, make
from .test_matching import many, scaled


def data(model, signature=SIGNATURE, batches=2, items=48, seed=0, dtype=torch.float64):
    """Targets near what a model says: its own metric is small but not 0."""
    pairs = []
    for number in range(batches):
        generator = torch.Generator().manual_seed(seed + number)
        inputs = random_inputs(signature, items, 4, dtype=dtype, generator=generator)
        with torch.no_grad():
            outputs = call_model(model, Signature.parse(signature), inputs)
        noise = {k: 0.1 * torch.randn(v.shape, dtype=dtype, generator=generator) for k, v in outputs.items()}
        pairs.append((inputs, {k: v + noise[k] for k, v in outputs.items()}))
    return pairs


def element(group, seed=0):
    return ge.group(group).sample(generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("matching", ["scales", "weight_scales"])
@pytest.mark.parametrize("name", ["gnn", "transformer"])
def test_planted_scaled_permutations_have_no_barrier(name, matching):
    """P(g)D(g) of Bökman & Kahl 2023, Lemma 2.2; permutations alone leave a barrier."""
    model, inputs = make(name)
    spec = permutation_spec(model, inputs, verify=False)
    state = apply(spec, spec.random(torch.Generator().manual_seed(5)), model.state_dict())
    other = with_state(model, scaled(spec, state)[0])
    report = barrier(model, other, SIGNATURE, data(model), "mse", matching=matching, spec=spec)
    assert abs(report.barrier) < 1e-6
    assert abs(report.without_repair) < 1e-6
    alone = barrier(model, other, SIGNATURE, data(model), "mse", spec=spec)
    assert alone.without_repair > 1e-3


@pytest.mark.parametrize("matching", ["activations", "weights"])
@pytest.mark.parametrize("name", ["mlp", "deepsets", "gnn", "egnn", "transformer"])
def test_planted_permutations_have_no_barrier(name, matching):
    model, inputs = make(name)
    spec = permutation_spec(model, inputs, verify=False)
    other = with_state(model, apply(spec, spec.random(torch.Generator().manual_seed(5)), model.state_dict()))
    report = barrier(model, other, SIGNATURE, data(model), "mse", matching=matching, spec=spec)
    assert abs(report.barrier) < 1e-6
    assert abs(report.without_repair) < 1e-6
    assert report.without_matching > 1e-3
    assert report.first == pytest.approx(report.second, rel=1e-9) == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("name", ["gnn", "transformer"])
def test_planted_rotations_have_no_barrier_for_matching_by_rotations(name):
    model, inputs = make(name)
    spec = permutation_spec(model, inputs, verify=False)
    rotations = {stream.name: torch.linalg.qr(torch.randn(stream.size, stream.size, dtype=torch.float64))[0]
             for stream in spec.streams if stream.mixes}  # fmt: skip
    other = with_state(model, mix(spec, rotations, model.state_dict()))
    for matching in ("rotations", "weight_rotations"):
        assert abs(barrier(model, other, SIGNATURE, data(model), "mse", matching=matching, spec=spec).barrier) < 1e-6
    plain = barrier(model, other, SIGNATURE, data(model), "mse", repair=False, spec=spec)
    assert plain.barrier > 1e-3


@pytest.mark.parametrize("group", ["SO(3)", "O(3)", "SE(3)", "T"])
def test_an_egnn_has_no_barrier_under_its_own_group(group):
    torch.manual_seed(0)
    model = EGNN(SIGNATURE, 8, 2)
    report = symmetry_barrier(model, SIGNATURE, element(group), data(model, dtype=torch.float32), "mse")
    assert abs(report.barrier) < 1e-3
    assert report.as_dict()["dead"] == 0


@pytest.mark.parametrize("maker", [GNN, Transformer])
def test_an_untrained_network_has_a_large_barrier(maker):
    """Its targets are what it says itself, so that the metric sees all that merging destroys."""
    torch.manual_seed(0)
    model = maker(SIGNATURE, 8, 2).double()
    g = element("SO(3)")
    pairs = data(model)
    report = symmetry_barrier(model, SIGNATURE, g, pairs, "mse")
    assert report.second > 1.5 * report.first  # the copy says something else
    other = make_invariant(model, g)
    assert abs(other.barrier) < 1e-6


def make_invariant(model, g):
    """The barrier of the identity, as the other end of the scale."""
    return symmetry_barrier(model, SIGNATURE, type(g)(torch.eye(3, dtype=torch.float64)), data(model), "mse")


def test_a_network_equivariant_inside_is_seen_to_be():
    """Units in orbits of C4: a layer x ↦ W x with W ρ(g) = P W, which no permutation of 4 units hides."""
    rotation = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    seeds = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    orbit = torch.cat([seeds @ torch.linalg.matrix_power(rotation, k) for k in range(4)])  # 12 units
    model = nn.Sequential(nn.Linear(3, 12), nn.SiLU(), nn.Linear(12, 3)).double()
    with torch.no_grad():
        model[0].weight.copy_(orbit)
        model[0].bias.copy_(torch.tensor([0.1, -0.2, 0.3]).repeat(4))
        model[2].weight.copy_(orbit.mT)
        model[2].bias.zero_()
    broken = with_state(model, model.state_dict())
    with torch.no_grad():
        broken[2].weight.add_(0.5 * torch.randn(3, 12, dtype=torch.float64))
    g = Element(rotation)
    signature = "x: vector -> y: vector"
    report = symmetry_barrier(model, signature, g, data(model, signature), "mse")
    assert abs(report.barrier) < 1e-6
    assert report.first == pytest.approx(report.second, rel=1e-9)
    assert report.without_matching > 0.5
    torn = symmetry_barrier(broken, signature, g, data(broken, signature), "mse", repair=False)
    assert torn.second > 2 * torn.first


def make_wide():
    return MLP(SIGNATURE, 10, 3, nodes=4).double()


def test_barriers_by_hand():
    assert barrier_of(0.9, 0.8, 0.68, "higher") == pytest.approx((0.2, 0.17))
    assert barrier_of(1.0, 3.0, 3.0, "lower") == pytest.approx((0.5, 1.0))
    assert barrier_of(0.0, 0.0, 0.0, "lower") == (0.0, 0.0)
    with pytest.raises(AlignmentError, match="'lower' or 'higher'"):
        barrier_of(1, 1, 1, "left")


def test_the_path_ends_at_the_networks():
    model, _ = make("mlp")
    other = make("mlp", seed=1)[0]
    pairs = data(model)
    parts, values = path(model, model.state_dict(), other.state_dict(), SIGNATURE, pairs, "mse", 5)
    assert parts == [0, 0.25, 0.5, 0.75, 1]
    assert values[0] == evaluate(model, SIGNATURE, pairs, "mse")
    assert values[-1] == pytest.approx(evaluate(other, SIGNATURE, pairs, "mse"), rel=1e-12)
    midpoint = with_state(model, interpolate(model.state_dict(), other.state_dict()))
    assert values[2] == pytest.approx(evaluate(midpoint, SIGNATURE, pairs, "mse"), rel=1e-9)


@pytest.mark.parametrize("name", ["mlp", "gnn", "transformer"])
def test_repair_gives_units_their_parents_moments(name):
    first, inputs = make(name)
    second = make(name, seed=1)[0]
    spec = permutation_spec(first, inputs, verify=False)
    merged = with_state(first, interpolate(first.state_dict(), second.state_dict()))
    batches = [each for each, _ in data(first)]
    signature = Signature.parse(SIGNATURE)
    axes = repairable(first, spec)
    assert axes
    fixed = repair(merged, first, second, spec, signature, batches)
    a, b, got = (spreads(model, signature, batches, axes) for model in (first, second, fixed))
    for module in axes:
        for i in range(2):
            wanted = (a[module].read()[i] + b[module].read()[i]) / 2
            assert torch.allclose(got[module].read()[i], wanted, atol=1e-8), (module, i)


class Twice(nn.Module):
    """Registers its layers in another order than it calls them in, and calls one of them twice."""

    def __init__(self):
        super().__init__()
        self.last, self.again, self.first = nn.Linear(8, 3), nn.Linear(8, 8), nn.Linear(3, 8)

    def forward(self, pos):
        return self.last(self.again(self.again(self.first(pos).tanh()).tanh()).tanh())


@pytest.mark.parametrize("name", ["gnn", "vgg", "twice"])
def test_repair_in_one_pass_and_layer_by_layer_are_the_same(name, monkeypatch):
    """However the data come, and whichever layer was registered first."""
    signature = Signature.parse(
        {"vgg": "x: image -> y: scalar*5", "twice": "pos: vector -> out: vector"}.get(name, SIGNATURE)
    )
    if name == "twice":
        torch.manual_seed(0)
        first, second, merged = (Twice().double() for _ in range(3))
        batches = [{"pos": torch.randn(6, 4, 3, dtype=torch.float64)} for _ in range(3)]
    else:
        first, second, merged = (make(name, seed)[0] for seed in range(3))
        batches = [{"x": each} if name == "vgg" else each for each in many(name)]
    inputs = dict(batches[0])
    spec = permutation_spec(first, inputs if name != "vgg" else inputs["x"], verify=False)
    states = []
    for limit, cut in [(2**28, 1), (0, 1), (2**28, 2)]:
        monkeypatch.setattr(sys.modules[repair.__module__], "MOST", limit)
        pieces = [{key: value[i::cut] for key, value in batch.items()} for batch in batches for i in range(cut)]
        states.append(repair(merged, first, second, spec, signature, pieces).state_dict())
    assert max(float((states[0][key] - value).abs().max()) for key, value in merged.state_dict().items()) > 1e-3
    for other in states[1:]:
        assert all(torch.allclose(value, other[key], atol=1e-9) for key, value in states[0].items())


def test_repair_resets_batch_norms():
    torch.manual_seed(0)
    first, second = (nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                                   nn.Flatten(), nn.Linear(6, 4)) for _ in range(2))  # fmt: skip
    signature = "x: image -> y: scalar*4 per graph"
    pairs = [({"x": torch.randn(16, 3, 8, 8)}, {"y": torch.randint(4, (16,))}) for _ in range(2)]
    report = barrier(first, second, signature, pairs, "accuracy")
    assert report.better == "higher"
    assert report.repaired is not None
    assert barrier(first, second, signature, pairs, "accuracy", repair=False).repaired is None
    g = ge.group("flip").elements()[1]
    assert symmetry_barrier(first, signature, g, pairs, "accuracy").matching.samples > 100
    assert act(g, pairs[0][0], Signature.parse(signature).inputs)["x"].shape == (16, 3, 8, 8)


@pytest.mark.parametrize("name", ["gatr", "nequip", "se3 transformer", "painn"])
def test_planted_permutations_of_equivariant_networks_have_no_barrier(name):
    model, inputs = make(name)
    signature = {"gatr": f"{SIGNATURE}, energy: scalar", "nequip": MOLECULES}.get(name, SIGNATURE)
    spec = permutation_spec(model, inputs, verify=False)
    other = with_state(model, apply(spec, spec.random(torch.Generator().manual_seed(5)), model.state_dict()))
    first = next(iter(Signature.parse(signature).outputs))

    def metric(outputs, targets):
        outputs, targets = (each[first] if isinstance(each, dict) else each for each in (outputs, targets))
        return nn.functional.mse_loss(outputs, targets)

    report = barrier(model, other, signature, data(model, signature, batches=1), metric, better="lower", spec=spec)
    assert abs(report.barrier) < 1e-6
    assert abs(report.without_repair) < 1e-6
    assert abs(report.without_matching) > 1e-5  # a network whose head starts near 0 says little either way


def test_the_best_of_all_matchings_is_taken():
    model, inputs = make("transformer")
    spec = permutation_spec(model, inputs, verify=False)
    state = model.state_dict()
    other = with_state(model, apply(spec, spec.random(torch.Generator().manual_seed(5)), state))
    report = barrier(model, other, SIGNATURE, data(model, batches=1), "mse", matching="best", repair=False, spec=spec)
    assert abs(report.barrier) < 1e-6
    assert report.how == report.as_dict()["how"] != "none"
    same = barrier(model, model, SIGNATURE, data(model, batches=1), "mse", matching="best", repair=False, spec=spec)
    assert same.how == "none"


def test_bad_input():
    model, _ = make("mlp")
    with pytest.raises(AlignmentError, match=r"Unknown metric 'mes'. Did you mean 'mse'"):
        barrier(model, model, SIGNATURE, data(model), "mes")
    with pytest.raises(AlignmentError, match="Unknown matching 'weight'"):
        barrier(model, model, SIGNATURE, data(model), "mse", matching="weight")
    with pytest.raises(AlignmentError, match="loader is empty"):
        symmetry_barrier(model, SIGNATURE, element("SO(3)"), [], "mse")
    with pytest.raises(AlignmentError, match="Say which values"):
        barrier(model, model, SIGNATURE, data(model), nn.functional.mse_loss)
    with pytest.raises(AlignmentError, match="samples are too few to match"):
        barrier(model, model, SIGNATURE, data(model, batches=1, items=3), "mse")
    images, rotation = [({"x": torch.randn(4, 3, 8, 8)}, {})], element("SO(2)")
    with pytest.raises(ge.GeoequivError, match="does not map pixels"):
        symmetry_barrier(nn.Conv2d(3, 1, 3), "x: image -> y: image", rotation, images, "mse")
    with pytest.raises(ge.GeoequivError, match="2"):
        symmetry_barrier(model, SIGNATURE, ge.group("C4@plane").elements()[1], data(model), "mse")
    with pytest.raises(AlignmentError, match=r"architectures differ: '.*' is \[.*\] in one and"):
        barrier(model, make_wide(), SIGNATURE, data(model), "mse")
    assert "mlp" in NETWORKS
