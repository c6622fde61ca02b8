"""CIFAR-10 (task ``images/cifar10``): the official archive, or a part of it that the user names."""

import os
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from geoequiv.archives import read_arrays
from geoequiv.errors import DataError
from geoequiv.fields import Signature
from geoequiv.ranges import PositiveInt
from geoequiv.tasks.classification import ACCURACY, CROSS_ENTROPY, cross_entropy
from geoequiv.tasks.data.cache import UNREADABLE, checksum, data_directory
from geoequiv.tasks.data.official import OfficialFile, find, obtain, unpacking
from geoequiv.tasks.data.sources import located
from geoequiv.tasks.options import DTypeName, Seed, checked_dtype, checked_seed, checked_size
from geoequiv.tasks.protocols import CITATIONS, references_of
from geoequiv.tasks.task import Split, Task

NAME = "images/cifar10"
SIGNATURE = "image: image*3 -> logits: scalar*10"
CLASSES, SIDE = 10, 32
RECORD = 1 + 3 * SIDE * SIDE  # bytes of one image in the binary version: its class, then red, green and blue planes
TRAIN_FILES = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
TEST_FILES = ("test_batch.bin",)
ARCHIVE = OfficialFile(
    "cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "cite Krizhevsky 2009; the images are not the authors' own.",
)


class Labelled(NamedTuple):
    """Images ``[n, 3, 32, 32]`` uint8 and their classes ``[n]`` int64."""

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]

    def rows(self, index: Any) -> "Labelled":
        """Some of them."""
        return Labelled(self.images[index], self.classes[index])


def cifar10(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    path: str | None = None,
    train: PositiveInt | None = None,
    val: PositiveInt | None = None,
    test: PositiveInt | None = None,
    seed: Seed = 0,
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """CIFAR-10: which of ten classes a photograph of 32 × 32 pixels shows; a mirrored one shows the same.

    Inputs image [n, 3, 32, 32]; targets logits [n, 10], one-hot. Images are numbers from 0 to 255, less the mean of
    each colour over the training split, over its standard deviation there; both are the same for all pixels, so that
    flips commute with it. Nothing is cropped.

    The validation split is drawn from the official training images by the seed; the test split is the official one, or
    its first ``test`` images.

    Args:
        data_dir: searched, with its folders ``images``, ``cifar10`` and ``cifar-10-batches-bin``, for the files of the
            official binary version; else $GEOEQUIV_DATA, else ~/.cache/geoequiv. The archive is downloaded into
            ``cifar10`` (170 MB) if they are nowhere.
        path: an .npz file instead (train_images, train_labels, test_images, test_labels; images uint8 [n, 32, 32, 3]),
            in the current folder or in ``data_dir``. Its numbers are under an id of its own, with its checksum in it.
        train: items of the training set; None is all that validation leaves.
        val: items of the validation set; None is a tenth of the training images.
        test: items of the test set; None is all.
        seed: of the validation draw.
        dtype: of the task's tensors.

    Raises:
        ConfigError: more items than there are.
        DataError: files that are missing and cannot be fetched, or that cannot be read.

    Reference: Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    dtype, seed = checked_dtype(dtype), checked_seed(seed)
    place = data_directory(data_dir) if path is None else located(path, data_directory(data_dir))
    learn, held_out = official(place) if path is None else stored(place)
    count = len(learn.classes)
    sizes = {"val": checked_size("val", count // 10 if val is None else val, count - 1, "training images, less one")}
    left = count - sizes["val"]
    sizes |= {
        "train": checked_size("train", left if train is None else train, left, "training images without validation"),
        "test": checked_size(
            "test", len(held_out.classes) if test is None else test, len(held_out.classes), "the test images"
        ),
    }
    order = np.random.default_rng(seed).permutation(count)
    parts = {
        "train": learn.rows(order[sizes["val"] :][: sizes["train"]]),
        "val": learn.rows(order[: sizes["val"]]),
        "test": held_out.rows(slice(sizes["test"])),
    }
    whole = None if path is None else checksum(named({"train": learn, "test": held_out}))[:8]
    mean, deviation = moments(parts["train"].images)
    splits = {name: images_split(part, mean, deviation, dtype) for name, part in parts.items()}
    identity = cifar10_id({name: len(parts[name].classes) for name in parts}, seed, whole)
    about = "the official images" if path is None else f"the images of {Path(path).name}"
    return Task(
        name=NAME,
        protocol=identity,
        description=(
            f"CIFAR-10, {about}: share of test images whose class has the largest logit. Colours are centred and "
            f"scaled by the training split ({', '.join(f'{each:.1f}' for each in mean)}; "
            f"{', '.join(f'{each:.1f}' for each in deviation)})."
        ),
        signature=Signature.parse(SIGNATURE),
        symmetry="flip",
        splits=splits,
        loss=cross_entropy,
        metric=ACCURACY,
        references=references_of(identity),
        checksum=checksum(named(parts)),
        citation=CITATIONS["cifar10"],
        further=(CROSS_ENTROPY,),
        notes=(("Source", f"{place}; official: {ARCHIVE.url}"), ("Licence", ARCHIVE.licence)),
    )


def named(parts: dict[str, Labelled]) -> dict[str, NDArray[Any]]:
    """Arrays by part and field."""
    return {f"{name}_{field}": getattr(part, field) for name, part in parts.items() for field in part._fields}


def cifar10_id(sizes: dict[str, int], seed: int, part: str | None = None) -> str:
    """images/cifar10/45000-5000-10000/accuracy; with the start of a file's checksum where that is used."""
    counts = "-".join(str(sizes[name]) for name in ("train", "val", "test"))
    return f"{NAME}{f'/part-{part}' if part else ''}/{counts}/accuracy{f'/seed{seed}' if seed else ''}"


def moments(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each colour over all images and pixels, ``[3]`` each, from exact sums."""
    levels = np.stack([np.bincount(images[:, k].ravel(), minlength=256) for k in range(3)])
    value, count = np.arange(256.0), levels.sum(1)
    mean = levels @ value / count
    return mean, np.sqrt(np.maximum(levels @ value**2 / count - mean**2, 1e-12))


def images_split(
    part: Labelled, mean: NDArray[np.float64], deviation: NDArray[np.float64], dtype: torch.dtype
) -> Split:
    """Tensors of one split."""
    images = torch.from_numpy(part.images).to(dtype)
    centre, scale = (torch.from_numpy(each).to(dtype).reshape(3, 1, 1) for each in (mean, deviation))
    return Split(
        inputs={"image": images.sub_(centre).div_(scale)},
        targets={"logits": F.one_hot(torch.from_numpy(part.classes), CLASSES).to(dtype)},
    )


def official(folder: Path) -> tuple[Labelled, Labelled]:
    """Training and test images of the binary version, found or downloaded."""
    home = folder / "cifar10"
    roots = (home, folder / "images", folder)
    places = [place for root in roots for place in (root / "cifar-10-batches-bin", root)]
    found = {name: find(name, places) for name in (*TRAIN_FILES, *TEST_FILES)}
    if not all(found.values()):
        archive = find(ARCHIVE.name, places)
        unpack(obtain(ARCHIVE, archive.parent if archive else home), home)
        found = {name: find(name, [home]) for name in found}
    learn, held_out = ([found[name] for name in names] for names in (TRAIN_FILES, TEST_FILES))
    train, test = ([read_binary(path) for path in paths if path] for paths in (learn, held_out))
    return concatenated(train), concatenated(test)


def concatenated(parts: list[Labelled]) -> Labelled:
    """Several files as one."""
    return Labelled(np.concatenate([part.images for part in parts]), np.concatenate([part.classes for part in parts]))


def read_binary(path: Path) -> Labelled:
    """A file of the binary version.

    Raises:
        DataError: it cannot be read, is no whole number of records, or names a class that does not exist.
    """
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) == 0 or len(content) % RECORD:
        raise DataError(f"{path} has {len(content)} bytes; a file of CIFAR-10 has {RECORD} for each image.")
    records = content.reshape(-1, RECORD)
    return checked(records[:, 1:].reshape(-1, 3, SIDE, SIDE), records[:, 0], path)


def stored(path: Path) -> tuple[Labelled, Labelled]:
    """Training and test images of an .npz file.

    Raises:
        DataError: it cannot be read, lacks an array, or an array has another shape or type.
    """
    try:
        arrays = read_arrays(path)
        arrays = {
            f"{part}_{what}": arrays[f"{part}_{what}"] for part in ("train", "test") for what in ("images", "labels")
        }
    except UNREADABLE as error:
        raise DataError(
            f"{path} must be an .npz file of train_images, train_labels, test_images and test_labels "
            f"({type(error).__name__}: {error})."
        ) from error
    found = []
    for part in ("train", "test"):
        images = arrays[f"{part}_images"]
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (SIDE, SIDE, 3):
            raise DataError(
                f"{path}: {part}_images must be uint8 [n, {SIDE}, {SIDE}, 3], got {images.dtype} {list(images.shape)}."
            )
        found.append(checked(images.transpose(0, 3, 1, 2), arrays[f"{part}_labels"], path))
    return found[0], found[1]


def checked(images: NDArray[np.uint8], classes: NDArray[np.integer], path: Path) -> Labelled:
    """Images with their classes; DataError if these are not one of ten for each image."""
    if classes.shape != (len(images),) or classes.dtype.kind not in "iu" or not len(classes):
        raise DataError(
            f"{path}: expected {len(images)} classes as whole numbers, got {classes.dtype} {classes.shape}."
        )
    if classes.min() < 0 or classes.max() >= CLASSES:
        raise DataError(f"{path}: classes lie between 0 and {CLASSES - 1}, got {classes.min()} to {classes.max()}.")
    return Labelled(np.ascontiguousarray(images), classes.astype(np.int64))


def unpack(archive: Path, folder: Path) -> None:
    """Take the images out of the official archive into a folder, those that are not there.

    Raises:
        DataError: the archive cannot be read, or lacks one of them, or the folder cannot be written (disk full).
    """
    with unpacking(archive, folder):
        missing = {name for name in (*TRAIN_FILES, *TEST_FILES) if not (folder / name).is_file()}
        with tarfile.open(archive, mode="r|gz") as members:
            for member in members:
                name = Path(member.name).name
                content = members.extractfile(member) if name in missing and member.isfile() else None
                if content is not None:
                    part = folder / f"{name}.part"
                    part.write_bytes(content.read())
                    part.replace(folder / name)
                    missing.discard(name)
    if missing:
        raise DataError(f"{archive} does not hold {sorted(missing)}.")
