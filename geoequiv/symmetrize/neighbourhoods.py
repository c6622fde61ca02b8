"""The nearest nodes of each node of a batch, and fields gathered there."""

import torch
from torch import Tensor

from geoequiv.errors import BatchError
from geoequiv.fields import Layout, item_text


@torch.no_grad()
def nearest_nodes(points: Tensor, layout: Layout, k: int) -> Tensor:
    """The k nearest nodes of each real node, itself first, in the order of their distance.

    Args:
        points: positions, dense ``[*shape, N, d]`` or ragged ``[n, d]``.
        layout: of the batch.
        k: how many.

    Returns:
        ``[M, k]`` int64: numbers of nodes in the flattened batch, for the M real nodes in order.

    Raises:
        BatchError: a cloud has fewer than k nodes.

    Exactness: distances in float64. Which of two nodes that are equally far is taken is not determined.
    """
    nodes = points.reshape(-1, points.shape[-1]).double()
    if layout.batch is not None:
        item, real = layout.batch, torch.ones_like(layout.batch, dtype=torch.bool)
    else:
        mask = layout.mask if layout.mask is not None else torch.ones(points.shape[:-1], dtype=torch.bool)
        real = mask.to(points.device).expand(points.shape[:-1]).flatten()
        item = torch.arange(len(nodes), device=points.device) // max(layout.nodes, 1)
    where = real.nonzero().squeeze(1)
    where = where[item[where].argsort(stable=True)]
    sizes = torch.bincount(item[where], minlength=int(item.max()) + 1 if len(item) else 0)
    sizes = sizes if layout.batch is not None else sizes.clamp(min=0)
    if len(where) == 0 or int(sizes.min()) < k:
        first = int((sizes < k).nonzero()[0]) if len(sizes) else 0
        raise BatchError(
            f"{item_text([first]).capitalize()} has {int(sizes[first]) if len(sizes) else 0} nodes, fewer than a "
            f"neighbourhood of {k}: give a smaller neighbours=."
        )
    start = sizes.cumsum(0) - sizes
    longest = int(sizes.max())
    slot = torch.arange(len(where), device=where.device) - start[item[where]]
    dense = nodes.new_full((len(sizes), longest, nodes.shape[-1]), torch.inf)
    dense[item[where], slot] = nodes[where]
    padded = dense.isinf().any(-1)
    shown = dense.masked_fill(padded.unsqueeze(-1), 0.0)
    shown = shown - shown.sum(1, keepdim=True) / sizes[:, None, None]
    square = shown.square().sum(-1)
    distance = square.unsqueeze(-1) - 2 * shown @ shown.mT + square.unsqueeze(-2)
    distance = distance.masked_fill(padded.unsqueeze(1), torch.inf)
    distance = distance.masked_fill(torch.eye(longest, dtype=torch.bool, device=where.device), -torch.inf)
    chosen = distance.topk(k, largest=False).indices
    numbers = where.new_zeros(len(sizes), longest)
    numbers[item[where], slot] = where
    found = numbers.unsqueeze(1).expand(-1, longest, -1).gather(2, chosen)[item[where], slot]
    return found[where.argsort()] if layout.batch is not None else found
