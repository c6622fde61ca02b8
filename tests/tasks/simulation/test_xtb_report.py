"""The report of a simulated trajectory: bond lengths, drift and standard errors by hand."""

import numpy as np
import pytest

from geoequiv.tasks.simulation.xtb_report import bond_lengths, energy_drift, standard_error


def test_bond_lengths_by_hand():
    charges = np.array([8, 1, 1])
    frames = np.array([[[0, 0, 0], [0.95, 0, 0], [0, 0.97, 0]], [[0, 0, 0], [0.99, 0, 0], [0, 0.93, 0]]])
    found = bond_lengths(frames, charges)
    assert list(found) == ["O–H"]  # the hydrogens, 1.36 Å apart, are not bonded
    bond = found["O–H"]
    assert (bond["bonds"], bond["min"], bond["max"]) == (2, pytest.approx(0.93), pytest.approx(0.99))
    assert bond["mean"] == pytest.approx(0.96)
    assert bond["std"] == pytest.approx(np.sqrt(5) / 100)
    assert bond["quantiles"]["0.5"] == pytest.approx(0.96)
    assert bond["histogram"]["from"] == pytest.approx(0.93, abs=0.011)
    assert sum(bond["histogram"]["counts"]) == 4


def test_the_drift_is_the_slope():
    steps = np.arange(100)
    found = energy_drift(-3.0 + 2e-6 * steps, 0.5, 4)  # 2 µeV a step of 0.5 fs: 4 meV/ps
    assert found["drift_mev_per_atom_per_ps"] == pytest.approx(1.0)
    assert found["scatter_mev_per_atom"] == pytest.approx(0, abs=1e-9)
    found = energy_drift(-3.0 + 1e-3 * (-1.0) ** steps, 0.5, 4)
    assert abs(found["drift_mev_per_atom_per_ps"]) < 1
    assert found["scatter_mev_per_atom"] == pytest.approx(0.25, rel=1e-3)


def test_standard_errors_know_of_correlation():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=20_000)
    assert standard_error(noise) == pytest.approx(1 / np.sqrt(20_000), rel=0.8)
    assert standard_error(noise) >= noise.std() / np.sqrt(20_000)
    slow = np.repeat(noise[:200], 100)  # 200 values, each a hundred times
    assert standard_error(slow) == pytest.approx(1 / np.sqrt(200), rel=0.8)
    assert standard_error(noise[:7]) is None
    assert standard_error(np.ones(64)) == 0
