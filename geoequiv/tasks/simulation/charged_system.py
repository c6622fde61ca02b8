"""The charged n-body system of Satorras et al. (2021), simulated in float64 for many trajectories at once.

The public data come from a loop over trajectories. Each arithmetic operation here is the one that the loop performs, in
its order, on a whole block of trajectories, so the results are equal bit for bit (tests/tasks holds the loop).
Arrays keep the trajectories on the last axis, where memory is contiguous: [3, n, T] for T trajectories of n particles.
"""

from collections.abc import Mapping
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoequiv.tasks.simulation.kick_drift import Array, kick_drift

Clamp = Literal["component", "isotropic"]

PARTICLES = 5
DT = 1e-3
MAX_FORCE = 0.1 / DT  # the public code's bound on each component of a force
SPEED = 0.5  # norm of every initial velocity
BOX = 5.0  # initial positions beyond ±BOX are reflected once; there is no wall during the run
STREAM = {"train": 10_000, "val": 2_000, "test": 2_000}  # trajectories drawn per set from the one random stream
INPUT_STEP = 3_100  # frame 30, counting from 0: a frame is recorded every 100 steps, the first at step 100
TARGET_STEP = 4_100  # frame 40
UNUSED_DRAWS = 2 * 49 * 3 * PARTICLES  # observation noise of scale 0 that the public code draws per trajectory
BLOCK = 2_048  # trajectories per block: its arrays fit the second-level cache


class States(NamedTuple):
    """Charges [n, T], positions [3, n, T] and velocities [3, n, T] of T trajectories."""

    charge: Array
    pos: Array
    vel: Array


class PairForces:
    """Clamped Coulomb forces on a block of trajectories, written into buffers that are allocated once.

        F_i = clamp( Σ_j q_i q_j (x_i − x_j) / (‖x_i‖² + ‖x_j‖² − 2 x_i·x_j)^{3/2} )

    A pair is visited once: −(a − b) = b − a is exact in floating point, so the reaction is the action's negative, and
    each F_i still sums its terms in the order j = 1 … n of the public loop. Pairs are stored by their index difference
    d = j − i, which makes every gather and scatter below a plain slice. The dot products x_i·x_j go through BLAS, as
    they do in the loop, because its kernels may fuse multiply and add.

    Args:
        charge: [n, T].
        clamp: "component" bounds each component of F_i by ±100 (the public data; not rotation invariant),
            "isotropic" bounds its norm by 100 (rotation invariant).
    """

    def __init__(self, charge: Array, clamp: Clamp) -> None:
        n, trajectories = charge.shape
        pairs = n * (n - 1) // 2
        self.clamp = clamp
        self.strength = np.concatenate([charge[:-d] * charge[d:] for d in range(1, n)])
        self._rows = np.empty((trajectories, 3, n))
        self._gram = np.empty((trajectories, n, n))
        self._square = np.empty((3, n, trajectories))
        self._norm = np.empty((n, trajectories))
        self._dot = np.empty((pairs, trajectories))
        self._scale = np.empty((pairs, trajectories))
        self._pair = np.empty((3, pairs, trajectories))
        self._force = np.empty((3, n, trajectories))
        ends = np.cumsum([0, *range(n - 1, 0, -1)])
        # (d, pairs with j − i = d, the same pairs in a flattened n × n Gram matrix)
        self._offsets = [(d, slice(ends[d - 1], ends[d]), slice(d, d + (n + 1) * (n - d), n + 1)) for d in range(1, n)]

    def __call__(self, x: Array, peak: Array | None = None) -> Array:
        """Forces [3, n, T] at positions `x` [3, n, T]; the returned buffer is overwritten by the next call.

        `peak` [T], if given, is raised to the largest force that the clamp saw before it acted.
        """
        self._pair_vectors(x)
        np.power(self._scale, 1.5, out=self._scale)
        np.divide(self.strength, self._scale, out=self._scale)
        np.multiply(self._pair, self._scale, out=self._pair)
        force = self._force
        force.fill(0.0)
        for d, pairs, _ in reversed(self._offsets):
            np.subtract(force[:, d:], self._pair[:, pairs], out=force[:, d:])
        for d, pairs, _ in self._offsets:
            np.add(force[:, :-d], self._pair[:, pairs], out=force[:, :-d])
        return self._clamped(peak)

    def _pair_vectors(self, x: Array) -> None:
        """Fill `_pair` with x_i − x_j and `_scale` with ‖x_i − x_j‖²."""
        np.copyto(self._rows, x.transpose(2, 0, 1))
        np.matmul(self._rows.transpose(0, 2, 1), self._rows, out=self._gram)
        gram = self._gram.reshape(len(self._gram), -1)
        np.multiply(x, x, out=self._square)
        np.add(self._square[0], self._square[1], out=self._norm)
        np.add(self._norm, self._square[2], out=self._norm)
        for d, pairs, entries in self._offsets:
            np.multiply(gram[:, entries].T, 2.0, out=self._dot[pairs])
            np.add(self._norm[:-d], self._norm[d:], out=self._scale[pairs])
            np.subtract(x[:, :-d], x[:, d:], out=self._pair[:, pairs])
        np.subtract(self._scale, self._dot, out=self._scale)

    def _clamped(self, peak: Array | None) -> Array:
        """Clamp `_force` in place and record what the clamp saw."""
        force = self._force
        if self.clamp == "component":
            if peak is not None:
                np.maximum(peak, np.abs(force, out=self._square).max(axis=(0, 1)), out=peak)
            return np.clip(force, -MAX_FORCE, MAX_FORCE, out=force)
        np.multiply(force, force, out=self._square)
        magnitude = np.sqrt(self._square.sum(axis=0), out=self._norm)
        if peak is not None:
            np.maximum(peak, magnitude.max(axis=0), out=peak)
        np.divide(MAX_FORCE, np.maximum(magnitude, MAX_FORCE, out=magnitude), out=magnitude)
        return np.multiply(force, magnitude, out=force)


def initial_states(sizes: Mapping[str, int], seed: int) -> States:
    """Initial states of the first `sizes[set]` trajectories of each set, in the order train, val, test.

    The legacy generator draws all sets from one stream; draws of trajectories that are not asked for, and of noise
    that the public code multiplies by zero, are made and discarded so that every later trajectory keeps its state.

    Args:
        sizes: how many trajectories to keep of "train", "val" and "test"; at most `STREAM` of each.
        seed: of the public data: 43.
    """
    stream = np.random.RandomState(seed)
    charges, positions, velocities = [], [], []
    for name, drawn in STREAM.items():
        for index in range(drawn):
            charge = stream.choice([-1.0, 0.0, 1.0], size=(PARTICLES, 1), p=[0.5, 0.0, 0.5])
            pos = stream.randn(3, PARTICLES)
            vel = stream.randn(3, PARTICLES)
            stream.randn(UNUSED_DRAWS)
            if index < sizes[name]:
                charges.append(charge[:, 0])
                positions.append(pos)
                velocities.append(vel)
    x, v = np.stack(positions, axis=-1), np.stack(velocities, axis=-1)
    v = v * SPEED / np.sqrt((v * v).sum(axis=0))
    over, under = x > BOX, x < -BOX
    v = np.where(over, -np.abs(v), np.where(under, np.abs(v), v))
    x = np.where(over, 2 * BOX - x, np.where(under, -2 * BOX - x, x))
    return States(np.stack(charges, axis=-1), x, v)


def advance(states: States, steps: int, clamp: Clamp) -> tuple[States, NDArray[np.bool_]]:
    """States `steps` steps later, and [T] whether the clamp acted on the way; the input is left as it is.

    A recorded frame is a state between a drift and the next kick, so a run continues from it bit for bit.
    """
    x, v = states.pos.copy(), states.vel.copy()
    clamped = np.zeros(x.shape[-1], dtype=bool)
    for start in range(0, x.shape[-1], BLOCK):
        block = slice(start, start + BLOCK)
        x_block, v_block = x[..., block].copy(), v[..., block].copy()
        forces, peak = PairForces(states.charge[:, block], clamp), np.zeros(x_block.shape[-1])
        with np.errstate(divide="ignore", invalid="ignore"):  # coincident particles: found by Task as not finite
            kick_drift(partial(forces, peak=peak), x_block, v_block, DT, steps)
        x[..., block], v[..., block], clamped[block] = x_block, v_block, peak > MAX_FORCE
    return States(states.charge, x, v), clamped
