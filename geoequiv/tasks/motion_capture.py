"""CMU motion capture: where each joint is 30 frames later, from positions and velocities (tasks `mocap/…`)."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geoequiv.errors import DataError
from geoequiv.fields import Signature
from geoequiv.tasks.asf_amc import read_amc, read_asf
from geoequiv.tasks.cache import UNREADABLE, checksum, data_directory
from geoequiv.tasks.drawing import Drawing, recorded_paths
from geoequiv.tasks.mean_squared_error import MSE
from geoequiv.tasks.normalisation import normalising_head
from geoequiv.tasks.official import OfficialFile, find, obtain
from geoequiv.tasks.options import checked_choice, checked_dtype, checked_seed, checked_size
from geoequiv.tasks.protocols import CITATIONS, references_of
from geoequiv.tasks.recording import HORIZON, Recording, bonds, dealt, split_of, windows
from geoequiv.tasks.skeleton import forward_kinematics
from geoequiv.tasks.task import Task

JOINTS = 31
RATE = 120  # frames per second
INSTEAD = "Without any files: the simulated walkers of mocap-gait/walk, configs/mocap_gait.yaml."
#: places after the comma that are kept of computed positions, so that their checksum does not hang on the last digits
DIGITS = 8
CM = 2.54 / 0.45  # of one unit of length
SOURCE = "http://mocap.cs.cmu.edu/subjects/"
LICENCE = "CMU Graphics Lab Motion Capture Database, free for all uses; say that the data came from mocap.cs.cmu.edu."
#: subject and trials; walk: the 23 walking trials of subject 35 that GMN uses
TRIALS = {"walk": ("35", (*range(1, 17), *range(28, 35))), "run": ("09", tuple(range(1, 12)))}
SIZES = {"walk": (200, 600, 600), "run": (200, 240, 240)}
#: joints that a left–right mirror exchanges: 1–5 with 6–10, 17–23 with 24–30
MIRRORED = (0, *range(6, 11), *range(1, 6), *range(11, 17), *range(24, 31), *range(17, 24))
#: the group of that mirror: x ↦ −x, left and right exchanged; SO(2)@y*MIRROR has the mirrors of all upright planes
MIRROR = "Cs@x&" + "".join(f"({joint} {other})" for joint, other in enumerate(MIRRORED) if joint < other) + "/31"


def walk(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    train: int | None = None,
    val: int | None = None,
    test: int | None = None,
    horizon: int = HORIZON,
    seed: int = 0,
    normalise: bool = True,
    dtype: torch.dtype | str = torch.float32,
) -> Task:
    """Walking, subject 35 of CMU's motion capture: positions of 31 joints 30 frames ahead.

    See `motion_task` for fields and options.
    """
    return motion_task("walk", data_dir, train, val, test, horizon, seed, normalise, dtype)


def run(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    train: int | None = None,
    val: int | None = None,
    test: int | None = None,
    horizon: int = HORIZON,
    seed: int = 0,
    normalise: bool = True,
    dtype: torch.dtype | str = torch.float32,
) -> Task:
    """Running, subject 9 of CMU's motion capture: positions of 31 joints 30 frames ahead.

    The split is EGNO's public one where the file ``run.npz`` is. See `motion_task` for fields and options.
    """
    return motion_task("run", data_dir, train, val, test, horizon, seed, normalise, dtype)


def motion_task(
    kind: str,
    data_dir: str | os.PathLike[str] | None = None,
    train: int | None = None,
    val: int | None = None,
    test: int | None = None,
    horizon: int = HORIZON,
    seed: int = 0,
    normalise: bool = True,
    dtype: torch.dtype | str = torch.float32,
) -> Task:
    """Motion capture: positions of 31 joints ``horizon`` frames ahead (120 frames are a second).

    Inputs pos [n, 31, 3]; vel [n, 31, 3], the step to the next frame; joint [n, 31, 31], which joint it is (one-hot; a
    label, which stays where a mirror exchanges left and right); bond [n, 31, 31, 2], 1 for joints that share a bone,
    and for joints two bones apart. Target pos [n, 31, 3]. Lengths are the database's: 0.45 to the inch, so that 1 is
    5.6 cm; y is up, against gravity. Positions and targets are about the centroid of pos: errors are the same as in
    the room, but no model can learn where in the room each trial of the training set went. SO(2)@y, O(2)@y, SO(3) and
    ``MIRROR``, the exchange of left and right, are groups to choose from.

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
    identity = protocol_id(kind, recording, sizes, horizon, seed)
    signature = Signature.parse("pos: point, vel: vector, joint: label*31, bond: adjacency*2 -> pos: point")
    splits = {name: split_of(arrays, name, bond, dtype) for name in names}
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
            ("Source", recording.source),
            ("Licence", LICENCE),
        ),
        drawing=Drawing("skeleton", "bond", up=1, unit="cm", length=CM, paths=paths),
    )


def protocol_id(kind: str, recording: Recording, sizes: Mapping[str, int], horizon: int, seed: int) -> str:
    """mocap/walk|run/Δ30/train-val-test[/trials…]/mse[/seed…]; the published trials and split go unnamed."""
    usable = sum(len(trial) > horizon + 1 for trial in recording.trials.values())
    whole = len(recording.trials) == len(TRIALS[kind][1]) and usable == len(recording.trials)
    trials = "" if whole and (kind == "walk" or recording.starts) else f"/{usable}-trials"
    trials = "/drawn-split" if whole and kind == "run" and not recording.starts else trials
    drawn = "" if seed == 0 else f"/seed{seed}"
    return f"mocap/{kind}/Δ{horizon}/{'-'.join(str(size) for size in sizes.values())}{trials}/mse{drawn}"


def load_recording(kind: str, folder: Path) -> Recording:
    """The trials of a subject, from ``run.npz`` or Acclaim files in the folder, or else from the official source."""
    subject, trials = TRIALS[kind]
    places = [folder / "mocap" / f"cmu_{subject}", folder / f"cmu_{subject}", folder / "mocap", folder]
    packed = find("run.npz", places) if kind == "run" else None
    if packed is not None:
        return read_packed(packed)
    skeleton_file = find(f"{subject}.asf", places)
    if skeleton_file is None or skeleton_file.with_name(f"{subject}.asf.sha256").is_file():  # ours, perhaps not all
        home = places[0] if skeleton_file is None else skeleton_file.parent
        skeleton_file = obtain(official(subject, f"{subject}.asf"), home)
        motion_files = [obtain(official(subject, f"{subject}_{trial:02d}.amc"), home) for trial in trials]
    else:  # what the user's folder holds
        wanted = {f"{subject}_{trial:02d}.amc" for trial in trials}
        motion_files = sorted(path for path in skeleton_file.parent.glob(f"{subject}_*.amc") if path.name in wanted)
    if not motion_files:
        raise DataError(
            f"{skeleton_file.parent} holds {skeleton_file.name} but none of the trials {subject}_NN.amc: put them "
            f"there, from {SOURCE}{subject}/."
        )
    skeleton = read_asf(skeleton_file)
    if len(skeleton.names) != JOINTS:
        raise DataError(f"{skeleton_file} has {len(skeleton.names)} joints, expected {JOINTS}.")
    motions = {
        path.stem: np.round(forward_kinematics(skeleton, read_amc(path, skeleton)), DIGITS) for path in motion_files
    }
    return Recording(motions, skeleton.edges, source=f"{skeleton_file.parent}; official: {SOURCE}{subject}/")


def official(subject: str, name: str) -> OfficialFile:
    """A file of the CMU database, which publishes no checksums."""
    return OfficialFile(name, f"{SOURCE}{subject}/{name}", None, LICENCE, INSTEAD)


def read_packed(path: Path) -> Recording:
    """A recording as one npz file.

    It holds ``trial_NN`` [T, 31, 3], ``edges`` [30, 2], ``split_<name>_trials`` and ``split_<name>_<trial>_starts``.

    Raises:
        DataError: it cannot be read, holds pickled objects, lacks an array, or has one of another shape.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error}).") from error
    trials = {name: array for name, array in arrays.items() if re.fullmatch(r"trial_\d+", name)}
    if not trials or "edges" not in arrays:
        raise DataError(f"{path} must hold trial_NN [T, 31, 3] and edges [30, 2]; it holds {sorted(arrays)}.")
    for name, array in trials.items():
        shaped = array.dtype.kind == "f" and array.ndim == 3 and array.shape[1:] == (JOINTS, 3)
        if not shaped or not np.isfinite(array).all():
            raise DataError(
                f"{path}: {name} must be finite and of shape [T, {JOINTS}, 3], got {array.dtype} {list(array.shape)}."
            )
    edges = indices(path, "edges", arrays["edges"], 2, JOINTS)
    starts: dict[str, dict[str, NDArray[np.int64]]] = {}
    for split in ("train", "val", "test"):
        starts[split] = {}
        try:
            for trial in indices(path, f"split_{split}_trials", arrays[f"split_{split}_trials"], 1):
                name, begin = f"trial_{trial:02d}", f"split_{split}_{trial}_starts"
                starts[split][name] = indices(path, begin, arrays[begin], 1, len(trials[name]))
        except KeyError as error:
            raise DataError(f"{path} lacks {error}, which its split '{split}' names.") from error
    return Recording(trials, edges, starts, f"{path}; EGNO's public files, official: {SOURCE}09/")


def indices(path: Path, name: str, array: NDArray[Any], axes: int, beyond: int | None = None) -> NDArray[np.int64]:
    """An array of whole numbers from 0, below ``beyond``: ``[n]``, or ``[n, 2]`` for two axes; DataError otherwise."""
    shaped = array.dtype.kind in "iu" and array.shape[1:] == (2,) * (axes - 1) and array.ndim == axes
    if not shaped or (array < 0).any() or (beyond is not None and (array >= beyond).any()):
        below = f" below {beyond}" if beyond is not None else ""
        raise DataError(
            f"{path}: {name} must be whole numbers from 0{below}, of shape [n{', 2' * (axes - 1)}]; got {array.dtype} "
            f"{list(array.shape)}{f' from {array.min()} to {array.max()}' if shaped and array.size else ''}."
        )
    return array.astype(np.int64)
