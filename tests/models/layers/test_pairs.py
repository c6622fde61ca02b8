"""Pairs against loops."""

import torch
from torch.nn import functional as F

from geoequiv.models.layers.padding import Padding
from geoequiv.models.layers.pairs import AllPairs, EdgeList, PairLinear, fused_linears, within_clouds


def test_all_pairs_list_every_other_node_in_order():
    pairs = AllPairs.of(3, None, torch.device("cpu"))
    values = torch.tensor([[10.0], [20.0], [30.0]])
    assert pairs.sender(values).squeeze(-1).tolist() == [[20, 30], [10, 30], [10, 20]]
    assert pairs.sum(pairs.sender(values)).squeeze(-1).tolist() == [50, 40, 30]
    assert pairs.mean(pairs.sender(values)).squeeze(-1).tolist() == [25, 20, 15]


def test_padding_neither_sends_nor_counts():
    pairs = AllPairs.of(3, torch.tensor([True, True, False]), torch.device("cpu"))
    values = torch.tensor([[10.0], [20.0], [30.0]])
    assert pairs.mean(pairs.sender(values)).squeeze(-1).tolist()[:2] == [20, 10]


def test_pairs_within_clouds_equal_a_loop_for_any_order():
    batch = torch.tensor([2, 0, 1, 0, 2, 2, 3])
    pairs = within_clouds(batch)
    found = sorted(zip(pairs.receivers.tolist(), pairs.senders.tolist(), strict=True))
    assert found == [(i, j) for i in range(7) for j in range(7) if i != j and batch[i] == batch[j]]


def test_edge_list_sums_and_means_over_the_edges_of_each_receiver():
    pairs = EdgeList(3, torch.tensor([1, 2, 0]), torch.tensor([0, 0, 2]))
    values = pairs.sender(torch.tensor([[10.0], [20.0], [30.0]]))
    assert pairs.sum(values).squeeze(-1).tolist() == [50, 0, 10]
    assert pairs.mean(values).squeeze(-1).tolist() == [25, 0, 10]


def test_pair_linear_equals_a_linear_map_of_the_concatenation():
    torch.manual_seed(0)
    layer = PairLinear(4, 2, 5).double()
    nodes, batch = torch.randn(6, 4, dtype=torch.float64), torch.tensor([0, 0, 0, 1, 1, 1])
    pairs = within_clouds(batch)
    edges = torch.randn(len(pairs.senders), 2, dtype=torch.float64)
    joined = torch.cat([pairs.receiver(nodes), pairs.sender(nodes), edges], dim=-1)
    expected = F.linear(joined, layer.weight, layer.bias)
    torch.testing.assert_close(layer(pairs, nodes, edges), expected)
    dense = layer(AllPairs.of(3, None, torch.device("cpu")), nodes.view(2, 3, 4), edges.view(2, 3, 2, 2))
    torch.testing.assert_close(dense.flatten(0, 2), expected)


def test_index_cached_without_gradients_serves_where_gradients_are_taken():
    with torch.inference_mode():
        AllPairs.of(7, None, torch.device("cpu"))
    values = torch.randn(7, 2, requires_grad=True)
    AllPairs.of(7, None, torch.device("cpu")).sender(values).sum().backward()
    assert (values.grad == 6).all()


def test_padding_there_and_back():
    batch = torch.tensor([2, 0, 1, 0, 2, 2])
    values = torch.randn(6, 3)
    padding = Padding.of(batch)
    assert padding.mask.sum(1).tolist() == [2, 1, 3]
    assert torch.equal(padding.strip(padding.fill(values)), values)
    assert (padding.fill(values)[~padding.mask] == 0).all()


def test_pair_linear_says_the_same_in_place_and_leaves_its_inputs():
    torch.manual_seed(0)
    layer, pairs = PairLinear(4, 2, 5).double(), AllPairs.of(3, None, torch.device("cpu"))
    nodes, edges = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 3, 2, 2, dtype=torch.float64)
    kept = nodes.clone(), edges.clone()
    with torch.no_grad():
        found = layer(pairs, nodes, edges)
    torch.testing.assert_close(found, layer(pairs, nodes, edges).detach())
    assert torch.equal(nodes, kept[0])
    assert torch.equal(edges, kept[1])


def test_differences_are_receiver_less_sender():
    values = torch.tensor([[10.0, 0.0], [20.0, 1.0], [40.0, 5.0]])
    dense = AllPairs.of(3, None, torch.device("cpu")).difference(values)
    assert dense[..., 0].tolist() == [[-10, -30], [10, -20], [30, 20]]
    listed = EdgeList(3, torch.tensor([1, 2, 0]), torch.tensor([0, 0, 2])).difference(values)
    assert listed.tolist() == [[-10, -1], [-30, -5], [30, 5]]


def test_several_maps_equal_each_on_its_own_also_after_another():
    torch.manual_seed(0)
    first, layers = (
        torch.nn.Linear(2, 4).double(),
        [torch.nn.Linear(4, 3).double(), torch.nn.Linear(4, 5, bias=False).double()],
    )
    few = torch.randn(7, 2, dtype=torch.float64)
    maps = [(layer.weight, layer.bias) for layer in layers]
    expected = [layer(first(few)) for layer in layers]
    torch.testing.assert_close(list(fused_linears(first(few), maps)), expected)
    torch.testing.assert_close(list(fused_linears(first(few), maps, after=(few, first))), expected)
