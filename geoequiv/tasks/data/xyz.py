"""Frames of ``.xyz`` and ``.extxyz`` files as named arrays, read by ASE."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoequiv.errors import DataError

ENDINGS = (".xyz", ".extxyz")
Frame = dict[str, Any]


def read_frames(path: Path) -> list[Frame]:
    """Every frame of one file: ``pos`` [N, 3], ``numbers`` [N], and all that the file has per atom or per frame.

    Raises:
        DataError: ASE is not installed, or the file cannot be read.
    """
    try:
        from ase.io import iread
    except ImportError as error:
        raise DataError(
            f"Reading {path.name} takes ASE: pip install 'geoequiv[ase]'. Or give the same data as an .npz file of "
            "named arrays."
        ) from error
    frames = []
    try:
        for atoms in iread(path, index=":", format="extxyz"):
            results = atoms.calc.results if atoms.calc is not None else {}
            frames.append({**atoms.arrays, **atoms.info, **results, "pos": atoms.get_positions()})
    except Exception as error:  # ASE raises its own, and whatever numpy, int() and float() say
        raise DataError(
            f"{path} cannot be read after {len(frames)} frames ({type(error).__name__}: {error})."
        ) from error
    if not frames:
        raise DataError(f"{path} holds no frame.")
    return frames


def stacked(frames: Sequence[Frame], name: str, where: Path) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    """One field of all frames, ``[n, …]``, padded with zeros where frames differ in size, and then which rows are real.

    Raises:
        DataError: a frame lacks it (the first such is named, and what it has), or shapes do not fit.
    """
    arrays = []
    for number, frame in enumerate(frames):
        if name not in frame:
            raise DataError(f"{where}: frame {number} has no '{name}'; it has {sorted(frame)}.")
        try:
            arrays.append(np.asarray(frame[name], dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise DataError(f"{where}: '{name}' of frame {number} is not made of numbers.") from error
    shapes = {array.shape for array in arrays}
    if len(shapes) == 1:
        return np.stack(arrays), None
    if len({shape[1:] for shape in shapes}) > 1 or () in shapes:
        raise DataError(f"{where}: '{name}' has different shapes in different frames: {sorted(shapes)[:4]}.")
    largest = max(len(array) for array in arrays)
    padded = np.zeros((len(arrays), largest, *arrays[0].shape[1:]))
    real = np.zeros((len(arrays), largest), dtype=bool)
    for row, array in enumerate(arrays):
        padded[row, : len(array)], real[row, : len(array)] = array, True
    return padded, real
