"""All connected graphs of a size, one of each isomorphism class, made by adding a node at a time."""

import torch
from torch import Tensor

from geoequiv.groups import group
from geoequiv.symmetrize.frames.sorting import SortingFrame

VERSION = 1  # raise when the list or its order changes
#: graphs that are brought into canonical order at once
BLOCK = 2**14
#: connected graphs on 1, 2, 3, … nodes (OEIS A001349)
COUNTS = (1, 1, 2, 6, 21, 112, 853, 11117)


def connected_graphs(nodes: int) -> Tensor:
    """All connected simple graphs on so many nodes up to isomorphism, in a fixed order.

    Every connected graph has a node without which it is still connected: all come from the smaller ones by a new node
    that is joined to any set of the others. Each is brought into the order of `SortingFrame`, and equal ones are one.

    Args:
        nodes: 1 to 8.

    Returns:
        Adjacencies ``[m, nodes, nodes]`` uint8; m = 1, 1, 2, 6, 21, 112, 853, 11117.

    Exactness: whole numbers; the number of graphs is checked against the known one.
    """
    assert 1 <= nodes <= len(COUNTS), "larger lists take too long"
    graphs = torch.zeros(1, 1, 1, dtype=torch.uint8)
    for size in range(2, nodes + 1):
        graphs = without_copies(with_a_node(graphs))
        assert len(graphs) == COUNTS[size - 1], f"{len(graphs)} connected graphs on {size} nodes"
    return graphs


def with_a_node(graphs: Tensor) -> Tensor:
    """Each graph with a further node, joined to each nonempty set of the others: ``[m·(2ⁿ − 1), n + 1, n + 1]``."""
    n = graphs.shape[-1]
    joined = (torch.arange(1, 2**n).unsqueeze(1) >> torch.arange(n)) & 1
    larger = torch.zeros(len(graphs), len(joined), n + 1, n + 1, dtype=torch.uint8)
    larger[..., :n, :n] = graphs.unsqueeze(1)
    larger[..., n, :n] = joined
    larger[..., :n, n] = joined
    return larger.flatten(0, 1)


def without_copies(graphs: Tensor) -> Tensor:
    """One graph of each isomorphism class, by the number that its canonical adjacency spells."""
    n = graphs.shape[-1]
    row, column = torch.triu_indices(n, n, 1)
    powers = 1 << torch.arange(len(row))
    frame = SortingFrame(group(f"S({n})"))
    codes = []
    for some in graphs.split(BLOCK):
        order = frame({"adj": some.float()}, "adj: adjacency")[0].permutation
        assert order is not None
        index = torch.arange(len(some))[:, None, None]
        canonical = some[index, order[0].unsqueeze(-1), order[0].unsqueeze(-2)]
        codes.append((canonical[:, row, column].long() * powers).sum(1))
    bits = ((torch.cat(codes).unique().unsqueeze(1) >> torch.arange(len(row))) & 1).to(torch.uint8)
    found = torch.zeros(len(bits), n, n, dtype=torch.uint8)
    found[:, row, column] = bits
    found[:, column, row] = bits
    return found
