"""Some of the items of a batch, as a smaller batch."""

from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import BatchError
from geoequiv.fields import FieldType, Layout, Side
from geoequiv.fields.graphs import is_graph
from geoequiv.fields.types import Rows


def can_select(inputs: Any, layout: Layout, side: Side) -> bool:
    """Whether items can be taken out: not of PyG objects, and not where it is open what the rows of a tensor are."""
    if is_graph(inputs):
        return False
    if not layout.is_ragged:
        return len(layout.shape) == 1
    try:
        for name, value in inputs.items():
            rows_of(name, value, layout, side)
    except BatchError:
        return False
    return True


def select_items(inputs: Any, layout: Layout, chosen: Tensor, side: Side) -> Any:
    """The items ``chosen`` (ascending, distinct) of a batch, in the form that the batch has.

    Args:
        inputs: a dict, dense with one batch axis or ragged (see ``can_select``).
        chosen: ``[k]`` int64.
        side: types of the inputs.

    Returns:
        A new dict. Ragged: nodes and edges of the other items are left out, and indices renumbered.

    Raises:
        BatchError: ragged: it is open whether the rows of a tensor are nodes, edges or items.
    """
    if not layout.is_ragged:
        total = layout.shape[0]
        return {
            name: value[chosen] if isinstance(value, Tensor) and value.ndim and len(value) == total else value
            for name, value in inputs.items()
        }
    assert layout.batch is not None
    nodes = torch.isin(layout.batch, chosen)
    number = nodes.cumsum(0) - 1
    kept: dict[Rows, Tensor] = {"node": nodes, "graph": chosen}
    if layout.edges is not None:
        kept["edge"] = nodes[layout.edges[0]]
    some: dict[str, Any] = {}
    for name, value in inputs.items():
        if name == "batch":
            some[name] = torch.searchsorted(chosen, value[nodes])
        elif isinstance(value, Tensor) and name in layout.indices:
            some[name] = number[value[:, kept["edge"]]] if "edge" in kept and value.ndim == 2 else value
        else:
            rows = rows_of(name, value, layout, side)
            some[name] = value if rows is None else value[kept[rows]]
    return some


def rows_of(name: str, value: Any, layout: Layout, side: Side) -> Rows | None:
    """What the rows of an entry of a ragged batch are; ``None`` for what has none.

    Raises:
        BatchError: there are as many as of several things, and nothing says of which.
    """
    if not isinstance(value, Tensor) or value.ndim == 0 or name in ("batch", *layout.indices, *layout.constants):
        return None
    counts = (layout.nodes, layout.shape[0], -1 if layout.edges is None else layout.edges.shape[1])
    if name not in side and len(value) not in counts:
        return None
    kind = side[name] if name in side else FieldType("scalar")
    if layout.on_nodes(value, 0, name, kind):
        return "node"
    return "edge" if layout.on_edges(value, 0, name, kind) else "graph"


def few_items(inputs: Any, layout: Layout, count: int, side: Side) -> Any:
    """The first ``count`` items where items can be taken out; else the whole batch."""
    if layout.shape == () or not can_select(inputs, layout, side) or layout.shape[0] <= count:
        return inputs
    device = layout.batch.device if layout.batch is not None else "cpu"
    return select_items(inputs, layout, torch.arange(count, device=device), side)
