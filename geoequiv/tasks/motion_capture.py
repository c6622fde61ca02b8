"""CMU motion capture: where each joint is 30 frames later, from positions and velocities (tasks `mocap/…`)."""

import hashlib
import os
from collections.abc import Mapping

import torch

from geoequiv.fields import Signature
from geoequiv.ranges import PositiveInt
from geoequiv.tasks.data.cache import checksum, data_directory
from geoequiv.tasks.data.cmu_files import JOINTS, LICENCE, TRIALS, load_recording
from geoequiv.tasks.data.recording import Recording
from geoequiv.tasks.drawing import Drawing, recorded_paths
from geoequiv.tasks.mean_squared_error import MSE
from geoequiv.tasks.normalisation import normalising_head
from geoequiv.tasks.options import DTypeName, Seed, checked_choice, checked_dtype, checked_seed, checked_size
from geoequiv.tasks.protocols import CITATIONS, references_of
from geoequiv.tasks.recording import (
    HORIZON,
    bonds,
    dealt,
    motion_split,
    published_starts,
    spread_of_headings,
    trial_numbers,
    usable_trials,
    windows,
)
from geoequiv.tasks.task import Task

RATE = 120  # frames per second
CM = 2.54 / 0.45  # of one unit of length
#: the walking trials of the id mocap/walk/…/20-trials: all but 3, 4 and 6
TWENTY = [f"35_{number:02d}" for number in TRIALS["walk"][1] if number not in (3, 4, 6)]
SIZES = {"walk": (200, 600, 600), "run": (200, 240, 240)}
#: the joints on the other side: 1–5 with 6–10, 17–23 with 24–30
MIRRORED = (0, *range(6, 11), *range(1, 6), *range(11, 17), *range(24, 31), *range(17, 24))
#: the group of the left–right reflection: x ↦ −x with joints permuted; SO(2)@y*MIRROR has the reflections of all
#: upright planes
MIRROR = "Cs@x&" + "".join(f"({joint} {other})" for joint, other in enumerate(MIRRORED) if joint < other) + "/31"


def walk(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    train: PositiveInt | None = None,
    val: PositiveInt | None = None,
    test: PositiveInt | None = None,
    horizon: PositiveInt = HORIZON,
    seed: Seed = 0,
    normalise: bool = True,
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """Walking, subject 35 of CMU's motion capture: positions of 31 joints 30 frames ahead.

    See `motion_task` for fields and options.
    """
    return motion_task("walk", data_dir, train, val, test, horizon, seed, normalise, dtype)


def run(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    train: PositiveInt | None = None,
    val: PositiveInt | None = None,
    test: PositiveInt | None = None,
    horizon: PositiveInt = HORIZON,
    seed: Seed = 0,
    normalise: bool = True,
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """Running, subject 9 of CMU's motion capture: positions of 31 joints 30 frames ahead.

    The split is EGNO's public one where the file ``run.npz`` is. See `motion_task` for fields and options.
    """
    return motion_task("run", data_dir, train, val, test, horizon, seed, normalise, dtype)


def motion_task(
    kind: str,
    data_dir: str | os.PathLike[str] | None = None,
    train: PositiveInt | None = None,
    val: PositiveInt | None = None,
    test: PositiveInt | None = None,
    horizon: PositiveInt = HORIZON,
    seed: Seed = 0,
    normalise: bool = True,
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """Motion capture: positions of 31 joints ``horizon`` frames ahead (120 frames are a second).

    Inputs pos [n, 31, 3]; vel [n, 31, 3], the step to the next frame; joint [n, 31, 31], which joint it is (one-hot; a
    label, which stays as it is when a reflection swaps left and right); bond [n, 31, 31, 2], 1 for joints that share a
    bone, and for joints two bones apart. Target pos [n, 31, 3]. Lengths are the database's: 0.45 to the inch, so that 1
    is 5.6 cm; y is up, against gravity. Positions and targets are relative to the centroid of pos: errors are the same
    as in the room, but no model can learn where in the room each training trial went. SO(2)@y, O(2)@y, SO(3) and
    ``MIRROR``, the reflection that swaps left and right, are groups to choose from.

    Splits are by trial. "run" takes trials and start frames from ``run.npz`` (EGNO's public split: 80 starts a trial,
    of which training uses the first ``train / trials``). Elsewhere trials are shuffled by the seed and dealt to train,
    val and test in the proportion of their sizes, at least one to each, and start frames are drawn without replacement,
    equally many from each trial as far as they last.

    Args:
        kind: "walk" or "run".
        data_dir: searched, with its folders ``mocap/cmu_NN`` and ``cmu_NN``, for ``run.npz`` or for ``NN.asf`` and
            ``NN_*.amc``; else $GEOEQUIV_DATA, else ~/.cache/geoequiv. What is missing is downloaded from the official
            source into ``mocap/cmu_NN``.
        train: items of the training set; None is the published number.
        val: items of the validation set.
        test: items of the test set.
        horizon: frames ahead.
        seed: of the split and of the start frames.
        normalise: whether models work in units fitted on the training frames (see `scales_of`).
        dtype: of the task's tensors.

    Raises:
        ConfigError: an unknown kind, a size or horizon that the trials cannot give.
        DataError: files that are missing and cannot be fetched, or that cannot be read (with path and line).

    Reference:
        CMU Graphics Lab; Huang et al., GMN, ICLR 2022, and Xu et al., EGNO, ICML 2024, for task and sizes.
    """
    kind, seed, dtype = checked_choice("motion", kind, tuple(TRIALS)), checked_seed(seed), checked_dtype(dtype)
    names = ("train", "val", "test")
    sizes = {
        name: checked_size(name, default if given is None else given, 100_000, "more than the recordings hold")
        for name, given, default in zip(names, (train, val, test), SIZES[kind], strict=True)
    }
    horizon = checked_size("horizon", horizon, 1000, "longer than any trial")
    recording = load_recording(kind, data_directory(data_dir))
    starts = dealt(recording, sizes, horizon, seed)
    arrays = {
        f"{name}_{field}": array
        for name in names
        for field, array in windows(recording.trials, starts[name], horizon).items()
    }
    bond, paths = bonds(recording.edges, JOINTS), recorded_paths(recording.trials, starts, horizon, centred=True)
    identity = mocap_id(kind, recording, sizes, horizon, seed)
    signature = Signature.parse("pos: point, vel: vector, joint: label*31, bond: adjacency*2 -> pos: point")
    groups = {name: trial_numbers(recording.trials, starts[name]) for name in names}
    splits = {name: motion_split(arrays, name, bond, groups[name], dtype) for name in names}
    return Task(
        name=f"mocap/{kind}",
        protocol=identity,
        description=(
            f"CMU motion capture, subject {TRIALS[kind][0]} ({kind}), {len(recording.trials)} trials: 31 joints, "
            f"positions {horizon} frames ahead. Gravity points along −y: rotations about y and translations are the "
            "symmetry of the data."
        ),
        signature=signature,
        symmetry="SO(2)@y",
        splits=splits,
        loss=torch.nn.functional.mse_loss,
        metric=MSE,
        references=references_of(identity),
        checksum=checksum(arrays),
        citation=CITATIONS["mocap"],
        head=normalising_head(signature, splits["train"]) if normalise else None,
        notes=(
            ("Horizon", f"{horizon} frames, {horizon / RATE:.3g} s"),
            ("Headings", f"trials go within {spread_of_headings(recording.trials, up=1):.1f}° of one direction"),
            ("Source", recording.source),
            ("Licence", LICENCE),
        ),
        drawing=Drawing("skeleton", "bond", up=1, unit="cm", length=CM, paths=paths),
        item_group_name="trial",
    )


def mocap_id(kind: str, recording: Recording, sizes: Mapping[str, int], horizon: int, seed: int) -> str:
    """mocap/walk|run/Δ30/train-val-test[/trials…]/mse[/seed…]; the published trials and split go unnamed.

    Fewer trials are counted and, but for the registered twenty, marked by their names: as many others are other data.
    """
    published, usable = published_starts(recording, horizon) is not None, sorted(usable_trials(recording, horizon))
    if len(usable) == len(recording.trials) == len(TRIALS[kind][1]):
        trials = "/drawn-split" if kind == "run" and not published else ""
    else:
        mark = "" if usable == TWENTY else f"-{hashlib.sha256(','.join(usable).encode()).hexdigest()[:6]}"
        trials = f"/{len(usable)}-trials{mark}"
    drawn = "" if seed == 0 or published else f"/seed{seed}"
    return f"mocap/{kind}/Δ{horizon}/{'-'.join(str(size) for size in sizes.values())}{trials}/mse{drawn}"
