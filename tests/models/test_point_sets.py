"""Networks on point sets: published sizes, nearest nodes, and layers against their definitions."""

import pytest
import torch

from geoequiv.models import DGCNN, VNDGCNN, PointNet, VNPointNet
from geoequiv.models.layers.point_sets import EdgeLayer, Neighbours, PointNorm, pooled
from geoequiv.models.layers.vn_point_sets import VNEdgeLayer

NORMALS = "pos: point -> normal: vector up to sign"


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_published_sizes():
    """Of the code of Puny et al. 2022, derived from its layers; 128 of DGCNN's are not explained by them."""
    assert size(PointNet(NORMALS)) == 8_332_236
    assert size(PointNet(NORMALS, transforms=False)) == 2_509_699
    assert 1_436_937 - size(DGCNN(NORMALS)) == 128


def test_published_heads():
    """Features that the heads of Deng et al. 2021 read, without the label of the shape."""
    assert VNPointNet(NORMALS).head.head.layers[0].linear.in_features == 9009
    assert VNDGCNN(NORMALS).head.head.layers[0].linear.in_features == 2235


def test_nearest_nodes_are_those_of_a_loop():
    features = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, 2:] = False
    near = Neighbours.of(features, 3, mask)
    for cloud in range(2):
        for node in range(9):
            real = mask[cloud].nonzero().flatten()
            order = (features[cloud, real] - features[cloud, node]).norm(dim=-1).argsort()
            expected = real[order][:3].tolist() if mask[cloud, node] else []
            assert near.index[cloud, node][near.mask[cloud, node]].tolist() == expected
    assert bool((near.index[0, :, 0] == torch.arange(9)).all())
    values = torch.randn(2, 9, 2, 3)
    assert torch.equal(near.gather(values)[1, 0, 1], values[1, near.index[1, 0, 1]])


@pytest.mark.parametrize("pool", ["max", "mean"])
def test_pools_do_not_see_what_is_masked(pool):
    values = torch.tensor([[1.0], [3.0], [99.0]])
    mask = torch.tensor([True, True, False])
    assert float(pooled(values, mask, pool)) == {"max": 3.0, "mean": 2.0}[pool]
    assert float(pooled(values, torch.zeros(3, dtype=torch.bool), pool)) == 0


def test_edge_layers_are_linear_maps_of_pairs():
    torch.manual_seed(0)
    near = Neighbours.of(torch.randn(2, 6, 3), 4, None)
    layer, values = EdgeLayer(5, 7).eval(), torch.randn(2, 6, 5)
    sent, own = near.gather(values), values.unsqueeze(2).expand(-1, -1, 4, -1)
    edges = layer.norm(layer.difference(sent - own) + layer.own(own))
    torch.testing.assert_close(layer(values, near), torch.where(edges > 0, edges, 0.2 * edges))
    vectors = torch.randn(2, 6, 5, 3)
    sent, own = near.gather(vectors), vectors.unsqueeze(2).expand(-1, -1, 4, -1, -1)
    neurons = VNEdgeLayer(5, 7, 0.2, cross=True).eval()
    mixed = neurons.difference(sent - own) + neurons.own(own) + neurons.product(torch.linalg.cross(sent, own))
    expected = neurons.relu(neurons.norm(mixed))
    torch.testing.assert_close(neurons(vectors, near), expected, rtol=1e-4, atol=1e-5)


def test_normalisation_counts_real_rows_alone():
    torch.manual_seed(0)
    values, mask = torch.randn(3, 4, 2), torch.rand(3, 4) < 0.6
    whole, part = PointNorm(2), PointNorm(2)
    torch.testing.assert_close(whole(values, mask)[mask], part(values[mask]))
    torch.testing.assert_close(whole.running_mean, part.running_mean)
    before = part.running_mean.clone()
    assert bool(part(values[0, :1]).isfinite().all())  # one row, in training
    assert torch.equal(part.running_mean, before)


@pytest.mark.parametrize("model", [PointNet, DGCNN, VNPointNet, VNDGCNN])
def test_trains_on_a_single_cloud(model):
    torch.manual_seed(0)
    net = model(NORMALS, width=6)
    net(pos=torch.randn(1, 12, 3)).square().sum().backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in net.parameters())
