"""Files of revised MD17: official splits, in the layout of the archive or cut into one file for each part."""

import bz2
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoequiv.errors import DataError
from geoequiv.tasks.data.official import OfficialFile, find, obtain, unpacking
from geoequiv.tasks.data.trajectory import Trajectory, read_trajectory
from geoequiv.text import read_text

ARCHIVE = OfficialFile(
    "rmd17.tar.bz2",
    "https://archive.materialscloud.org/record/file?filename=rmd17.tar.bz2&record_id=466",
    None,
    "CC0; cite Christensen & von Lilienfeld 2020.",
    "Or simulate surrogate data: geoequiv data make md17-xtb --molecule ethanol --frames 100000, then "
    "configs/md17_xtb_forces.yaml.",
)
Frames = tuple[Trajectory, NDArray[np.int64]]  # of one molecule, and which of them


def load(folder: Path, molecule: str, split: int) -> tuple[Frames, Frames]:
    """Training and test frames of an official split, in the order of the split."""
    home = folder / "rmd17"
    places = [home, home / "rmd17" / "npz_data", home / "npz_data", folder]
    cut = [find(f"rmd17_{molecule}_{part}_{split:02d}.npz", places) for part in ("train", "test")]
    if all(cut):
        learn, held_out = (read_trajectory(path, in_order=False) for path in cut if path)
        if not np.array_equal(learn.charges, held_out.charges):
            raise DataError(
                f"{learn.path} and {held_out.path.name} must have the same atoms in the same order; their charges are "
                f"{learn.charges.tolist()} and {held_out.charges.tolist()}."
            )
        if learn.numbers is not None and held_out.numbers is not None:
            check_apart(learn.path, held_out.path, learn.numbers, held_out.numbers)
        return (learn, np.arange(len(learn.positions))), (held_out, np.arange(len(held_out.positions)))
    names = {"data": f"rmd17_{molecule}.npz"}
    names |= {part: f"index_{part}_{split:02d}.csv" for part in ("train", "test")}
    indices = [home, home / "rmd17" / "splits", home / "splits", folder]
    found = {part: find(name, places if part == "data" else indices) for part, name in names.items()}
    if not all(found.values()):
        unpack(obtain(ARCHIVE, home), home, tuple(names.values()))
        found = {part: find(name, [home]) for part, name in names.items()}
    data, train, test = (path for path in found.values() if path)
    trajectory = read_trajectory(data, in_order=False)
    rows = [read_index(path, len(trajectory.positions)) for path in (train, test)]
    check_apart(train, test, *rows)
    return (trajectory, rows[0]), (trajectory, rows[1])


def check_apart(first: Path, second: Path, learn: NDArray[np.int64], held_out: NDArray[np.int64]) -> None:
    """Raise DataError for frames that are in training and test, or twice in one of them."""
    for path, numbers in ((first, learn), (second, held_out)):
        values, counts = np.unique(numbers, return_counts=True)
        if (counts > 1).any():
            raise DataError(
                f"{path} has {int((counts > 1).sum())} frames more than once, first {values[counts > 1][0]}: a split "
                "has each frame once."
            )
    both = np.intersect1d(learn, held_out)
    if len(both):
        raise DataError(
            f"{first} and {second.name} share {len(both)} frames, first {both[0]}: none may be in training and test."
        )


def read_index(path: Path, frames: int) -> NDArray[np.int64]:
    """Frame numbers of a split, one a line.

    Raises:
        DataError: it cannot be read, or names a frame that is not there.
    """
    try:
        index = np.array(read_text(path).split(), dtype=np.float64)  # some write 3.0 for 3
    except (OSError, ValueError) as error:
        raise DataError(f"{path} must hold one frame number a line: {error}.") from error
    if not len(index):
        raise DataError(f"{path} names no frames.")
    if not np.isfinite(index).all() or (index != np.round(index)).any():
        raise DataError(f"{path} must hold whole numbers, the frames of a split.")
    if index.min() < 0 or index.max() >= frames:
        raise DataError(f"{path} names frames {index.min():g} to {index.max():g}, and the trajectory has {frames}.")
    return index.astype(np.int64)


def unpack(archive: Path, folder: Path, names: tuple[str, ...]) -> None:
    """Take files that are not there out of the official archive into a folder, whatever folders they lie in there.

    Raises:
        DataError: the archive cannot be read, or lacks one of them, or the folder cannot be written (disk full).
    """
    with unpacking(archive, folder):
        missing = {name for name in names if not (folder / name).is_file()}
        with bz2.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as members:
            for member in members if missing else ():
                name = Path(member.name).name
                content = members.extractfile(member) if name in missing and member.isfile() else None
                if content is not None:
                    part = folder / f"{name}.part"
                    with open(part, "wb") as out:
                        while block := content.read(1 << 20):
                            out.write(block)
                    part.replace(folder / name)
                    missing.discard(name)
                if not missing:
                    return
    if missing:
        raise DataError(f"{archive} does not hold {sorted(missing)}.")
