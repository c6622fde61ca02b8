"""Vector Neurons: equivariance, invariance, and comparison with loops."""

import pytest
import torch
from torch import nn

from geoequiv.groups import group
from geoequiv.models.layers.vector_neurons import (
    VNBatchNorm,
    VNInvariant,
    VNLeakyReLU,
    VNLinear,
    VNMaxPool,
    VNMeanPool,
)

LAYERS = {
    "linear": lambda: VNLinear(4, 6),
    "relu": lambda: VNLeakyReLU(4, 0.0),
    "leaky": lambda: VNLeakyReLU(4),
    "shared": lambda: VNLeakyReLU(4, shared=True),
    "norm": lambda: VNBatchNorm(4),
    "max": lambda: VNMaxPool(4),
    "mean": lambda: VNMeanPool(),
    "network": lambda: nn.Sequential(VNLinear(4, 8), VNBatchNorm(8), VNLeakyReLU(8), VNMaxPool(8), VNLinear(8, 2)),
}


def cloud(*lead, seed=0):
    return torch.randn(*lead, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def build(name):
    torch.manual_seed(0)
    return LAYERS[name]().double()


def rotation():
    return group("O(3)").sample(1, generator=torch.Generator().manual_seed(3)).linear[0].double()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_layers_turn_with_the_cloud(name, training):
    layer, vectors = build(name).train(training), cloud(2, 7)
    for matrix in (rotation(), -rotation(), torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))):
        torch.testing.assert_close(layer(vectors @ matrix.T), layer(vectors) @ matrix.T, rtol=1e-10, atol=1e-10)


def test_a_plain_relu_does_not():
    vectors, matrix = cloud(2, 7), rotation()
    assert float(((vectors @ matrix.T).relu() - vectors.relu() @ matrix.T).abs().max()) > 0.1


def test_invariants_do_not_turn_and_tell_clouds_apart():
    torch.manual_seed(0)
    layer, vectors, matrix = VNInvariant(4).double(), cloud(5), rotation()
    assert layer(vectors).shape == (5, 12)
    torch.testing.assert_close(layer(vectors @ matrix.T), layer(vectors), rtol=1e-10, atol=1e-10)
    assert float((layer(vectors) - layer(cloud(5, seed=1))).detach().abs().max()) > 1e-2


@pytest.mark.parametrize("slope", [0.0, 0.2])
@torch.no_grad()
def test_leaky_relu_equals_the_published_cases(slope):
    torch.manual_seed(0)
    layer, vectors = VNLeakyReLU(4, slope).double(), cloud(20)
    direction = layer.direction(vectors)
    expected = vectors.clone()
    for item in range(20):
        for channel in range(4):
            v, d = vectors[item, channel], direction[item, channel]
            if v @ d < 0:
                expected[item, channel] = slope * v + (1 - slope) * (v - (v @ d) / (d @ d) * d)
    torch.testing.assert_close(layer(vectors), expected, rtol=1e-4, atol=1e-4)
    assert 0 < int(((vectors * direction).sum(-1) < 0).sum()) < 80


def test_batch_norm_normalises_lengths():
    layer, vectors = VNBatchNorm(4).double(), 3 * cloud(500)
    result = layer(vectors).detach()
    assert float((result / vectors).std(-1).max()) < 1e-6  # directions stay
    signed = (result * vectors).sum(-1) / vectors.norm(dim=-1)
    torch.testing.assert_close(signed.mean(0), torch.zeros(4, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(signed.var(0, correction=0), torch.ones(4, dtype=torch.float64), atol=1e-3, rtol=0)


@torch.no_grad()
def test_max_pool_equals_a_loop():
    torch.manual_seed(0)
    layer, vectors = VNMaxPool(4).double(), cloud(2, 7)
    pooled, direction = layer(vectors), layer.direction(vectors)
    for item in range(2):
        for channel in range(4):
            best = max(range(7), key=lambda n: float(vectors[item, n, channel] @ direction[item, n, channel]))
            assert torch.equal(pooled[item, channel], vectors[item, best, channel])


@pytest.mark.parametrize("name", ["max", "mean"])
def test_pools_ignore_padding_and_order(name):
    layer, vectors = build(name), cloud(1, 7)
    spoilt = torch.cat([vectors, 100 * cloud(1, 3, seed=1)], dim=1)
    mask = torch.arange(10).unsqueeze(0) < 7
    torch.testing.assert_close(layer(spoilt, mask), layer(vectors))
    torch.testing.assert_close(layer(vectors.flip(1)), layer(vectors))


def test_batch_norm_takes_its_statistics_where_the_mask_is():
    layer, vectors = VNBatchNorm(4).double(), cloud(2, 7)
    mask = torch.tensor([[True] * 7, [True] * 3 + [False] * 4])
    spoilt = vectors.masked_fill(~mask[..., None, None], float("nan")).requires_grad_()
    masked = layer(spoilt, mask)
    fresh = VNBatchNorm(4).double()
    torch.testing.assert_close(masked[mask], fresh(vectors[mask]))
    assert (masked[~mask] == 0).all()
    torch.testing.assert_close(layer.lengths.running_mean, fresh.lengths.running_mean)
    masked.square().sum().backward()
    assert spoilt.grad.isfinite().all()


@pytest.mark.parametrize("name", LAYERS)
def test_vectors_of_length_zero_have_finite_derivatives(name):
    layer, vectors = build(name), torch.zeros(2, 7, 4, 3, dtype=torch.float64, requires_grad=True)
    result = layer(vectors)
    (first,) = torch.autograd.grad(result.sum() + result.square().sum(), vectors, create_graph=True)
    assert result.isfinite().all()
    assert first.isfinite().all()
    if first.requires_grad:
        assert torch.autograd.grad(first.square().sum(), vectors, allow_unused=True)[0].isfinite().all()
