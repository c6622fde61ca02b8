"""Where a user's data comes from: ``.npz`` files of named arrays, ``.xyz`` files, folders of these."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoequiv.archives import read_arrays
from geoequiv.errors import ConfigError, DataError
from geoequiv.tasks.data.cache import UNREADABLE
from geoequiv.tasks.data.xyz import ENDINGS, read_frames, stacked

CHARGES = ("numbers", "z", "nuclear_charges")  # names under which files have the elements
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NamedArrays:
    """What one file or folder holds: names, and a function from a name to its array and to which rows are real."""

    path: Path
    names: tuple[str, ...]
    get: Callable[[str], tuple[Array, NDArray[np.bool_] | None]]

    def first_periodic(self) -> int | None:
        """The first item that is periodic along any axis, by its ``pbc``; None if none is."""
        if "pbc" not in self.names:
            return None
        walls = self.get("pbc")[0]
        periodic = (walls != 0).reshape(len(walls), -1).any(-1)
        return int(periodic.argmax()) if periodic.any() else None

    def charges(self) -> Array | None:
        """Nuclear charges [N] or [n, N], if the source has them; 0 where a cloud is padded."""
        name = next((name for name in CHARGES if name in self.names), None)
        if name is None:
            return None
        charges = self.get(name)[0]
        if not np.isfinite(charges).all() or (charges != np.round(charges)).any():
            raise DataError(f"{self.path}: '{name}' must be whole numbers, the nuclear charges.")
        return charges


def located(path: str, data_dir: str | os.PathLike[str] | None) -> Path:
    """The path as it is, or inside the data folder; ConfigError if it is no path, DataError if it does not exist."""
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise ConfigError(f"path must be a file or a folder, in quotes if it is a number; got {path!r}.")
    places = [Path(path).expanduser(), *([Path(data_dir) / path] if data_dir else [])]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise DataError(
            f"There is no {' nor '.join(str(place) for place in places)}: path must be a file or a folder, as seen "
            f"from here ({Path.cwd()}) or from the data folder (--data-dir)."
        )
    return found


def part_of(place: Path, part: str) -> Path | None:
    """The file of one split in a folder, if it is there."""
    return next((f for end in (".npz", *ENDINGS) if (f := place / f"{part}{end}").is_file()), None)


def read(path: Path) -> NamedArrays:
    """A file, or all files of a folder one after the other: either .npz, or .xyz and .extxyz.

    Raises:
        DataError: none is there, they are of several kinds or of another one, or one cannot be read.
    """
    found = sorted(p for p in path.iterdir() if p.suffix in (".npz", *ENDINGS)) if path.is_dir() else [path]
    if found and all(each.suffix == ".npz" for each in found):
        return read_archives(path, found)
    if not found or any(each.suffix not in ENDINGS for each in found):
        what = (
            "must hold .npz files, or .xyz and .extxyz files" if path.is_dir() else "is no .npz, .xyz or .extxyz file"
        )
        raise DataError(f"{path} {what}. Trials of motion capture (.bvh, .c3d, .amc) are for the task mocap/files.")
    frames = [frame for each in found for frame in read_frames(each)]
    if any("cell" in frame for frame in frames):  # frames without one are open
        for frame in frames:
            frame.setdefault("cell", np.zeros((3, 3)))
            frame.setdefault("pbc", np.zeros(3))
    names = tuple(name for name in frames[0] if all(name in frame for frame in frames))
    return NamedArrays(path, names, lambda name: stacked(frames, name, path))


def read_archives(path: Path, files: list[Path]) -> NamedArrays:
    """The arrays of one or more .npz files, joined along their items; elements [N] are those of every file.

    Where one file has a mask, all nodes of those without are real.

    Raises:
        DataError: files do not fit together, or one cannot be read.
    """
    read = [(file, numbers_of(file)) for file in files]
    given = next((arrays["mask"] for _, arrays in read if "mask" in arrays), None)
    if given is not None:
        for _, arrays in read:
            arrays.setdefault("mask", np.ones((items_of(arrays), *given.shape[1:])))
    first = read[0][1]
    joined = dict(first)
    for name, array in first.items() if len(read) > 1 else ():
        others = [(file, arrays.get(name)) for file, arrays in read[1:]]
        fixed = is_fixed(name, array)
        for file, other in others:
            if other is None or other.shape[not fixed :] != array.shape[not fixed :]:
                has = "no such array" if other is None else f"one of shape {list(other.shape)}"
                raise DataError(f"{files[0]} has '{name}' of shape {list(array.shape)}, {file.name} has {has}.")
            if fixed and not np.array_equal(other, array):
                raise DataError(f"{files[0]} and {file.name} have different elements '{name}': give them one a cloud.")
        joined[name] = array if fixed else np.concatenate([array, *(other for _, other in others if other is not None)])
    mask = joined.pop("mask", None)
    return NamedArrays(path, tuple(joined), lambda name: (joined[name], None if mask is None else mask > 0))


def is_fixed(name: str, array: Array) -> bool:
    """Whether an array holds the elements of all clouds, [N], and no row for each item."""
    return name in CHARGES and array.ndim == 1


def items_of(arrays: dict[str, Array]) -> int:
    """How many rows the arrays of a file have."""
    return max((len(array) for name, array in arrays.items() if not is_fixed(name, array)), default=0)


def numbers_of(path: Path) -> dict[str, Array]:
    """The numeric arrays of an .npz file that have rows; DataError if it cannot be read, or holds pickled objects."""
    try:
        arrays = read_arrays(path)
        numbers = {name: array for name, array in arrays.items() if array.dtype.kind in "fiub" and array.ndim}
        return {name: array.astype(np.float64) for name, array in numbers.items()}
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error}).") from error


def elements(sources: Iterable[NamedArrays]) -> NDArray[np.int64]:
    """The nuclear charges that occur, in order."""
    found = [charges.astype(np.int64).ravel() for source in sources if (charges := source.charges()) is not None]
    kinds = np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)
    return kinds[kinds > 0]
