"""Batches for networks: fields by name, in one shape, with their mask or batch vector."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import BatchError
from geoequiv.fields import FieldType
from geoequiv.fields.graphs import graph_fields, is_graph


def may_look() -> bool:
    """Whether values of a tensor can be read: neither in a compiled graph nor inside ``torch.func``."""
    return not torch.compiler.is_compiling() and not torch._C._are_functorch_transforms_active()


def by_name(graph: Any, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fields as they are named, or those of a PyG object, beside which further ones may be named.

    Raises:
        BatchError: for anything but a PyG object by position.
    """
    if graph is None:
        return fields
    if not is_graph(graph):
        got = type(graph).__name__
        raise BatchError(f"Models take fields by name, as model(pos=…), or one PyG object; got a {got} by position.")
    return {**graph_fields(graph), **fields}


def flattened(name: str, field: FieldType, values: Tensor) -> Tensor:
    """Values with one trailing axis for all their components.

    Raises:
        BatchError: if the trailing shape is not that of the type.
    """
    size = field.size()
    if field.is_scalar and values.shape[-1:] != (size,):
        raise BatchError(f"Field '{name}' is a {field}: expected shape [..., {size}], got {list(values.shape)}.")
    axes = field.trailing(values, 3, name)
    if field.kind == "adjacency":
        return values if field.multiplicity > 1 else values.unsqueeze(-1)
    return values.reshape(*values.shape[: values.ndim - axes], size) if axes else values


def clouds_of(
    fields: Mapping[str, Any], lead: tuple[int, ...], name: str
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Mask, batch vector and edges of clouds whose field ``name`` has nodes ``[*lead]``; edges alone are one graph.

    Raises:
        BatchError: if they do not go with the nodes, or not with each other.
    """
    mask, batch, edges = (fields.get(each) for each in ("mask", "batch", "edge_index"))
    if edges is not None and (edges.dtype != torch.int64 or edges.ndim != 2 or len(edges) != 2):
        raise BatchError(f"'edge_index' must be int64 [2, E], got {edges.dtype} of shape {list(edges.shape)}.")
    if edges is not None or batch is not None:
        if len(lead) != 1 or mask is not None:
            raise BatchError(
                f"'batch' and 'edge_index' go with ragged clouds [n, …] without a mask; '{name}' has shape "
                f"{list(fields[name].shape)}{'' if mask is None else ' and there is a mask'}."
            )
        if batch is None:
            batch = torch.zeros(lead[0], dtype=torch.int64, device=fields[name].device)
        if batch.dtype != torch.int64 or tuple(batch.shape) != lead:
            got = f"{batch.dtype} of shape {list(batch.shape)}"
            raise BatchError(f"'batch' must be int64 of shape {list(lead)} to go with '{name}', got {got}.")
    elif mask is not None:
        if mask.dtype != torch.bool or tuple(mask.shape) != lead[len(lead) - mask.ndim :]:
            got = f"{mask.dtype} of shape {list(mask.shape)}"
            raise BatchError(f"'mask' must be bool of shape {list(lead)} to go with '{name}', got {got}.")
        mask = mask.expand(lead)
    if batch is None and lead[-1] == 0:
        raise BatchError(f"Field '{name}' of shape {list(fields[name].shape)} has clouds with no points.")
    return mask, batch, edges
