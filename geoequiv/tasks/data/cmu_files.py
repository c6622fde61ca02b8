"""Files of the CMU motion capture database: found in a folder, or downloaded from the official source."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoequiv.archives import read_arrays
from geoequiv.errors import DataError
from geoequiv.tasks.data.asf_amc import read_amc, read_asf
from geoequiv.tasks.data.cache import UNREADABLE
from geoequiv.tasks.data.official import OfficialFile, find, obtain
from geoequiv.tasks.data.recording import Recording
from geoequiv.tasks.data.skeleton import forward_kinematics

JOINTS = 31
#: places after the comma that are kept of computed positions, so that their checksum does not hang on the last digits
DIGITS = 8
SOURCE = "http://mocap.cs.cmu.edu/subjects/"
LICENCE = "CMU Graphics Lab Motion Capture Database, free for all uses; say that the data came from mocap.cs.cmu.edu."
INSTEAD = "Without any files: the simulated walkers of mocap-gait/walk, configs/mocap_gait.yaml."
#: subject and trials; walk: the 23 walking trials of subject 35 that GMN uses
TRIALS = {"walk": ("35", (*range(1, 17), *range(28, 35))), "run": ("09", tuple(range(1, 12)))}


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
        arrays = read_arrays(path)
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
    owner: dict[str, str] = {}
    for split, members in starts.items():
        for name, frames in members.items():
            if owner.setdefault(name, split) != split:
                raise DataError(f"{path}: {name} is in the splits '{owner[name]}' and '{split}': trials belong to one.")
            if len(np.unique(frames)) < len(frames):
                raise DataError(f"{path}: the split '{split}' starts {name} at a frame more than once.")
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
