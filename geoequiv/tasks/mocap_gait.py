"""`mocap-gait/walk`: simulated walkers in place of motion capture: where each joint is 30 frames later."""

import os
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from geoequiv.fields import Signature
from geoequiv.ranges import PositiveInt
from geoequiv.tasks.data.cache import OWN, Arrays, Cached, load_or_build, load_or_compute
from geoequiv.tasks.drawing import Drawing
from geoequiv.tasks.label_symmetry import measurement_key, summary_of
from geoequiv.tasks.mean_squared_error import MSE
from geoequiv.tasks.motion_capture import CM
from geoequiv.tasks.normalisation import normalising_head
from geoequiv.tasks.options import DTypeName, Seed, checked_dtype, checked_seed, checked_size
from geoequiv.tasks.protocols import CITATIONS, references_of
from geoequiv.tasks.recording import HORIZON, bonds, motion_split
from geoequiv.tasks.simulation.gait import BONES, PARENTS, RATE, UNIT, bones, resting, walk
from geoequiv.tasks.simulation.gait_steps import pace
from geoequiv.tasks.simulation.gait_style import Array, Style, draw, rotated
from geoequiv.tasks.task import Task

NAME = "mocap-gait/walk"
SIMULATOR = 1  # raise when the simulated numbers change
FRAMES = 300  # of a trial, 2.5 s
ITEMS = 10  # of a walker
EDGES = np.array([(joint, parent) for joint, parent in enumerate(PARENTS) if parent >= 0])
SPLITS = ("train", "val", "test")


def gait(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    train: PositiveInt = 200,
    val: PositiveInt = 240,
    test: PositiveInt = 240,
    horizon: PositiveInt = HORIZON,
    seed: Seed = 0,
    normalise: bool = True,
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """Simulated walkers: positions of 31 joints ``horizon`` frames ahead (120 frames are a second), without any files.

    Fields, joints, bonds and the unit of length (1 is 5.6 cm) are those of ``mocap/walk``: y is up, and positions are
    about the centroid of pos.
    Each walker has a body, pace, path and manner of its own, drawn at random (see ``gait_style.RANGES``), and gives
    ten items; no walker is in two splits. More items are more walkers, and the first ones stay as they are. Bones keep
    their lengths, and feet that rest on the ground do not slide: the task's card says how well.

    Headings are uniform, and a walker rotated about y walks the rotated path: SO(2)@y is a symmetry of labels and of
    their distribution. So is the reflection that swaps left and right, ``motion_capture.MIRROR``. The reflections of
    O(2)@y, which keep the names of joints, and the rotations of SO(3) are not; all of them are groups to choose from.

    Args:
        data_dir: where simulated data is kept; else $GEOEQUIV_DATA, else ~/.cache/geoequiv.
        train: items of the training set.
        val: items of the validation set.
        test: items of the test set.
        horizon: frames ahead.
        seed: of walkers and start frames.
        normalise: whether models work in units fitted on the training frames (see `scales_of`).
        dtype: of the task's tensors; data is simulated and stored in float64.

    Raises:
        ConfigError: a size out of range, or a horizon longer than the trials.
        DataError: the data directory cannot be written.

    Exactness:
        Formulas in time, no integration: bone lengths, resting feet and the symmetries hold to round-off.
    """
    sizes = {
        name: checked_size(name, size, 100_000, "that is ten thousand walkers")
        for name, size in zip(SPLITS, (train, val, test), strict=True)
    }
    horizon = checked_size("horizon", horizon, FRAMES - ITEMS, f"a trial has {FRAMES} frames, of which {ITEMS} start")
    seed, dtype = checked_seed(seed), checked_dtype(dtype)
    parameters = {"simulator": SIMULATOR, "horizon": horizon, "seed": seed, **sizes}
    data = load_or_build(NAME, parameters, partial(simulate, sizes, horizon, seed), data_dir)
    identity = gait_id(sizes, horizon, seed)
    signature = Signature.parse("pos: point, vel: vector, joint: label*31, bond: adjacency*2 -> pos: point")
    bond = bonds(EDGES, len(BONES))
    groups = walker_numbers(sizes)
    splits = {name: motion_split(data.arrays, name, bond, groups[name], dtype) for name in SPLITS}
    return Task(
        name=NAME,
        protocol=identity,
        description=(
            f"Simulated walkers of 31 joints: positions {horizon} frames ahead, 120 frames a second. Gravity points "
            "along −y: rotations about y are the symmetry of the data."
        ),
        signature=signature,
        symmetry="SO(2)@y",
        splits=splits,
        loss=torch.nn.functional.mse_loss,
        metric=MSE,
        references=references_of(identity),
        checksum=data.checksum,
        citation=CITATIONS["geoequiv"],
        symmetry_error=partial(symmetry_error, data, sizes["test"], horizon, seed),
        head=normalising_head(signature, splits["train"]) if normalise else None,
        notes=(
            ("Horizon", f"{horizon} frames, {horizon / RATE:.3g} s"),
            ("Source", f"{data.path}, simulated"),
            ("Licence", OWN),
            ("Walkers", in_words(data.arrays["figures"])),
        ),
        drawing=Drawing("skeleton", "bond", up=1, unit="cm", length=CM, paths=partial(paths, sizes, horizon, seed)),
        item_group_name="walker",
    )


def gait_id(sizes: Mapping[str, int], horizon: int, seed: int) -> str:
    """mocap-gait/walk/Δ30/train-val-test/mse[/seed…]."""
    drawn = "" if seed == 0 else f"/seed{seed}"
    return f"{NAME}/Δ{horizon}/{'-'.join(str(sizes[name]) for name in SPLITS)}/mse{drawn}"


def walkers(split: str, size: int, seed: int) -> Style:
    """The walkers of a split: enough for so many items."""
    return draw(np.random.default_rng([seed, SPLITS.index(split), 0]), -(-size // ITEMS))


def walker_numbers(sizes: Mapping[str, int]) -> dict[str, NDArray[np.int64]]:
    """Which walker each item of a split is from, ``[n]``, counted through all splits."""
    found: dict[str, NDArray[np.int64]] = {}
    first = 0
    for split, size in sizes.items():
        found[split] = first + np.arange(size) // ITEMS
        first = int(found[split][-1]) + 1
    return found


def start_frames(split: str, size: int, horizon: int, seed: int) -> NDArray[np.int64]:
    """Start frames of each walker of a split, ``[W, 10]``, none of them twice."""
    rng = np.random.default_rng([seed, SPLITS.index(split), 1])
    return rng.random((-(-size // ITEMS), FRAMES - horizon)).argsort(axis=1)[:, :ITEMS]


def simulate(sizes: Mapping[str, int], horizon: int, seed: int) -> Arrays:
    """Arrays "<split>_<field>" in units of length, ``[n, 31, 3]``, and "figures": what `figures` says of all."""
    arrays: Arrays = {}
    found = []
    for split, size in sizes.items():
        style = walkers(split, size, seed)
        motion = walk(style, np.arange(FRAMES) / RATE)
        found.append(figures(style, motion))
        cut = windows(motion / UNIT, start_frames(split, size, horizon, seed), horizon, size)
        arrays |= {f"{split}_{field}": array for field, array in cut.items()}
    lowest, highest = np.min(found, axis=0), np.max(found, axis=0)
    arrays["figures"] = np.concatenate([lowest[:2], highest[2:]])
    return arrays


def windows(motion: Array, starts: NDArray[np.int64], horizon: int, size: int) -> dict[str, Array]:
    """pos, vel and target of the first ``size`` windows of trials ``[W, T, 31, 3]``, walker after walker."""
    rows, frames = np.arange(len(motion)).repeat(starts.shape[1])[:size], starts.ravel()[:size]
    pos, following, target = (motion[rows, frames + later] for later in (0, 1, horizon))
    return {"pos": pos, "vel": following - pos, "target": target}


def paths(sizes: Mapping[str, int], horizon: int, seed: int, split: str, items: Sequence[int]) -> Array:
    """The walk from input to target, both included, ``[n, T, 31, 3]`` about the centroid of the input."""
    motion = walk(walkers(split, sizes[split], seed), np.arange(FRAMES) / RATE) / UNIT
    starts = start_frames(split, sizes[split], horizon, seed)
    cut = np.stack([motion[item // ITEMS][starts.flat[item] :][: horizon + 1] for item in items])
    return cut - cut[:, :1].mean(2, keepdims=True)


def figures(style: Style, motion: Array) -> Array:
    """Measures of how plausible walks are, over all of them: ``[6]``, metres and seconds.

    Height of the lowest joint above the ground; smallest and largest speed; the furthest that a joint of a resting foot
    moves from one frame to the next; the largest deviation of a bone from its length; the largest vertical acceleration
    of the trunk (above 9.81 it would have to be pulled down).
    """
    speed = pace(style).speed
    rests = resting(style, np.arange(motion.shape[1]) / RATE)  # [W, T, 2]
    rests = (rests[:, 1:] & rests[:, :-1])[..., None]
    feet = motion[:, :, [4, 5, 9, 10]].reshape(*motion.shape[:2], 2, 2, 3)  # foot, joint
    steps = np.linalg.norm(np.diff(feet, axis=1), axis=-1)
    lengths = np.linalg.norm(bones(style)[:, 1:], axis=-1)[:, None]
    stretch = np.abs(np.linalg.norm(motion[:, :, EDGES[:, 0]] - motion[:, :, EDGES[:, 1]], axis=-1) - lengths)
    upward = np.diff(motion[:, :, 0, 1], n=2, axis=1) * RATE**2
    slide = np.where(rests, steps, 0.0).max()
    return np.array([motion[..., 1].min(), speed.min(), speed.max(), slide, stretch.max(), np.abs(upward).max()])


def in_words(found: Array) -> str:
    """These measures as a sentence."""
    low, slow, fast, slide, stretch, upward = (float(value) for value in found)
    return (
        f"Speeds from {slow:.2f} to {fast:.2f} m/s; resting feet slide by at most {slide:.1g} m a frame, the lowest "
        f"joint is {100 * low:.1f} cm above the ground, bones keep their lengths to {stretch:.1g} m, and the trunk is "
        f"accelerated vertically by at most {upward:.1f} m/s²."
    )


def symmetry_error(data: Cached, size: int, horizon: int, seed: int) -> dict[str, float]:
    """Deviation of test labels from SO(2)@y-equivariance, each walker simulated again with another heading.

        D_i = mean_{joint, axis} ( R_i⁻¹ · target of the rotated walker − target )²

    Keys as in `label_symmetry_error`, and ``inputs``: the same of positions and velocities, at most.
    """

    def measure() -> dict[str, float]:
        style = walkers("test", size, seed)
        angle = np.random.default_rng(seed).uniform(-np.pi, np.pi, len(style["heading"]))
        again = walk(rotated(style, angle), np.arange(FRAMES) / RATE) / UNIT
        cosine, sine = np.cos(angle), np.sin(angle)
        back = np.zeros((len(angle), 3, 3))
        back[:, 0, 0] = back[:, 2, 2] = cosine
        back[:, 0, 2], back[:, 2, 0], back[:, 1, 1] = -sine, sine, 1.0
        found = windows(
            np.einsum("wab,wtjb->wtja", back, again), start_frames("test", size, horizon, seed), horizon, size
        )
        gaps = {name: np.square(found[name] - data.arrays[f"test_{name}"]).mean((1, 2)) for name in found}
        return summary_of(gaps["target"]) | {"inputs": float(max(gaps["pos"].max(), gaps["vel"].max()))}

    return load_or_compute(data.path.with_suffix(".symmetry.json"), measurement_key(data.checksum), measure)
