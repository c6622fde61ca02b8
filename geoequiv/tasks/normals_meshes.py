"""`normals/meshes`: which way does a surface face? On meshes, or points with normals, of your own."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geoequiv.archives import read_arrays
from geoequiv.errors import ConfigError, DataError
from geoequiv.ranges import PositiveInt
from geoequiv.tasks.data.cache import UNREADABLE, checksum
from geoequiv.tasks.data.mesh_files import read_mesh
from geoequiv.tasks.data.mesh_folders import mesh_parts
from geoequiv.tasks.data.sources import located
from geoequiv.tasks.normal_estimation import REGIMES, SELECTIONS, Regime, Selection, estimation_task
from geoequiv.tasks.options import DTypeName, Seed, checked_choice, checked_dtype, checked_seed, checked_size
from geoequiv.tasks.surfaces import PointSets, Surfaces, TriangleMeshes
from geoequiv.tasks.task import Task

NAME = "normals/meshes"
PARTS = ("train", "val", "test")
Arrays = dict[str, NDArray[Any]]


def meshes(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    path: str,
    lists: str | None = None,
    regime: Regime = "I/I",
    train: PositiveInt | None = None,
    val: PositiveInt | None = None,
    test: PositiveInt | None = None,
    points: PositiveInt = 512,
    select: Selection = "val",
    strict: bool = True,
    seed: Seed = 0,
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """Unoriented normals of points on your own meshes, or of given points.

    Inputs pos [n, points, 3], uniform by area, centred and scaled as published; targets normal [n, points, 3], those of
    the faces. In training points, poses and scales are drawn anew in every epoch. Units do not matter.

    Args:
        data_dir: where a relative path is looked for if it is not in the current folder.
        path: a folder of .obj, .off, .ply and .stl files, with train, val and test inside or without; or an .npz file
            of points [n, N, 3] and normals [n, N, 3].
        lists: name of a folder, anywhere in the path, whose train.json and test.json name the meshes: of the ABC
            benchmark abc_512_10k, abc_512_50k or abc_512_100k.
        regime: "I/I", "I/SO(3)" or "SO(3)/SO(3)": whether training/test clouds are in random poses. In I/I a further
            split, test_rotated, has the number of I/SO(3), whose training is the same.
        train: the first so many training meshes; None is all. Likewise val and test.
        val: validation meshes; where the folder names none, a tenth of the training ones, drawn by the seed.
        test: test meshes.
        points: of a cloud; 512 is published.
        select: "val" chooses the epoch by the validation split; "test" by the test split, as published, under a
            protocol of its own ("best-on-test").
        strict: refuse meshes with faces of area 0 or edges of more than two faces; with false the former are left out.
        seed: of splits that are drawn, and of validation and test points.
        dtype: of the task's tensors.

    Raises:
        DataError: a file that cannot be read or used, with its line.
        ConfigError: an option that is not possible.

    Reference: the protocol of Puny et al. 2022, section 4.1, on the benchmark of Koch et al. 2019 where you have it.
    """
    checked_choice("regime", regime, REGIMES)
    checked_choice("select", select, SELECTIONS)
    points = checked_size("points", points, 100_000, "points of a cloud")
    seed, dtype = checked_seed(seed), checked_dtype(dtype)
    place, sizes = located(path, data_dir), {"train": train, "val": val, "test": test}
    if place.is_dir():
        surfaces, arrays = of_folder(place, lists, sizes, strict, seed)
    elif lists is not None:
        raise ConfigError("lists= name the meshes of a folder; path is a file.")
    else:
        surfaces, arrays = of_points(place, sizes, points, seed)
    digest = checksum(arrays)
    task_name = f"{NAME}/{digest[:8]}"
    return estimation_task(
        NAME,
        f"of {place.name}{f', lists {lists}' if lists else ''}",
        surfaces,
        identity=task_name,
        points=points,
        regime=regime,
        select=select,
        seed=seed,
        dtype=dtype,
        checksum=digest,
        notes=(("Source", str(place)), ("Licence", "that of your files")),
    )


def of_folder(
    folder: Path, lists: str | None, sizes: Mapping[str, int | None], strict: bool, seed: int
) -> tuple[dict[str, Surfaces], Arrays]:
    """Meshes of a folder, and their arrays."""
    surfaces: dict[str, Surfaces] = {}
    arrays: Arrays = {}
    for part, files in mesh_parts(folder, lists, seed).items():
        chosen = files[: limit(part, sizes[part], len(files))]
        found = [read_mesh(file, strict) for file in chosen]
        arrays[f"{part}_triangles"] = np.concatenate(found)
        arrays[f"{part}_counts"] = np.array([len(each) for each in found])
        surfaces[part] = TriangleMeshes(
            torch.from_numpy(arrays[f"{part}_triangles"]), torch.from_numpy(arrays[f"{part}_counts"])
        )
    return surfaces, arrays


def of_points(
    path: Path, sizes: Mapping[str, int | None], points: int, seed: int
) -> tuple[dict[str, Surfaces], Arrays]:
    """Points and normals of an .npz file, dealt out by the seed: a tenth each for validation and test.

    Raises:
        DataError: it cannot be read, shapes or lengths are wrong, or there are too few points or clouds.
    """
    try:
        arrays = read_arrays(path, lambda name: name in ("points", "normals"))
        where, normals = (np.asarray(arrays[name], dtype=np.float64) for name in ("points", "normals"))
    except UNREADABLE as error:
        raise DataError(
            f"{path} must be an .npz file of points and normals, or a folder of meshes ({type(error).__name__}: "
            f"{error})."
        ) from error
    if where.ndim != 3 or where.shape[-1] != 3 or normals.shape != where.shape:
        raise DataError(
            f"{path}: points and normals must both be [n, N, 3]; got {list(where.shape)} and {list(normals.shape)}."
        )
    for name, array in (("points", where), ("normals", normals)):
        bad = np.flatnonzero(~np.isfinite(array).all((1, 2)))
        if len(bad):
            raise DataError(f"{path}: '{name}' is not finite, first in item {int(bad[0])}.")
    length = np.linalg.norm(normals, axis=-1)
    bad = np.flatnonzero((np.abs(length - 1) > 1e-3).any(1))
    if len(bad):
        raise DataError(f"{path}: normals have length 1; item {int(bad[0])} has one of {length[bad[0]].min():.3g}.")
    if where.shape[1] < points:
        raise DataError(f"{path} has {where.shape[1]} points a surface, fewer than points={points}.")
    if len(where) < 3:
        raise DataError(f"{path} has {len(where)} surfaces; three splits need three at least.")
    normals = normals / length[..., None]
    order, count = np.random.default_rng(seed).permutation(len(where)), max(len(where) // 10, 1)
    dealt = {"train": order[2 * count :], "val": order[:count], "test": order[count : 2 * count]}
    surfaces: dict[str, Surfaces] = {}
    kept: Arrays = {}
    for part in PARTS:
        chosen = dealt[part][: limit(part, sizes[part], len(dealt[part]))]
        kept |= {f"{part}_points": where[chosen], f"{part}_normals": normals[chosen]}
        surfaces[part] = PointSets(torch.from_numpy(where[chosen]), torch.from_numpy(normals[chosen]))
    return surfaces, kept


def limit(part: str, size: int | None, there: int) -> int:
    """How many surfaces of a split are taken; ConfigError for more than there are."""
    return there if size is None else checked_size(part, size, there, f"what there is for '{part}'")
