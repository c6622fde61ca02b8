"""What the tasks of normal estimation share: regimes of rotation, splits whose points are drawn anew, protocol."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from geoequiv.fields import Signature
from geoequiv.groups import group
from geoequiv.tasks.surfaces import Surfaces, normalised
from geoequiv.tasks.task import Split, Task
from geoequiv.tasks.unoriented import MEDIAN_ANGLE, SQUARED_SINE, unoriented_loss

Regime = Literal["I/I", "I/SO(3)", "SO(3)/SO(3)"]
Selection = Literal["val", "test"]
REGIMES = ("I/I", "I/SO(3)", "SO(3)/SO(3)")
SELECTIONS = ("val", "test")
SIGNATURE = Signature.parse("pos: point -> normal: vector up to sign")
#: factors by which training clouds are scaled
SCALES = (0.8, 1.25)
CITATION = """@inproceedings{puny2022frame,
  title={Frame Averaging for Invariant and Equivariant Network Design},
  author={Puny, Omri and Atzmon, Matan and Smith, Edward J. and Misra, Ishan and Grover, Aditya and Ben-Hamu, Heli and
    Lipman, Yaron},
  booktitle={International Conference on Learning Representations},
  year={2022}
}"""
ABOUT = {
    "I/I": "trained and tested in the pose of the file",
    "I/SO(3)": "trained in the pose of the file, tested in random ones",
    "SO(3)/SO(3)": "trained and tested in random poses, new ones in every epoch",
}


def draw(
    surfaces: Surfaces, points: int, rotate: bool, scale: bool, dtype: torch.dtype, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs pos and targets normal, ``[M, points, 3]`` each.

    Args:
        surfaces: drawn from, all of them.
        points: of each.
        rotate: each cloud by a rotation of its own, uniform on SO(3).
        scale: each by a factor of its own, uniform in `SCALES`.
        generator: of all draws.
    """
    where, normals = surfaces.draw(points, generator)
    pos = normalised(where)
    if rotate:
        turn = group("SO(3)").sample(len(surfaces), generator=generator).linear.double()
        pos, normals = pos @ turn.mT, normals @ turn.mT
    if scale:
        low, high = SCALES
        pos = pos * (low + (high - low) * torch.rand(len(pos), 1, 1, dtype=torch.float64, generator=generator))
    return {"pos": pos.to(dtype)}, {"normal": normals.to(dtype)}


def estimation_splits(
    surfaces: Mapping[str, Surfaces], points: int, regime: Regime, select: Selection, seed: int, dtype: torch.dtype
) -> dict[str, Split]:
    """Splits of a regime: "train" is drawn anew in every epoch, "val" and "test" once, by the seed.

    In the regime I/I "test_rotated" has the test clouds in random poses: the number of I/SO(3), whose training is the
    same. With ``select="test"`` the split that chooses the epoch is the test split.
    """
    learned, tested = (part == "SO(3)" for part in regime.split("/"))
    made = partial(draw, points=points, dtype=dtype)

    def fixed(split: str, rotate: bool, number: int) -> Split:
        return Split(*made(surfaces[split], rotate=rotate, scale=False, generator=seeded(seed, number)))

    train = partial(draw, surfaces["train"], points, learned, True, dtype)
    splits = {"train": Split(*train(seeded(seed, 0)), redraw=train), "test": fixed("test", tested, 2)}
    splits["val"] = splits["test"] if select == "test" else fixed("val", learned, 1)
    if regime == "I/I":
        splits["test_rotated"] = fixed("test", True, 2)
    return {name: splits[name] for name in ("train", "val", "test", "test_rotated") if name in splits}


def seeded(seed: int, number: int) -> torch.Generator:
    """The stream of one split."""
    return torch.Generator().manual_seed(4 * seed + number)


def estimation_id(name: str, regime: str, sizes: Mapping[str, int], points: int, select: str, seed: int) -> str:
    """normals/shapes/I→SO(3)/train-val-test/points512/sin2[/best-on-test][/seed…]."""
    counts = "-".join(str(sizes[split]) for split in ("train", "val", "test"))
    best, drawn = "/best-on-test" if select == "test" else "", f"/seed{seed}" if seed else ""
    return f"{name}/{regime.replace('/', '→')}/{counts}/points{points}/sin2{best}{drawn}"


def estimation_task(
    name: str,
    about: str,
    surfaces: Mapping[str, Surfaces],
    *,
    identity: str | None = None,
    points: int,
    regime: Regime,
    select: Selection,
    seed: int,
    dtype: torch.dtype,
    checksum: str,
    notes: tuple[tuple[str, str], ...],
) -> Task:
    """The task of estimating normals on some surfaces (see ``estimation_splits``).

    Args:
        identity: what the protocol begins with; ``None`` takes the name.
    """
    sizes = {split: len(each) for split, each in surfaces.items()}
    chosen = " The epoch is chosen on the test split, as published: its number is the best of many." * (
        select == "test"
    )
    return Task(
        name=name,
        protocol=estimation_id(identity or name, regime, sizes, points, select, seed),
        description=(
            f"Unoriented normals at {points} points of a surface, from the points alone; {about}. {regime}: "
            f"{ABOUT[regime]}. Points are drawn anew in every epoch.{chosen}"
        ),
        signature=SIGNATURE,
        symmetry="E(3)",
        splits=estimation_splits(surfaces, points, regime, select, seed, dtype),
        loss=unoriented_loss,
        metric=SQUARED_SINE,
        references=(),
        checksum=checksum,
        citation=CITATION,
        further=(MEDIAN_ANGLE,),
        notes=notes,
    )
