"""Marker trajectories of .c3d files, read by ezc3d."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoequiv.errors import DataError


@dataclass(frozen=True, eq=False)
class Markers:
    """A .c3d file.

    Args:
        names: M labels.
        positions: ``[T, M, 3]``; NaN where a marker was not seen.
        rate: frames per second.
        unit: "mm", "m" …, "" where the file does not say.
    """

    names: tuple[str, ...]
    positions: NDArray[np.float64]
    rate: float
    unit: str


def read_c3d(path: str | os.PathLike[str]) -> Markers:
    """The labelled points of a .c3d file.

    Raises:
        DataError: ezc3d is not installed, the file cannot be read, or it holds no points.
    """
    path = Path(path)
    try:
        import ezc3d
    except ImportError as error:
        raise DataError(f"Reading {path.name} takes ezc3d: pip install 'geoequiv[c3d]'.") from error
    if not path.is_file():
        raise DataError(f"There is no {path}.")
    try:
        content = ezc3d.c3d(str(path))
        points = np.asarray(content["data"]["points"], dtype=np.float64)
        residuals = np.asarray(content["data"]["meta_points"]["residuals"], dtype=np.float64)
        told = content["parameters"]["POINT"]
        labels = [label for key in sorted(told) if key.startswith("LABELS") for label in told[key]["value"]]
        rate = float(told["RATE"]["value"][0])
        unit = str((told["UNITS"]["value"] or [""])[0]).strip() if "UNITS" in told else ""
    except Exception as error:  # ezc3d raises what its C++ throws: OSError, ValueError, IndexError, RuntimeError
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error}).") from error
    names = tuple(label.strip() for label in labels)
    if points.ndim != 3 or not points.size or len(set(names)) != points.shape[1]:
        raise DataError(
            f"{path} must hold points with a label each; it holds points of shape {list(points.shape)} and "
            f"{len(set(names))} different labels."
        )
    positions = points[:3].transpose(2, 1, 0).copy()
    positions[residuals.reshape(points.shape[1:]).T < 0] = np.nan
    return Markers(names, positions, rate, unit)
