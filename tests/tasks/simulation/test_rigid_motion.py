"""A molecule that neither drifts nor turns: what is taken off its momenta."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geoequiv.tasks.simulation.rigid_motion import without_rigid_motion


def total(positions, momenta, masses):
    arm = positions - masses @ positions / masses.sum()
    return np.concatenate([momenta.sum(0), np.cross(arm, momenta).sum(0)])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 9))
def test_rigid_motion_and_nothing_else_is_taken_off(seed, atoms):
    rng = np.random.default_rng(seed)
    positions, momenta = rng.normal(size=(2, atoms, 3))
    masses = rng.uniform(1, 16, atoms)
    left = without_rigid_motion(positions, momenta, masses)
    np.testing.assert_allclose(total(positions, left, masses), 0, atol=1e-8)
    np.testing.assert_allclose(without_rigid_motion(positions, left, masses), left, atol=1e-8)
    kinetic, less = ((p**2).sum(1) @ (1 / masses) for p in (momenta, left))
    assert less <= kinetic + 1e-9
    rigid = masses[:, None] * (rng.normal(size=3) + np.cross(rng.normal(size=3), positions))
    np.testing.assert_allclose(without_rigid_motion(positions, rigid, masses), 0, atol=1e-7)
    np.testing.assert_allclose(without_rigid_motion(positions, momenta + rigid, masses), left, atol=1e-7)
