"""A transformed copy says what the definition says, has the architecture of the original, and weights of its own."""

import math

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.alignment import transformed_copy
from geoequiv.alignment.fold import representation
from geoequiv.errors import AlignmentError, GroupError, SignatureError
from geoequiv.fields import FieldType, Signature, act, call_model
from geoequiv.groups import inverse
from geoequiv.models import EGNN, GNN, MLP, DeepSets, SE3Transformer, Transformer
from geoequiv.testing.inputs import random_inputs

from .networks import SIGNATURE, clouds

MODELS = {
    "mlp": lambda s: MLP(s, 8, 2, nodes=4),
    "deepsets": lambda s: DeepSets(s, 8, 2),
    "gnn": lambda s: GNN(s, 8, 2),
    "gnn, absolute": lambda s: GNN(s, 8, 2, relative=False),
    "transformer": lambda s: Transformer(s, 8, 2, heads=2),
    "transformer, distances": lambda s: Transformer(s, 8, 1, heads=2, distance_bias=True),
}
TYPES = [
    SIGNATURE,
    "pos: point, vel: vector*2 -> pos: point, force: vector, energy: scalar per graph",
    "x: vector, t: tensor, p: pseudoscalar, w: pseudovector -> t: tensor, y: 1x1o+1x2e, p: pseudoscalar per graph",
]


def some(group, seed=0):
    return ge.group(group).sample(generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("signature", TYPES)
@pytest.mark.parametrize("name", MODELS)
def test_copies_are_what_the_definition_says(name, signature):
    if "distances" in name and "point" not in signature:
        signature = SIGNATURE
    torch.manual_seed(0)
    signature = Signature.parse(signature)
    model = MODELS[name](signature).double()
    inputs = random_inputs(signature, 3, 4, dtype=torch.float64)
    g = some("O(3)", 2)
    other = transformed_copy(model, signature, g, inputs)
    fresh = random_inputs(signature, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    outputs = call_model(model, signature, act(g, fresh, signature.inputs))
    wanted = act(inverse(g), outputs, signature.outputs)
    got = call_model(other, signature, fresh)
    assert all(torch.allclose(got[key], wanted[key], atol=1e-9) for key in wanted)
    assert type(other) is type(model)
    assert other.state_dict().keys() == model.state_dict().keys()
    plain = call_model(model, signature, fresh)
    assert any(not torch.allclose(got[key], plain[key], atol=1e-3) for key in wanted)


def test_copies_of_copies_are_copies_by_the_product():
    torch.manual_seed(0)
    model, inputs = GNN(SIGNATURE, 8, 1).double(), {k: v.double() for k, v in clouds().items()}
    g, h = some("SO(3)", 1), some("SO(3)", 2)
    twice = transformed_copy(transformed_copy(model, SIGNATURE, g, inputs), SIGNATURE, h, inputs).state_dict()
    once = transformed_copy(model, SIGNATURE, g @ h, inputs).state_dict()
    assert all(torch.allclose(once[key], twice[key], atol=1e-12) for key in once)


def same(model, signature, g, inputs):
    """The copy, checked against the definition on other inputs."""
    signature = Signature.parse(signature)
    other = transformed_copy(model, signature, g, inputs)
    fresh = random_inputs(signature, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    wanted = act(inverse(g), call_model(model, signature, act(g, fresh, signature.inputs)), signature.outputs)
    got, plain = (call_model(each, signature, fresh) for each in (other, model))
    assert all(torch.allclose(got[key], wanted[key], atol=1e-9) for key in wanted)
    assert any(not torch.allclose(plain[key], wanted[key], atol=1e-3) for key in wanted)
    return other


@pytest.mark.parametrize(("name", "group"), [*((name, "SE(3)") for name in MODELS), ("gnn", "T(3)")])
def test_translations_go_into_biases(name, group):
    torch.manual_seed(0)
    signature = TYPES[1]
    model = MODELS[name](signature).double()
    inputs = random_inputs(Signature.parse(signature), 3, 4, dtype=torch.float64)
    other = same(model, signature, some(group, 3), inputs)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, other.state_dict()[key])}
    assert any("bias" in key for key in changed)
    assert group == "SE(3)" or all("bias" in key for key in changed)


class Direct(nn.Module):
    """Writes points themselves, not steps from where they were."""

    def __init__(self, bias=True):
        super().__init__()
        self.first, self.last = nn.Linear(3, 6, bias=bias), nn.Linear(6, 3)

    def forward(self, pos):
        return self.last(self.first(pos).tanh())


def test_translations_of_what_is_written():
    torch.manual_seed(0)
    inputs = {"pos": torch.randn(3, 4, 3, dtype=torch.float64)}
    other = same(Direct().double(), "pos: point -> pos: point", some("SE(3)", 1), inputs)
    assert other.last.bias is not None
    with pytest.raises(AlignmentError, match="'first' reads points and has no bias to take a translation"):
        transformed_copy(Direct(False).double(), "pos: point -> pos: point", some("SE(3)", 1), inputs)


@pytest.mark.parametrize("name", ["mlp", "gnn", "transformer"])
def test_nodes_are_relabelled(name):
    """In networks whose nodes share weights nothing comes of it but the isometry; an MLP has weights for each node."""
    torch.manual_seed(0)
    model = MODELS[name](SIGNATURE).double()
    inputs = {key: value.double() for key, value in clouds(3).items()}
    mirror = ge.group("Cs@x&(0 1)(2 3)/4").elements()[1]
    other = same(model, SIGNATURE, mirror, inputs).state_dict()
    if name != "mlp":
        plain = transformed_copy(model, SIGNATURE, ge.group("Cs@x").elements()[1], inputs).state_dict()
        assert all(torch.equal(value, plain[key]) for key, value in other.items())
    g = some("S(4)", 1)
    assert (g.permutation != torch.arange(4)).any()
    permuted = transformed_copy(model, SIGNATURE, g, inputs).state_dict()
    alike = all(torch.equal(value, permuted[key]) for key, value in model.state_dict().items())
    assert alike == (name != "mlp")


@pytest.mark.parametrize("maker", [EGNN, SE3Transformer])
def test_an_equivariant_network_is_its_own_copy(maker):
    model = maker(SIGNATURE, 8, 2)
    other = transformed_copy(model, SIGNATURE, some("SE(3)"), clouds())
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in model.state_dict().items())


def test_flips_of_images():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))  # fmt: skip
    signature, inputs = "x: image -> y: scalar*2 per graph", {"x": torch.randn(2, 3, 8, 8)}
    for group in ("flip", "C4@plane", "D4@plane"):
        g = ge.group(group).elements()[-1]
        other = transformed_copy(model, signature, g, inputs)
        transformed = act(g, inputs, Signature.parse(signature).inputs)["x"]
        assert torch.allclose(other(inputs["x"]), model(transformed), atol=1e-5)
        assert not torch.equal(other[0].weight, model[0].weight)
    assert torch.equal(other[0].bias, model[0].bias)


@pytest.mark.parametrize("trunk", [False, True])
@pytest.mark.parametrize(("group", "shape"), [("flip", (2, 4, 8)), ("D4@plane", (4, 4, 4))])
def test_flattened_pixels_are_moved(trunk, group, shape):
    """A linear map reads them in the order of a flattened image, of whatever height and width."""
    torch.manual_seed(0)
    signature = "x: image -> y: scalar*2 per graph"
    if trunk:
        shape = (2, 4, 8) if group == "flip" else (2, 8, 8)
        pool = nn.MaxPool2d((1, 2) if group == "flip" else 2)
        model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), pool, nn.Flatten(), nn.Linear(64, 2)).double()
    else:
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    fresh = torch.randn(5, *shape, dtype=torch.float64)
    for g in ge.group(group).elements()[1:]:
        other = transformed_copy(model, signature, g, {"x": torch.randn(3, *shape, dtype=torch.float64)})
        transformed = act(g, {"x": fresh}, Signature.parse(signature).inputs)["x"]
        assert torch.allclose(other(fresh), model(transformed), atol=1e-10)
        assert not torch.allclose(other(fresh), model(fresh), atol=1e-3)


def test_pixels_in_no_order_of_an_image_are_told():
    class Scattered(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.order = nn.Linear(64, 2), torch.randperm(64)

        def forward(self, x):
            return self.first(x.flatten(1)[:, self.order])

    torch.manual_seed(0)
    with pytest.raises(AlignmentError, match="'first' reads pixels, but not as a flattened image"):
        transformed_copy(Scattered(), "x: image -> y: scalar*2 per graph", ge.group("flip").elements()[1],
                         {"x": torch.randn(3, 4, 4, 4)})  # fmt: skip


def test_representations_by_hand():
    g = ge.group("SO(2)@z").sample()
    c, s = math.cos(0.3), math.sin(0.3)
    g = type(g)(torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64))
    assert torch.allclose(representation(FieldType("vector"), g), g.linear)
    assert torch.allclose(representation(FieldType("vector", 2), g), torch.block_diag(g.linear, g.linear))
    assert torch.allclose(representation(FieldType("tensor"), g), torch.kron(g.linear, g.linear))


class Bends(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(3, 3)

    def forward(self, x):
        return self.last(x.sin())


def test_what_cannot_be_folded():
    x = {"x": torch.randn(2, 4, 3)}
    with pytest.raises(AlignmentError, match="cannot be folded into the weights of Bends: the network reads or writes"):
        transformed_copy(Bends(), "x: vector -> y: vector", some("SO(3)"), x)
    point = {"pos": x["x"]}
    with pytest.raises(AlignmentError, match="it translates them"):
        transformed_copy(Bends(), "pos: point -> pos: point", some("T(3)"), point)
    with pytest.raises(GroupError, match="one group element"):
        transformed_copy(Bends(), "x: vector -> y: vector", ge.group("SO(3)").sample(2), x)
    image, g = {"x": torch.randn(2, 3, 8, 8)}, some("SO(2)")
    with pytest.raises(SignatureError, match="does not map pixels"):
        transformed_copy(nn.Conv2d(3, 1, 3), "x: image -> y: image", g, image)
