"""Molecular trajectories in the npz layout of MD17: positions, charges, energies, forces."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoequiv.archives import read_arrays
from geoequiv.errors import DataError
from geoequiv.tasks.data.cache import UNREADABLE
from geoequiv.tasks.data.elements import symbol

#: what is read → how the original and the revised files call it
NAMES = {
    "positions": ("R", "coords"),
    "charges": ("z", "nuclear_charges"),
    "energies": ("E", "energies"),
    "forces": ("F", "forces"),
    "numbers": ("old_indices",),
}
BLOCK = 2000  # frames of 0.5 fs: 1 ps, longer than bond vibrations (10 … 100 fs) remember one another


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Frames of one molecule.

    Args:
        positions: ``[T, N, 3]``, Å.
        charges: ``[N]``, nuclear charges (1 hydrogen, 6 carbon …).
        energies: ``[T]``, kcal/mol, or None.
        forces: ``[T, N, 3]``, kcal/mol/Å, or None.
        path: the file.
        numbers: ``[T]``, which frame of the simulation each row is; None where the file does not say.
    """

    positions: NDArray[np.float64]
    charges: NDArray[np.int64]
    energies: NDArray[np.float64] | None
    forces: NDArray[np.float64] | None
    path: Path
    numbers: NDArray[np.int64] | None = None

    def only(self, kept: NDArray[np.bool_]) -> "Trajectory":
        """The same without some atoms, ``kept`` ``[N]`` bool; energies stay those of the whole molecule."""
        forces = None if self.forces is None else self.forces[:, kept]
        return replace(self, positions=self.positions[:, kept], charges=self.charges[kept], forces=forces)

    def blocks(self, rows: NDArray[np.int64], length: int = BLOCK) -> NDArray[np.int64] | None:
        """Which stretch of ``length`` frames of the simulation each of these rows lies in, ``[n]``."""
        return None if self.numbers is None else self.numbers[rows] // length


def read_trajectory(path: str | os.PathLike[str], in_order: bool = True) -> Trajectory:
    """A trajectory in MD17's layout (``R``, ``z``, ``E``, ``F``) or revised MD17's (``coords``, ``nuclear_charges`` …).

    Args:
        path: the file.
        in_order: whether its rows are the frames of one simulation, in order, unless it says otherwise.

    Raises:
        DataError: it cannot be read, holds pickled objects, lacks positions or charges, or shapes do not fit.
    """
    path = Path(path)
    try:
        arrays = read_arrays(path)
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error}).") from error
    read = {key: arrays[name] for key, aliases in NAMES.items() for name in aliases if name in arrays}
    if "positions" not in read or "charges" not in read:
        raise DataError(
            f"{path} must hold R [T, N, 3] and z [N] (or coords and nuclear_charges); it holds {sorted(arrays)}."
        )
    positions, charges = read["positions"], read["charges"]
    if positions.ndim != 3 or positions.shape[-1] != 3 or charges.shape != positions.shape[1:2] or not positions.size:
        raise DataError(
            f"{path}: positions of shape {list(positions.shape)} and charges of shape {list(charges.shape)} do not "
            "fit: expected [T, N, 3] and [N]."
        )
    for key, array in read.items():
        if array.dtype.kind not in "fiu":
            raise DataError(f"{path}: {' or '.join(NAMES[key])} must be numbers, got {array.dtype}.")
    if not (np.isfinite(charges).all() and (charges >= 1).all() and (charges == np.round(charges)).all()):
        raise DataError(
            f"{path}: {' or '.join(NAMES['charges'])} must be whole numbers from 1, got {charges.tolist()}."
        )
    energies = read.get("energies")
    if energies is not None and energies.size != len(positions):
        raise DataError(f"{path} has {energies.size} energies for {len(positions)} frames.")
    forces = read.get("forces")
    if forces is not None and forces.shape != positions.shape:
        raise DataError(f"{path}: forces of shape {list(forces.shape)}, positions of shape {list(positions.shape)}.")
    numbers = read.get("numbers")
    if numbers is not None and (numbers.shape != positions.shape[:1] or numbers.dtype.kind not in "iu"):
        raise DataError(
            f"{path}: old_indices must be {len(positions)} whole numbers, got {list(numbers.shape)} {numbers.dtype}."
        )
    if numbers is None and in_order:
        numbers = np.arange(len(positions))
    if not np.isfinite(positions).all():
        frame = int(np.flatnonzero(~np.isfinite(positions).all(axis=(1, 2)))[0])
        raise DataError(f"{path}: positions are not finite, first in frame {frame}.")
    return Trajectory(
        positions.astype(np.float64),
        charges.astype(np.int64),
        None if energies is None else energies.reshape(-1).astype(np.float64),
        None if forces is None else forces.astype(np.float64),
        path,
        None if numbers is None else numbers.astype(np.int64),
    )


def block_name(blocks: Iterable[NDArray[np.int64] | None], length: int = BLOCK) -> str:
    """What the groups of a task's items are, for its card; "" where frame numbers are not known."""
    return f"block of {length} frames" if all(each is not None for each in blocks) else ""


def species(charges: NDArray[np.int64]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Which element each atom is, one-hot ``[N, kinds]`` in the order of nuclear charge, and the elements' symbols."""
    kinds = np.unique(charges)
    names = tuple(symbol(int(kind)) for kind in kinds)
    return (charges[:, None] == kinds).astype(np.float64), names


def bonds_within(positions: NDArray[np.float64], reach: float) -> NDArray[np.bool_]:
    """Which atoms of one frame ``[N, 3]`` are closer than ``reach`` (Å): ``[N, N]``, zero diagonal."""
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    close: NDArray[np.bool_] = (distance < reach) & ~np.eye(len(positions), dtype=bool)
    return close
