"""Labels stay where they are: under relabellings, in every layout, and to networks they are scalars."""

import torch

import geoequiv as ge
from geoequiv.fields import Signature, act
from geoequiv.groups import group
from geoequiv.models import EGNN, GNN

SIGNATURE = Signature.parse("pos: point, place: label*5, kind: scalar*5 -> pos: point")
MIRROR = group("Cs@x&(0 1)(2 3)/5")


def batch(items=3):
    generator = torch.Generator().manual_seed(0)
    eye = torch.eye(5).expand(items, 5, 5)
    return {"pos": torch.randn(items, 5, 3, generator=generator), "place": eye, "kind": eye.clone()}


def test_nodes_are_permuted_and_labels_stay():
    inputs = batch()
    transformed = act(MIRROR.elements()[1], inputs, SIGNATURE.inputs)
    swap = [1, 0, 3, 2, 4]
    assert torch.equal(transformed["place"], inputs["place"])
    assert torch.equal(transformed["kind"], inputs["kind"][:, swap])
    expected = inputs["pos"][:, swap] * torch.tensor([-1.0, 1, 1])
    assert torch.equal(transformed["pos"], expected)


def test_ragged_batches_do_the_same():
    inputs = batch()
    flat = {name: values.flatten(0, 1) for name, values in inputs.items()}
    flat["batch"] = torch.arange(3).repeat_interleave(5)
    transformed = act(MIRROR.elements()[1], flat, SIGNATURE.inputs)
    dense = act(MIRROR.elements()[1], inputs, SIGNATURE.inputs)
    for name, values in dense.items():
        assert torch.equal(transformed[name], values.flatten(0, 1))


def test_a_type_of_its_own_that_prints_back():
    assert str(SIGNATURE) == "pos: point, place: label*5, kind: scalar*5 -> pos: point"
    assert SIGNATURE.inputs["place"].is_scalar


def test_to_a_network_it_is_a_scalar():
    plain = Signature.parse("pos: point, place: scalar*5, kind: scalar*5 -> pos: point")
    for build in (EGNN, GNN):
        torch.manual_seed(0)
        first = build(SIGNATURE, width=6, depth=1)
        torch.manual_seed(0)
        second = build(plain, width=6, depth=1)
        torch.testing.assert_close(first(**batch()), second(**batch()))


def test_averaging_over_a_mirror_that_swaps_is_exact():
    """A network that knows nodes by label is made symmetric; as scalars, the same labels would be permuted."""
    torch.manual_seed(0)
    model = GNN(SIGNATURE, width=8, depth=1)
    averaged = ge.GroupAveraging(model, SIGNATURE, MIRROR)
    assert ge.equivariance_error(model, batch(), SIGNATURE, MIRROR).relative > 1e-3
    assert ge.equivariance_error(averaged, batch(), SIGNATURE, MIRROR).relative < 1e-6
    unswapped = ge.equivariance_error(averaged, batch(), SIGNATURE, "Cs@x").relative
    assert unswapped > 1e-3


def test_sorting_nodes_leaves_labels_out():
    """An order of nodes found by what stays would not be permuted with the nodes: dense and ragged batches alike."""
    signature = Signature.parse("place: label*5, pos: point -> pos: point")
    torch.manual_seed(0)
    averaged = ge.FrameAveraging(GNN(signature, width=4, depth=1), signature, "S(5)", frame="sorting")
    inputs = {name: values for name, values in batch().items() if name != "kind"}
    ragged = {name: values.flatten(0, 1) for name, values in inputs.items()}
    ragged["batch"] = torch.arange(3).repeat_interleave(5)
    for each in (inputs, ragged):
        assert ge.equivariance_error(averaged, each, signature, "S(5)", num_samples=4).relative < 1e-6
