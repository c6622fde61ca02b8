"""How the items of a batch are told apart, and how a batch is repeated."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from geoequiv.errors import BatchError
from geoequiv.fields.signature import Side
from geoequiv.fields.types import FieldType, Rows
from geoequiv.fields.uncompiled import uncompiled
from geoequiv.groups import Element

#: PyG's rule for the names of what is given per edge
EDGES = re.compile(r"(^|_)edges?(_|$)")
#: types that are given per node, unless they say per graph or per edge
NEVER_EDGES = ("point", "node", "adjacency", "label")
PerItem = TypeVar("PerItem", Tensor, Element)


def is_index(name: str, value: object, pyg: bool = False) -> bool:
    """Whether a tensor holds node numbers without being declared to.

    ``edge_index``, and what PyG names so (``index`` in the name, or ``face``) if it is an integer matrix; of a PyG
    object, whatever PyG takes for one.
    """
    if not isinstance(value, Tensor) or value.is_floating_point() or value.dtype == torch.bool:
        return False
    if name == "edge_index":
        return True
    named = name.endswith("_index") or name == "face"
    return ("index" in name or name == "face") if pyg else named and value.ndim == 2 and len(value) in (2, 3, 4)


@dataclass(frozen=True, eq=False)
class Layout:
    """How a batch of clouds is laid out.

    Args:
        shape: batch shape. Dense: the axes before the node axis; ragged: ``(number of graphs,)``.
        nodes: dense: length of the node axis; ragged: number of nodes of all graphs together.
        mask: dense only, ``[*shape, nodes]`` bool, True for real nodes; ``None`` when all are.
        batch: ragged only, ``[nodes]`` int64, the graph of each node; ``None`` marks the dense layout.
        edges: ragged only, ``[2, E]`` int64, where the batch has an ``edge_index``.
        edges_declared: whether the signature says of some input that it is ``per edge``: then what does not say is not.
        dim: of space.
        indices: names of the tensors that hold node numbers, ``edge_index`` among them.
        constants: names of tensors that are the same for all clouds.
        round_off: relative round-off of the values, where it is more than that of their dtype: of a float16 or bfloat16
            batch that was cast to float32.
    """

    shape: tuple[int, ...]
    nodes: int
    mask: Tensor | None = None
    batch: Tensor | None = None
    edges: Tensor | None = None
    edges_declared: bool = False
    dim: int = 3
    indices: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()
    round_off: float | None = None

    def eps(self, values: Tensor) -> float:
        """Relative round-off of a tensor of this batch: of its dtype, or of the one it was cast from."""
        return max(torch.finfo(values.dtype).eps, self.round_off or 0.0)

    @property
    def is_ragged(self) -> bool:
        """Whether clouds of different sizes lie one behind the other."""
        return self.batch is not None

    @classmethod
    def of(
        cls,
        fields: Mapping[str, Any],
        side: Side,
        dim: int = 3,
        names: tuple[tuple[str, str], ...] = (),
        pyg: bool = False,
    ) -> "Layout":
        """Read the layout of a batch off its fields and their types.

        Ragged if there is a ``batch`` vector, ``edge_index`` or another tensor of node numbers; else dense, with the
        node axis right before the trailing axes of the field that has most axes, scalars and images aside.

        Args:
            names: roles of tensors without a type (see ``Signature``).
            pyg: whether these are the attributes of a PyG object, whose names have PyG's meaning.

        Raises:
            BatchError: a field is missing or not a float tensor, a mask or batch index does not fit, a graph is empty.
        """
        for name in side:
            if name not in fields:
                raise BatchError(f"The signature names '{name}', but the batch holds only {sorted(map(str, fields))}.")
            check_numbers(fields[name], name, side[name])
        indices = tuple(name for name, value in fields.items() if name not in side and is_index(name, value, pyg))
        indices += tuple(n for n, role in names if role == "index" and isinstance(fields.get(n), Tensor))
        constants = tuple(name for name, role in names if role == "constant")
        edges = fields.get("edge_index")
        batch = fields.get("batch")
        axes = {name: kind.lead(fields[name], dim, name) for name, kind in side.items() if not kind.is_scalar}
        if not axes:  # scalars only: the first axis is the only one that can tell items apart
            axes = {name: tuple(fields[name].shape[:2]) for name in side}
        whole = [name for name, kind in side.items() if kind.kind == "image" or kind.rows in ("graph", "edge")]
        located = side.of_kind("point", "node", "adjacency")  # the other types may be given per edge and not say so
        name = sorted(axes, key=lambda name: (-len(axes[name]), name in whole, name not in located))[0]
        lead = axes[name]
        if batch is None and indices:
            batch = torch.zeros(lead[0] if lead else 0, dtype=torch.int64, device=fields[name].device)
        if batch is not None:
            graphs = check_batch_index(batch)
            if isinstance(fields.get("ptr"), Tensor) and len(fields["ptr"]) > graphs + 1:
                raise BatchError(f"Graph {graphs} of the batch is empty: no node belongs to it.")
            told = any(kind.per_edge for kind in side.values())
            layout = cls((graphs,), len(batch), batch=batch, edges=edges, edges_declared=told, dim=dim)
            layout = replace(layout, indices=indices, constants=constants)
            for other in axes:
                layout.row_kinds(fields[other], 0, other, side[other])
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
        if edged := [other for other, kind in side.items() if kind.per_edge]:
            raise BatchError(
                f"Field '{edged[0]}' is a {side[edged[0]]}, but the batch has no edges: give 'edge_index' [2, E], with "
                "clouds one behind the other and a 'batch' index."
            )
        layout = cls(lead[:-1], lead[-1] if lead else 1, mask=fields.get("mask"), dim=dim, constants=constants)
        if layout.mask is not None:
            check_mask(layout.mask, lead, name)
        for other, found in axes.items():
            if found[: len(layout.shape)] != layout.shape:
                raise BatchError(
                    f"Fields '{name}' and '{other}' disagree about the batch: {list(fields[name].shape)} "
                    f"against {list(fields[other].shape)}."
                )
        return layout

    def row_kinds(self, values: Tensor, lead: int, name: str, kind: FieldType) -> tuple[Rows, ...]:
        """Ragged: what the rows of ``values`` (axis ``lead``) can be; the type says, or their number.

        Rows of a type that does not say are edges only where the name does (PyG's rule: ``edge_attr``), or where no
        field of the signature says ``per edge`` and there are as many as edges.

        Raises:
            BatchError: if there are as many rows as of nothing that they can be.
        """
        found = values.shape[lead] if values.ndim > lead else 0
        counts: dict[Rows, int] = {"node": self.nodes, "graph": self.shape[0]}
        if self.edges is not None:
            counts["edge"] = self.edges.shape[1]
        fits: tuple[Rows, ...] = tuple(rows for rows, count in counts.items() if count == found)
        if kind.rows is not None:
            if kind.rows in fits:
                return (kind.rows,)
            if kind.rows not in counts:
                raise BatchError(f"Field '{name}' is a {kind}, but the batch has no edges: it holds no 'edge_index'.")
            raise BatchError(
                f"Field '{name}' has {found} rows, expected one for each of {counts[kind.rows]} {kind.rows}s ({kind})."
            )
        if "edge" in fits and EDGES.search(name):
            return ("edge",)
        if kind.kind in NEVER_EDGES or self.edges_declared:
            fits = tuple(rows for rows in fits if rows != "edge")
        if not fits:
            listed = ", ".join(f"{count} {rows}s" for rows, count in counts.items())
            raise BatchError(f"Field '{name}' has {found} rows: that fits none of the {listed} of the batch.")
        return fits

    def rows(self, values: Tensor, lead: int, name: str, kind: FieldType) -> Tensor | None:
        """Ragged: the graph of each row of ``values`` (axis ``lead``); ``None`` where rows are graphs already.

        Raises:
            BatchError: if there are as many rows as of nothing in the batch, or as of several things, so that they
                belong to other graphs according to what they are, and the type does not say.
        """
        assert self.batch is not None
        kinds = self.row_kinds(values, lead, name, kind)
        if len(kinds) > 1 and not self._agree(kinds):
            raise BatchError(ambiguous(name, kind, kinds))
        return self._graphs(kinds[0])

    def _graphs(self, rows: Rows) -> Tensor | None:
        """The graph of each node or edge; ``None`` for graphs."""
        assert self.batch is not None
        if rows == "edge":
            assert self.edges is not None
            return self.batch[self.edges[0]]
        return self.batch if rows == "node" else None

    def _agree(self, kinds: tuple[Rows, ...]) -> bool:
        """Whether rows belong to the same graphs whichever of these they are."""
        assert self.batch is not None
        numbers = torch.arange(self.shape[0], device=self.batch.device)
        first, *others = (numbers if (graphs := self._graphs(rows)) is None else graphs for rows in kinds)
        return all(torch.equal(first, other) for other in others)

    def on_nodes(self, values: Tensor, lead: int, name: str, kind: FieldType) -> bool:
        """Ragged: whether the rows of ``values`` (axis ``lead``) are the nodes of the batch."""
        return self._are("node", values, lead, name, kind)

    def on_edges(self, values: Tensor, lead: int, name: str, kind: FieldType) -> bool:
        """Ragged: whether the rows of ``values`` (axis ``lead``) are the edges of the batch."""
        return self._are("edge", values, lead, name, kind)

    def _are(self, rows: Rows, values: Tensor, lead: int, name: str, kind: FieldType) -> bool:
        kinds = self.row_kinds(values, lead, name, kind)
        if set(kinds) == {"node", "graph"} and self._agree(kinds):
            kinds = ("node",)  # clouds of one node
        if len(kinds) > 1:
            raise BatchError(ambiguous(name, kind, kinds))
        return kinds[0] == rows

    def has_node_axis(self, values: Tensor, name: str, kind: FieldType) -> bool:
        """Dense: whether the first axis of ``values`` after those of the batch is that of the nodes."""
        items = len(self.shape)
        if kind.rows in ("graph", "edge") or kind.kind == "image" or values.ndim <= items:
            return False
        if values.shape[items] != self.nodes:
            return False
        if kind.is_scalar:
            return values.ndim > items + 1 or kind.multiplicity != self.nodes
        return values.ndim - kind.trailing(values, self.dim, name) > items

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

    def align(self, per_item: PerItem, values: Tensor, lead: int, name: str, kind: FieldType) -> PerItem:
        """What is given per item, ``[*replicas, *shape, …]``, ready to meet ``values`` with ``lead`` replica axes.

        In a ragged batch a node takes what belongs to its graph; lengths of 1 broadcast.
        """
        if not self.is_ragged or len(per_item.shape) <= lead or per_item.shape[lead] == 1:
            return per_item
        index = self.rows(values, lead, name, kind)
        return per_item if index is None else per_item[(slice(None),) * lead + (index,)]


def ambiguous(name: str, kind: FieldType, kinds: tuple[Rows, ...]) -> str:
    """Message for a field that has as many rows as there are of several things."""
    things = " and ".join(f"{rows}s" for rows in kinds)
    ways = " or ".join(f"'{name}: {kind} per {rows}'" for rows in kinds)
    return (
        f"Field '{name}' has as many rows as this batch has {things}, and the signature does not say which they are: "
        f"write {ways}."
    )


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


def check_numbers(values: object, name: str, kind: FieldType) -> None:
    """Raise BatchError unless it is a tensor of floating-point numbers; scalars and labels may be whole numbers too."""
    if not isinstance(values, Tensor):
        raise BatchError(f"Field '{name}' must be a tensor, got {type(values).__name__}.")
    if not values.is_floating_point() and (kind.kind not in ("scalar", "label") or values.is_complex()):
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
        raise BatchError(
            f"The mask of {item} leaves no point: it is empty (True is a real node; '~mask' declares one of padding)."
        )


@uncompiled  # looks at values
def check_finite(fields: Mapping[str, Tensor], side: Side, layout: Layout) -> None:
    """Raise BatchError naming the first item with a coordinate that is not finite (masked-out nodes do not count)."""
    if side and bool(torch.stack([torch.isfinite(fields[name]).all() for name in side]).all()):
        return  # one wait for the device, however many fields there are
    for name in side:
        finite = torch.isfinite(fields[name])
        if bool(finite.all()):
            continue
        bad = ~finite
        mask = layout.mask
        if mask is not None and layout.has_node_axis(fields[name], name, side[name]):
            bad = bad & mask.reshape(*mask.shape, *(1,) * (bad.ndim - mask.ndim))
        if not bool(bad.any()):
            continue
        place = bad.nonzero()[0].tolist()
        if layout.batch is not None:
            graphs = layout.rows(fields[name], 0, name, side[name])
            item = [place[0] if graphs is None else int(graphs[place[0]])]
        else:
            item = place[: len(layout.shape)]
        raise BatchError(f"Field '{name}' is not finite in {item_text(item)} (first at index {place}).")


def finite_where_hidden(values: Tensor, layout: Layout, name: str, kind: FieldType) -> Tensor:
    """A field with zeros for what is masked out and not finite, as 0 · NaN is NaN in the gradient of a frame."""
    mask = layout.mask
    if mask is None or not layout.has_node_axis(values, name, kind):
        return values
    return torch.where(values.isfinite() | mask[(..., *(None,) * (values.ndim - mask.ndim))], values, 0)
