"""Errors averaged over all coordinates: the metrics of tasks with one kind of target."""

from collections.abc import Mapping

import torch
from torch import Tensor

from geoequiv.tasks.task import Metric


def mean_squared_error(predictions: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Squared error of each item, averaged over all its coordinates, in float64.

        e_i = mean_{particle, axis} (ŷ_i − y_i)²

    Args:
        predictions: target name → [n, …].
        targets: target name → [n, …]; several targets count by their number of coordinates.

    Returns:
        [n], float64.
    """
    squares = [difference.square() for difference in differences(predictions, targets)]
    return torch.cat(squares, dim=1).mean(dim=1)


def differences(predictions: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> list[Tensor]:
    """Of each target, ``[n, components]``, float64; one number an item may come as ``[n]``."""
    return [(predictions[name].double() - target.double()).reshape(len(target), -1) for name, target in targets.items()]


MSE = Metric("mse", "", "lower", mean_squared_error)


def mean_absolute_error(predictions: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Absolute error of each item, averaged over all its coordinates (see `mean_squared_error`): [n], float64."""
    errors = [difference.abs() for difference in differences(predictions, targets)]
    return torch.cat(errors, dim=1).mean(dim=1)


MAE = Metric("mae", "", "lower", mean_absolute_error)
