"""Scalars as labels: what tells the nodes of a cloud apart besides where they are."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import BatchError
from geoequiv.fields import Layout
from geoequiv.symmetrize.frames.frame import per_node
from geoequiv.symmetrize.frames.frame_inputs import FrameInputs

#: shares of the channels of all labels follow this low-discrepancy sequence, so that no two cancel by chance
GOLDEN = (5**0.5 - 1) / 2


def node_labels(fields: Mapping[str, Any], source: FrameInputs, layout: Layout) -> Tensor | None:
    r"""One number for each node, from all scalars that a frame is built from.

    .. math:: \ell_n = \sum_c a_c\, s_{nc} / \max_m |s_{mc}|, \qquad \sum_c a_c = 1

    with the maximum over the nodes of the item, so that units do not matter, and fixed shares a.

    Returns:
        ``[n]`` float64 in [-1, 1], the nodes of the batch numbered through; ``None`` without labels.

    Raises:
        BatchError: a label that does not have one value (or k) for each node.
    """
    channels = [node_channels(fields[name].detach().double(), layout, name) for name in source.labels]
    if not channels:
        return None
    values = torch.cat(channels, -1)
    if layout.mask is not None:
        values = torch.where(layout.mask.unsqueeze(-1), values, 0)
    if layout.batch is None:
        largest = values.abs().amax(-2)
    else:
        index = layout.batch.unsqueeze(-1).expand_as(values)
        largest = values.new_zeros(layout.shape[0], values.shape[-1]).scatter_reduce(0, index, values.abs(), "amax")
    relative = values / per_node(largest.clamp_min(torch.finfo(values.dtype).tiny), layout)
    shares = 0.5 + (GOLDEN * torch.arange(1, values.shape[-1] + 1, dtype=values.dtype, device=values.device)).frac()
    return (relative * shares).sum(-1).flatten() / shares.sum()


def node_channels(values: Tensor, layout: Layout, name: str) -> Tensor:
    """A scalar field as ``[*shape, N, k]``, or ragged ``[n, k]``."""
    nodes = (layout.nodes,) if layout.batch is not None else (*layout.shape, layout.nodes)
    if tuple(values.shape[: len(nodes)]) != nodes or values.ndim > len(nodes) + 1:
        raise BatchError(
            f"frame_from names '{name}' to tell nodes apart, but its shape {list(values.shape)} does not have one "
            f"value for each node: expected {list(nodes)}, with at most one more axis."
        )
    return values if values.ndim > len(nodes) else values.unsqueeze(-1)
