"""Starting geometries of MD17's eight molecules, drawn from textbook bond lengths and angles.

They are z-matrices, so that one can read and check them: ``H9 C3 1.08 C2 120 C1 180`` puts H9 at 1.08 Å from C3, at
120° to C2, with a dihedral angle of 180° to C1. Lines stand in the order in which a molecule is built; atoms are
numbered as in MD17 (in ours, for malonaldehyde, salicylic acid and toluene: heavy atoms first, then hydrogens).
Malonaldehyde is the keto form, as in MD17. The simulation relaxes them before it begins.
"""

import numpy as np
from numpy.typing import NDArray

from geoequiv.tasks.data.elements import CHARGES
from geoequiv.tasks.options import checked_choice

_HYDROGENS = {
    "benzene": "H6 C0 C1 C2; H7 C1 C2 C3; H8 C2 C3 C4; H9 C3 C4 C5; H10 C4 C5 C0; H11 C5 C0 C1",
    "naphthalene": (
        "H10 C0 C1 C2; H11 C1 C2 C3; H12 C2 C1 C0; H13 C3 C2 C1; H14 C5 C6 C7; H15 C6 C7 C8; H16 C7 C6 C5; H17 C8 C7 C6"
    ),
    "toluene": "H7 C1 C2 C3; H8 C2 C3 C4; H9 C3 C4 C5; H10 C4 C5 C0; H11 C5 C4 C3",
    "salicylic": "H10 C2 C3 C4; H11 C3 C4 C5; H12 C4 C5 C0; H13 C5 C4 C3",
    "aspirin": "H14 C0 C2 C3; H15 C1 C3 C2; H16 C2 C3 C1; H17 C3 C1 C6",
}
_RING = "C0; C1 C0 1.39; C2 C1 1.39 C0 120; C3 C2 1.39 C1 120 C0 0; C4 C3 1.39 C2 120 C1 0; C5 C4 1.39 C3 120 C2 0"
#: molecule → z-matrix, without the hydrogens of aromatic rings
Z_MATRICES = {
    "aspirin": """C5; C0 C5 1.40; C2 C0 1.39 C5 120; C3 C2 1.39 C0 120 C5 0; C1 C3 1.39 C2 120 C0 0;
        C6 C1 1.39 C3 120 C2 0; C10 C5 1.48 C0 118 C2 180; O7 C10 1.21 C5 123 C0 0; O9 C10 1.35 C5 114 C0 180;
        H13 O9 0.97 C10 107 O7 0; O12 C6 1.39 C1 118 C3 180; C11 O12 1.36 C6 118 C1 80; O8 C11 1.20 O12 123 C6 0;
        C4 C11 1.50 O12 111 C6 180; H18 C4 1.09 C11 110 O12 180; H19 C4 1.09 C11 110 O12 60;
        H20 C4 1.09 C11 110 O12 -60""",
    "benzene": _RING,
    "ethanol": """C0; C1 C0 1.51; O2 C0 1.42 C1 108; H3 C0 1.10 C1 110 O2 120; H4 C0 1.10 C1 110 O2 -120;
        H5 C1 1.09 C0 110 O2 180; H6 C1 1.09 C0 110 O2 60; H7 C1 1.09 C0 110 O2 -60; H8 O2 0.96 C0 107 C1 180""",
    "malonaldehyde": """C1; C0 C1 1.51; C2 C1 1.51 C0 111; O3 C0 1.20 C1 123 C2 110; O4 C2 1.20 C1 123 C0 110;
        H5 C0 1.10 C1 115 O3 180; H6 C1 1.09 C0 109 C2 120; H7 C1 1.09 C0 109 C2 -120; H8 C2 1.10 C1 115 O4 180""",
    "naphthalene": """C4; C9 C4 1.42; C3 C4 1.42 C9 119; C2 C3 1.38 C4 121 C9 0; C1 C2 1.41 C3 120 C4 0;
        C0 C1 1.38 C2 120 C3 0; C5 C4 1.42 C9 119 C3 180; C6 C5 1.38 C4 121 C9 0; C7 C6 1.41 C5 120 C4 0;
        C8 C7 1.38 C6 120 C5 0""",
    "salicylic": f"""{_RING}; C6 C0 1.47 C1 120 C2 180; O7 C6 1.23 C0 123 C1 0; O8 C6 1.34 C0 114 C1 180;
        O9 C1 1.35 C0 123 C5 180; H14 O8 0.97 C6 106 O7 0; H15 O9 0.98 C1 107 C0 0""",
    "toluene": f"""{_RING}; C6 C0 1.51 C1 120 C2 180; H12 C6 1.09 C0 111 C1 90; H13 C6 1.09 C0 111 C1 210;
        H14 C6 1.09 C0 111 C1 -30""",
    "uracil": """C0; C1 C0 1.35; N2 C1 1.37 C0 121; C3 N2 1.38 C1 123 C0 0; N4 C3 1.38 N2 114 C1 0;
        C5 C0 1.46 C1 119 N2 0; O6 C3 1.22 N2 123 C1 180; O7 C5 1.22 C0 126 C1 180; H8 C1 1.08 C0 122 C5 180;
        H9 N2 1.01 C1 121 C0 180; H10 N4 1.01 C3 116 N2 180; H11 C0 1.08 C1 122 N2 180""",
}
MOLECULES = tuple(Z_MATRICES)


def starting_geometry(molecule: str) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Nuclear charges [N] and positions [N, 3] (Å) of one of the eight molecules, before any relaxation.

    Raises:
        ConfigError: another molecule; names the nearest.
    """
    checked_choice("molecule", molecule, MOLECULES)
    ring = [
        f"{h} {at} 1.08 {near} 120 {far} 180"
        for h, at, near, far in (each.split() for each in _HYDROGENS.get(molecule, "").split(";") if each)
    ]
    return built([*Z_MATRICES[molecule].split(";"), *ring])


def built(lines: list[str]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Charges and positions from the lines of a z-matrix, sorted by the atoms' numbers.

    >>> built(["O0", "H1 O0 0.96", "H2 O0 0.96 H1 104.5"])[1].round(3).tolist()
    [[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.929, 0.0]]
    """
    places: dict[str, NDArray[np.float64]] = {}
    for line in lines:
        name, *rest = line.split()
        near = [places[other] for other in rest[::2]]
        length, bend, dihedral = (*(float(value) for value in rest[1::2]), *(0.0,) * (3 - len(near)))
        places[name] = placed(near, length, np.radians(bend), np.radians(dihedral))
    numbered = sorted(places, key=lambda name: int(name.lstrip("CHNO")))
    charges = np.array([CHARGES[name.rstrip("0123456789")] for name in numbered], dtype=np.uint8)
    return charges, np.array([places[name] for name in numbered])


def placed(near: list[NDArray[np.float64]], length: float, bend: float, dihedral: float) -> NDArray[np.float64]:
    """Where an atom is by its distance to the first neighbour, angle to the second, dihedral to the third (radians).

    The first atom is the origin, the second lies on x, the third in the plane of x and y.
    """
    if not near:
        return np.zeros(3)
    if len(near) == 1:
        return near[0] + np.array([length, 0.0, 0.0])
    towards = (near[1] - near[0]) / np.linalg.norm(near[1] - near[0])
    far = near[2] - near[1] if len(near) == 3 else np.array([0.0, 1.0, 0.0])
    aside = far - (far @ towards) * towards
    aside /= np.linalg.norm(aside)
    up = np.cross(towards, aside)
    across = np.cos(dihedral) * aside + np.sin(dihedral) * up
    place: NDArray[np.float64] = near[0] + length * (np.cos(bend) * towards + np.sin(bend) * across)
    return place
