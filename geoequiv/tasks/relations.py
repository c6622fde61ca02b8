"""Relations of two nodes as features: what is bonded, and what is two bonds apart."""

import numpy as np
from numpy.typing import NDArray


def one_and_two_hops(bonded: NDArray[np.bool_]) -> NDArray[np.float64]:
    """An ``adjacency*2`` field: 1 for pairs one bond apart, and for pairs two bonds apart.

    Args:
        bonded: ``[N, N]``, symmetric, zero diagonal.

    Returns:
        ``[N, N, 2]``, symmetric, zero diagonal; no pair is both.
    """
    steps = bonded.astype(int)
    two = (steps @ steps > 0) & ~bonded & ~np.eye(len(bonded), dtype=bool)
    return np.stack([bonded, two], axis=-1).astype(np.float64)
