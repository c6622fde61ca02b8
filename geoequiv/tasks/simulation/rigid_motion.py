"""A molecule that neither translates nor rotates as a whole, as in MD17: a constraint for ASE's dynamics."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def without_rigid_motion(positions: Array, momenta: Array, masses: Array) -> Array:
    r"""Momenta less those of the rigid motion that carries their total momentum and angular momentum.

    .. math:: p_i - m_i (V + ω × (x_i - \bar x)),\quad V = \sum_i p_i / M,\quad ω = I^{-1} \sum_i (x_i - \bar x) × p_i

    This is the projection that changes the kinetic energy least; applied twice it is applied once.

    Args:
        positions: ``[N, 3]``, three atoms or more, not collinear (else the inertia I is singular).
        momenta: ``[N, 3]``.
        masses: ``[N]``.
    """
    arm = positions - masses @ positions / masses.sum()
    moment = arm.T @ momenta  # its antisymmetric part is the angular momentum
    spread = (arm * masses[:, None]).T @ arm
    inertia = np.diag(np.full(3, spread.trace())) - spread
    x, y, z = np.linalg.solve(
        inertia, (moment[1, 2] - moment[2, 1], moment[2, 0] - moment[0, 2], moment[0, 1] - moment[1, 0])
    )
    rigid = arm @ np.array([[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]]) + momenta.sum(0) / masses.sum()
    left: Array = momenta - masses[:, None] * rigid
    return left


class NoRigidMotion:
    """Constraint for `ase.Atoms`: total momentum and angular momentum stay zero, whatever a thermostat adds.

    ASE's own `FixCom` does the first half. Forces are left alone: those of a free molecule add up to no force and no
    torque.

    Args:
        masses: ``[N]``.
    """

    def __init__(self, masses: Array) -> None:
        self.masses = masses

    def __deepcopy__(self, memo: dict[int, Any]) -> "NoRigidMotion":
        return self  # it never changes, and ASE copies all constraints at every step

    def adjust_positions(self, atoms: Any, positions: Array) -> None:
        steps = (positions - atoms.positions) * self.masses[:, None]
        positions[:] = (
            atoms.positions + without_rigid_motion(atoms.positions, steps, self.masses) / self.masses[:, None]
        )

    def adjust_momenta(self, atoms: Any, momenta: Array) -> None:
        momenta[:] = without_rigid_motion(atoms.positions, momenta, self.masses)

    def adjust_forces(self, atoms: Any, forces: Array) -> None:
        """Nothing to do."""

    def get_removed_dof(self, atoms: Any) -> int:
        return 6
