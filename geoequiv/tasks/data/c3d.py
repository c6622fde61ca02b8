"""Marker trajectories of .c3d files, read by ezc3d."""

import importlib.util
import io
import os
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoequiv.errors import DataError
from geoequiv.text import check_size, memory

#: seconds that reading may take, and one more for each megabyte
SECONDS = 8
#: the program that reads files; what ezc3d itself prints does not mix with its answer
READ = """
import io, os, sys
answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
import ezc3d, numpy
for path in sys.argv[1:]:
    content = ezc3d.c3d(path)
    point = content["parameters"]["POINT"]
    labels = [label for key in sorted(point) if key.startswith("LABELS") for label in point[key]["value"]]
    unit = str((point["UNITS"]["value"] or [""])[0]).strip() if "UNITS" in point else ""
    file = io.BytesIO()
    numpy.savez(
        file,
        points=numpy.asarray(content["data"]["points"], dtype=float),
        residuals=numpy.asarray(content["data"]["meta_points"]["residuals"], dtype=float),
        labels=numpy.array(labels, dtype=str),
        rate=float(point["RATE"]["value"][0]),
        unit=unit,
    )
    answers.write(len(file.getvalue()).to_bytes(8, "little") + file.getvalue())
    answers.flush()
"""
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
    """The labelled points of a .c3d file (see `read_c3ds`)."""
    return read_c3ds([path])[0]


def read_c3ds(paths: Sequence[str | os.PathLike[str]]) -> list[Markers]:
    """The labelled points of .c3d files.

    ezc3d runs in a process of its own, so that a file that crashes it is an error like any other.

    Raises:
        DataError: ezc3d is not installed, a file cannot be read, is shorter than its header says, or holds no points.
    """
    files = [Path(path) for path in paths]
    for path in files:
        if importlib.util.find_spec("ezc3d") is None:
            raise DataError(f"Reading {path.name} takes ezc3d: pip install 'geoequiv[c3d]'.")
        if not path.is_file():
            raise DataError(f"There is no {path}.")
        _check_length(path)
    return [_markers(path, content) for path, content in zip(files, _read_apart(files), strict=True)]


def _markers(path: Path, content: Mapping[str, NDArray[Any]]) -> Markers:
    """What ezc3d found in a file, checked."""
    points, residuals, labels = content["points"], content["residuals"], content["labels"].tolist()
    names, rate = tuple(label.strip() for label in labels), float(content["rate"])
    if points.ndim != 3 or not points.size or len(set(names)) != points.shape[1]:
        raise DataError(
            f"{path} must hold points with a label each; it holds points of shape {list(points.shape)} and "
            f"{len(set(names))} different labels."
        )
    if residuals.size != points[0].size:
        raise DataError(f"{path} holds {residuals.size} residuals for {points[0].size} points.")
    if not 0 <= rate < np.inf:
        raise DataError(f"{path}: its rate must be a number of frames a second, got {rate:g}.")
    positions = points[:3].transpose(2, 1, 0).copy()
    positions[residuals.reshape(points.shape[1:]).T < 0] = np.nan
    if np.isinf(positions).any():
        frame = int(np.argwhere(np.isinf(positions))[0, 0])
        raise DataError(f"{path}: positions are not finite, first in frame {frame}.")
    return Markers(names, positions, rate, str(content["unit"]))


def _read_apart(files: Sequence[Path]) -> list[dict[str, NDArray[Any]]]:
    """What ezc3d finds in each file, in another process: on a damaged file it may crash, or not come back."""
    command = [sys.executable, "-c", READ, *(str(path.resolve()) for path in files)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    seconds = SECONDS + sum(path.stat().st_size for path in files) // 10**6
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=seconds)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        stuck = files[len(_answers(error.stdout or b""))]
        raise DataError(f"{stuck} cannot be read: ezc3d gives no answer within {seconds} s.") from error
    answers = _answers(done.stdout)
    if len(answers) < len(files):
        said = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
        reason = said if done.returncode >= 0 else f"ezc3d crashes on it, signal {-done.returncode}"
        raise DataError(f"{files[len(answers)]} cannot be read ({reason}).")
    return answers


def _answers(content: bytes) -> list[dict[str, NDArray[Any]]]:
    """Archives one after the other, each behind its length; those that are whole."""
    found, start = [], 0
    while (end := start + 8 + int.from_bytes(content[start : start + 8], "little")) <= len(content) and end > start + 8:
        with np.load(io.BytesIO(content[start + 8 : end]), allow_pickle=False) as archive:
            found.append({name: archive[name] for name in archive.files})
        start = end
    return found


def _check_length(path: Path) -> None:
    """Refuse what is cut short: ezc3d reads such a file as one of fewer frames, or does not come back.

    The header's 16-bit words are: where the parameters start and 0x50, points, analog values a frame, first and last
    frame, longest gap, scale (negative: 4-byte floats, else 2-byte integers; two words), where the data start. A last
    frame of 65535 says "or more". Reference: The C3D File Format, User Guide (Motion Lab Systems), The Header Section.
    """
    try:
        check_size(path, memory() // 8)
    except ValueError as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
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
