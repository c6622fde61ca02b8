"""How atoms are drawn: symbols, colours, sizes, and which of them are bonded."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: nuclear charge → symbol, covalent radius in Å (Cordero et al. 2008), colour (the usual ones, muted)
ELEMENTS: dict[int, tuple[str, float, str]] = {
    1: ("H", 0.31, "#eceae5"),
    5: ("B", 0.84, "#e8b9a8"),
    6: ("C", 0.76, "#8f959e"),
    7: ("N", 0.71, "#7d95d6"),
    8: ("O", 0.66, "#d98a80"),
    9: ("F", 0.57, "#8fc7a0"),
    14: ("Si", 1.11, "#c9b58b"),
    15: ("P", 1.07, "#e0a458"),
    16: ("S", 1.05, "#dcc653"),
    17: ("Cl", 1.02, "#79b98c"),
    35: ("Br", 1.20, "#a8644f"),
    53: ("I", 1.39, "#8d6aa5"),
}
OTHER = ("", 1.2, "#b9a7c9")
SLACK = 1.25  # bonded atoms are closer than the sum of their radii, times this


def symbol(charge: int) -> str:
    """Symbol of an element; "" for one that is not in the table."""
    return ELEMENTS.get(charge, OTHER)[0]


def shade(charge: int) -> str:
    """Colour of an element."""
    return ELEMENTS.get(charge, OTHER)[2]


def radius(charge: int) -> float:
    """Covalent radius in Å."""
    return ELEMENTS.get(charge, OTHER)[1]


def near_pairs(positions: NDArray[np.float64], elements: Sequence[int]) -> NDArray[np.int64]:
    """Pairs of atoms (i < j) that are as close as a bond: ``[E, 2]``.

    Args:
        positions: ``[N, 3]``, Å.
        elements: N nuclear charges.
    """
    radii = np.array([radius(charge) for charge in elements])
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    close = np.triu(distance < SLACK * (radii[:, None] + radii[None]), k=1)
    pairs: NDArray[np.int64] = np.argwhere(close)
    return pairs
