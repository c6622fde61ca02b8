"""Symplectic Euler: the one integrator of the simulated n-body tasks."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def kick_drift(acceleration: Callable[[Array], Array], x: Array, v: Array, dt: float, steps: int) -> None:
    """Advance positions and velocities in place by symplectic Euler steps.

        v ← v + Δt a(x),    x ← x + Δt v        (repeated `steps` times)

    Running `a` then `b` steps is bit for bit the same as running `a + b` steps.

    Args:
        acceleration: maps positions to accelerations of the same shape; may return the same buffer every time.
        x: positions, any shape, float64; overwritten.
        v: velocities, the shape of `x`; overwritten.
        dt: step length Δt.
        steps: number of steps, ≥ 0.

    Exactness:
        First order in Δt, symplectic; conserves the sum of mass × velocity exactly up to round-off.
    """
    scratch = np.empty_like(x)
    for _ in range(steps):
        np.add(v, np.multiply(acceleration(x), dt, out=scratch), out=v)
        np.add(x, np.multiply(v, dt, out=scratch), out=x)
