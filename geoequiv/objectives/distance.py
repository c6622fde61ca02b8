"""Distances between two outputs, item by item."""

from collections.abc import Mapping

import torch
from torch import Tensor

from geoequiv.fields import Layout, Side, item_squares, projected, projected_side
from geoequiv.fields.relabel import relabel
from geoequiv.groups import Element

#: Added under the square root, in the squared unit of the outputs: norms below 1e-12 have no direction to follow.
TINY = 1e-24


def item_norm(outputs: Mapping[str, Tensor], side: Side, layout: Layout, mask: Tensor | None = None) -> Tensor:
    """Euclidean norm of all outputs of each item together, ``[items]``; differentiable at 0, where the gradient is 0.

    Args:
        outputs: output name → tensor of the batch.
        side: their types.
        layout: of the batch.
        mask: dense only, ``[*shape, nodes]``: nodes that count; ``None`` takes the layout's.
    """
    wide = {name: value.to(torch.promote_types(value.dtype, torch.float32)) for name, value in outputs.items()}
    return (item_squares(wide, side, layout, mask) + TINY).sqrt()


def item_distance(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], side: Side, element: Element, layout: Layout
) -> Tensor:
    """``‖a − b‖`` of each item, ``[items]``, for outputs that belong to ``g x`` (whose mask g has relabelled).

    Outputs up to sign are compared by their projectors.
    """
    first, second = projected(first, side), projected(second, side)
    difference = {name: first[name] - second[name] for name in first}
    return item_norm(difference, projected_side(side), layout, transformed_mask(element, layout))


def transformed_mask(element: Element, layout: Layout) -> Tensor | None:
    """The mask of ``g x``."""
    if layout.mask is None or element.permutation is None:
        return layout.mask
    return relabel(layout.mask, element.permutation, -1)
