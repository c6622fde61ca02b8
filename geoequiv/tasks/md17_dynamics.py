"""Molecular dynamics: where the heavy atoms are 3000 frames later (tasks ``md17/dynamics``, ``md17-xtb/dynamics``)."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from geoequiv.errors import ConfigError
from geoequiv.fields import Signature
from geoequiv.ranges import NonNegativeInt, PositiveInt
from geoequiv.tasks.data.cache import checksum, data_directory
from geoequiv.tasks.data.official import OfficialFile, find, obtain
from geoequiv.tasks.data.trajectory import BLOCK, Trajectory, block_name, bonds_within, read_trajectory, species
from geoequiv.tasks.drawing import Drawing
from geoequiv.tasks.mean_squared_error import MSE
from geoequiv.tasks.normalisation import normalising_head
from geoequiv.tasks.options import DTypeName, Seed, checked_choice, checked_dtype, checked_seed, checked_size
from geoequiv.tasks.protocols import CITATIONS, references_of
from geoequiv.tasks.relations import one_and_two_hops
from geoequiv.tasks.simulation.xtb_trajectory import read_surrogate
from geoequiv.tasks.task import Split, Task

SOURCE = "http://www.quantum-machine.org/gdml/data/npz/"
LICENCE = "free for research; cite Chmiela et al. 2017 (sgdml.org)."
#: molecule → official file
FILES = {
    "aspirin": "md17_aspirin.npz",
    "benzene": "md17_benzene2017.npz",
    "ethanol": "md17_ethanol.npz",
    "malonaldehyde": "md17_malonaldehyde.npz",
    "naphthalene": "md17_naphthalene.npz",
    "salicylic": "md17_salicylic.npz",
    "toluene": "md17_toluene.npz",
    "uracil": "md17_uracil.npz",
}
Molecule = Literal["aspirin", "benzene", "ethanol", "malonaldehyde", "naphthalene", "salicylic", "toluene", "uracil"]
HORIZON = 3000  # frames; the GMN paper prints 5000, which its authors correct
MARGIN = 10_000  # frames at either end that are not used
REACH = 1.6  # Å, longest bond
LARGEST = 100_000


def dynamics(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    molecule: Molecule = "aspirin",
    horizon: PositiveInt = HORIZON,
    margin: NonNegativeInt = MARGIN,
    train: PositiveInt = 500,
    val: PositiveInt = 2000,
    test: PositiveInt = 2000,
    seed: Seed = 0,
    normalise: bool = True,
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """MD17 dynamics: positions of the heavy atoms ``horizon`` frames ahead (0.5 fs a frame).

    Inputs pos [n, N, 3] (Å); vel [n, N, 3], the step to the next frame (Å); species [n, N, kinds], one-hot; bond
    [n, N, N, 2], 1 for atoms one bond (closer than 1.6 Å in the first frame) and two bonds apart. Target pos [n, N, 3].
    Hydrogens are left out. Frames are drawn without replacement, equally likely, at least ``margin`` from either end.

    Args:
        data_dir: searched, with its folders ``md17`` and ``md17/original``, for the official file; else $GEOEQUIV_DATA,
            else ~/.cache/geoequiv. It is downloaded into ``md17`` if it is nowhere.
        molecule: aspirin, benzene, ethanol, malonaldehyde, naphthalene, salicylic, toluene or uracil.
        horizon: frames ahead.
        margin: frames at either end that are not used.
        train: items of the training set.
        val: items of the validation set.
        test: items of the test set.
        seed: of the draw of frames.
        normalise: whether models work in units fitted on the training frames (see `scales_of`): a step of one frame is
            a hundredth of an Å.
        dtype: of the task's tensors.

    Raises:
        ConfigError: unknown molecule, or a trajectory too short for horizon, margin and sizes.
        DataError: the file is missing and cannot be fetched, or cannot be read.

    Reference:
        Chmiela et al. 2017 for the data; Huang et al., GMN, ICLR 2022, for the task.
    """
    checked_choice("molecule", molecule, tuple(FILES))
    folder = data_directory(data_dir)
    places = [folder / "md17", folder / "md17" / "original", folder]
    path = find(FILES[molecule], places)
    how = f"geoequiv data make md17-xtb --molecule {molecule} --frames 100000, then configs/md17_xtb_dynamics.yaml"
    official = OfficialFile(
        FILES[molecule], SOURCE + FILES[molecule], None, LICENCE, f"Or simulate surrogate data: {how}."
    )
    trajectory = read_trajectory(obtain(official, path.parent if path else places[0]))
    return windows_of(
        "md17/dynamics",
        trajectory,
        molecule,
        f"MD17 (DFT, 500 K), {molecule} without hydrogens",
        horizon,
        margin,
        {"train": train, "val": val, "test": test},
        seed,
        normalise,
        dtype,
        (("Source", f"{trajectory.path}; official: {official.url}"), ("Licence", LICENCE)),
    )


def surrogate(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    molecule: Molecule = "aspirin",
    horizon: PositiveInt = HORIZON,
    margin: NonNegativeInt = MARGIN,
    train: PositiveInt = 500,
    val: PositiveInt = 2000,
    test: PositiveInt = 2000,
    seed: Seed = 0,
    normalise: bool = True,
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """The same as md17/dynamics on a surrogate: GFN2-xTB at 500 K, made by ``geoequiv data make md17-xtb``.

    Its numbers compare with each other, never with MD17's. Fields and options are those of ``md17/dynamics``. The
    trajectory is held against the checksum of its report, which the task's card shows.
    """
    found = read_surrogate(molecule, data_dir)
    task = windows_of(
        "md17-xtb/dynamics",
        found.trajectory,
        molecule,
        f"Surrogate of MD17 (GFN2-xTB, 500 K), {molecule} without hydrogens",
        horizon,
        margin,
        {"train": train, "val": val, "test": test},
        seed,
        normalise,
        dtype,
        found.notes,
        found.mark,
    )
    return replace(task, citation=CITATIONS["gfn2"])


def windows_of(
    name: str,
    trajectory: Trajectory,
    molecule: str,
    what: str,
    horizon: int,
    margin: int,
    sizes: Mapping[str, int],
    seed: int,
    normalise: bool,
    dtype: torch.dtype | str,
    notes: tuple[tuple[str, str], ...],
    mark: str = "",
) -> Task:
    """The task on one trajectory."""
    seed, dtype = checked_seed(seed), checked_dtype(dtype)
    sizes = {split: checked_size(split, size, LARGEST, "the length of a trajectory") for split, size in sizes.items()}
    horizon = checked_size("horizon", horizon, LARGEST, "the length of a trajectory")
    heavy = trajectory.only(trajectory.charges > 1)
    starts = drawn_frames(len(heavy.positions), horizon, margin, sizes, seed, str(heavy.path))
    kinds, symbols = species(heavy.charges)
    bond = one_and_two_hops(bonds_within(heavy.positions[0], REACH))
    arrays = {
        f"{split}_{field}": heavy.positions[frames + ahead]
        for split, frames in starts.items()
        for field, ahead in (("pos", 0), ("next", 1), ("target", horizon))
    }
    identity = dynamics_id(name, molecule + mark, horizon, margin, sizes, seed)
    signature = Signature.parse(
        f"pos: point, vel: vector, species: scalar*{len(symbols)}, bond: adjacency*2 -> pos: point"
    )
    blocks = {split: heavy.blocks(frames, max(BLOCK, horizon)) for split, frames in starts.items()}
    splits = {split: dynamics_split(arrays, split, kinds, bond, blocks[split], dtype) for split in sizes}
    return Task(
        name=name,
        protocol=identity,
        description=f"{what} ({', '.join(symbols)}): positions {horizon} frames ahead, in Å.",
        signature=signature,
        symmetry="E(3)",
        splits=splits,
        loss=torch.nn.functional.mse_loss,
        metric=MSE,
        references=references_of(identity),
        checksum=checksum(arrays),
        citation=CITATIONS["md17"],
        head=normalising_head(signature, splits["train"]) if normalise else None,
        notes=(("Horizon", f"{horizon} frames of 0.5 fs, {0.5e-3 * horizon:.3g} ps"), *notes),
        drawing=Drawing("molecule", "bond", elements=tuple(np.unique(heavy.charges).tolist()), unit="Å"),
        item_group_name=block_name(blocks.values(), max(BLOCK, horizon)),
    )


def dynamics_id(name: str, molecule: str, horizon: int, margin: int, sizes: Mapping[str, int], seed: int) -> str:
    """md17/dynamics/aspirin/Δ3000/500-2000-2000/mse; what departs from the published protocol is named.

    The molecule of surrogate data is followed by the mark of an unusual trajectory.
    """
    cut = "" if margin == MARGIN else f"/margin{margin}"
    drawn = "" if seed == 0 else f"/seed{seed}"
    return f"{name}/{molecule}/Δ{horizon}/{'-'.join(str(size) for size in sizes.values())}{cut}/mse{drawn}"


def drawn_frames(
    frames: int, horizon: int, margin: int, sizes: Mapping[str, int], seed: int, where: str
) -> dict[str, NDArray[np.int64]]:
    """Start frames of each split, in [margin, frames − margin − horizon), no frame twice.

    Raises:
        ConfigError: there are fewer than the splits ask for.
    """
    if isinstance(margin, bool) or not isinstance(margin, int) or margin < 0:
        raise ConfigError(f"margin must be a number of frames, 0 or more; got {margin!r}.")
    room = frames - 2 * margin - max(horizon, 1)
    total = sum(sizes.values())
    if room < total:
        raise ConfigError(
            f"{where} has {frames} frames: a horizon of {horizon} and a margin of {margin} at either end leave "
            f"{max(room, 0)} to start from, and the splits {dict(sizes)} need {total}."
        )
    order = margin + np.random.default_rng(seed).permutation(room)[:total]
    cuts = np.cumsum(list(sizes.values()))[:-1]
    return dict(zip(sizes, np.split(order, cuts), strict=True))


def dynamics_split(
    arrays: Mapping[str, NDArray[np.float64]],
    split: str,
    kinds: NDArray[np.float64],
    bond: NDArray[np.float64],
    blocks: NDArray[np.int64] | None,
    dtype: torch.dtype,
) -> Split:
    """Tensors of one split."""
    pos, following, target = (torch.from_numpy(arrays[f"{split}_{field}"]) for field in ("pos", "next", "target"))
    return Split(
        inputs={
            "pos": pos.to(dtype),
            "vel": (following - pos).to(dtype),
            "species": torch.from_numpy(kinds).to(dtype).expand(len(pos), *kinds.shape),
            "bond": torch.from_numpy(bond).to(dtype).expand(len(pos), *bond.shape),
        },
        targets={"pos": target.to(dtype)},
        item_group=None if blocks is None else torch.from_numpy(blocks),
    )
