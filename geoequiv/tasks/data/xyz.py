"""Frames of ``.xyz`` and ``.extxyz`` files as named arrays, read by ASE."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoequiv.errors import DataError
from geoequiv.tasks.data.elements import CHARGES, SYMBOLS
from geoequiv.text import read_text

ENDINGS = (".xyz", ".extxyz")
Frame = dict[str, Any]
#: ASE's order of the six numbers of a symmetric stress: xx, yy, zz, yz, xz, xy
VOIGT = ((0, 5, 4), (5, 1, 3), (4, 3, 2))


def read_frames(path: Path) -> list[Frame]:
    """Every frame of one file: ``pos`` [N, 3], ``numbers`` [N], and all that the file has per atom or per frame.

    Frames with a ``Lattice`` also have ``cell`` [3, 3], its rows the lattice vectors, and ``pbc`` [3]; a ``stress`` is
    a matrix [3, 3]. Atoms are given by symbols (D and T are hydrogen) or by atomic numbers.

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
    frames: list[Frame] = []
    try:
        text = read_text(path)
        for atoms in iread(io.StringIO(with_symbols(text, path)), index=":", format="extxyz"):
            results = dict(atoms.calc.results) if atoms.calc is not None else {}
            if "stress" in results and np.shape(results["stress"]) == (6,):
                results["stress"] = np.asarray(results["stress"])[np.array(VOIGT)]
            found = {**atoms.arrays, **atoms.info, **results, "pos": atoms.get_positions()}
            if atoms.cell.any():
                found |= {"cell": atoms.cell.array, "pbc": atoms.pbc.astype(np.float64)}
            frames.append(found)
    except DataError:
        raise
    except Exception as error:  # ASE raises its own, and whatever numpy, int() and float() say
        raise DataError(
            f"{path} cannot be read after {len(frames)} frames ({type(error).__name__}: {error})."
        ) from error
    if not frames:
        raise DataError(f"{path} holds no frame.")
    return frames


def with_symbols(text: str, path: Path) -> str:
    """A file's text with the symbol of each atom where it has an atomic number, and H for D and T.

    Raises:
        DataError: something else stands there; names the line.
    """
    lines = text.splitlines()
    start = 0
    while start < len(lines) and lines[start].strip().isdigit():
        end = start + 2 + int(lines[start])
        column = species_column(lines[start + 1]) if start + 1 < len(lines) else None
        for number in range(start + 2, min(end, len(lines)) if column is not None else 0):
            words = lines[number].split()
            if column is not None and len(words) > column:
                symbol = symbol_of(words[column], f"{path}, line {number + 1}")
                if symbol != words[column]:
                    words[column] = symbol
                    lines[number] = " ".join(words)
        start = end
        while start < len(lines) and lines[start].startswith("VEC"):
            start += 1
    return "\n".join(lines) + "\n"


def species_column(comment: str) -> int | None:
    """The column of the symbols, by the ``Properties`` of a comment line; 0 without any, None without symbols."""
    found = re.search(r'Properties=(?:"([^"]*)"|(\S+))', comment, re.IGNORECASE)
    if found is None:
        return 0
    parts = (found[1] or found[2]).split(":")
    for width in parts[2::3]:
        if len(width) > 4:  # ASE makes a column for each
            raise ValueError(f"a property of more than 9999 columns: {width[:20]}")
    column = 0
    for name, _, width in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        if name.lower() in ("species", "symbols", "element"):
            return column
        column += int(width)
    return None


def symbol_of(word: str, where: str) -> str:
    """The symbol that ASE knows an atom by."""
    if word.isdigit() and int(word) in SYMBOLS:
        return SYMBOLS[int(word)]
    name = word.capitalize()
    if name == "X":  # ASE's dummy atom
        return name
    if name not in CHARGES:
        raise DataError(f"{where}: expected the symbol of an element or its atomic number, got '{word}'.")
    return SYMBOLS[CHARGES[name]]


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
