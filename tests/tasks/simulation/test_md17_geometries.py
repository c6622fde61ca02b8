"""Starting geometries of the surrogate simulations: the molecules, whole and in MD17's order."""

import os
from pathlib import Path

import numpy as np
import pytest

from geoequiv.tasks.data.elements import symbol
from geoequiv.tasks.data.trajectory import read_trajectory
from geoequiv.tasks.simulation.md17_geometries import MOLECULES, starting_geometry
from geoequiv.tasks.simulation.xtb_report import bonds

FORMULAS = {
    "aspirin": {"C": 9, "H": 8, "O": 4},
    "benzene": {"C": 6, "H": 6},
    "ethanol": {"C": 2, "H": 6, "O": 1},
    "malonaldehyde": {"C": 3, "H": 4, "O": 2},
    "naphthalene": {"C": 10, "H": 8},
    "salicylic": {"C": 7, "H": 6, "O": 3},
    "toluene": {"C": 7, "H": 8},
    "uracil": {"C": 4, "H": 4, "N": 2, "O": 2},
}
RINGS = {"aspirin": 1, "benzene": 1, "naphthalene": 2, "salicylic": 1, "toluene": 1, "uracil": 1}


@pytest.mark.parametrize("molecule", MOLECULES)
def test_starting_geometries_are_the_molecules(molecule):
    charges, positions = starting_geometry(molecule)
    symbols = [symbol(int(z)) for z in charges]
    assert {symbol: symbols.count(symbol) for symbol in symbols} == FORMULAS[molecule]
    assert sorted(charges == 1) == list(charges == 1)  # hydrogens last, as in MD17
    pairs = bonds(positions, charges)
    assert len(pairs) == len(charges) - 1 + RINGS.get(molecule, 0)
    neighbours = {i: [a + b - i for a, b in pairs if i in (a, b)] for i in range(len(charges))}
    reached, new = {0}, {0}
    while new:
        new = {j for i in new for j in neighbours[i]} - reached
        reached |= new
    assert len(reached) == len(charges)
    most = {"C": (3, 4), "N": (3,), "O": (1, 2), "H": (1,)}
    assert all(len(neighbours[i]) in most[symbol] for i, symbol in enumerate(symbols))
    distance = np.linalg.norm(positions[:, None] - positions, axis=-1) + 9 * np.eye(len(charges))
    assert distance.min() > 0.9
    bonded = np.zeros_like(distance, dtype=bool)
    for i, j in pairs:
        bonded[i, j] = bonded[j, i] = True
    assert distance[~bonded].min() > 1.6  # nothing collides, hydrogen bonds included


@pytest.mark.parametrize("molecule", ["aspirin", "benzene", "ethanol", "naphthalene", "uracil"])
def test_atoms_stand_in_the_order_of_md17(molecule):
    path = Path(os.environ.get("GEOEQUIV_DATA", "")) / "rmd17" / f"rmd17_{molecule}_train_01.npz"
    if not path.is_file():
        pytest.skip(f"needs GEOEQUIV_DATA/rmd17/{path.name}")
    charges, positions = starting_geometry(molecule)
    real = read_trajectory(path)
    assert real.charges.tolist() == charges.tolist()
    middle = np.linalg.norm(real.positions[:, :, None] - real.positions[:, None], axis=-1).mean(0)
    for i, j in bonds(positions, charges):
        assert middle[i, j] < 1.7
