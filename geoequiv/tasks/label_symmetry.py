"""How far the labels of a task are from equivariant: simulated again for rotated inputs, or estimated from the data."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoequiv.errors import GeoequivError
from geoequiv.fields import Side, Signature
from geoequiv.groups import group
from geoequiv.metrics import data_symmetry_error
from geoequiv.tasks.task import Split, Task

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
    result = summary_of(per_item)
    if marked is not None:
        for name, kind in ((f"with_{mark}", marked), (f"without_{mark}", ~marked)):
            if kind.any():
                result[name] = float(per_item[kind].mean())
    return result


def summary_of(per_item: Cloud) -> dict[str, float]:
    """Mean square deviations of items, ``[n]``, in a few numbers; keys as in `label_symmetry_error`."""
    found = {
        "mse": float(per_item.mean()),
        "median": float(np.median(per_item)),
        "floor": float(per_item.mean() / 2),
        "fraction_above_1e-4": float((per_item > 1e-4).mean()),
        "num_items": float(len(per_item)),
    }
    if len(per_item) > 1:
        found["mse_se"] = float(per_item.std(ddof=1) / np.sqrt(len(per_item)))
        found["floor_se"] = found["mse_se"] / 2
    return found


def estimated_label_symmetry(task: Task, num_samples: int = 8, seed: int = 0) -> dict[str, float | str] | None:
    """How far the test labels seem to be from equivariance where there is no simulator: by matched neighbours.

    Clouds are taken about their own centroids and transformed by the part of the task's symmetry that fixes these; each
    transformed input is matched with its nearest neighbour among the others (see ``data_symmetry_error``).

    Args:
        task: its test split is used.
        num_samples: group elements, shared by all items.
        seed: of their draw.

    Returns:
        `excess` and `excess_se`: mean square gap of matched labels beyond the noise floor, in the unit of the labels
        squared, with its standard error; `resolution`: noise floor over the mean square gap of random pairs, near 1
        where neighbours tell nothing; `num_pairs`; `verdict`: "respected", "broken" or "undecided". None where
        matching cannot be done: without points, on padded clouds, under groups that fix everything, for fewer than 16
        items.

    Exactness: an estimate with limits, and no lower bound of anything; "respected" says that nothing was seen.
    """
    signature, split = task.signature, task.splits["test"]
    acting = group(task.symmetry).linear_part
    if not signature.inputs.of_kind("point") or "mask" in split.inputs or acting.order == 1 or len(split) < 16:
        return None
    inputs, targets = centred_fields(split, signature)
    generator = torch.Generator().manual_seed(seed)
    try:
        found = data_symmetry_error(inputs, targets, signature, acting, num_samples=num_samples, generator=generator)
    except GeoequivError:  # fields without a distance between items, such as relations of pairs
        return None
    assert found.excess is not None
    assert found.resolution is not None
    numbers: dict[str, float | str] = {
        "excess": found.excess.value,
        "resolution": found.resolution,
        "num_pairs": float(found.num_items * found.num_samples),
        "verdict": found.verdict,
    }
    return numbers if found.excess.se is None else numbers | {"excess_se": found.excess.se}


def centred_fields(split: Split, signature: Signature) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs and targets in float64, with every point field relative to the centroid of the first of the inputs."""
    points = split.inputs[signature.inputs.of_kind("point")[0]].double()
    centre = points.mean(tuple(range(1, points.ndim - 1)))  # [n, d]

    def shifted(side: Side, fields: Mapping[str, Tensor]) -> dict[str, Tensor]:
        centred = {}
        for name, kind in side.items():
            values = fields[name].double()
            at = centre.reshape(len(centre), *(1,) * (values.ndim - 2), centre.shape[-1]) if kind.translates else 0.0
            centred[name] = values - at
        return centred

    return shifted(signature.inputs, split.inputs), shifted(signature.outputs, split.targets)
