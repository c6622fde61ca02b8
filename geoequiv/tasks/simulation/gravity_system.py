"""The gravity n-body system of Brehmer et al. (2023): one star and three planets on nearly circular orbits, G = 1.

Arrays are [n, N, 3] and [n, N], float64: n systems of N = 4 objects.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoequiv.tasks.simulation.kick_drift import Array, kick_drift

OBJECTS = 4
PLANETS = OBJECTS - 1
STAR_MASS = (1.0, 10.0)
PLANET_MASS = (0.01, 0.1)
RADIUS = (0.1, 1.0)  # of the annulus that planets start in
SPEED_NOISE = 0.01  # standard deviation per velocity component of a planet
DT = 1e-3
STEPS = 100
FARTHEST = 2.0  # systems in which any object moves farther than this between input and target are rejected
CANDIDATES = 1_000  # systems drawn at once; part of the definition of the random stream
BLOCK = 2_000  # systems simulated at once: bounds memory, has no influence on the result


class Systems(NamedTuple):
    """Masses [n, N], positions [n, N, 3] and velocities [n, N, 3]."""

    mass: Array
    pos: Array
    vel: Array

    def rows(self, index: slice | NDArray[np.bool_]) -> "Systems":
        """Some of the systems."""
        return Systems(self.mass[index], self.pos[index], self.vel[index])


def accelerations(mass: Array, pos: Array) -> Array:
    """Newtonian accelerations without softening.

        a_i = Σ_{j ≠ i} m_j (x_j − x_i) / ‖x_j − x_i‖³

    Args:
        mass: [n, N].
        pos: [n, N, 3].

    Returns:
        [n, N, 3].
    """
    difference = pos[:, None, :, :] - pos[:, :, None, :]  # [n, i, j, 3]
    square = np.square(difference).sum(axis=-1)
    square[:, range(pos.shape[1]), range(pos.shape[1])] = np.inf  # no self-force
    weight = mass[:, None, :] / (square * np.sqrt(square))
    return (weight[:, :, None, :] @ difference)[:, :, 0, :]


def evolve(systems: Systems, steps: int = STEPS) -> tuple[Array, Array]:
    """Positions and velocities after `steps` symplectic Euler steps of 0.001; the input is left as it is."""
    pos, vel = systems.pos.copy(), systems.vel.copy()
    for start in range(0, len(pos), BLOCK):
        mass, x, v = (array[start : start + BLOCK] for array in (systems.mass, pos, vel))
        kick_drift(partial(accelerations, mass), x, v, DT, steps)
    return pos, vel


def draw_systems(rng: np.random.Generator, count: int = CANDIDATES) -> Systems:
    """Systems at the origin, orbits in the x-y plane, objects in random order.

    Masses are log-uniform, planets uniform by area in the annulus; each planet has the speed √(M_star / r) of a
    circular orbit in either sense with probability ½, plus normal noise in all three components. The star is at rest.
    """
    star = rng.uniform(math.log(STAR_MASS[0]), math.log(STAR_MASS[1]), (count, 1))
    planets = rng.uniform(math.log(PLANET_MASS[0]), math.log(PLANET_MASS[1]), (count, PLANETS))
    mass = np.exp(np.concatenate([star, planets], axis=1))
    radius = np.sqrt(rng.uniform(RADIUS[0] ** 2, RADIUS[1] ** 2, (count, PLANETS)))
    angle = rng.uniform(0.0, 2 * np.pi, (count, PLANETS))
    speed = rng.choice([-1.0, 1.0], (count, PLANETS)) * np.sqrt(mass[:, :1] / radius)
    pos, vel = np.zeros((count, OBJECTS, 3)), np.zeros((count, OBJECTS, 3))
    flat = np.zeros_like(radius)
    pos[:, 1:] = np.stack([radius * np.cos(angle), radius * np.sin(angle), flat], axis=-1)
    vel[:, 1:] = np.stack([-speed * np.sin(angle), speed * np.cos(angle), flat], axis=-1)
    vel[:, 1:] += SPEED_NOISE * rng.standard_normal((count, PLANETS, 3))
    order = np.argsort(rng.random((count, OBJECTS)), axis=1)
    return Systems(
        np.take_along_axis(mass, order, axis=1),
        np.take_along_axis(pos, order[..., None], axis=1),
        np.take_along_axis(vel, order[..., None], axis=1),
    )


def accepted(systems: Systems) -> NDArray[np.bool_]:
    """[n], whether no object moves farther than `FARTHEST` between input and target."""
    distance = np.linalg.norm(evolve(systems)[0] - systems.pos, axis=-1)
    return distance.max(axis=-1) <= FARTHEST


def accepted_systems(seed: int, stream: int) -> Iterator[tuple[int, Systems]]:
    """Endless batches (index, accepted systems) of one stream; the first items never depend on how many are taken."""
    index = 0
    while True:
        candidates = draw_systems(np.random.default_rng([seed, stream, index]))
        yield index, candidates.rows(accepted(candidates))
        index += 1
