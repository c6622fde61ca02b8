"""Whether forces are minus the gradient of energies, or the gradient itself, as the data say."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoequiv.errors import DataError

Array = NDArray[np.float64]
FEWEST = 8  # steps by which a sign is judged
MOST = 2000  # steps that are looked at


def work_correlation(positions: Array, energies: Array, forces: Array, elements: Array | None) -> tuple[float, int]:
    r"""Correlation of the energy difference of each step with the work of its forces, and the number of steps.

    .. math:: E_b - E_a \approx -\tfrac12 \sum_i (F_{a,i} + F_{b,i}) \cdot (x_{b,i} - x_{a,i})

    which is exact where the energy is quadratic in the positions. Only pairs of items in which no atom moves by half
    the smallest distance of atoms (in the first item) or more are counted: steps of a trajectory.

    Args:
        positions: ``[n, N, d]``, in the order of the file.
        energies: ``[n]``.
        forces: ``[n, N, d]``.
        elements: ``[n, N]``: pairs of different molecules are left out; ``[N]`` or None for one molecule.

    Returns:
        Near 1 for forces and near −1 for gradients; 0 where one side does not vary.
    """
    first = np.arange(len(positions) - 1)
    if elements is not None and elements.ndim == 2:
        first = first[(elements[:-1] == elements[1:]).all(1)]
    apart = np.linalg.norm(positions[0][:, None] - positions[0][None], axis=-1)[~np.eye(positions.shape[1], dtype=bool)]
    steps = np.linalg.norm(positions[first + 1] - positions[first], axis=-1).max(1)
    first = first[steps < 0.5 * apart.min(initial=np.inf)]
    first = first[:: max(len(first) // MOST, 1)]
    work = (0.5 * (forces[first] + forces[first + 1]) * (positions[first + 1] - positions[first])).sum((1, 2))
    gained = energies[first + 1] - energies[first]
    if len(first) < 2 or not (work.std() > 0 and gained.std() > 0):
        return 0.0, len(first)
    return float(np.corrcoef(gained, -work)[0, 1]), len(first)


def check_force_sign(
    where: Path, positions: Array, energies: Array, forces: Array, elements: Array | None = None
) -> None:
    """Raise DataError for forces that are gradients: they correlate with the work of the opposite sign.

    Exactness: a test at three standard errors of the correlation of unrelated numbers; items that are not in the order
    of a trajectory, or fewer than 8 steps of one, are not judged.
    """
    correlation, pairs = work_correlation(positions, energies, forces, elements)
    if pairs >= FEWEST and correlation < -max(0.5, 3.0 / np.sqrt(pairs)):
        raise DataError(
            f"{where}: the forces look like gradients of the energy. Over {pairs} steps from one item to the next the "
            f"energy rises where they do work (correlation {correlation:.2f}; that of forces is near +1). Change their "
            "sign: F = −∇E."
        )
