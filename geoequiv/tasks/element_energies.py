"""An energy for each element: what clouds of different composition differ by before any interaction."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def element_energies(energies: Array, counts: Array) -> list[float] | None:
    r"""The energies of the elements that leave the least of a training split's energies.

    .. math:: e = \arg\min_e \sum_i \Big( E_i - \sum_z n_{iz}\, e_z \Big)^2

    Args:
        energies: ``[n]``.
        counts: ``[n, elements]``, atoms of each element.

    Returns:
        One for each element (the shortest solution where several are least); None where all clouds have one
        composition, where there are fewer than two clouds for each element, or where the mean alone leaves no more, as
        of a quantity that does not grow with the cloud.

    Exactness: least squares by singular values.
    """
    if (counts == counts[0]).all() or len(counts) < 2 * counts.shape[1]:
        return None
    found = np.linalg.lstsq(counts, energies, rcond=None)[0]
    left = energies - counts @ found
    if np.square(left).mean() >= energies.var():
        return None
    solution: list[float] = found.tolist()
    return solution
