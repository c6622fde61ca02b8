"""Distances between two outputs, item by item."""

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from geoequiv.fields import Layout
from geoequiv.fields.relabel import relabel
from geoequiv.groups import Element

#: Added under the square root, in the squared unit of the outputs: norms below 1e-12 have no direction to follow.
TINY = 1e-24


def item_norm(outputs: Mapping[str, Tensor], layout: Layout, mask: Tensor | None = None) -> Tensor:
    """Euclidean norm of all outputs of each item together, ``[items]``; differentiable at 0, where the gradient is 0.

    Args:
        outputs: output name → tensor of the batch.
        layout: of the batch.
        mask: dense only, ``[*shape, nodes]``: nodes that count; ``None`` takes the layout's.
    """
    items, lead = prod(layout.shape), len(layout.shape)
    mask = layout.mask if mask is None else mask
    total: Tensor | None = None
    for name, value in outputs.items():
        squares = value.to(torch.promote_types(value.dtype, torch.float32)).square()
        if layout.batch is not None:
            rows = squares.flatten(1).sum(-1) if squares.ndim > 1 else squares
            index = layout.rows(value, 0, name)
            part = rows if index is None else rows.new_zeros(items).index_add(0, index, rows)
        else:
            if mask is not None and squares.shape[: lead + 1] == mask.shape:
                squares = squares * mask.reshape(*mask.shape, *(1,) * (squares.ndim - lead - 1))
            part = squares.reshape(items, -1).sum(-1)
        total = part if total is None else total + part
    assert total is not None, "a signature has an output"
    return (total + TINY).sqrt()


def item_distance(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], element: Element, layout: Layout
) -> Tensor:
    """``‖a − b‖`` of each item, ``[items]``, for outputs that belong to ``g x`` (whose mask g has relabelled)."""
    return item_norm({name: first[name] - second[name] for name in first}, layout, moved_mask(element, layout))


def moved_mask(element: Element, layout: Layout) -> Tensor | None:
    """The mask of ``g x``."""
    if layout.mask is None or element.permutation is None:
        return layout.mask
    return relabel(layout.mask, element.permutation, -1)
