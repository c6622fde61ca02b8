"""Recorded motion as items: trials cut into windows and dealt to splits."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from geoequiv.errors import ConfigError, DataError
from geoequiv.tasks.data.recording import Recording
from geoequiv.tasks.relations import one_and_two_hops
from geoequiv.tasks.task import Split

HORIZON = 30


def published_starts(recording: Recording, horizon: int) -> Mapping[str, Mapping[str, NDArray[np.int64]]] | None:
    """The published split, if the recording has one, and it is for this horizon."""
    return recording.starts if horizon == HORIZON else None


def usable_trials(recording: Recording, horizon: int) -> dict[str, int]:
    """Trials that are long enough, and how many of their frames a window can start from."""
    room = {name: len(trial) - max(horizon, 1) for name, trial in recording.trials.items()}
    return {name: frames for name, frames in room.items() if frames > 0}


def dealt(
    recording: Recording, sizes: Mapping[str, int], horizon: int, seed: int
) -> dict[str, dict[str, NDArray[np.int64]]]:
    """Split → trial → start frames: the published ones, or drawn by the seed."""
    published, usable = published_starts(recording, horizon), usable_trials(recording, horizon)
    if published is not None:
        return {name: shared_out(published[name], sizes[name], name) for name in sizes}
    if len(usable) < len(sizes):
        longest = max(len(trial) for trial in recording.trials.values())
        raise ConfigError(
            f"A horizon of {horizon} frames leaves {len(usable)} trials, and each of {', '.join(sizes)} needs one; the "
            f"longest trial has {longest} frames."
        )
    rng = np.random.default_rng([seed, 0])
    names = sorted(usable)
    order = [names[i] for i in rng.permutation(len(names))]
    dealt_out: dict[str, dict[str, NDArray[np.int64]]] = {}
    cuts = cut_points(list(sizes.values()), len(order))
    for name, first, last in zip(sizes, [0, *cuts[:-1]], cuts, strict=True):
        starts = {trial: rng.permutation(usable[trial]) for trial in sorted(order[first:last])}
        dealt_out[name] = shared_out(starts, sizes[name], name)
    return dealt_out


def cut_points(sizes: Sequence[int], trials: int) -> list[int]:
    """Where to cut a row of trials so that each split gets its share, and at least one."""
    shares = [1] * len(sizes)
    for _ in range(trials - len(sizes)):
        smallest = max(range(len(sizes)), key=lambda k: sizes[k] / shares[k])
        shares[smallest] += 1
    return [int(cut) for cut in np.cumsum(shares)]


def shared_out(starts: Mapping[str, NDArray[np.int64]], size: int, split: str) -> dict[str, NDArray[np.int64]]:
    """The first start frames of each trial, equally many as far as they last, ``size`` together.

    Raises:
        ConfigError: there are fewer than that.
    """
    total = sum(len(frames) for frames in starts.values())
    if total < size:
        raise ConfigError(f"Split '{split}' can have at most {total} items from its {len(starts)} trials, got {size}.")
    taken = dict.fromkeys(starts, 0)
    while (missing := size - sum(taken.values())) > 0:
        open_trials = [trial for trial in starts if taken[trial] < len(starts[trial])]
        for place, trial in enumerate(open_trials):
            share = missing // len(open_trials) + (place < missing % len(open_trials))
            taken[trial] = min(taken[trial] + share, len(starts[trial]))
    return {trial: starts[trial][: taken[trial]] for trial in starts}


def windows(
    trials: Mapping[str, NDArray[np.float64]], starts: Mapping[str, NDArray[np.int64]], horizon: int
) -> dict[str, NDArray[np.float64]]:
    """pos, vel and target at the start frames of each trial: ``[n, 31, 3]`` each."""
    parts: dict[str, list[NDArray[np.float64]]] = {"pos": [], "vel": [], "target": []}
    for name, frames in starts.items():
        motion = trials[name]
        if len(frames) and (frames.min() < 0 or frames.max() + horizon >= len(motion)):
            raise DataError(f"A window of {name} reaches beyond its {len(motion)} frames.")
        parts["pos"].append(motion[frames])
        parts["vel"].append(motion[frames + 1] - motion[frames])
        parts["target"].append(motion[frames + horizon])
    return {field: np.concatenate(arrays) for field, arrays in parts.items()}


def trial_numbers(
    trials: Mapping[str, NDArray[np.float64]], starts: Mapping[str, NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Which trial each window of `windows` is from, ``[n]``: its place among all trials of the recording."""
    place = {name: number for number, name in enumerate(trials)}
    return np.repeat([place[name] for name in starts], [len(frames) for frames in starts.values()])


def spread_of_headings(trials: Mapping[str, NDArray[np.float64]], up: int) -> float:
    """Largest angle (degrees) between the direction of a trial, from first frame to last, and the mean direction.

    180 where trials go in all directions or do not move; near 0 the direction is the same in all trials.
    """
    centres = [trial.mean(1) for trial in trials.values()]
    way = np.array([np.delete(centre[-1] - centre[0], up) for centre in centres])
    way = way[np.linalg.norm(way, axis=-1) > 0]
    if not len(way):
        return 180.0
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    mean = way.mean(0)
    if np.linalg.norm(mean) < 1e-9:
        return 180.0
    return float(np.degrees(np.arccos(np.clip(way @ mean / np.linalg.norm(mean), -1.0, 1.0))).max())


def bonds(edges: NDArray[np.int64], joints: int) -> NDArray[np.float64]:
    """Which joints share a bone, and which are two bones apart: ``[joints, joints, 2]``, symmetric, zero diagonal."""
    bonded = np.zeros((joints, joints), dtype=bool)
    bonded[edges[:, 0], edges[:, 1]] = bonded[edges[:, 1], edges[:, 0]] = True
    return one_and_two_hops(bonded)


def motion_split(
    arrays: Mapping[str, NDArray[np.float64]],
    name: str,
    bond: NDArray[np.float64] | None,
    groups: NDArray[np.int64],
    dtype: torch.dtype,
) -> Split:
    """Tensors of one split, with positions about the centroid of the pose that the model sees.

    Without ``bond`` where bones are not known. ``groups`` ``[n]``: which trial each item is from.
    """
    pos, vel, target = (torch.from_numpy(arrays[f"{name}_{field}"]) for field in ("pos", "vel", "target"))
    centroid = pos.mean(1, keepdim=True)
    pos, vel, target = (values.to(dtype) for values in (pos - centroid, vel, target - centroid))
    items, joints = pos.shape[:2]
    inputs = {"pos": pos, "vel": vel, "joint": torch.eye(joints, dtype=dtype).expand(items, joints, joints)}
    if bond is not None:
        inputs["bond"] = torch.from_numpy(bond).to(dtype).expand(items, *bond.shape)
    return Split(inputs, {"pos": target}, item_group=torch.from_numpy(groups))
