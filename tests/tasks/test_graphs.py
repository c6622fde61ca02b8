"""Tasks of graph separation: the graphs themselves, protocols, and what is not accepted."""

import networkx as nx
import pytest
import torch

import geoequiv as ge
from geoequiv.errors import ConfigError, DataError
from geoequiv.tasks.graph_separation import Separation, alike, indistinct, nothing
from geoequiv.tasks.simulation.connected_graphs import COUNTS, connected_graphs


@pytest.mark.parametrize("nodes", range(1, 7))
def test_all_connected_graphs_of_a_size_are_made_once(nodes):
    graphs = connected_graphs(nodes)
    assert len(graphs) == COUNTS[nodes - 1]
    assert torch.equal(graphs, graphs.mT)
    assert not graphs.diagonal(dim1=1, dim2=2).any()
    ours = [nx.from_numpy_array(each.numpy()) for each in graphs]
    assert all(map(nx.is_connected, ours))
    if nodes <= 5:
        atlas = [g for g in nx.graph_atlas_g() if len(g) == nodes and nx.is_connected(g)]
        assert all(sum(nx.is_isomorphic(graph, other) for other in ours) == 1 for graph in atlas)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return ge.task("graphs/graph8c", data_dir=tmp_path_factory.mktemp("graphs"), nodes=5, networks=3)


def test_the_task_says_what_it_measures(task):
    assert task.protocol == "graphs/graph8c/nodes5/21/L1-0.001/networks3"
    assert str(task.signature) == "x: node, adj: adjacency -> embedding: scalar*10 per graph"
    assert task.symmetry == "S(5)"
    assert task.separation == Separation("all", 3)
    assert {name: len(split) for name, split in task.splits.items()} == {"train": 8, "val": 8, "test": 21}
    assert task.splits["test"].inputs["x"].unique().tolist() == [1.0]


def test_nothing_is_learned():
    prediction = torch.randn(3, 10, requires_grad=True)
    nothing(prediction, torch.zeros(3, 10)).backward()
    assert not prediction.grad.any()


def test_the_metric_counts_by_hand():
    embeddings = torch.tensor([[0.0], [0.0], [1.0], [0.0005]])
    per_item = indistinct(Separation("all")).per_item({"embedding": embeddings}, {"embedding": embeddings})
    assert per_item.tolist() == [2, 2, 0, 2]
    assert alike(Separation("consecutive"), embeddings).tolist() == [[0], [1]]


def test_a_file_of_graph6_takes_the_place_of_the_list(tmp_path):
    path = tmp_path / "list.g6"
    path.write_bytes(b"".join(nx.to_graph6_bytes(g, header=False) for g in (nx.path_graph(4), nx.star_graph(3))))
    found = ge.task("graphs/graph8c", data_dir=tmp_path, path="list.g6", nodes=4)
    assert found.splits["test"].inputs["adj"].sum((1, 2)).tolist() == [6, 6]
    with pytest.raises(DataError, match="graph 1: 4 nodes, where graphs of 8 are expected"):
        ge.task("graphs/graph8c", data_dir=tmp_path, path="list.g6")
    with pytest.raises(ConfigError, match="nodes must lie between 1 and 8"):
        ge.task("graphs/graph8c", data_dir=tmp_path, nodes=9)
