"""Some of the items of a batch, as a smaller batch."""

from typing import Any

import torch
from torch import Tensor

from geoequiv.fields import Layout
from geoequiv.fields.graphs import is_graph
from geoequiv.fields.layout import is_index


def can_select(inputs: Any, layout: Layout) -> bool:
    """Whether items can be taken out: dense batches with one batch axis and ragged dicts; PyG objects stay whole."""
    return not is_graph(inputs) and (layout.is_ragged or len(layout.shape) == 1)


def select_items(inputs: Any, layout: Layout, chosen: Tensor) -> Any:
    """The items ``chosen`` (ascending, distinct) of a batch, in the form that the batch has.

    Args:
        inputs: a dict, dense with one batch axis or ragged (see ``can_select``).
        chosen: ``[k]`` int64.

    Returns:
        A new dict. Ragged: nodes and edges of the other items are left out, and indices renumbered.
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
    edges = None if layout.edges is None else nodes[layout.edges[0]]
    some: dict[str, Any] = {}
    for name, value in inputs.items():
        if name == "batch":
            some[name] = torch.searchsorted(chosen, value[nodes])
        elif isinstance(value, Tensor) and is_index(name):
            some[name] = number[value[:, edges]] if edges is not None and value.ndim == 2 else value
        elif not isinstance(value, Tensor) or value.ndim == 0:
            some[name] = value
        elif len(value) == layout.nodes:
            some[name] = value[nodes]
        elif edges is not None and len(value) == len(edges):
            some[name] = value[edges]
        else:
            some[name] = value[chosen] if len(value) == layout.shape[0] else value
    return some


def few_items(inputs: Any, layout: Layout, count: int) -> Any:
    """The first ``count`` items where items can be taken out; else the whole batch."""
    if not can_select(inputs, layout) or layout.shape[0] <= count:
        return inputs
    device = layout.batch.device if layout.batch is not None else "cpu"
    return select_items(inputs, layout, torch.arange(count, device=device))
