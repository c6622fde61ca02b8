"""The plain objective: ℓ(f(x), y)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from geoequiv.fields import Signature
from geoequiv.objectives.pointwise import PointwiseLoss, as_named, evaluate


class TaskLoss(NamedTuple):
    """Value of the plain objective."""

    total: Tensor


@dataclass(frozen=True)
class TaskObjective:
    """The task's loss alone: ``ℓ(f(x), y)``.

    Args:
        model: called with named inputs.
        signature: types of its inputs and outputs.
        loss: point-wise ℓ(prediction, target) → scalar, applied to each output and added up.
    """

    model: Callable[..., Any]
    signature: Signature
    loss: PointwiseLoss

    def __call__(self, inputs: Any, targets: Tensor | Mapping[str, Tensor]) -> TaskLoss:
        return TaskLoss(evaluate(self.model, inputs, as_named(targets, self.signature), self.signature, self.loss))
