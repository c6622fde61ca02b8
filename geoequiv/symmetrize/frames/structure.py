"""What tells the nodes of a graph apart: colours of nodes and of pairs, from everything that is given for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import BatchError, SignatureError
from geoequiv.fields import Layout, Side
from geoequiv.symmetrize.frames.refinement import cells_of, joint_ranks, snapped


@dataclass(frozen=True, eq=False)
class Structure:
    """Colours of the graphs of a batch, in whole numbers; they say which values are equal and which is larger.

    Args:
        nodes: ``[B, n]`` int64, the number of nodes in earlier cells.
        pairs: ``[B, n, n]`` int64, below n²; of (i, j) and (j, i) at once.
    """

    nodes: Tensor
    pairs: Tensor

    @classmethod
    def of(
        cls, fields: Mapping[str, Any], side: Side, layout: Layout, n: int, dim: int, tolerance: float
    ) -> "Structure":
        """Read it off a batch of graphs with n nodes each.

        Nodes are ordered by the mask, then by their own values in the order of the signature, then by their entries
        on the diagonal of adjacencies, then by their degrees (row sums, column sums).
        """
        nodes, pairs = columns_of(fields, side, layout, n, dim)
        if layout.mask is not None:
            mask = layout.mask.reshape(-1, n)
            both = mask.unsqueeze(-1) & mask.unsqueeze(-2)
            nodes = [mask.unsqueeze(-1).double(), *(torch.where(mask.unsqueeze(-1), each, 0) for each in nodes)]
            pairs = [torch.where(both.unsqueeze(-1), each, 0) for each in pairs]
        nodes = [snapped(each.flatten(1), tolerance).reshape(each.shape) for each in nodes]
        pairs = [snapped(each.flatten(1), tolerance).reshape(each.shape) for each in pairs]
        directed = [each for each in pairs if not torch.equal(each, each.transpose(1, 2))]
        both_ways = [*pairs, *(each.transpose(1, 2) for each in directed)]
        if not nodes and not pairs:
            raise SignatureError(f"No input of ({side}) has values on nodes: there is nothing to order {n} nodes by.")
        nodes += [each.diagonal(dim1=1, dim2=2).mT for each in pairs] + [degrees(each) for each in both_ways]
        joint = joint_ranks([column for each in nodes for column in each.unbind(-1)])
        colours = cells_of(torch.zeros_like(joint), joint)
        if not pairs:
            return cls(colours, colours.new_zeros(*colours.shape, n))
        entries = joint_ranks([column.flatten(1) for each in both_ways for column in each.unbind(-1)])
        return cls(colours, entries.reshape(-1, n, n))


def degrees(values: Tensor) -> Tensor:
    """Sums over the second of two nodes, ``[B, n, n, k]`` to ``[B, n, k]``, in fixed point of 40 binary digits.

    Whole numbers add up to the same bits in any order.
    """
    exponent = values.abs().amax((1, 2, 3), keepdim=True).frexp().exponent.long().clamp(-900, 1000)
    scale = ((1023 + 40 - exponent) << 52).view(torch.float64)  # a power of two, put together from its bits
    return (values * scale).round().long().sum(2)


def columns_of(
    fields: Mapping[str, Any], side: Side, layout: Layout, n: int, dim: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Values of nodes ``[B, n, k]`` and of pairs ``[B, n, n, k]`` of every input that has some, in float64."""
    nodes, pairs, edges = [], [], []
    for name, kind in side.items():
        values = fields[name].detach().double()
        items = len(layout.shape)
        if kind.kind == "label":  # belongs to a position, not to a node: relabelling leaves it
            continue
        if layout.is_ragged:
            if layout.on_nodes(values, 0, name, kind):
                whole = values.unsqueeze(0) if kind.kind == "adjacency" else values[layout.members(n)]
                axes: tuple[int, ...] = (1, 2) if kind.kind == "adjacency" else (1,)
            elif kind.kind in ("node", "adjacency"):
                whole, axes = values, kind.node_axes(values, items, n, dim, name)
            else:
                edges += [name] if layout.on_edges(values, 0, name, kind) else []
                continue
        else:
            whole, axes = values, kind.node_axes(values, items, n, dim, name)
        if len(axes) == 1:
            nodes.append(by_node(whole.movedim(axes[0], items), items, 1))
        elif axes:
            pairs.append(by_node(whole.movedim(axes, (items, items + 1)), items, 2))
    if layout.edges is not None:
        pairs.append(edge_values(fields, edges, side, layout, n))
    return nodes, pairs


def by_node(values: Tensor, items: int, axes: int) -> Tensor:
    """``[*shape, n, …]`` as ``[B, n, k]``, or with two axes of nodes ``[B, n, n, k]``."""
    lengths = values.shape[items : items + axes]
    batch = values.shape[:items].numel()
    return values.reshape(batch, *lengths, values.shape[items + axes :].numel())


def edge_values(fields: Mapping[str, Any], named: list[str], side: Side, layout: Layout, n: int) -> Tensor:
    """How many edges lead from each node to each other, and what is given per edge: ``[G, n, n, 1 + k]``.

    Tensors with a row per edge count whether the signature names them or not, as edges take them along.
    """
    assert layout.edges is not None
    assert layout.batch is not None
    edges, batch = layout.edges, layout.batch
    unread = [name for name in layout.indices if name != "edge_index"]
    if unread:
        raise BatchError(
            f"'{unread[0]}' holds numbers of nodes, which would be relabelled; frames of graphs are computed from "
            "edge_index alone and would take nodes for alike that it tells apart. Leave it out, or average over S(n)."
        )
    place, graphs = layout.places(n), layout.shape[0]
    if not torch.equal(batch[edges[0]], batch[edges[1]]):
        raise BatchError("edge_index holds an edge between two graphs.")
    flat = (batch[edges[0]] * n + place[edges[0]]) * n + place[edges[1]]
    counts = torch.bincount(flat, minlength=graphs * n * n)
    others = [
        name
        for name, value in fields.items()
        if name not in side and name not in ("batch", "ptr") and isinstance(value, Tensor) and value.ndim
        and value.shape[0] == edges.shape[1] and (value.shape[0] not in (layout.nodes, graphs) or "edge" in name)
        and name != "edge_index"
    ]  # fmt: skip
    given = [fields[name].detach().double().reshape(edges.shape[1], -1) for name in [*named, *others]]
    if not given:
        return counts.double().reshape(-1, n, n, 1)
    if bool((counts > 1).any()):
        raise BatchError(
            f"edge_index holds an edge twice, with '{[*named, *others][0]}' for each: such edges cannot be told apart "
            "in an order of the nodes. Merge them."
        )
    values = torch.cat(given, -1)
    table = values.new_zeros(len(counts), values.shape[-1]).index_put((flat,), values)
    return torch.cat([counts.double().unsqueeze(-1), table], -1).reshape(-1, n, n, 1 + values.shape[-1])
