"""GATr as published, fact by fact: sizes, initialisation, norm, attention, joins, inputs and outputs."""

import math

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.errors import SignatureError
from geoequiv.models import PublishedGATr
from geoequiv.models.layers.published_algebra import MultiQueryAttention, MultivectorLinear, normalised

SIGNATURE = "pos: point, vel: vector, mass: scalar -> pos: point"


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def fields(nodes: int = 5) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = {"pos": 3, "vel": 3, "mass": 1}
    return {name: torch.randn(2, nodes, size, generator=generator).double() for name, size in values.items()}


def small() -> PublishedGATr:
    torch.manual_seed(0)
    return PublishedGATr(SIGNATURE, width=16, depth=2, heads=2, multivectors=4).double()


def test_parameters_of_the_published_network_part_by_part():
    model = PublishedGATr(SIGNATURE)
    assert (count(model), count(model.enter), count(model.leave)) == (2_209_058, 560, 418)
    attention = count(model.blocks[0].attention)
    assert (len(model.blocks), attention, count(model.blocks[0]) - attention) == (10, 103_064, 117_744)


def test_initial_weights_fill_their_bounds():
    torch.manual_seed(0)
    layer = MultivectorLinear(16, 400, 128, 300)
    expected = torch.tensor([0.5, 4, 6, 2, 0.5, 0.5, 1.5, 1.5, 0.5]).sqrt() / 4
    torch.testing.assert_close(layer.weight.abs().amax((0, 1)), expected, rtol=0.01, atol=0)
    bounds = {
        layer.from_scalars.weight: (128 * 2) ** -0.5,
        layer.from_scalars.bias: 144**-0.5,
        layer.to_scalars.weight: (16 * 2) ** -0.5,
        layer.to_scalars.bias: 144**-0.5,
        layer.between_scalars.weight: (128 * 2) ** -0.5,
    }
    for values, bound in bounds.items():
        assert 0.97 * bound < float(values.detach().abs().max()) <= bound
    assert layer.between_scalars.bias is None


def test_without_scalars_the_bias_is_one_number_per_multivector():
    layer = MultivectorLinear(2, 3)
    assert layer.bias.tolist() == [0, 0, 0]
    multivectors = torch.randn(16, 2, 4)
    assert layer(multivectors, torch.zeros(4, 0))[0].shape == (16, 3, 4)


def test_small_and_almost_unit_initialisation():
    torch.manual_seed(0)
    plain, end = MultivectorLinear(16, 64, 128, 64), MultivectorLinear(16, 64, 128, 64, init="small")
    for name, values in end.named_parameters():
        # the bias of components of grade 0 is not scaled
        factor = 1 if name == "from_scalars.bias" else 0.1
        assert float(values.detach().abs().max()) == pytest.approx(
            factor * float(plain.get_parameter(name).detach().abs().max()), rel=0.1
        )
    unit = MultivectorLinear(16, 64, 128, init="almost_unit_scalar")
    assert abs(float(unit.from_scalars.bias.detach().mean()) - 1) < 0.02
    assert float(unit.weight[..., 2].detach().abs().max()) == pytest.approx(0.5 * math.sqrt(6) / 4, rel=0.05)


def test_maps_are_divided_by_their_frobenius_norm():
    layer = MultivectorLinear(1, 1)
    identity = torch.eye(16).unsqueeze(1)  # [16, 1, 16]
    for which in range(9):
        with torch.no_grad():
            layer.weight.zero_()[0, 0, which] = 1.0
        assert float(layer(identity, torch.zeros(16, 0))[0].detach().norm()) == pytest.approx(1.0)


def test_the_norm_has_a_least_square_and_does_not_see_e0():
    multivectors = torch.randn(16, 4, 3, dtype=torch.float64)
    found, _ = normalised(multivectors, torch.randn(3, 8))
    torch.testing.assert_close(found[:8].square().sum(0).mean(0), torch.ones(3, dtype=torch.float64))
    tiny = torch.zeros(16, 1, 1)
    tiny[0], tiny[9] = 0.05, 7.0
    torch.testing.assert_close(normalised(tiny, torch.randn(1, 8))[0], tiny * 10)


def test_logits_are_inner_products_less_weighted_distances():
    """Against the sum over channels written out, by the value that each node takes from the others."""
    torch.manual_seed(0)
    attention = MultiQueryAttention(4, 8, 2).double()
    with torch.no_grad():
        attention.log_weight.normal_()
    multivectors, scalars = torch.randn(16, 4, 3).double(), torch.randn(3, 8).double()
    query, free = attention.query(multivectors, scalars)
    query, free = query.unflatten(1, (-1, 2)), free.unflatten(-1, (-1, 2))
    key, beside = attention.key(multivectors, scalars)
    value, further = attention.value(multivectors, scalars)
    assert attention.channels == key.shape[1] == 4
    assert attention.width == beside.shape[1] == 8
    outs, others = [], []
    for head in range(2):
        logits = free[..., head] @ beside.T
        logits = logits + torch.einsum("kci,kcj->ij", query[:7, :, head], key[:7])
        for channel in range(4):
            q, k = query[:, channel, head], key[:, channel]
            (v, p), (w, r) = ((x[7] ** 2 / (x[7] ** 2 + 1e-3), x[12:15] * x[7] / (x[7] ** 2 + 1e-3)) for x in (q, k))
            apart = v[:, None] * r[:, None, :] - w[None] * p[:, :, None]  # [3, i, j]
            logits = logits - attention.log_weight[head, 0, channel].exp() * apart.square().sum(0)
        share = (logits / math.sqrt(12 * 4 + 8)).softmax(-1)
        outs.append(torch.einsum("ij,kcj->kci", share, value))
        others.append(share @ further)
    expected = attention.out(torch.cat(outs, 1), torch.cat(others, -1))
    torch.testing.assert_close(attention(multivectors, scalars, 3, None), expected)


def test_rotations_and_translations_and_no_reflections():
    model, inputs = small(), fields()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    assert ge.equivariance_error(model, inputs, SIGNATURE, "SE(3)").relative < 1e-10
    assert ge.equivariance_error(model, inputs, SIGNATURE, "O(3)").relative > 1e-6


def test_a_node_enters_as_the_sum_of_its_fields():
    model = small()
    seen = []
    model.enter.register_forward_pre_hook(lambda _, args: seen.append(args))
    inputs = fields(1)
    model(**inputs)
    ((multivectors, scalars),) = seen
    assert multivectors.shape == (16, 1, 2)
    assert scalars.tolist() == [[0], [0]]
    torch.testing.assert_close(multivectors[0, 0], inputs["mass"][:, 0, 0] + 1)  # a translation is 1 + e0 v / 2
    torch.testing.assert_close(multivectors[9:12, 0].T, inputs["vel"][:, 0] / 2)
    torch.testing.assert_close(multivectors[12:15, 0].T, inputs["pos"][:, 0])
    assert multivectors[7].tolist() == [[1, 1]]


def test_positions_come_out_where_they_lie_with_a_least_weight():
    model = small()
    found = torch.zeros(16, 1, 2)
    found[12:15] = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    found[7] = torch.tensor([[-0.5, 1e-9]])
    torch.testing.assert_close(model._points(found)[:, 0], torch.tensor([[-2.0, -4.0, -6.0], [1e3, 2e3, 3e3]]))


def test_the_regulariser_counts_nodes_of_each_cloud():
    model, inputs = small(), fields()
    with torch.no_grad():
        for parameter in model.leave.parameters():
            parameter.zero_()
        whole = float(model.regulariser(**inputs))
    assert whole == pytest.approx(5.0)  # (0 − 1)² + 0² for each of five nodes
    mask = torch.tensor([[True] * 3 + [False] * 2] * 2)
    assert float(model.regulariser(**inputs, mask=mask).detach()) == pytest.approx(3.0)


def test_vectors_do_not_come_out():
    with pytest.raises(SignatureError, match="`gatr` predicts them"):
        PublishedGATr("pos: point -> force: vector")
