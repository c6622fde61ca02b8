"""Schedules of β: closed formulas of the step, without state."""

from math import cos, pi

from torch import Tensor

from geoequiv.objectives.step_progress import StepProgress
from geoequiv.objectives.weighting import Weighted, Weighting


class Linear(Weighting):
    r"""β changes linearly, then is constant.

    .. math:: \beta(t) = \beta_0 + (\beta_1 - \beta_0)\, u, \qquad u = \min(1, t / (p\,T))

    Args:
        alpha: weight of the task, constant.
        beta: β₁, where it ends.
        beta_start: β₀, where it starts.
        over: p, the fraction of the training over which β changes.
    """

    def __init__(self, alpha: float, beta: float, beta_start: float = 0.0, over: float = 1.0) -> None:
        super().__init__(alpha, beta)
        self.beta_start, self.over = beta_start, over

    def weigh(self, objective: Tensor, equivariance: Tensor, progress: StepProgress, learn: bool) -> Weighted:
        passed = self.shape(progress.passed(self.over, f"A {type(self).__name__.lower()} schedule of β"))
        beta = self.beta_start + (self.beta - self.beta_start) * passed
        return Weighted(self.alpha * objective + beta * equivariance, self.alpha, beta)

    def shape(self, passed: float) -> float:
        """Position of β between β₀ (0) and β₁ (1)."""
        return passed


class Cosine(Linear):
    r"""β follows half a cosine: as ``Linear``, with :math:`\tfrac12 (1 - \cos \pi u)` instead of u."""

    def shape(self, passed: float) -> float:
        return 0.5 * (1.0 - cos(pi * passed))
