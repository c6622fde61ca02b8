"""Edge lists of near nodes from a k-d tree; the cost grows with the number of neighbours, not with N²."""

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from geoequiv.errors import BatchError


@torch.no_grad()
def radius_graph(points: Tensor, cutoff: float, batch: Tensor | None = None) -> Tensor:
    r"""All ordered pairs of different nodes of a cloud with :math:`\|x_i - x_j\| < c`.

    Args:
        points: ``[n, 3]``, on any device; the tree is built on the CPU in float64.
        cutoff: c > 0.
        batch: ``[n]`` int64, the cloud of each node, in any order; None for one cloud.

    Returns:
        ``[2, E]`` int64 (senders, receivers), sorted by receiver, then sender. What architectures take as
        ``edge_index``, together with ``batch``.

    Raises:
        BatchError: if the points are not ``[n, d]``, not finite, or the cutoff is not positive.

    Exactness: exact; a pair whose distance rounds to c itself may fall on either side. As a function of the points it
    jumps where a pair crosses c, unless the model's messages vanish there (PaiNN with the same cutoff). Works
    in ``torch.func.grad`` and ``jvp``, not in ``vmap``: the search reads values.
    """
    if points.ndim != 2 or cutoff <= 0:
        raise BatchError(
            f"radius_graph needs points [n, d] and a positive cutoff; got {list(points.shape)} and {cutoff}."
        )
    positions = np.array(points.detach().tolist()).reshape(points.shape)  # via a list: torch.func hides the memory
    if not np.isfinite(positions).all():
        raise BatchError("radius_graph needs finite points.")
    if batch is not None and len(batch):  # clouds far apart along an axis of their own are one tree
        apart = np.array(batch.tolist(), dtype=float) * (2 * cutoff)
        positions = np.concatenate([positions, apart[:, None]], axis=1)
    pairs = cKDTree(positions).query_pairs(cutoff, output_type="ndarray").astype(np.int64)
    pairs = pairs[np.square(positions[pairs[:, 0]] - positions[pairs[:, 1]]).sum(1) < cutoff**2]
    both = np.concatenate([pairs, pairs[:, ::-1]]).T  # [2, E]
    order = (both[1] * max(len(points), 1) + both[0]).argsort()
    return torch.from_numpy(both[:, order]).to(points.device)
