"""The labels' own symmetry error: nothing for an equivariant simulator, the known value for one that is not."""

import numpy as np
import pytest

from geoequiv.tasks.label_symmetry import label_symmetry_error

FORCE = np.array([0.3, 0.0, 0.0])


def clouds(items=400, points=4):
    rng = np.random.default_rng(0)
    return rng.standard_normal((2, items, points, 3))


def drift(pos, vel):
    return pos + 0.5 * vel


def wind(pos, vel):
    return drift(pos, vel) + FORCE


def test_an_equivariant_simulator_has_no_error():
    pos, vel = clouds()
    error = label_symmetry_error(drift, pos, vel, drift(pos, vel))
    assert error["mse"] < 1e-28
    assert error["mse_se"] < 1e-28


def test_a_constant_force_by_hand():
    """‖R⁻¹F − F‖²/3 has the mean 2‖F‖²/3 over O(3), and R⁻¹F·F the variance ‖F‖⁴/3."""
    pos, vel = clouds()
    error = label_symmetry_error(wind, pos, vel, wind(pos, vel))
    square = float(FORCE @ FORCE)
    deviation = 2 * square / 3 / np.sqrt(3)
    assert error["mse_se"] == pytest.approx(deviation / np.sqrt(len(pos)), rel=0.1)
    assert abs(error["mse"] - 2 * square / 3) < 4 * error["mse_se"]
    assert error["floor_se"] == error["mse_se"] / 2
    assert error["num_items"] == len(pos)


def test_one_item_has_no_standard_error():
    pos, vel = clouds(items=1)
    assert "mse_se" not in label_symmetry_error(wind, pos, vel, wind(pos, vel))
