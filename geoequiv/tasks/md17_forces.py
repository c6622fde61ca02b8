"""Energies and forces of revised MD17 and of its surrogate (tasks ``md17/forces``, ``md17-xtb/forces``)."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from geoequiv.errors import ConfigError, DataError
from geoequiv.fields import Signature
from geoequiv.ranges import NonNegativeFloat, PositiveInt
from geoequiv.tasks.data.cache import checksum, data_directory
from geoequiv.tasks.data.force_sign import check_force_sign
from geoequiv.tasks.data.rmd17_files import ARCHIVE, Frames, load
from geoequiv.tasks.data.trajectory import Trajectory, block_name, species
from geoequiv.tasks.drawing import Drawing
from geoequiv.tasks.energy_and_forces import FORCE_MAE, FURTHER, energy_force_loss, force_field_head
from geoequiv.tasks.md17_dynamics import Molecule as SurrogateMolecule
from geoequiv.tasks.options import DTypeName, Seed, checked_choice, checked_dtype, checked_seed, checked_size
from geoequiv.tasks.protocols import CITATIONS, references_of
from geoequiv.tasks.simulation.xtb_trajectory import read_surrogate
from geoequiv.tasks.task import Split, Task

NAME = "md17/forces"
SURROGATE = "md17-xtb/forces"
Molecule = Literal[
    "aspirin", "azobenzene", "benzene", "ethanol", "malonaldehyde", "naphthalene", "paracetamol", "salicylic",
    "toluene", "uracil",
]  # fmt: skip
SPLITS = 5
TRAIN, TEST = 1000, 1000  # frames of each official split
VALIDATION = 50  # of the training frames, the last ones


def forces(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    molecule: Molecule = "ethanol",
    split: Annotated[int, Field(ge=1, le=SPLITS)] = 1,
    forces: Literal["gradient", "direct"] = "gradient",
    train: PositiveInt = TRAIN - VALIDATION,
    val: PositiveInt = VALIDATION,
    test: PositiveInt = TEST,
    energy_weight: NonNegativeFloat = 0.01,
    force_weight: NonNegativeFloat = 1.0,
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """Revised MD17: energies and forces of one molecule at DFT, from 1000 frames of a long trajectory at 500 K.

    Inputs pos [n, N, 3] (Å) and species [n, N, kinds], one-hot; targets energy [n, 1], in kcal/mol, relative to the
    mean of the training frames (so that float32 resolves it: totals are of the order of −10⁵), and forces [n, N, 3], in
    kcal/mol/Å. The five splits are the official ones; the last ``val`` of their training frames validate, the first
    ``train`` train.

    With ``forces="gradient"`` the model (symmetrized or not) predicts energies, and forces are their gradient; with
    ``"direct"`` it predicts both. Energies are in units of the root mean square of a force component times 1 Å inside
    the model; with direct forces, in units of their own standard deviation.

    Args:
        data_dir: searched, with its folder ``rmd17`` and those of the archive inside, for ``rmd17_<molecule>.npz`` with
            ``index_train_0K.csv`` and ``index_test_0K.csv``, or for ``rmd17_<molecule>_train_0K.npz`` and
            ``…_test_0K.npz``; else $GEOEQUIV_DATA, else ~/.cache/geoequiv. The official archive is downloaded into
            ``rmd17`` if they are nowhere.
        molecule: aspirin, azobenzene, benzene, ethanol, malonaldehyde, naphthalene, paracetamol, salicylic, toluene or
            uracil.
        split: 1 … 5.
        forces: how a model gives forces; no part of the protocol.
        train: items of the training set, of the first 950.
        val: items of the validation set.
        test: items of the test set.
        energy_weight: of the squared error of the energy, (kcal/mol)², in the loss; SchNet's.
        force_weight: of the squared error of the force on an atom, (kcal/mol/Å)², in the loss.
        dtype: of the task's tensors.

    Raises:
        ConfigError: unknown molecule or option, a size that the split cannot give.
        DataError: files that are missing and cannot be fetched, or that cannot be read.

    Reference:
        Christensen & von Lilienfeld, "On the role of gradients for machine learning of molecular energies and forces",
        2020, for data and splits; Schütt et al., SchNet, 2017, for the loss; Batzner et al., NequIP, 2022, for 950/50.
    """
    checked_choice("molecule", molecule, get_args(Molecule))
    split = checked_size("split", split, SPLITS, "there are five official splits")
    mode = checked_choice("way of giving forces", forces, ("gradient", "direct"))
    dtype = checked_dtype(dtype)
    sizes = {
        "train": checked_size("train", train, TRAIN - 1, "the official training frames, less those that validate"),
        "val": checked_size("val", val, TRAIN - train, "the official training frames that do not train"),
        "test": checked_size("test", test, TEST, "the official test frames"),
    }
    learn, held_out = load(data_directory(data_dir), molecule, split)
    for (trajectory, rows), needed in ((learn, sizes["train"] + sizes["val"]), (held_out, sizes["test"])):
        if len(rows) < needed:
            raise DataError(f"The split of {trajectory.path} has {len(rows)} frames; {needed} are needed.")
    parts = {
        "train": (learn[0], learn[1][: sizes["train"]]),
        "val": (learn[0], learn[1][len(learn[1]) - sizes["val"] :]),
        "test": (held_out[0], held_out[1][: sizes["test"]]),
    }
    task = task_of(
        NAME,
        forces_id(molecule, split, sizes),
        f"Revised MD17 (DFT, 500 K), {molecule} ({elements(learn[0])}), official split {split}, the last "
        f"{sizes['val']} training frames for validation",
        parts,
        mode == "gradient",
        (energy_weight, force_weight),
        CITATIONS["rmd17"],
        dtype,
    )
    source = f"{learn[0].path}; official: {ARCHIVE.url}"
    return replace(task, notes=(("Source", source), ("Licence", ARCHIVE.licence)))


def surrogate(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    molecule: SurrogateMolecule = "ethanol",
    forces: Literal["gradient", "direct"] = "gradient",
    train: PositiveInt = TRAIN - VALIDATION,
    val: PositiveInt = VALIDATION,
    test: PositiveInt = TEST,
    seed: Seed = 0,
    energy_weight: NonNegativeFloat = 0.01,
    force_weight: NonNegativeFloat = 1.0,
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """Energies and forces of surrogate data for MD17: GFN2-xTB at 500 K, made by ``geoequiv data make md17-xtb``.

    Its numbers compare with each other, never with MD17's. Fields, units, loss and metric are those of ``md17/forces``;
    frames are drawn from the whole trajectory by the seed, without replacement.

    Args:
        data_dir: searched, with its folder ``md17-xtb``, for ``md17_xtb_<molecule>.npz``.
        molecule: aspirin, benzene, ethanol, malonaldehyde, naphthalene, salicylic, toluene or uracil.
        forces: how a model gives forces; no part of the protocol.
        train: items of the training set.
        val: items of the validation set.
        test: items of the test set.
        seed: of the draw of frames.
        energy_weight: of the squared error of the energy.
        force_weight: of the squared error of the force on an atom.
        dtype: of the task's tensors.

    Raises:
        ConfigError: unknown molecule or option, more items than the trajectory has frames.
        DataError: the file is missing, cannot be read, or does not match its report.
    """
    mode = checked_choice("way of giving forces", forces, ("gradient", "direct"))
    seed, dtype = checked_seed(seed), checked_dtype(dtype)
    found = read_surrogate(molecule, data_dir)
    trajectory = found.trajectory
    frames = len(trajectory.positions)
    sizes = {"train": train, "val": val, "test": test}
    for name, size in sizes.items():
        checked_size(name, size, frames, f"the frames of {trajectory.path}")
    if sum(sizes.values()) > frames:
        raise ConfigError(f"{trajectory.path} has {frames} frames; the splits {sizes} need {sum(sizes.values())}.")
    order = np.random.default_rng(seed).permutation(frames)
    drawn = np.split(order[: sum(sizes.values())], np.cumsum(list(sizes.values()))[:-1])
    task = task_of(
        SURROGATE,
        surrogate_id(molecule, sizes, seed, found.mark),
        f"Surrogate of MD17 (GFN2-xTB, 500 K), {molecule} ({elements(trajectory)})",
        {name: (trajectory, rows) for name, rows in zip(sizes, drawn, strict=True)},
        mode == "gradient",
        (energy_weight, force_weight),
        CITATIONS["gfn2"],
        dtype,
    )
    return replace(task, notes=found.notes)


def task_of(
    name: str,
    identity: str,
    what: str,
    parts: Mapping[str, Frames],
    gradient: bool,
    weights: tuple[float, float],
    citation: str,
    dtype: torch.dtype,
) -> Task:
    """The task on frames that are dealt out already."""
    arrays = {
        f"{part}_{field}": array[rows]
        for part, (trajectory, rows) in parts.items()
        for field, array in trajectory_fields(trajectory).items()
    }
    zero = float(arrays["train_energy"].mean())
    kinds, symbols = species(parts["train"][0].charges)
    blocks = {part: trajectory.blocks(rows) for part, (trajectory, rows) in parts.items()}
    if any(each is None for each in blocks.values()):
        blocks = dict.fromkeys(parts)
    splits = {part: forces_split(arrays, part, zero, kinds, blocks[part], dtype) for part in parts}
    signature = Signature.parse(
        f"pos: point, species: scalar*{len(symbols)} -> energy: scalar per graph, forces: vector"
    )
    return Task(
        name=name,
        protocol=identity,
        description=(
            f"{what}: mean absolute error of force components. Energies are relative to {zero:.4f} kcal/mol, the mean "
            "of the training frames; positions to the centroid of each frame."
        ),
        signature=signature,
        symmetry="E(3)",
        splits=splits,
        loss=energy_force_loss(*weights),
        metric=FORCE_MAE,
        references=references_of(identity),
        checksum=checksum(arrays),
        citation=citation,
        head=force_field_head(signature, splits["train"], zero, gradient=gradient),
        further=FURTHER,
        drawing=Drawing(
            "molecule", elements=tuple(np.unique(parts["train"][0].charges).tolist()), unit="Å", arrow_unit="kcal/mol/Å"
        ),
        item_group_name=block_name(blocks.values()),
    )


def elements(trajectory: Trajectory) -> str:
    """Symbols of the elements, in the order of the one-hot columns."""
    return ", ".join(species(trajectory.charges)[1])


def surrogate_id(molecule: str, sizes: dict[str, int], seed: int, mark: str) -> str:
    """md17-xtb/forces/aspirin/950-50-1000/force_mae; with the mark of an unusual trajectory."""
    drawn = "" if seed == 0 else f"/seed{seed}"
    return f"{SURROGATE}/{molecule}{mark}/{'-'.join(str(size) for size in sizes.values())}/force_mae{drawn}"


def forces_id(molecule: str, split: int, sizes: dict[str, int]) -> str:
    """md17/forces/aspirin/split1/950-50-1000/force_mae."""
    return f"{NAME}/{molecule}/split{split}/{'-'.join(str(size) for size in sizes.values())}/force_mae"


def trajectory_fields(trajectory: Trajectory) -> dict[str, NDArray[np.float64]]:
    """pos, energy and forces of all frames; DataError if the file lacks the last two, or has gradients for forces."""
    if trajectory.energies is None or trajectory.forces is None:
        raise DataError(f"{trajectory.path} must hold energies [T] and forces [T, N, 3].")
    for name, array in (("energies", trajectory.energies), ("forces", trajectory.forces)):
        if not np.isfinite(array).all():
            raise DataError(f"{trajectory.path}: {name} are not finite.")
    check_force_sign(trajectory.path, trajectory.positions, trajectory.energies, trajectory.forces)
    return {"pos": trajectory.positions, "energy": trajectory.energies[:, None], "forces": trajectory.forces}


def forces_split(
    arrays: dict[str, NDArray[np.float64]],
    name: str,
    zero: float,
    kinds: NDArray[np.float64],
    blocks: NDArray[np.int64] | None,
    dtype: torch.dtype,
) -> Split:
    """Tensors of one split.

    Each frame is placed about its own centroid: molecules drift, benzene's up to 200 Å from the origin, where float32
    holds only five digits of an atom's place.
    """
    pos, energy, force = (torch.from_numpy(arrays[f"{name}_{field}"]) for field in ("pos", "energy", "forces"))
    return Split(
        inputs={
            "pos": (pos - pos.mean(-2, keepdim=True)).to(dtype),
            "species": torch.from_numpy(kinds).to(dtype).expand(len(pos), *kinds.shape),
        },
        targets={"energy": (energy - zero).to(dtype), "forces": force.to(dtype)},
        item_group=None if blocks is None else torch.from_numpy(blocks),
    )
