"""Recorded motion, whatever file it was read from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Recording:
    """Trials: name → joint positions ``[T, J, 3]``; bones, as pairs of joints, ``[B, 2]``.

    ``starts`` holds a published split, if the source has one: split → trial → start frames. ``source`` says where the
    trials were read.
    """

    trials: Mapping[str, NDArray[np.float64]]
    edges: NDArray[np.int64]
    starts: Mapping[str, Mapping[str, NDArray[np.int64]]] | None = None
    source: str = ""
