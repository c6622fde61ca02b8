"""`normals/shapes`: which way does a surface face? On solids that are made here."""

import os
from functools import partial

import torch

from geoequiv.ranges import PositiveInt
from geoequiv.tasks.data.cache import OWN, load_or_build
from geoequiv.tasks.normal_estimation import REGIMES, SELECTIONS, Regime, Selection, estimation_task
from geoequiv.tasks.options import DTypeName, Seed, checked_choice, checked_dtype, checked_seed, checked_size
from geoequiv.tasks.simulation.solids import FAMILIES, SPLITS, make_solids
from geoequiv.tasks.surfaces import TriangleMeshes
from geoequiv.tasks.task import Task

NAME = "normals/shapes"
MAKER = 1  # raise when the solids change
MOST = 100_000  # solids of a split, and points of a cloud


def shapes(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    regime: Regime = "I/I",
    train: PositiveInt = 400,
    val: PositiveInt = 80,
    test: PositiveInt = 160,
    points: PositiveInt = 512,
    select: Selection = "val",
    seed: Seed = 0,
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """Unoriented normals of points on made solids: plates, brackets, flanges, shafts, blocks, balls, elbows and gears.

    Inputs pos [n, points, 3], uniform by area, centred and scaled as published; targets normal [n, points, 3], those of
    the triangles. In training points, poses and scales are drawn anew in every epoch. The solids stand in for those of
    the ABC benchmark, which needs a download: numbers do not compare with published ones.

    Args:
        data_dir: where made solids are kept; else $GEOEQUIV_DATA, else ~/.cache/geoequiv.
        regime: "I/I", "I/SO(3)" or "SO(3)/SO(3)": whether training/test clouds are in random poses. In I/I a further
            split, test_rotated, has the number of I/SO(3), whose training is the same.
        train: solids of the training set; the eight families take turns.
        val: solids of the validation set.
        test: solids of the test set.
        points: of a cloud; 512 is published.
        select: "val" chooses the epoch by the validation split; "test" by the test split, as published, under a
            protocol of its own ("best-on-test").
        seed: of solids and of validation and test points.
        dtype: of the task's tensors.

    Raises:
        DataError: manifold3d is not installed, or the data directory cannot be written.
        ConfigError: an option that is not possible.

    Reference: the protocol of Puny et al. 2022, section 4.1, with solids made here.
    """
    checked_choice("regime", regime, REGIMES)
    checked_choice("select", select, SELECTIONS)
    sizes = {
        name: checked_size(name, size, MOST, "what is made in minutes")
        for name, size in zip(SPLITS, (train, val, test), strict=True)
    }
    points = checked_size("points", points, MOST, "points of a cloud")
    seed, dtype = checked_seed(seed), checked_dtype(dtype)
    parameters = {"maker": MAKER, "seed": seed, **sizes}
    data = load_or_build(NAME, parameters, partial(make_solids, sizes, seed), data_dir)
    surfaces = {
        name: TriangleMeshes(*(torch.from_numpy(data.arrays[f"{name}_{part}"]) for part in ("triangles", "counts")))
        for name in SPLITS
    }
    return estimation_task(
        NAME,
        f"solids of {len(FAMILIES)} families ({', '.join(FAMILIES)})",
        surfaces,
        points=points,
        regime=regime,
        select=select,
        seed=seed,
        dtype=dtype,
        checksum=data.checksum,
        notes=(("Source", f"{data.path}, made by manifold3d"), ("Licence", OWN)),
    )
