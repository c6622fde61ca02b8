"""Signatures parse, print back, and say what is wrong."""

import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geoequiv.errors import BatchError, SignatureError
from geoequiv.fields import FieldType, Signature, act
from geoequiv.fields.layout import Layout
from geoequiv.groups import group

KINDS = [
    "scalar",
    "pseudoscalar",
    "vector",
    "pseudovector",
    "point",
    "tensor",
    "node",
    "adjacency",
    "image",
    "2x0e+1x1o+1x2e",
]
names = st.lists(st.from_regex(r"[a-z][a-z_]{0,5}", fullmatch=True), min_size=1, max_size=4, unique=True).filter(
    lambda found: not {"mask", "batch"} & set(found)
)


@settings(deadline=None)
@given(names, names, st.data())
def test_prints_back(inputs, outputs, data):
    def side(fields):
        return ", ".join(f"{name}: {data.draw(st.sampled_from([*KINDS, 'vector*4', 'scalar*16']))}" for name in fields)

    signature = Signature.parse(f"{side(inputs)} -> {side(outputs)}")
    assert Signature.parse(str(signature)) == signature
    assert hash(Signature.parse(str(signature))) == hash(signature)
    assert pickle.loads(pickle.dumps(signature)) == signature
    assert list(signature.inputs) == inputs


def test_sides_are_mappings():
    signature = Signature.parse("pos: point, vel: vector*2 -> pos: point")
    assert signature.inputs["vel"] == FieldType("vector", 2)
    assert len(signature.inputs) == 2
    assert "vel" in signature.inputs
    assert signature.inputs.of_kind("vector") == ("vel",)
    with pytest.raises(KeyError):
        signature.inputs["charge"]


@pytest.mark.parametrize(
    ("kind", "size"),
    [("scalar*5", 5), ("vector", 3), ("vector*4", 12), ("tensor", 9), ("node*8", 8), ("2x0e+1x1o+1x2e", 10)],
)
def test_size(kind, size):
    assert FieldType.parse(kind).size() == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pos: point", "A signature reads"),
        ("pos: pont -> pos: point", "Unknown field type 'pont'. Did you mean 'point'"),
        ("pos point -> pos: point", "Expected 'name: type'"),
        ("pos: point, pos: vector -> pos: point", "'pos' stands twice"),
        ("pos: vector*0 -> pos: point", "must be a positive number"),
        ("mask: scalar -> pos: point", "'mask' is reserved"),
        ("1x: scalar -> pos: point", "Expected 'name: type'"),
        (" -> pos: point", "Expected 'name: type'"),
        (None, "A signature reads"),
        ("pos: vector*" + "9" * 5000 + " -> energy: scalar", "at most 7 digits"),
        ("x: 4x" + "9" * 5000 + "e -> energy: scalar", "at most 7 digits"),
        ("x: scalar, \u202eedges: edge_index -> energy: scalar", r"\\u202eedges"),
    ],
)
def test_errors(text, message):
    with pytest.raises(SignatureError, match=message):
        Signature.parse(text)


@pytest.mark.parametrize("name", ["SO(3)", "SO(2)", "E(2)", "C8@plane", "C3", "C4@x", "T(2)"])
def test_images_want_a_group_of_the_grid(name):
    signature = Signature.parse("img: image -> label: scalar*10")
    with pytest.raises(
        SignatureError, match=r"'img': images are transformed by groups that keep .*, such as flip, .*; .* does not map"
    ):
        signature.check_group(group(name))
    for possible in ("flip", "C4", "C4@plane", "D2@plane", "S(3)"):
        signature.check_group(group(possible))


def test_irreps_beyond_e3nn():
    Signature.parse("h: 1x12e -> h: 1x12e")
    with pytest.raises(SignatureError, match="irreps go up to l = 12"):
        Signature.parse("h: 1x13o -> h: 1x13o")


def test_impossible_pairing():
    with pytest.raises(SignatureError, match=r"irreps 1x1o live in 3-space; SO\(2\) acts on 2-space"):
        Signature.parse("h: 1x1o -> h: 1x1o").check_group(group("SO(2)"))


@pytest.mark.parametrize("kind", ["scalar", "vector*4", "point", "2x0e+1x1o", "tensor"])
def test_per_graph_prints_back(kind):
    declared = FieldType.parse(f" {kind}  per  graph ")
    assert declared.per_graph
    assert str(declared) == f"{FieldType.parse(kind)} per graph"
    assert FieldType.parse(str(declared)) == declared != FieldType.parse(kind)


def test_what_lives_on_nodes_is_not_per_graph():
    with pytest.raises(SignatureError, match="one value per node by its meaning"):
        FieldType.parse("adjacency per graph")


def test_per_graph_says_what_a_shape_cannot():
    """Two graphs of one node each: the rows of a dipole could be nodes or graphs; 3 scalars could be 3 nodes."""
    side = Signature.parse("pos: point -> charges: scalar*3 per graph, dipole: vector per graph").outputs
    batch = {"charges": torch.randn(2, 3), "dipole": torch.randn(2, 3), "batch": torch.tensor([0, 1, 1])}
    inputs = Signature.parse("pos: point -> pos: point").inputs
    layout = Layout.of({"pos": torch.randn(3, 3), **batch}, inputs)
    rotation = group("SO(3)").sample(2)
    transformed = act(rotation, batch, side, layout)
    expected = torch.einsum("bij,bj->bi", rotation.linear, batch["dipole"].double())
    torch.testing.assert_close(transformed["dipole"].double(), expected, atol=1e-6, rtol=1e-6)
    with pytest.raises(BatchError, match="3 rows, expected one for each of 2 graphs"):
        act(rotation, {**batch, "dipole": torch.randn(3, 3)}, side, layout)
    dense = Layout.of({"pos": torch.randn(2, 3, 3)}, inputs)
    relabel = group("S(3)").sample(2)
    assert torch.equal(act(relabel, batch | {"batch": None}, side, dense)["charges"], batch["charges"])


def test_whole_numbers_may_be_scalars():
    side = Signature.parse("pos: point, z: scalar -> y: scalar").inputs
    z = torch.tensor([[6, 1, 1]])
    assert torch.equal(act(group("SO(3)").sample(), {"pos": torch.randn(1, 3, 3), "z": z}, side)["z"], z)
    with pytest.raises(BatchError, match="'z' must hold floating-point numbers"):
        act(group("SO(3)").sample(), {"z": z}, "z: vector")
