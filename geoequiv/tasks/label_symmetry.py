"""How far the labels of a simulated task are from equivariant: simulate rotated inputs, rotate back, compare."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from geoequiv.groups import group

Cloud = NDArray[np.float64]
MEASUREMENT = 2  # raise when the numbers below change: those kept beside the data are then measured anew


def measurement_key(checksum: str) -> str:
    """Key under which the numbers of a data file are kept: its checksum, and what was measured."""
    return f"{checksum}/{MEASUREMENT}"


def label_symmetry_error(
    simulate: Callable[[Cloud, Cloud], Cloud],
    pos: Cloud,
    vel: Cloud,
    target: Cloud,
    *,
    marked: NDArray[np.bool_] | None = None,
    mark: str = "clamp",
    seed: int = 0,
) -> dict[str, float]:
    """Mean squared deviation of the labels from O(3)-equivariance, one Haar rotation per item.

        D_i = mean_{particle, axis} ( R_i⁻¹ · simulate(R_i x_i, R_i v_i) − y_i )²

    A predictor that is exactly equivariant gives one answer for all rotations of an item, while the label varies with
    variance D/2 about its orbit mean: `floor` = mean(D)/2 is the smallest MSE that it can reach.

    Args:
        simulate: positions [n, N, 3] and velocities [n, N, 3] → target positions [n, N, 3].
        pos: [n, N, 3], float64.
        vel: [n, N, 3], float64.
        target: labels [n, N, 3], float64.
        marked: [n], splits the mean into marked and other items.
        mark: names the two means: `with_<mark>`, `without_<mark>`.
        seed: of the rotations.

    Returns:
        mse, median, floor, fraction_above_1e-4 (of D_i), num_items; with_<mark> and without_<mark> where there are
        such items; mse_se and floor_se, the standard errors over the items, unless there is but one.

    Exactness:
        Monte Carlo over one rotation per item; D_i is heavy-tailed where the dynamics are chaotic.
    """
    generator = torch.Generator().manual_seed(seed)
    rotation = group("O(3)").sample(len(pos), generator=generator).linear.double().numpy()  # [n, 3, 3]
    forth = np.swapaxes(rotation, -1, -2)  # row vectors: x ↦ x Rᵀ
    deviation = simulate(pos @ forth, vel @ forth) @ rotation - target
    per_item = np.square(deviation).mean(axis=(1, 2))
    result = {
        "mse": float(per_item.mean()),
        "median": float(np.median(per_item)),
        "floor": float(per_item.mean() / 2),
        "fraction_above_1e-4": float((per_item > 1e-4).mean()),
        "num_items": float(len(per_item)),
    }
    if len(per_item) > 1:
        result["mse_se"] = float(per_item.std(ddof=1) / np.sqrt(len(per_item)))
        result["floor_se"] = result["mse_se"] / 2
    if marked is not None:
        for name, kind in ((f"with_{mark}", marked), (f"without_{mark}", ~marked)):
            if kind.any():
                result[name] = float(per_item[kind].mean())
    return result
