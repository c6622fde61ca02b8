"""How the items of a batch are told apart, and how a batch is repeated."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from geoequiv.errors import BatchError
from geoequiv.fields.graphs import named_fields
from geoequiv.fields.signature import Side
from geoequiv.fields.uncompiled import uncompiled
from geoequiv.groups import Element

PerItem = TypeVar("PerItem", Tensor, Element)


def is_index(name: str) -> bool:
    """Whether a field by this name holds node numbers (PyG's rule: ``face``, or ``index`` in the name)."""
    return "index" in name or name == "face"


@dataclass(frozen=True, eq=False)
class Layout:
    """How a batch of clouds is laid out.

    Args:
        shape: batch shape. Dense: the axes before the node axis; ragged: ``(number of graphs,)``.
        nodes: dense: length of the node axis; ragged: number of nodes of all graphs together.
        mask: dense only, ``[*shape, nodes]`` bool, True for real nodes; ``None`` when all are.
        batch: ragged only, ``[nodes]`` int64, the graph of each node; ``None`` marks the dense layout.
        edges: ragged only, ``[2, E]`` int64, where the batch has an ``edge_index``.
    """

    shape: tuple[int, ...]
    nodes: int
    mask: Tensor | None = None
    batch: Tensor | None = None
    edges: Tensor | None = None

    @property
    def is_ragged(self) -> bool:
        """Whether clouds of different sizes lie one behind the other."""
        return self.batch is not None

    @classmethod
    def of(cls, fields: Mapping[str, Tensor], side: Side, dim: int = 3) -> "Layout":
        """Read the layout of a batch off its fields and their types.

        Ragged if there is a ``batch`` vector or an index field such as ``edge_index``; else dense, with the node axis
        right before the trailing axes of the field that has most axes, scalars and images aside.

        Raises:
            BatchError: a field is missing or not a float tensor, a mask or batch index does not fit, a graph is empty.
        """
        for name in side:
            if name not in fields:
                raise BatchError(f"The signature names '{name}', but the batch holds only {sorted(map(str, fields))}.")
            check_float(fields[name], name)
        edges = fields.get("edge_index")
        batch = fields.get("batch")
        axes = {name: kind.lead(fields[name], dim, name) for name, kind in side.items() if not kind.is_scalar}
        if not axes:  # scalars only: the first axis is the only one that can tell items apart
            axes = {name: tuple(fields[name].shape[:2]) for name in side}
        whole = [name for name, kind in side.items() if kind.kind == "image" or kind.per_graph]
        name = sorted(axes, key=lambda name: (-len(axes[name]), name in whole))[0]
        lead = axes[name]
        if batch is None and any(is_index(key) and isinstance(fields[key], Tensor) for key in fields):
            batch = torch.zeros(lead[0] if lead else 0, dtype=torch.int64, device=fields[name].device)
        if batch is not None:
            graphs = check_batch_index(batch)
            if isinstance(fields.get("ptr"), Tensor) and len(fields["ptr"]) > graphs + 1:
                raise BatchError(f"Graph {graphs} of the batch is empty: no node belongs to it.")
            layout = cls((graphs,), len(batch), batch=batch, edges=edges)
            for other in axes:
                layout.rows(fields[other], 0, other, side[other].per_graph)
                if side[other].rank and len(axes[other]) > 1 + side[other].per_graph:
                    raise BatchError(
                        f"Field '{other}' of shape {list(fields[other].shape)} has a batch axis, where a 'batch' index "
                        "(or an index of edges) tells the clouds apart: put them one behind the other, [nodes, …]."
                    )
            if isinstance(fields.get("mask"), Tensor):
                raise BatchError("A batch has a 'batch' index or a 'mask', not both: leave out what is masked out.")
            return layout
        if lead and lead[-1] == 0:
            raise BatchError(f"Field '{name}' of shape {list(fields[name].shape)} has clouds with no points.")
        if 0 in lead:
            raise BatchError(f"The batch is empty: field '{name}' of shape {list(fields[name].shape)} has no clouds.")
        layout = cls(lead[:-1], lead[-1] if lead else 1, mask=fields.get("mask"))
        if layout.mask is not None:
            check_mask(layout.mask, lead, name)
        for other, found in axes.items():
            if found[: len(layout.shape)] != layout.shape:
                raise BatchError(
                    f"Fields '{name}' and '{other}' disagree about the batch: {list(fields[name].shape)} "
                    f"against {list(fields[other].shape)}."
                )
        return layout

    def rows(self, values: Tensor, lead: int, name: str = "field", per_graph: bool = False) -> Tensor | None:
        """Ragged: the graph of each row of ``values`` (axis ``lead``); ``None`` where rows are graphs already.

        The length tells which; ``per_graph`` says that they have to be graphs.

        Raises:
            BatchError: if the rows are neither the nodes, nor the edges, nor the graphs of the batch.
        """
        assert self.batch is not None
        rows = values.shape[lead] if values.ndim > lead else 0
        if per_graph:
            if rows == self.shape[0]:
                return None
            raise BatchError(f"Field '{name}' has {rows} rows, expected one for each of {self.shape[0]} graphs.")
        of_edges = self.edges is not None and rows == self.edges.shape[1]
        if rows == self.nodes and not (of_edges and "edge" in name):  # PyG's rule where there are as many edges
            return self.batch
        if of_edges:
            assert self.edges is not None
            return self.batch[self.edges[0]]
        if rows == self.shape[0]:
            return None
        raise BatchError(
            f"Field '{name}' has {rows} rows: that fits neither the {self.nodes} nodes of the batch index nor its "
            f"{self.shape[0]} graphs."
        )

    def on_nodes(self, values: Tensor, lead: int, name: str = "field", per_graph: bool = False) -> bool:
        """Ragged: whether the rows of ``values`` (axis ``lead``) are the nodes of the batch."""
        return self.rows(values, lead, name, per_graph) is self.batch

    def on_edges(self, values: Tensor, lead: int, name: str = "field", per_graph: bool = False) -> bool:
        """Ragged: whether the rows of ``values`` (axis ``lead``) are the edges of the batch."""
        rows = self.rows(values, lead, name, per_graph)
        return rows is not None and rows is not self.batch

    def members(self, nodes: int) -> Tensor:
        """Ragged, all graphs of ``nodes`` nodes: the rows of each graph in their order, ``[graphs, nodes]``."""
        assert self.batch is not None
        return self.batch.argsort(stable=True).reshape(self.shape[0], nodes)

    def places(self, nodes: int) -> Tensor:
        """Ragged, all graphs of ``nodes`` nodes: the number that each row has in its graph, ``[rows]``."""
        members = self.members(nodes)
        numbers = torch.arange(nodes, device=members.device).expand_as(members)
        return torch.empty_like(members.flatten()).scatter(0, members.flatten(), numbers.flatten())

    def across(self, permutation: Tensor, lead: int) -> Tensor:
        """Ragged: relabellings of each graph, ``[*replicas, *shape, n]``, as those of all rows, ``[*replicas, nodes]``.

        Args:
            permutation: without the axis of the graphs, or with a length of 1 there, it is the same for all.
            lead: number of replica axes.
        """
        members = self.members(permutation.shape[-1])
        permutation = permutation.to(members.device)
        if permutation.ndim == lead + 1:
            permutation = permutation.unsqueeze(lead)
        replicas = permutation.shape[:lead]
        places = members.expand(*replicas, *members.shape).gather(-1, permutation.expand(*replicas, *members.shape))
        rows = members.flatten().expand(*replicas, self.nodes)
        return torch.empty_like(rows).scatter(-1, rows, places.flatten(-2))

    def align(
        self, per_item: PerItem, values: Tensor, lead: int = 0, name: str = "field", per_graph: bool = False
    ) -> PerItem:
        """What is given per item, ``[*replicas, *shape, …]``, ready to meet ``values`` with ``lead`` replica axes.

        In a ragged batch a node takes what belongs to its graph; lengths of 1 broadcast.
        """
        if not self.is_ragged or len(per_item.shape) <= lead or per_item.shape[lead] == 1:
            return per_item
        index = self.rows(values, lead, name, per_graph)
        return per_item if index is None else per_item[(slice(None),) * lead + (index,)]


def layout_of(inputs: Any, side: Side, dim: int = 3) -> Layout:
    """How a batch of inputs, a dict of tensors or a PyG object, is laid out."""
    return Layout.of(named_fields(inputs), side, dim)


def item_text(place: list[int]) -> str:
    """How messages name an item by its place in the batch shape."""
    return f"item {place[0] if len(place) == 1 else place}" if place else "the cloud"


def check_nodes(element: Element, layout: Layout) -> None:
    """Raise BatchError if the element relabels nodes and the batch does not consist of clouds of that many."""
    if element.nodes is None:
        return
    if layout.batch is not None:
        sizes = torch.bincount(layout.batch)
        if bool((sizes != element.nodes).any()):
            graph = int((sizes != element.nodes).nonzero()[0])
            raise BatchError(
                f"The group relabels {element.nodes} nodes, but graph {graph} of this batch has {int(sizes[graph])}. "
                "Graphs of different sizes can be padded to a dense batch with a mask, which is relabelled with them."
            )
    elif layout.nodes != element.nodes:
        raise BatchError(
            f"The group relabels {element.nodes} nodes, but the clouds of this batch have {layout.nodes}. "
            "(Where all fields belong to whole items, give the layout of the inputs: act(…, layout=…).)"
        )


def check_float(values: object, name: str) -> None:
    """Raise BatchError unless it is a tensor of floating-point numbers."""
    if not isinstance(values, Tensor):
        raise BatchError(f"Field '{name}' must be a tensor, got {type(values).__name__}.")
    if not values.is_floating_point():
        raise BatchError(f"Field '{name}' must hold floating-point numbers, got {values.dtype}: convert with .float().")


def check_batch_index(batch: Tensor) -> int:
    """Number of graphs of a batch vector; BatchError if it is not one, or leaves a graph empty."""
    if batch.dtype != torch.int64 or batch.ndim != 1:
        raise BatchError(f"'batch' must be an int64 vector [nodes], got {batch.dtype} of shape {list(batch.shape)}.")
    if len(batch) == 0:
        raise BatchError("The batch is empty: it has no nodes.")
    if int(batch.min()) < 0:
        raise BatchError(f"'batch' holds a negative graph number, {int(batch.min())}.")
    sizes = torch.bincount(batch)
    if bool((sizes == 0).any()):
        empty = int((sizes == 0).nonzero()[0])
        raise BatchError(
            f"Graph {empty} of the batch is empty: no node belongs to it. Number graphs 0, 1, 2, … without gaps."
        )
    return len(sizes)


def check_mask(mask: Tensor, lead: tuple[int, ...], name: str) -> None:
    """Raise BatchError unless the mask is bool, fits the leading axes ``lead`` and leaves each cloud a point."""
    if mask.dtype != torch.bool or tuple(mask.shape) != lead:
        raise BatchError(
            f"'mask' must be bool of shape {list(lead)} to go with field '{name}', "
            f"got {mask.dtype} of shape {list(mask.shape)}."
        )
    if not bool(mask.any(-1).all()):
        item = item_text((~mask.any(-1)).nonzero()[0].tolist())
        raise BatchError(f"The mask of {item} leaves no point: it is empty.")


@uncompiled  # looks at values
def check_finite(fields: Mapping[str, Tensor], side: Side, layout: Layout) -> None:
    """Raise BatchError naming the first item with a coordinate that is not finite (masked-out nodes do not count)."""
    for name in side:
        finite = torch.isfinite(fields[name])
        if bool(finite.all()):
            continue
        bad = ~finite
        mask = None if side[name].per_graph else layout.mask
        if mask is not None and bad.shape[: mask.ndim] == mask.shape:
            bad = bad & mask.reshape(*mask.shape, *(1,) * (bad.ndim - mask.ndim))
        if not bool(bad.any()):
            continue
        place = bad.nonzero()[0].tolist()
        if layout.batch is not None:
            item = [int(layout.batch[place[0]]) if bad.shape[0] == layout.nodes else place[0]]
        else:
            item = place[: len(layout.shape)]
        raise BatchError(f"Field '{name}' is not finite in {item_text(item)} (first at index {place}).")


def finite_where_hidden(values: Tensor, layout: Layout) -> Tensor:
    """A field with zeros for what is masked out and not finite, as 0 · NaN is NaN in the gradient of a frame."""
    mask = layout.mask
    if mask is None or values.shape[: mask.ndim] != mask.shape:
        return values
    return torch.where(values.isfinite() | mask[(..., *(None,) * (values.ndim - mask.ndim))], values, 0)
