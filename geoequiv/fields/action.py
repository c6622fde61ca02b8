"""The only place where a batch is transformed."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import BatchError, GroupError
from geoequiv.fields.graphs import graph_fields, is_graph, repeat_graph, with_fields
from geoequiv.fields.layout import Layout, check_nodes, check_numbers
from geoequiv.fields.relabel import relabel
from geoequiv.fields.signature import Side
from geoequiv.fields.types import FieldType
from geoequiv.groups import Element


def act(element: Element | Tensor, fields: Any, side: str | Side, layout: Layout | None = None) -> Any:
    r"""Transform the fields a signature side names; everything else passes through untouched.

    Where the element relabels nodes, a ``mask`` goes along with them, and so do the node numbers in ``edge_index`` and
    the like; edges keep their order and what is given per edge.

    .. math:: (x_k)_k \mapsto (\rho_k(g)\, x_k)_k

    Args:
        element: one group element, or one per item: batch shape ``()`` or the batch shape of the fields. A tensor
            ``[..., d, d]`` stands for the elements with these orthogonal matrices.
        fields: a dict of tensors (dense ``[*shape, N, d]``, or ragged ``[n, d]`` with ``batch`` ``[n]``), or a PyG
            object. It is not changed.
        side: field name → type, such as ``signature.inputs`` or ``"pos: point, vel: vector"``.
        layout: how the batch is laid out, where it is known already (as it has to be to relabel the nodes of a side
            whose fields all belong to whole items, which a batch of such fields cannot tell from nodes).

    Returns:
        A new dict, or a shallow copy of the PyG object.

    Raises:
        BatchError: if fields, elements and layout do not fit together.
        GroupError, SignatureError: if the first is no element, or the third no side of a signature.

    Exactness: round-off of the fields' dtype; the element is cast to it.
    """
    if isinstance(element, Tensor):
        element = Element(element)
    if not isinstance(element, Element):
        raise GroupError(
            f"An element of a group acts, such as group('SO(3)').sample(); got {type(element).__name__} {element!s}."
        )
    side = Side.parse(side)
    if is_graph(fields):
        found = graph_fields(fields)
        layout = layout or Layout.of(found, side, element.dim, pyg=True)
        transformed = act(element, found, side, layout)
        changed = [name for name in transformed if name in side or transformed[name] is not found.get(name)]
        return with_fields(fields, {name: transformed[name] for name in changed})
    if layout is None and (element.shape or element.nodes is not None):
        layout = Layout.of(fields, side, element.dim)
    if layout is not None:
        check_batch(element, layout)
        check_nodes(element, layout)
    transformed = dict(fields)
    if element.permutation is not None and layout is not None and layout.is_ragged:
        transformed |= relabelled_indices(element.permutation, fields, side, layout, 0)
    elif element.permutation is not None and isinstance(fields.get("mask"), Tensor):
        transformed["mask"] = relabel(fields["mask"], element.permutation, -1)
    for name, kind in side.items():
        if name not in fields:
            raise BatchError(f"The signature names '{name}', but the batch holds only {sorted(map(str, fields))}.")
        values = fields[name]
        check_numbers(values, name, kind)
        transformed[name] = (
            kind.act(element, values, name) if layout is None else act_on_field(kind, element, values, name, layout)
        )
    return transformed


def act_on_field(kind: FieldType, element: Element, values: Tensor, name: str, layout: Layout, lead: int = 0) -> Tensor:
    """ρ(g) on one field of a batch, whatever its layout.

    Args:
        element: batch shape ``[*replicas, *shape]``; lengths of 1 broadcast.
        values: the field, behind ``lead`` replica axes.
    """
    items = lead + len(layout.shape)
    if element.permutation is not None and layout.is_ragged:
        n = element.permutation.shape[-1]
        if kind.kind != "label" and layout.on_nodes(values, lead, name, kind):
            rows = layout.across(element.permutation, lead)
            for axis in (lead, lead + 1) if kind.kind == "adjacency" else (lead,):
                values = relabel(values, rows, axis)
        elif kind.kind in ("node", "adjacency"):
            for axis in kind.node_axes(values, items, n, element.dim, name):
                values = relabel(values, element.permutation, axis)
        element = Element(element.linear, element.translation)
    return kind.act(layout.align(element, values, lead, name, kind), values, name, items)


def relabelled_indices(
    permutation: Tensor, fields: Mapping[str, Any], side: Side, layout: Layout, lead: int
) -> dict[str, Tensor]:
    """The fields of node numbers of a ragged batch, such as ``edge_index``: ``[*replicas, …]``."""
    names = [name for name in layout.indices if isinstance(fields.get(name), Tensor)]
    if not any(name not in side for name in names):
        return {}
    rows = layout.across(permutation, lead)
    return {name: rows[..., fields[name]] for name in names if name not in side}


def check_batch(element: Element, layout: Layout) -> None:
    """Raise BatchError unless the elements are one per item (lengths of 1 broadcast)."""
    shape = tuple(element.shape)
    if len(shape) > len(layout.shape) or any(a not in (1, b) for a, b in zip(shape, layout.shape, strict=False)):
        raise BatchError(
            f"Group elements of batch shape {list(shape)} do not fit a batch of shape {list(layout.shape)}: "
            "give one element, or one per item."
        )


def replicate(elements: Element, fields: Any, side: Side, layout: Layout, original: bool = False) -> Any:
    """F transformed copies of a batch, as one larger batch of the same layout.

    Args:
        elements: ``[F, *shape]`` (lengths of 1 broadcast over the items).
        fields: a dict of tensors, or a PyG object.
        side: types of the fields to transform.
        original: put the batch itself, bit for bit, before its copies, which makes F + 1.

    Returns:
        The same form: dense fields ``[F·B, …]`` (``[F, …]`` for a single cloud), ragged fields ``[F·n, …]`` with the
        batch vector and index fields offset copy by copy. Tensors that the signature does not name are repeated where
        they have one row per item, node or edge, and passed on untouched otherwise.
    """
    copies = elements.shape[0] + original
    graph = fields if is_graph(fields) else None
    found = graph_fields(graph) if graph is not None else fields
    transformed: dict[str, Any] = {}
    check_nodes(elements, layout)
    if elements.permutation is not None and layout.is_ragged:
        for name, numbers in relabelled_indices(elements.permutation, found, side, layout, 1).items():
            parts = [found[name], *numbers] if original else numbers
            transformed[name] = torch.cat([part + i * layout.nodes for i, part in enumerate(parts)], dim=-1)
    if elements.permutation is not None and layout.mask is not None:
        mask = relabel(layout.mask.expand(copies - original, *layout.mask.shape), elements.permutation, -1)
        transformed["mask"] = merge_replicas(torch.cat([layout.mask.unsqueeze(0), mask]) if original else mask, layout)
    for name, kind in side.items():
        values = found[name]
        check_numbers(values, name, kind)
        whole = values.expand(copies - original, *values.shape)
        if kind.kind != "scalar" or elements.nodes is not None:
            whole = act_on_field(kind, elements, whole, name, layout, 1)
        if original:
            whole = torch.cat([values.unsqueeze(0), whole])
        transformed[name] = merge_replicas(whole, layout)
    if graph is not None:
        return repeat_graph(graph, transformed, copies)
    for name, values in found.items():
        if name not in transformed:
            transformed[name] = repeat(name, values, copies, layout)
    return transformed


def merge_replicas(values: Tensor, layout: Layout) -> Tensor:
    """``[F, B, …]`` to ``[F·B, …]``; a single dense cloud ``[F, N, …]`` keeps its replica axis as the batch axis."""
    return values.flatten(0, 1) if layout.shape and values.ndim > 1 else values


def split_replicas(values: Tensor, copies: int, layout: Layout) -> Tensor | None:
    """The inverse of ``merge_replicas``, for what a model returned; ``None`` where the rows do not fit the copies."""
    if values.ndim == 0 or values.shape[0] % copies:
        return None
    if not layout.shape:
        return values if values.shape[0] == copies else None
    rows = values.shape[0] // copies
    edges = layout.edges.shape[1] if layout.edges is not None else -1
    if rows not in ((layout.nodes, layout.shape[0], edges) if layout.is_ragged else (layout.shape[0],)):
        return None
    return values.unflatten(0, (copies, rows))


def repeat(name: str, values: Any, copies: int, layout: Layout) -> Any:
    """Copies of something that the signature does not name (see ``replicate``)."""
    if not isinstance(values, Tensor) or values.ndim == 0 or name in layout.constants:
        return values
    if not layout.is_ragged:
        rows = layout.shape[0] if layout.shape else layout.nodes
        return merge_replicas(values.expand(copies, *values.shape), layout) if values.shape[0] == rows else values
    if name == "batch" or name in layout.indices:
        step = layout.shape[0] if name == "batch" else layout.nodes
        return torch.cat([values + i * step for i in range(copies)], dim=-1)
    edges = layout.edges.shape[1] if layout.edges is not None else -1
    if values.shape[0] in (layout.nodes, layout.shape[0], edges):
        return merge_replicas(values.expand(copies, *values.shape), layout)
    return values
