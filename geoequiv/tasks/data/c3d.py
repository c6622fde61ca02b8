"""Marker trajectories of .c3d files, read by ezc3d."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoequiv.errors import DataError

BLOCK = 512  # bytes; .c3d files count in blocks


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
        DataError: ezc3d is not installed, the file cannot be read, is shorter than its header says, or holds no points.
    """
    path = Path(path)
    try:
        import ezc3d
    except ImportError as error:
        raise DataError(f"Reading {path.name} takes ezc3d: pip install 'geoequiv[c3d]'.") from error
    if not path.is_file():
        raise DataError(f"There is no {path}.")
    _check_length(path)
    try:
        content = ezc3d.c3d(str(path))
        points = np.asarray(content["data"]["points"], dtype=np.float64)
        residuals = np.asarray(content["data"]["meta_points"]["residuals"], dtype=np.float64)
        parameters = content["parameters"]["POINT"]
        labels = [label for key in sorted(parameters) if key.startswith("LABELS") for label in parameters[key]["value"]]
        rate = float(parameters["RATE"]["value"][0])
        unit = str((parameters["UNITS"]["value"] or [""])[0]).strip() if "UNITS" in parameters else ""
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


def _check_length(path: Path) -> None:
    """Refuse what is cut short: ezc3d reads such a file as one of fewer frames, or does not come back.

    The header's 16-bit words are: where the parameters start and 0x50, points, analog values a frame, first and last
    frame, longest gap, scale (negative: 4-byte floats, else 2-byte integers; two words), where the data start. A last
    frame of 65535 says "or more". Reference: The C3D File Format, User Guide (Motion Lab Systems), The Header Section.
    """
    with path.open("rb") as file:
        head = file.read(BLOCK)
        file.seek((head[0] - 1) * BLOCK + 3 if len(head) == BLOCK and head[0] else 0)
        processor = file.read(1)
    if len(head) < BLOCK or head[1] != 0x50 or not head[0]:
        raise DataError(f"{path} cannot be read: it does not start as a .c3d file does.")
    if not processor:
        raise DataError(f"{path} cannot be read: its parameters should start at byte {(head[0] - 1) * BLOCK}.")
    order = ">" if processor[0] == 86 else "<"  # 84 Intel, 85 DEC, 86 MIPS
    points, analog, first, last = struct.unpack_from(f"{order}4H", head, 2)
    (start,) = struct.unpack_from(f"{order}H", head, 16)
    negative = head[12 if order == ">" else 13 if processor[0] == 85 else 15] & 0x80  # DEC swaps the words of a float
    frames = last - first + 1 if last < 65535 else 0
    expected = max(start - 1, 0) * BLOCK + frames * (4 * points + analog) * (4 if negative else 2)
    found = path.stat().st_size
    if found < expected:
        raise DataError(
            f"{path} cannot be read: its header announces {frames} frames of {points} points, {expected} bytes at "
            f"least, and it has {found}; cut short?"
        )
