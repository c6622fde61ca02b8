"""`nbody/charged`: where will five charged particles be, 1000 integration steps from now?"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from geoequiv.fields import Signature
from geoequiv.ranges import PositiveInt
from geoequiv.tasks.data.cache import OWN, Arrays, Cached, load_or_build, load_or_compute
from geoequiv.tasks.drawing import Drawing
from geoequiv.tasks.label_symmetry import Cloud, label_symmetry_error, measurement_key
from geoequiv.tasks.mean_squared_error import MSE
from geoequiv.tasks.options import DTypeName, Seed, checked_choice, checked_dtype, checked_seed, checked_size
from geoequiv.tasks.protocols import CITATIONS, references_of
from geoequiv.tasks.simulation.charged_system import (
    INPUT_STEP,
    STREAM,
    TARGET_STEP,
    Clamp,
    States,
    advance,
    initial_states,
)
from geoequiv.tasks.stored_split import stored_split
from geoequiv.tasks.task import Task

NAME = "nbody/charged"
INPUTS = ("pos", "vel", "charge")
MARKS = ("clamp_event",)
SIMULATOR = 1  # raise when the simulated numbers change
WINDOW = TARGET_STEP - INPUT_STEP
PATH_STEP = 20  # between two points of a drawn path
VARIANTS = {
    "component": "Each component of a force is clamped to ±100, as in the public data; this breaks rotation symmetry.",
    "isotropic": "The norm of a force is clamped to 100, so the labels are rotation equivariant up to round-off.",
}


def charged(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    variant: Clamp = "component",
    train: PositiveInt = 3000,
    val: PositiveInt = 2000,
    test: PositiveInt = 2000,
    seed: Seed = 43,
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """Charged n-body: positions after 1000 steps (Δt = 0.001) from positions, velocities and charges ±1.

    Inputs pos [n, 5, 3], vel [n, 5, 3] (recorded before the kick at pos), charge [n, 5, 1]; target pos
    [n, 5, 3]. Mark "clamp_event": a force was clamped between input and target, so the label is not equivariant.

    Args:
        data_dir: where simulated data is kept; else $GEOEQUIV_DATA, else ~/.cache/geoequiv.
        variant: "component" (the public benchmark) or "isotropic" (a protocol of its own, without published numbers).
        train: items of the training set, 1 … 10 000; the published numbers use the first 3000.
        val: items of the validation set, 1 … 2000.
        test: items of the test set, 1 … 2000.
        seed: of the random stream; 43 is the public benchmark.
        dtype: of the task's tensors; data is simulated and stored in float64.

    Raises:
        ConfigError: unknown variant or dtype, a size out of range.
        DataError: the data directory cannot be written.

    Exactness:
        With seed 43 equal bit for bit to the public code run on the same platform. The system is chaotic where
        particles pass close: another BLAS or libm changes a few trajectories visibly.

    Reference:
        Satorras, Hoogeboom & Welling, E(n) Equivariant Graph Neural Networks, ICML 2021, section 5.1.
    """
    clamp = cast(Clamp, checked_choice("variant", variant, tuple(VARIANTS)))
    sizes = {
        name: checked_size(name, size, STREAM[name], "what the random stream of the public data holds")
        for name, size in (("train", train), ("val", val), ("test", test))
    }
    seed, dtype = checked_seed(seed), checked_dtype(dtype)
    parameters = {"simulator": SIMULATOR, "variant": clamp, "seed": seed, **sizes}
    data = load_or_build(NAME, parameters, partial(simulate, sizes, seed, clamp), data_dir)
    protocol = charged_id(clamp, sizes, seed)
    return Task(
        name=NAME,
        protocol=protocol,
        description=f"Five charged particles: predict positions {WINDOW} steps ahead. {VARIANTS[clamp]}",
        signature=Signature.parse("pos: point, vel: vector, charge: scalar -> pos: point"),
        symmetry="E(3)",
        splits={name: stored_split(data.arrays, name, INPUTS, dtype, marks=MARKS) for name in sizes},
        loss=torch.nn.functional.mse_loss,
        metric=MSE,
        references=references_of(protocol),
        checksum=data.checksum,
        citation=CITATIONS["charged"],
        symmetry_error=partial(_symmetry_error, data, clamp),
        notes=(
            ("Horizon", f"{WINDOW} steps of 0.001"),
            ("Source", f"{data.path}, simulated; with seed 43 the public data of EGNN, bit for bit"),
            ("Licence", OWN),
        ),
        drawing=Drawing(sign="charge", paths=partial(_paths, data, clamp)),
    )


def charged_id(variant: Clamp, sizes: Mapping[str, int], seed: int) -> str:
    """nbody/charged[-isotropic]/Δ1000/train-val-test/mse[/seed…]."""
    system = NAME if variant == "component" else f"{NAME}-{variant}"
    drawn = "" if seed == 43 else f"/seed{seed}"
    return f"{system}/Δ{WINDOW}/{sizes['train']}-{sizes['val']}-{sizes['test']}/mse{drawn}"


def simulate(sizes: Mapping[str, int], seed: int, clamp: Clamp) -> Arrays:
    """Arrays "<split>_<field>" of all splits, float64, particles on the second axis: [n, 5, 3] and charge [n, 5, 1]."""
    start, _ = advance(initial_states(sizes, seed), INPUT_STEP, clamp)
    end, clamped = advance(start, WINDOW, clamp)
    fields = {
        "pos": _cloud(start.pos),
        "vel": _cloud(start.vel),
        "charge": start.charge.T[:, :, None],
        "target": _cloud(end.pos),
        "clamp_event": clamped,
    }
    arrays: Arrays = {}
    first = 0
    for split, size in sizes.items():
        arrays |= {f"{split}_{name}": array[first : first + size] for name, array in fields.items()}
        first += size
    return arrays


def _symmetry_error(data: Cached, clamp: Clamp) -> dict[str, float]:
    """Deviation of the test labels from O(3)-equivariance (see `label_symmetry_error`), kept beside the data."""
    charge, pos, vel, target, marked = (
        data.arrays[f"test_{field}"] for field in ("charge", "pos", "vel", "target", "clamp_event")
    )

    def resimulate(pos: Cloud, vel: Cloud) -> Cloud:
        states = States(charge[:, :, 0].T, np.ascontiguousarray(pos.T), np.ascontiguousarray(vel.T))
        return _cloud(advance(states, WINDOW, clamp)[0].pos)

    return load_or_compute(
        data.path.with_suffix(".symmetry.json"),
        measurement_key(data.checksum),
        lambda: label_symmetry_error(resimulate, pos, vel, target, marked=marked),
    )


def _paths(data: Cached, clamp: Clamp, split: str, items: Sequence[int]) -> Cloud:
    """Positions every `PATH_STEP` steps, [n, T, 5, 3], simulated again: bit for bit on the way to the target."""
    charge, pos, vel = (data.arrays[f"{split}_{field}"][list(items)] for field in ("charge", "pos", "vel"))
    states = States(charge[:, :, 0].T, np.ascontiguousarray(pos.T), np.ascontiguousarray(vel.T))
    course = [states.pos]
    for _ in range(0, WINDOW, PATH_STEP):
        states = advance(states, PATH_STEP, clamp)[0]
        course.append(states.pos)
    return np.stack([_cloud(pos) for pos in course], axis=1)


def _cloud(x: NDArray[np.float64]) -> Cloud:
    """[3, n, T] → [T, n, 3], contiguous."""
    return np.ascontiguousarray(x.T)
