"""The one table of elements, against ASE's."""

import numpy as np
import pytest

from geoequiv.tasks.data.elements import CHARGES, SYMBOLS, bonded_pairs, radius, symbol


def test_symbols_and_radii_are_those_of_ase():
    data = pytest.importorskip("ase.data")
    assert [symbol(charge) for charge in range(1, 119)] == data.chemical_symbols[1:119]
    assert [radius(charge) for charge in range(1, 97)] == pytest.approx(data.covalent_radii[1:97].tolist())
    assert (symbol(119), radius(119)) == ("Z119", 1.2)


def test_charges_are_the_inverse_and_know_the_isotopes_of_hydrogen():
    assert all(CHARGES[name] == charge for charge, name in SYMBOLS.items())
    assert CHARGES["D"] == CHARGES["T"] == CHARGES["H"] == 1


def test_water_has_two_bonds():
    water = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    assert bonded_pairs(water, (8, 1, 1)).tolist() == [[0, 1], [0, 2]]
