"""`nbody/gravity`: where will a star and its three planets be, 100 integration steps from now?"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from geoequiv.fields import Signature
from geoequiv.groups import group
from geoequiv.ranges import PositiveInt
from geoequiv.tasks.data.cache import OWN, Arrays, Cached, load_or_build, load_or_compute
from geoequiv.tasks.drawing import Drawing
from geoequiv.tasks.label_symmetry import Cloud, label_symmetry_error, measurement_key
from geoequiv.tasks.mean_squared_error import MSE
from geoequiv.tasks.options import DTypeName, Seed, checked_choice, checked_dtype, checked_seed, checked_size
from geoequiv.tasks.protocols import CITATIONS, references_of
from geoequiv.tasks.simulation.gravity_system import STEPS, Systems, accepted_systems, evolve
from geoequiv.tasks.stored_split import stored_split
from geoequiv.tasks.task import Task

NAME = "nbody/gravity"
INPUTS = ("pos", "vel", "mass")
PATH_STEP = 2  # between two points of a drawn path
SIMULATOR = 1  # raise when the simulated numbers change
SHIFT_STD = 20.0  # of each component of a system's translation
FAR_SHIFT = np.array([200.0, 0.0, 0.0])  # further shift of "test_shifted"
SMALL = (0.0, 10.0)  # degrees of rotation, in distribution in the REMUL protocol
LARGE = (90.0, 180.0)  # degrees of rotation of "test_rotated"
TRAIN = {"remul": 100, "gatr": 1000}
LARGEST = 100_000
STREAMS = {"train": 0, "val": 1, "test": 2, "test_rotated": 2, "test_shifted": 2}  # equal number, equal systems


def gravity(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    protocol: Literal["remul", "gatr"] = "remul",
    train: PositiveInt | None = None,
    val: PositiveInt = 5000,
    test: PositiveInt = 5000,
    seed: Seed = 0,
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """Gravity n-body: positions after 100 steps (Δt = 0.001, G = 1) from positions, velocities and masses.

    Inputs pos [n, 4, 3], vel [n, 4, 3], mass [n, 4, 1]; target pos [n, 4, 3]. Besides train, val and test there are two
    out-of-distribution splits of the size of test, under both protocols.

    The sources fix the distribution (see `gravity_system`) but publish no data. What they leave open is chosen so:

    * Placement: first a rotation about the star's initial position, then a translation N(0, 20²) per component.
    * "remul" orientation: orbits start in the x-y plane and are rotated by an angle uniform in ±10° about an axis
      uniform on the sphere. "gatr" orientation: Haar.
    * "test_rotated": angle uniform in 90°–180° about an axis uniform on the sphere, from the x-y plane, under both
      protocols (under "gatr", whose orientations are Haar, it is hardly out of distribution).
    * "test_shifted": the systems of "test", translated by a further 200 along x.
    * Item i of test_rotated is the system of item i of test, with the same translation.
    * Rejection looks at each object's distance between input and target, and happens before placement.
    * Training sets are nested: the first k items do not depend on `train`.

    Args:
        data_dir: where simulated data is kept; else $GEOEQUIV_DATA, else ~/.cache/geoequiv.
        protocol: "remul" (100 training items) or "gatr" (1000, published for 100 … 100 000).
        train: items of the training set, 1 … 100 000; None is the protocol's own number.
        val: items of the validation set, 1 … 100 000.
        test: items of the test set and of each out-of-distribution split, 1 … 100 000.
        seed: of the random streams.
        dtype: of the task's tensors; data is simulated and stored in float64.

    Raises:
        ConfigError: unknown protocol or dtype, a size out of range.
        DataError: the data directory cannot be written.

    Exactness:
        The labels are E(3)-equivariant up to the round-off of the simulation.

    Reference:
        Brehmer et al., Geometric Algebra Transformer, NeurIPS 2023, section 5; Elhag et al., Relaxed Equivariance via
        Multitask Learning, 2024.
    """
    checked_choice("protocol", protocol, tuple(TRAIN))
    sizes = {
        name: checked_size(name, size, LARGEST, "the largest published training set")
        for name, size in (("train", TRAIN[protocol] if train is None else train), ("val", val), ("test", test))
    }
    sizes |= {"test_rotated": test, "test_shifted": test}
    seed, dtype = checked_seed(seed), checked_dtype(dtype)
    parameters = {"simulator": SIMULATOR, "protocol": protocol, "seed": seed, **sizes}
    data = load_or_build(NAME, parameters, partial(simulate, protocol, sizes, seed), data_dir)
    identity = gravity_id(protocol, sizes, seed)
    return Task(
        name=NAME,
        protocol=identity,
        description=(
            f"A star and three planets: predict positions {STEPS} steps ahead. Orientations in distribution: "
            + {"remul": "within ±10° of one plane.", "gatr": "Haar."}[protocol]
        ),
        signature=Signature.parse("pos: point, vel: vector, mass: scalar -> pos: point"),
        symmetry="E(3)",
        splits={name: stored_split(data.arrays, name, INPUTS, dtype) for name in sizes},
        loss=torch.nn.functional.mse_loss,
        metric=MSE,
        references=references_of(identity),
        checksum=data.checksum,
        citation=CITATIONS["gravity"],
        symmetry_error=partial(_symmetry_error, data),
        notes=(
            ("Horizon", f"{STEPS} steps of 0.001"),
            ("Source", f"{data.path}, simulated as GATr and REMUL describe it"),
            ("Licence", OWN),
        ),
        drawing=Drawing(size="mass", paths=partial(_paths, data)),
    )


def gravity_id(protocol: str, sizes: Mapping[str, int], seed: int) -> str:
    """nbody/gravity/remul|gatr/Δ100/train-val-test/mse[/seed…]."""
    drawn = "" if seed == 0 else f"/seed{seed}"
    return f"{NAME}/{protocol}/Δ{STEPS}/{sizes['train']}-{sizes['val']}-{sizes['test']}/mse{drawn}"


def simulate(protocol: str, sizes: Mapping[str, int], seed: int) -> Arrays:
    """Arrays "<split>_<field>" of all splits, float64: [n, 4, 3], and mass [n, 4, 1]."""
    arrays: Arrays = {}
    for split, size in sizes.items():
        systems = placed_systems(protocol, split, size, seed)
        arrays |= {
            f"{split}_pos": systems.pos,
            f"{split}_vel": systems.vel,
            f"{split}_mass": systems.mass[..., None],
            f"{split}_target": evolve(systems)[0],
        }
    return arrays


def placed_systems(protocol: str, split: str, size: int, seed: int) -> Systems:
    """The first `size` accepted systems of a split, rotated and translated."""
    batches: list[Systems] = []
    stream = STREAMS[split]
    for index, systems in accepted_systems(seed, stream):
        rng = np.random.default_rng([seed, stream, index, 1])  # placement has a stream of its own
        translation = SHIFT_STD * rng.standard_normal((len(systems.pos), 1, 3))
        if split == "test_shifted":
            translation = translation + FAR_SHIFT
        degrees = LARGE if split == "test_rotated" else SMALL if protocol == "remul" else None
        forth = np.swapaxes(rotations(rng, len(systems.pos), degrees), -1, -2)  # row vectors: x ↦ x Rᵀ
        batches.append(Systems(systems.mass, systems.pos @ forth + translation, systems.vel @ forth))
        if sum(len(batch.pos) for batch in batches) >= size:
            break
    mass, pos, vel = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    return Systems(mass, pos, vel).rows(slice(size))


def rotations(rng: np.random.Generator, count: int, degrees: tuple[float, float] | None) -> NDArray[np.float64]:
    """Rotations [n, 3, 3] by an angle uniform in `degrees` about an axis uniform on the sphere; Haar for None."""
    if degrees is None:
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        return group("SO(3)").sample(count, generator=generator).linear.double().numpy()
    axis = rng.standard_normal((count, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    return Rotation.from_rotvec(axis * rng.uniform(*degrees, (count, 1)), degrees=True).as_matrix()


def _paths(data: Cached, split: str, items: Sequence[int]) -> Cloud:
    """Positions every `PATH_STEP` steps, [n, T, 4, 3], simulated again."""
    mass, pos, vel = (data.arrays[f"{split}_{field}"][list(items)] for field in ("mass", "pos", "vel"))
    course = [pos]
    for _ in range(0, STEPS, PATH_STEP):
        pos, vel = evolve(Systems(mass[..., 0], pos, vel), PATH_STEP)
        course.append(pos)
    return np.stack(course, axis=1)


def _symmetry_error(data: Cached) -> dict[str, float]:
    """Deviation of the test labels from O(3)-equivariance (see `label_symmetry_error`), kept beside the data."""
    mass, pos, vel, target = (data.arrays[f"test_{field}"] for field in ("mass", "pos", "vel", "target"))

    def resimulate(pos: Cloud, vel: Cloud) -> Cloud:
        return evolve(Systems(mass[..., 0], pos, vel))[0]

    return load_or_compute(
        data.path.with_suffix(".symmetry.json"),
        measurement_key(data.checksum),
        lambda: label_symmetry_error(resimulate, pos, vel, target),
    )
