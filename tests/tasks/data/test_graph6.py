"""graph6 and sparse6 by hand and by networkx; what is no simple graph is named with file and line."""

import networkx as nx
import numpy as np
import pytest

from geoequiv.errors import DataError
from geoequiv.tasks.data.graph6 import padded, read_graph6


def written(tmp_path, *lines):
    path = tmp_path / "some.g6"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_graphs_by_hand(tmp_path):
    """McKay's example: 'DQc' has five nodes and the edges 0–2, 0–4, 1–3, 3–4."""
    first, single = read_graph6(written(tmp_path, b">>graph6<<DQc", b"", b"@"))
    assert {tuple(each) for each in np.argwhere(np.triu(first)).tolist()} == {(0, 2), (0, 4), (1, 3), (3, 4)}
    assert (first == first.T).all()
    assert single.shape == (1, 1)


@pytest.mark.parametrize("write", [nx.to_graph6_bytes, nx.to_sparse6_bytes])
def test_graphs_come_back(tmp_path, write):
    graphs = [nx.gnp_random_graph(n, 0.4, seed=n) for n in (1, 5, 17, 70)]
    found = read_graph6(written(tmp_path, *(write(graph).strip() for graph in graphs)))
    for graph, matrix in zip(graphs, found, strict=True):
        assert (nx.to_numpy_array(graph, nodelist=range(len(graph))) == matrix).all()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (nx.to_sparse6_bytes(nx.Graph([(0, 0), (0, 1)])).strip(), "a self-loop at node 0"),
        (nx.to_sparse6_bytes(nx.MultiGraph([(0, 1), (0, 1)])).strip(), "the edge 0–1 is there twice"),
        (b"DQ", "'DQ' is no graph"),
        (b"DQcc", "'DQcc' is no graph"),
        (b"D c", "holds the byte 32"),
        (b"&AG", "directed"),
        (b"~?~~?", "4096|no graph"),
        (b"~~~~~~~~", "at most 4096"),
    ],
)
def test_wrong_lines_are_named(tmp_path, line, message):
    with pytest.raises(DataError, match=rf"some\.g6, line 2: .*({message})"):
        read_graph6(written(tmp_path, b"DQc", line))


def test_empty_and_missing_files(tmp_path):
    with pytest.raises(DataError, match="holds no graph"):
        read_graph6(written(tmp_path, b""))
    with pytest.raises(DataError, match="cannot be read"):
        read_graph6(tmp_path / "absent.g6")


def test_smaller_graphs_are_padded():
    adjacency, real = padded([np.ones((1, 1), np.uint8), np.ones((3, 3), np.uint8)])
    assert adjacency.sum((1, 2)).tolist() == [1, 9]
    assert real.tolist() == [[True, False, False], [True, True, True]]
