"""Your own motion capture: a folder of .bvh, .c3d or .amc trials as a task (`mocap/files`)."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from geoequiv.errors import ConfigError, DataError, unknown
from geoequiv.fields import Signature
from geoequiv.groups import group
from geoequiv.ranges import PositiveInt
from geoequiv.tasks.acting import check_acting
from geoequiv.tasks.data.asf_amc import read_amc, read_asf
from geoequiv.tasks.data.bvh import read_bvh
from geoequiv.tasks.data.c3d import read_c3ds
from geoequiv.tasks.data.cache import checksum
from geoequiv.tasks.data.cmu_files import DIGITS
from geoequiv.tasks.data.recording import Recording
from geoequiv.tasks.data.skeleton import forward_kinematics
from geoequiv.tasks.data.sources import located
from geoequiv.tasks.drawing import Drawing, recorded_paths
from geoequiv.tasks.mean_squared_error import MSE
from geoequiv.tasks.normalisation import normalising_head
from geoequiv.tasks.options import DTypeName, Seed, checked_choice, checked_dtype, checked_seed, checked_size
from geoequiv.tasks.recording import HORIZON, bonds, dealt, motion_split, trial_numbers, windows
from geoequiv.tasks.task import Task

#: ending of a trial's file → the axis that points up by default
UP = {".bvh": "y", ".amc": "y", ".c3d": "z"}
SPLITS = ("train", "val", "test")
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trial:
    """One file: joint names, positions ``[T, J, 3]``, bones as pairs of names, frames per second (0: unknown), unit."""

    path: Path
    names: tuple[str, ...]
    positions: Array
    bones: tuple[tuple[str, str], ...]
    rate: float
    unit: str


def trials(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    path: str,
    train: PositiveInt = 200,
    val: PositiveInt = 240,
    test: PositiveInt = 240,
    horizon: PositiveInt = HORIZON,
    up: Literal["x", "y", "z"] | None = None,
    joints: tuple[str, ...] | None = None,
    bones: tuple[tuple[str, str], ...] | None = None,
    symmetry: str | None = None,
    seed: Seed = 0,
    normalise: bool = True,
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """Your own trials, .bvh, .c3d, or .amc with their .asf: joint positions ``horizon`` frames ahead.

    Inputs pos [n, J, 3], vel [n, J, 3] (the step to the next frame), joint [n, J, J] (which joint it is), and bond
    [n, J, J, 2] (joints that share a bone, and two bones apart) where bones are known; target pos [n, J, 3]. All in
    the unit of the files, positions about the centroid of pos. Splits are of whole trials, dealt by the seed as for
    ``mocap/walk``.

    Args:
        data_dir: where a relative path is looked for if it is not in the current folder.
        path: folder of trials, all of one kind, of one skeleton or one set of markers.
        train: items of the training set.
        val: items of the validation set.
        test: items of the test set.
        horizon: frames ahead.
        up: the axis against gravity, "x", "y" or "z"; None is y for .bvh and .amc, z for .c3d.
        joints: joints or markers to keep, in this order; None is all of the first trial.
        bones: pairs of joints that share a bone; None is those of the files (.c3d has none).
        symmetry: the group under which the labels are meant to be equivariant; None is SO(2) about the upright axis.
        seed: of the splits and of the start frames.
        normalise: whether models work in units fitted on the training frames (see `scales_of`).
        dtype: of the task's tensors.

    Raises:
        ConfigError: an option that cannot be, or more items than the trials give.
        DataError: files that are missing, cannot be read, or do not fit together; gaps in a marker's trajectory.
        GroupError: an unknown symmetry.
        SignatureError: a symmetry in another space than three-space, or of another number of joints.
    """
    seed, dtype = checked_seed(seed), checked_dtype(dtype)
    sizes = {
        name: checked_size(name, size, 10_000_000, "more than trials hold")
        for name, size in zip(SPLITS, (train, val, test), strict=True)
    }
    horizon = checked_size("horizon", horizon, 1_000_000, "longer than any trial")
    place = located(path, data_dir)
    read = [of_joints(trial, joints) for trial in read_folder(place)]
    first = read[0]
    check_alike(read)
    axis = checked_choice("axis", UP[first.path.suffix.lower()] if up is None else up, ("x", "y", "z"))
    acting = group(symmetry or f"SO(2)@{axis}")
    edges = edges_of(first, bones)
    recording = Recording({trial.path.stem: trial.positions for trial in read}, edges)
    starts = dealt(recording, sizes, horizon, seed)
    arrays = {
        f"{name}_{field}": array
        for name in SPLITS
        for field, array in windows(recording.trials, starts[name], horizon).items()
    }
    count = len(first.names)
    bond = bonds(edges, count) if len(edges) else None
    relation = ", bond: adjacency*2" if bond is not None else ""
    signature = Signature.parse(f"pos: point, vel: vector, joint: label*{count}{relation} -> pos: point")
    groups = {name: trial_numbers(recording.trials, starts[name]) for name in SPLITS}
    splits = {name: motion_split(arrays, name, bond, groups[name], dtype) for name in SPLITS}
    check_acting(acting, signature, splits["train"])
    total = checksum({**arrays, "edges": edges, "names": np.array(first.names)})
    rate = f" at {first.rate:g} frames a second" if first.rate else ""
    return Task(
        name="mocap/files",
        protocol=trials_id(place, total, sizes, horizon, seed),
        description=(
            f"{place.name}: {len(read)} {first.path.suffix} trials of {count} joints, the data of a user; positions "
            f"{horizon} frames ahead{rate}. {axis} is up."
        ),
        signature=signature,
        symmetry=acting.name,
        splits=splits,
        loss=torch.nn.functional.mse_loss,
        metric=replace(MSE, unit=f"{first.unit}²") if first.unit else MSE,
        references=(),
        checksum=total,
        citation="",
        head=normalising_head(signature, splits["train"]) if normalise else None,
        notes=(
            ("Horizon", f"{horizon} frames{f', {horizon / first.rate:.3g} s' if first.rate else ''}"),
            ("Source", f"{place}, files of a user"),
        ),
        drawing=Drawing(
            "skeleton" if bond is not None else "particles", "bond" if bond is not None else None,
            up="xyz".index(axis), unit=first.unit,
            paths=recorded_paths(recording.trials, starts, horizon, centred=True),
        ),
        item_group_name="trial",
    )  # fmt: skip


def trials_id(place: Path, total: str, sizes: Mapping[str, int], horizon: int, seed: int) -> str:
    """mocap/files/name/checksum/Δ30/train-val-test/mse[/seed…]."""
    drawn = f"/seed{seed}" if seed else ""
    return f"mocap/files/{place.stem}/{total[:8]}/Δ{horizon}/{'-'.join(map(str, sizes.values()))}/mse{drawn}"


def read_folder(place: Path) -> list[Trial]:
    """All trials of a folder, by name.

    Raises:
        DataError: none is there, or of several kinds, or .amc files without one .asf.
    """
    if not place.is_dir():
        raise DataError(f"{place} is no folder: trials are split whole, so give a folder of {', '.join(UP)} files.")
    found = sorted(each for each in place.iterdir() if each.suffix.lower() in UP)
    kinds = sorted({each.suffix.lower() for each in found})
    if len(kinds) != 1:
        raise DataError(
            f"{place} holds trials that end with {', '.join(kinds) or 'nothing that can be read'}: give a folder of "
            f"one kind, {', '.join(UP)}."
        )
    if kinds == [".bvh"]:
        return [read_bvh_trial(each) for each in found]
    if kinds == [".c3d"]:
        read = zip(found, read_c3ds(found), strict=True)
        return [Trial(path, each.names, each.positions, (), each.rate, each.unit) for path, each in read]
    skeletons = sorted(each for each in place.iterdir() if each.suffix.lower() == ".asf")
    if len(skeletons) != 1:
        raise DataError(f"{place} holds {len(skeletons)} .asf files beside its .amc trials: expected one.")
    skeleton = read_asf(skeletons[0])
    edges = tuple((skeleton.names[child], skeleton.names[parent]) for child, parent in skeleton.edges)
    return [
        Trial(each, skeleton.names, rounded(forward_kinematics(skeleton, read_amc(each, skeleton))), edges, 0.0, "")
        for each in found
    ]


def read_bvh_trial(path: Path) -> Trial:
    """One .bvh file."""
    motion = read_bvh(path)
    skeleton = motion.skeleton
    edges = tuple((skeleton.names[child], skeleton.names[parent]) for child, parent in skeleton.edges)
    return Trial(path, skeleton.names, rounded(motion.positions()), edges, motion.rate, "")


def rounded(positions: Array) -> Array:
    """Computed positions without the digits that differ between machines."""
    kept: Array = np.round(positions, DIGITS)
    return kept


def of_joints(trial: Trial, joints: Sequence[str] | None) -> Trial:
    """The joints that are asked for, in that order; DataError names one that the file does not have."""
    if joints is None:
        return trial
    if not is_list_of(joints, str) or len(set(joints)) < len(joints) or not joints:
        raise ConfigError(f"joints must be a list of different names, at least one; got {joints!r}.")
    for name in joints:
        if name not in trial.names:
            raise DataError(f"{trial.path}: {unknown('joint', name, trial.names)}")
    chosen = [trial.names.index(name) for name in joints]
    kept = tuple(pair for pair in trial.bones if set(pair) <= set(joints))
    return replace(trial, names=tuple(joints), positions=trial.positions[:, chosen], bones=kept)


def check_alike(read: Sequence[Trial]) -> None:
    """DataError unless all trials have the joints, rate and unit of the first, and no gaps."""
    first = read[0]
    for trial in read:
        if trial.names != first.names:
            other = sorted(set(trial.names) ^ set(first.names)) or "the same in another order"
            raise DataError(
                f"{trial.path} has other joints than {first.path.name}: {other}. Name those that all have: joints: […]."
            )
        if not np.isclose(trial.rate, first.rate, rtol=1e-3) or trial.unit != first.unit:
            raise DataError(
                f"{trial.path} has {trial.rate:g} frames a second in {trial.unit or 'no unit'}, {first.path.name} "
                f"{first.rate:g} in {first.unit or 'no unit'}: give trials of one kind."
            )
        gaps = np.argwhere(np.isnan(trial.positions).any(-1))  # (frame, joint)
        if len(gaps):
            frame, joint = gaps[0]
            raise DataError(
                f"{trial.path}: the marker '{trial.names[joint]}' is missing in {int((gaps[:, 1] == joint).sum())} of "
                f"{len(trial.positions)} frames, first in frame {frame}. Fill the gap, or name the markers to use: "
                "joints: […]."
            )


def is_list_of(value: object, kind: type) -> bool:
    """Whether a value is a list or tuple of such things; a text is not one of its letters."""
    return isinstance(value, list | tuple) and all(isinstance(each, kind) for each in value)


def edges_of(trial: Trial, bones: Sequence[Sequence[str]] | None) -> NDArray[np.int64]:
    """Bones as pairs of indices ``[B, 2]``."""
    if bones is not None and not is_list_of(bones, Sequence):
        raise ConfigError(f"bones must be a list of pairs of joints, got {bones!r}.")
    for pair in bones or ():
        if not is_list_of(pair, str) or len(pair) != 2 or pair[0] == pair[1]:
            raise ConfigError(f"bones must be pairs of different joints, got {pair!r}.")
        for name in pair:
            if name not in trial.names:
                raise ConfigError(unknown("joint", name, trial.names))
    pairs = trial.bones if bones is None else bones
    return np.array([[trial.names.index(name) for name in pair] for pair in pairs], dtype=np.int64).reshape(-1, 2)
