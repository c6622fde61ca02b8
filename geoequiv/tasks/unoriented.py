"""Loss and metrics of tasks that ask for directions whose sign does not matter."""

from collections.abc import Mapping

import torch
from torch import Tensor

from geoequiv.tasks.task import Metric

#: under ‖n‖²: a prediction of 0 has no direction, and counts as perpendicular
TINY = 1e-12


def squared_sines(prediction: Tensor, target: Tensor) -> Tensor:
    r"""The squared sine of the angle between two lines, which no length and no sign changes.

    .. math:: \sin^2 = 1 - \frac{(n \cdot \hat n)^2}{\|n\|^2\, \|\hat n\|^2} \in [0, 1]

    Args:
        prediction: ``[..., d]``; target: ``[..., d]``, not 0.

    Returns:
        ``[...]``.
    """
    along = (prediction * target).sum(-1).square()
    return 1 - along / ((prediction.square().sum(-1) + TINY) * target.square().sum(-1))


def unoriented_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared sine over points and items.

    Reference: Puny et al. 2022, whose code has it as 1 − (n·n̂)² of unit vectors.
    """
    return squared_sines(prediction, target).mean()


def sines_per_item(predictions: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Mean squared sine over the points of each item: ``[n]``, float64."""
    ((name, target),) = targets.items()
    return squared_sines(predictions[name].double(), target.double()).flatten(1).mean(1)


def degrees_per_item(predictions: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Median angle over the points of each item, 0° to 90°: ``[n]``, float64."""
    ((name, target),) = targets.items()
    sines = squared_sines(predictions[name].double(), target.double()).clamp(0, 1).flatten(1)
    return torch.rad2deg(sines.sqrt().asin()).median(1).values


SQUARED_SINE = Metric("sin2", "", "lower", sines_per_item)
MEDIAN_ANGLE = Metric("median angle", "°", "lower", degrees_per_item)
