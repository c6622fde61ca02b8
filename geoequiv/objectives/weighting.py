"""Weights of the two terms of an objective: the interface, and constant weights."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geoequiv.objectives.step_progress import StepProgress


class Weighted(NamedTuple):
    """The weighted sum of the two terms, to be differentiated, and the weights."""

    total: Tensor
    alpha: float | Tensor
    beta: float | Tensor


class Weighting(ABC):
    """Adds the task's loss and the equivariance term; may learn the weights.

    Args:
        alpha: weight of the task, or where it starts.
        beta: weight of the equivariance term, or where it starts or ends.
    """

    def __init__(self, alpha: float, beta: float) -> None:
        self.alpha, self.beta = alpha, beta

    @abstractmethod
    def weigh(self, objective: Tensor, equivariance: Tensor, progress: StepProgress, learn: bool) -> Weighted:
        """The weighted sum at one step; with ``learn``, learned weights take one step as well, for the next call."""

    def state_dict(self) -> dict[str, Any]:
        """Learned state: tensors by name."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore it.

        Raises:
            ValueError: it is the state of another weighting.
        """
        if set(state) != set(self.state_dict()):
            raise ValueError(f"the weighting's state is {sorted(state)}, expected {sorted(self.state_dict())}")
        for name, value in state.items():
            setattr(self, name, None if value is None else torch.as_tensor(value).clone())


class Constant(Weighting):
    """``α·objective + β·equivariance``."""

    def weigh(self, objective: Tensor, equivariance: Tensor, progress: StepProgress, learn: bool) -> Weighted:
        return Weighted(self.alpha * objective + self.beta * equivariance, self.alpha, self.beta)
