"""The chemical elements: symbols, covalent radii, the colours they are drawn in, and which atoms are bonded."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: charge − 1 → symbol
_NAMES = (
    "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca",
    "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y",
    "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce",
    "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir",
    "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm",
    "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl",
    "Mc", "Lv", "Ts", "Og",
)  # fmt: skip
#: nuclear charge → symbol
SYMBOLS: dict[int, str] = dict(enumerate(_NAMES, start=1))
#: symbol → nuclear charge; the isotopes of hydrogen have symbols of their own
CHARGES: dict[str, int] = {symbol: charge for charge, symbol in SYMBOLS.items()} | {"D": 1, "T": 1}
#: charge − 1 → covalent radius in Å, up to Cm (Cordero et al. 2008)
_RADII = (
    0.31, 0.28, 1.28, 0.96, 0.84, 0.76, 0.71, 0.66, 0.57, 0.58, 1.66, 1.41, 1.21, 1.11, 1.07, 1.05, 1.02, 1.06, 2.03,
    1.76, 1.7, 1.6, 1.53, 1.39, 1.39, 1.32, 1.26, 1.24, 1.32, 1.22, 1.22, 1.2, 1.19, 1.2, 1.2, 1.16, 2.2, 1.95, 1.9,
    1.75, 1.64, 1.54, 1.47, 1.46, 1.42, 1.39, 1.45, 1.44, 1.42, 1.39, 1.39, 1.38, 1.39, 1.4, 2.44, 2.15, 2.07, 2.04,
    2.03, 2.01, 1.99, 1.98, 1.98, 1.96, 1.94, 1.92, 1.92, 1.89, 1.9, 1.87, 1.87, 1.75, 1.7, 1.62, 1.51, 1.44, 1.41,
    1.36, 1.36, 1.32, 1.45, 1.46, 1.48, 1.4, 1.5, 1.5, 2.6, 2.21, 2.15, 2.06, 2.0, 1.96, 1.9, 1.87, 1.8, 1.69,
)  # fmt: skip
#: nuclear charge → the usual colour, muted
_COLOURS = {
    1: "#eceae5", 5: "#e8b9a8", 6: "#8f959e", 7: "#7d95d6", 8: "#d98a80", 9: "#8fc7a0", 14: "#c9b58b", 15: "#e0a458",
    16: "#dcc653", 17: "#79b98c", 35: "#a8644f", 53: "#8d6aa5",
}  # fmt: skip
BOND_SLACK = 1.25  # bonded atoms are closer than the sum of their radii, times this


def symbol(charge: int) -> str:
    """Symbol of an element; "Z119" for a charge that has none."""
    return SYMBOLS.get(charge, f"Z{charge}")


def colour_of(charge: int) -> str:
    """Colour in which an element is drawn."""
    return _COLOURS.get(charge, "#b9a7c9")


def radius(charge: int) -> float:
    """Covalent radius in Å; 1.2 where it is not known."""
    return _RADII[charge - 1] if 1 <= charge <= len(_RADII) else 1.2


def bonded_pairs(positions: NDArray[np.float64], elements: Sequence[int]) -> NDArray[np.int64]:
    """Pairs of atoms (i < j) that are as close as a bond: ``[E, 2]``.

    Args:
        positions: ``[N, 3]``, Å.
        elements: N nuclear charges.
    """
    radii = np.array([radius(charge) for charge in elements])
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    close = np.triu(distance < BOND_SLACK * (radii[:, None] + radii[None]), k=1)
    pairs: NDArray[np.int64] = np.argwhere(close)
    return pairs
