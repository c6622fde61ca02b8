"""The nearest nodes of each node of a batch, and fields gathered there."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
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
    found = torch.from_numpy(nearest(nodes[where].cpu().numpy(), item[where].cpu().numpy(), k)).to(points.device)
    found = self_first(found, torch.arange(len(where), device=points.device))
    found = where[found]
    return found[where.argsort()] if layout.batch is not None else found


def nearest(points: NDArray[np.float64], item: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The k nearest points of the same item, ``[M, k]``: one k-d tree, in which items are far apart.

    Args:
        points: ``[M, d]``; item: ``[M]``, each with at least k points.
    """
    centred = points - points.mean(0)
    apart = 4 * np.linalg.norm(centred, axis=1).max() + 1
    placed = np.concatenate([points, apart * item[:, None]], axis=1)
    found = np.asarray(cKDTree(placed).query(placed, k=np.arange(1, k + 1))[1], dtype=np.int64)
    return found


def self_first(found: Tensor, own: Tensor) -> Tensor:
    """Neighbours ``[M, k]`` with the node itself in front, where others coincide with it."""
    if bool((found[:, 0] == own).all()):
        return found
    mine = found == own.unsqueeze(1)
    found = found.clone()
    found[~mine.any(1), -1] = own[~mine.any(1)]
    order = (found != own.unsqueeze(1)).long().argsort(dim=1, stable=True)
    return found.gather(1, order)
