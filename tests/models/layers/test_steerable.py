"""The pieces of steerable networks against e3nn's own, and the options of each network."""

import pytest
import torch
from e3nn import nn as e3nn_nn
from e3nn import o3
from hypothesis import given, settings
from hypothesis import strategies as st

from geoequiv.errors import SignatureError
from geoequiv.fields import FieldType, Signature, act, call_model
from geoequiv.groups import group
from geoequiv.groups.representations import wigner
from geoequiv.models import SEGNN, TFN, SE3Transformer
from geoequiv.models.layers.clebsch_gordan import Couplings, Harmonics, coupling, smooth_direction
from geoequiv.models.layers.pairs import AllPairs, EdgeList
from geoequiv.models.layers.steerable import SteerableAdapter, gate, gated, join, parts_of, split
from geoequiv.models.layers.steered_linear import Attributes, SteeredLinear, SteeredPairLinear
from geoequiv.models.layers.tensor_products import (
    PairConvolution,
    kernels_of,
    paths_between,
    softmax_over_senders,
    triples_of,
)

CHARGED = "pos: point, vel: vector, charge: scalar -> pos: point"
CHANNELS = {(0, 1): 4, (1, -1): 4, (2, 1): 4, (1, 1): 4, (0, -1): 4}


def directions(*lead):
    return torch.nn.functional.normalize(torch.randn(*lead, 3, dtype=torch.float64), dim=-1)


def draw(channels, *lead):
    return {kind: torch.randn(*lead, 2 * kind[0] + 1, count, dtype=torch.float64) for kind, count in channels.items()}


def irreps(channels):
    return o3.Irreps([(count, kind) for kind, count in channels.items()])


def to_e3nn(features, channels):
    return torch.cat([features[kind].mT.flatten(-2) for kind in channels], dim=-1)


def flat_kinds(channels, values):
    return {
        kind: values[..., where].unflatten(-1, (channels[kind], -1)).mT
        for kind, where in zip(channels, irreps(channels).slices(), strict=True)
    }


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def _double():
    """e3nn's products keep their coefficients in the default dtype that they were built under."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_harmonics_are_those_of_e3nn():
    u = directions(20)
    expected = o3.spherical_harmonics(list(range(5)), u, normalize=False, normalization="component")
    torch.testing.assert_close(Harmonics(4)(u), expected, rtol=1e-12, atol=1e-12)


def test_harmonics_vanish_with_the_direction_and_have_derivatives_there():
    zero = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    values = Harmonics(3)(smooth_direction(zero))
    assert values.tolist() == [1.0] + [0.0] * 15
    (first,) = torch.autograd.grad(values.sum(), zero, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), zero)
    assert torch.isfinite(first).all()
    assert torch.isfinite(second).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2**31))
def test_couplings_commute_with_rotations(l1, l2, l3, seed):
    if not abs(l1 - l2) <= l3 <= l1 + l2:
        return
    rotation = group("SO(3)").sample(1, generator=torch.Generator().manual_seed(seed)).linear[0]
    first, second, third = (wigner(degree, rotation) for degree in (l1, l2, l3))
    rotated = torch.einsum("abc,ai,bj->ijc", coupling(l1, l2, l3), first, second)
    torch.testing.assert_close(
        rotated, torch.einsum("ijk,ck->ijc", coupling(l1, l2, l3), third.mT.T), atol=1e-11, rtol=0
    )


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("parity", [True, False])
def test_convolution_equals_the_tensor_product_of_e3nn(parity):
    """uvu with weights per edge, a sum over senders, then a linear map: dense and as a list of edges."""
    channels = CHANNELS if parity else {(0, 1): 4, (1, 1): 4, (2, 1): 4}
    outputs = dict.fromkeys(channels, 3)
    layer = PairConvolution(channels, outputs, 2, parity).double()
    clouds, nodes = 2, 4
    u, features = directions(clouds, nodes, nodes - 1), draw(channels, clouds, nodes)
    weights = torch.randn(clouds, nodes, nodes - 1, layer.weights, dtype=torch.float64)
    pairs = AllPairs.of(nodes, None, torch.device("cpu"))
    couplings, angular = Couplings(triples_of(layer.paths), 2), Harmonics(2)(u)
    found = layer(pairs, kernels_of(pairs, couplings, angular), features, weights)

    receivers = torch.arange(clouds * nodes).repeat_interleave(nodes - 1)
    senders = (pairs.index + torch.arange(clouds).unsqueeze(-1) * nodes).flatten()
    edges = EdgeList(clouds * nodes, senders, receivers)
    listed = layer(
        edges,
        kernels_of(edges, couplings, angular.flatten(0, 2)),
        {kind: values.flatten(0, 1) for kind, values in features.items()},
        weights.flatten(0, 2),
    )

    harmonic = o3.Irreps([(1, (degree, (-1) ** degree if parity else 1)) for degree in range(3)])
    middle, instructions = [], []
    for number, (first, degree, last) in enumerate(layer.paths):
        middle.append((layer.width, last))
        instructions.append((list(channels).index(first), degree, number, "uvu", True, (2 * last[0] + 1) ** 0.5))
    product = o3.TensorProduct(
        irreps(channels), harmonic, middle, [(*i[:5], 1.0) for i in instructions],
        irrep_normalization="component", path_normalization="none", internal_weights=False, shared_weights=False,
    ).double()  # fmt: skip
    each = product(to_e3nn(features, channels).flatten(0, 1)[senders], angular.flatten(0, 2), weights.flatten(0, 2))
    summed = each.new_zeros(clouds * nodes, each.shape[-1]).index_add(0, receivers, each)
    blocks = [summed[:, where].unflatten(-1, (layer.width, -1)).mT for where in product.irreps_out.slices()]
    for kind, mix in zip(layer.outputs, layer.mix, strict=True):
        mine = [block for block, path in zip(blocks, layer.paths, strict=True) if path[2] == kind]
        expected = torch.cat(mine, dim=-1) @ mix
        torch.testing.assert_close(found[kind].flatten(0, 1), expected, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(listed[kind], expected, rtol=1e-11, atol=1e-11)


@pytest.mark.usefixtures("_double")
def test_steered_linear_equals_the_fully_connected_product_of_e3nn():
    outputs = {(0, 1): 5, (1, -1): 3, (2, 1): 2, (1, 1): 2}
    layer = SteeredLinear(CHANNELS, outputs, 2, True).double()
    features, u = draw(CHANNELS, 6), directions(6)
    angular = Harmonics(2)(u)
    triples = tuple(each for each in triples_of(layer.paths) if all(each))
    found = layer(features, Attributes.of(angular, Couplings(triples, 2)))
    instructions = [
        (list(CHANNELS).index(first), degree, list(outputs).index(last), "uvw", True)
        for first, degree, last in layer.paths
    ]
    product = o3.TensorProduct(
        irreps(CHANNELS), o3.Irreps.spherical_harmonics(2), irreps(outputs), instructions,
        irrep_normalization="component", path_normalization="none", internal_weights=False, shared_weights=True,
    ).double()  # fmt: skip
    columns = {}
    for kind, weight in zip([k for k in layer.inputs if layer.before[k]], layer.mix[0], strict=True):
        parts = weight.split([outputs[path[2]] for path in layer.before[kind]], dim=1)
        columns |= dict(zip(layer.before[kind], parts, strict=True))
    columns |= dict(zip(layer.after, layer.mix_after[0], strict=True))
    weights = torch.cat([columns[path].unsqueeze(1).flatten() for path in layer.paths])
    expected = flat_kinds(outputs, product(to_e3nn(features, CHANNELS), angular, weights))
    for kind in outputs:
        torch.testing.assert_close(found[kind], expected[kind], rtol=1e-11, atol=1e-11)


def test_pairs_mixed_once_per_node_equal_pairs_side_by_side():
    inputs, outputs = {(0, 1): 3, (1, -1): 2}, {(0, 1): 4, (1, -1): 3}
    layer = SteeredPairLinear(inputs, outputs, 1, True, edges=2).double()
    whole = SteeredLinear({(0, 1): 8, (1, -1): 4}, outputs, 1, True).double()
    with torch.no_grad():
        whole.mix[0][0].copy_(torch.cat([layer.mix[0][0], layer.mix[1][0], layer.mix_edges]))
        whole.mix[0][1].copy_(torch.cat([layer.mix[0][1], layer.mix[1][1]]))
        whole.mix_after[0][0].copy_(torch.cat([layer.mix_after[0][0], layer.mix_after[1][0]]))
    pairs = EdgeList(3, torch.tensor([1, 2, 0]), torch.tensor([0, 0, 2]))
    nodes, edges = draw(inputs, 3), torch.randn(3, 2, dtype=torch.float64)
    attributes = Attributes.of(Harmonics(1)(directions(3)), Couplings((), 1))
    joined = {kind: torch.cat([values[pairs.receivers], values[pairs.senders]], -1) for kind, values in nodes.items()}
    joined[0, 1] = torch.cat([joined[0, 1], edges.unsqueeze(-2)], -1)
    found, expected = layer(pairs, nodes, edges, attributes), whole(joined, attributes)
    for kind in outputs:
        torch.testing.assert_close(found[kind], expected[kind], rtol=1e-12, atol=1e-12)


def test_gate_equals_that_of_e3nn():
    channels = {(0, 1): 4, (1, -1): 3, (2, 1): 2}
    others = irreps({kind: count for kind, count in channels.items() if kind != (0, 1)})
    reference = e3nn_nn.Gate("4x0e", [torch.nn.functional.silu], "5x0e", [torch.sigmoid], others).double()
    features = draw(gated(channels), 7)
    expected = flat_kinds(channels, reference(to_e3nn(features, gated(channels))))
    for kind, values in gate(features, channels).items():  # e3nn draws the gain of SiLU at random, to 2e-3
        torch.testing.assert_close(values, expected[kind], rtol=4e-3, atol=1e-6)


@pytest.mark.parametrize("text", ["tensor", "tensor*2", "2x0e+1x1o+3x2e", "pseudovector*3", "pseudoscalar*2"])
def test_fields_split_into_parts_that_turn_as_their_irreps_and_join_again(text):
    field = FieldType.parse(text)
    parts = parts_of(field, parity=True)
    adapter = SteerableAdapter("x: point -> x: point", architecture="Any", parity=True, centred=False)
    values = torch.randn(5, field.size(), dtype=torch.float64)
    pieces = split(field, parts, values, adapter.matrix_parts)
    torch.testing.assert_close(
        join(field, parts, [p for _, p in pieces], adapter.matrix_parts), values, rtol=1e-12, atol=1e-12
    )
    element = group("SO(3)").sample(1, generator=torch.Generator().manual_seed(3))[0]
    signature = Signature.parse(f"f: {text} -> f: {text}")
    rotated = act(element, {"f": values.reshape(5, *field_shape(field))}, signature.inputs)["f"].reshape(5, -1)
    for (kind, before), (_, after) in zip(pieces, split(field, parts, rotated, adapter.matrix_parts), strict=True):
        torch.testing.assert_close(after, wigner(kind[0], element.linear) @ before, rtol=1e-10, atol=1e-10)


def field_shape(field):
    if field.is_scalar or field.irreps:
        return (field.size(),)
    return ((field.multiplicity,) if field.multiplicity > 1 else ()) + (3,) * field.rank


def test_softmax_over_senders_equals_a_loop():
    pairs = EdgeList(3, torch.tensor([1, 2, 0, 1]), torch.tensor([0, 0, 2, 2]))
    logits = torch.tensor([[1.0], [3.0], [900.0], [901.0]])
    found = softmax_over_senders(pairs, logits)
    torch.testing.assert_close(found[:2], logits[:2].softmax(0))
    torch.testing.assert_close(found[2:], logits[2:].softmax(0))


def test_attention_of_padding_is_nothing():
    pairs = AllPairs.of(3, torch.tensor([True, True, False]), torch.device("cpu"))
    found = softmax_over_senders(pairs, torch.zeros(3, 2, 1))
    assert found.squeeze(-1).tolist() == [[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]]


def reflected_error(model, signature, inputs):
    element = group("O(3)").sample(8, generator=torch.Generator().manual_seed(0))
    element = element[int((element.det < 0).nonzero()[0])]
    sides = Signature.parse(signature)
    before = act(element, call_model(model, sides, inputs), sides.outputs)["v"]
    after = call_model(model, sides, act(element, inputs, sides.inputs))["v"]
    return float((after - before).norm() / before.norm())


@pytest.mark.parametrize("model", [TFN, SEGNN, SE3Transformer])
@torch.no_grad()
def test_only_parity_keeps_reflections(model):
    signature = "x: point, s: scalar -> v: vector"
    inputs = {"x": torch.randn(2, 5, 3).double(), "s": torch.randn(2, 5, 1).double()}
    kept = model(signature, width=16, depth=2, parity=True).double()
    broken = model(signature, width=16, depth=2, parity=False).double()
    assert kept.claims == "E(3)"
    assert broken.claims == "SE(3)"
    assert reflected_error(kept, signature, inputs) < 1e-10
    assert reflected_error(broken, signature, inputs) > 1e-3


@pytest.mark.parametrize("model", [TFN, SEGNN, SE3Transformer])
def test_outputs_start_near_the_input_points(model):
    inputs = {"pos": torch.randn(4, 5, 3), "vel": torch.randn(4, 5, 3), "charge": torch.ones(4, 5, 1)}
    transformed = model(CHARGED)(**inputs) - inputs["pos"]
    assert 0 < float(transformed.detach().square().mean().sqrt()) < 0.1


def test_segnn_has_the_weights_of_the_published_layers():
    """Layers as the published code stacks them for n-body, each counted by e3nn's own tensor product."""
    attributes = o3.Irreps.spherical_harmonics(1)
    hidden, gates = o3.Irreps("32x0e + 32x1o"), o3.Irreps("64x0e + 32x1o")  # 32 of each balance 64 x 64 plain weights

    def count(inputs, outputs):
        product = o3.FullyConnectedTensorProduct(inputs, attributes, outputs, compile_left_right=False)
        return product.weight_numel + o3.Irreps(outputs).count("0e")  # a bias for each scalar

    layer = count("64x0e + 64x1o + 2x0e", gates) + count(hidden, gates)  # messages, with distance and charges
    layer += count("64x0e + 64x1o", gates) + count(hidden, hidden)  # update
    published = count("2x1o + 1x0e", hidden) + 4 * layer + count(hidden, gates) + count(hidden, "1x1o")
    model = SEGNN(CHARGED, node_scalars=False)
    assert sum(weights.numel() for weights in model.parameters()) == published == 147_424


def test_outputs_out_of_reach_are_named():
    with pytest.raises(SignatureError, match="1 layers cannot make an output of irrep 0o"):
        TFN("x: point -> s: pseudoscalar", depth=1)


def test_images_are_refused():
    with pytest.raises(SignatureError, match="SEGNN handles fields of type"):
        SEGNN("x: point, i: image -> x: point")


def test_heads_must_divide_the_channels():
    with pytest.raises(SignatureError, match="20 divided by 2 does not split into 4 heads"):
        SE3Transformer(CHARGED, width=20)


def test_the_nearest_nonlinearity_is_named():
    with pytest.raises(SignatureError, match="Did you mean 'gate'"):
        TFN(CHARGED, nonlinearity="gat")


def test_paths_keep_parity():
    assert ((1, -1), 1, (1, -1)) not in paths_between({(1, -1): 1}, {(1, -1): 1}, 2, True)
    assert ((1, -1), 1, (1, 1)) in paths_between({(1, -1): 1}, {(1, 1): 1}, 2, True)
