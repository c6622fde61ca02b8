"""One test item as plain arrays: input, target and prediction."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _no_pairs() -> NDArray[np.int64]:
    return np.zeros((0, 2), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Scene:
    """What one panel shows; lengths are in the unit of ``unit``.

    With ``quantity="positions"``, true, predicted and transformed are positions ``[N, 3]``; with "arrows" they are
    vectors at the positions ``start``.

    Args:
        title: "best · item 17".
        caption: its errors.
        kind: "skeleton", "molecule" or "particles".
        quantity: what is predicted.
        start: ``[N, 3]``, the input.
        true: ``[N, 3]``.
        predicted: ``[N, 3]``.
        transformed: ``[N, 3]``, g⁻¹ · f(g · x), the prediction for the transformed input, transformed back; None if it
            was not asked for.
        edges: ``[E, 2]``, pairs joined by a line.
        elements: N nuclear charges, or none.
        sizes: ``[N]``, relative radii of particles, 1 on average; None if all are alike.
        signs: ``[N]``, −1, 0 or 1, written on particles; None for no signs.
        path: ``[T, N, 3]``, the true trajectory from input to target, or None.
        up: axis against gravity, or None.
        flat: whether the data is two-dimensional (z is 0).
        unit: of length; "" if there is none.
        arrow_unit: of the vectors.
    """

    title: str
    caption: str
    kind: Literal["skeleton", "molecule", "particles"]
    quantity: Literal["positions", "arrows"]
    start: Array
    true: Array
    predicted: Array
    transformed: Array | None = None
    edges: NDArray[np.int64] = field(default_factory=_no_pairs)
    elements: tuple[int, ...] = ()
    sizes: Array | None = None
    signs: Array | None = None
    path: Array | None = None
    up: int | None = None
    flat: bool = False
    unit: str = ""
    arrow_unit: str = ""

    @property
    def bodies(self) -> Array:
        """Positions of the bodies that are drawn as true: the targets, or where the arrows start."""
        return self.true if self.quantity == "positions" else self.start

    @property
    def everything(self) -> Array:
        """All positions that a picture must contain, ``[n, 3]``; arrows are scaled to fit and left out."""
        if self.quantity == "arrows":
            return self.start
        more = [
            each
            for each in (self.transformed, None if self.path is None else self.path.reshape(-1, 3))
            if each is not None
        ]
        return np.concatenate([self.start, self.true, self.predicted, *more])

    def at(self, moment: float) -> Array:
        """The true bodies along their path: at the start for 0, at the target for 1 (or without a path)."""
        if self.path is None or moment >= 1:
            return self.bodies
        return self.path[round(moment * (len(self.path) - 1))]
