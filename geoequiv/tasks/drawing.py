"""How the items of a task are drawn: what a picture needs to know and no tensor says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

#: (split, items) → the true positions between input and target, both included: ``[n, T, N, d]``
Paths = Callable[[str, Sequence[int]], NDArray[np.float64]]


@dataclass(frozen=True)
class Drawing:
    """What a picture of a task's items shows beside positions.

    Args:
        kind: "skeleton" draws bones, "molecule" atoms and bonds, "particles" discs.
        bonds: input of type ``adjacency`` whose first relation is a bond; without one, the bonds of a molecule are
            taken from its distances.
        elements: nuclear charge of each column of the input ``species``, where there is one.
        size: input scalar that sets how large a particle is drawn (its cube root), such as a mass.
        sign: input scalar whose sign is written on a particle, such as a charge.
        up: axis against gravity, 0, 1 or 2; None where there is no such.
        unit: of length, for scale bars; "" if there is none.
        length: of 1 in the data, in that unit.
        arrow_unit: of the vectors that the task asks for.
        paths: the true course from input to target, where the task can give it.
    """

    kind: Literal["skeleton", "molecule", "particles"] = "particles"
    bonds: str | None = None
    elements: tuple[int, ...] = ()
    size: str | None = None
    sign: str | None = None
    up: int | None = None
    unit: str = ""
    length: float = 1.0
    arrow_unit: str = ""
    paths: Paths | None = None


def recorded_paths(
    trials: Mapping[str, NDArray[np.float64]],
    starts: Mapping[str, Mapping[str, NDArray[np.int64]]],
    horizon: int,
    centred: bool = False,
) -> Paths:
    """Paths cut out of recordings.

    Args:
        trials: name → ``[T, N, d]``.
        starts: split → trial → start frames, in the order of the items.
        horizon: frames from input to target.
        centred: whether positions are about the centroid at the start.
    """

    def paths(split: str, items: Sequence[int]) -> NDArray[np.float64]:
        places = [(trial, frame) for trial, frames in starts[split].items() for frame in frames]
        chosen = [places[item] for item in items]
        cut = np.stack([trials[trial][frame : frame + horizon + 1] for trial, frame in chosen])
        return cut - cut[:, :1].mean(2, keepdims=True) if centred else cut

    return paths
