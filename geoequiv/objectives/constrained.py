"""The constrained form: an upper bound on the equivariance error instead of a weight β."""

from math import log
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import ConfigError
from geoequiv.objectives.step_progress import StepProgress
from geoequiv.objectives.weighting import Weighted, Weighting
from geoequiv.sharding import batch_mean

#: The multiplier stays in [1e-8, 1e8]: closer to 0 it would take too long to grow again.
LIMIT = log(1e8)
#: κ. On a linear map at E′ ≤ 0.1 (Adam, lr 0.01): with 0 λ and E′ oscillate forever, with 0.3 E′ settles within 5 %
#: of its bound, with 1 and more the weight of the violation changes too fast for Adam's moments, and E′ jumps.
DAMPING = 0.3


class Constrained(Weighting):
    r"""Minimise the task's loss subject to E′ ≤ ε, by dual ascent on the multiplier λ ≥ 0.

    .. math:: v = E'/\varepsilon - 1, \qquad L = \alpha\, \ell + \lambda\, e^{\kappa \bar v}\, v, \qquad
              \lambda \leftarrow \lambda\, e^{\eta \bar v}, \qquad \bar v = \mathrm{clip}(v, -1, 1)

    E′ is the error of the batch (see ``REMUL``), not a loss; :math:`\bar v` is held constant where L is differentiated,
    and :math:`\beta = \lambda e^{\kappa \bar v}` is the weight of v. This is the exponential method of multipliers with
    alternating steps. It is multiplicative because λ has the unit of ℓ, whose size changes by orders of magnitude
    during training. The factor :math:`e^{\kappa \bar v}` damps the oscillation of λ that plain ascent has.
    A step of λ takes effect at the next call.

    Args:
        alpha: weight of the task, constant.
        beta: λ at the start, in the unit of the task's loss. Prefer a small value: a bound that outweighs the task from
            the first step can keep the model at its initialisation.
        epsilon: ε, in the unit of the error that is bounded.
        lr: η.

    Exactness: E′ of the batches fluctuates around ε where the bound is active. Measure the error on other data.

    Reference: Tseng & Bertsekas, "On the convergence of the exponential multiplier method for convex programming"
    (1993), equations 1.3 and 1.4; the clipping is ours.
    """

    def __init__(self, alpha: float, beta: float, epsilon: float, lr: float = 0.01) -> None:
        super().__init__(alpha, beta)
        if not (alpha > 0 and beta > 0 and epsilon > 0):
            raise ConfigError(
                "The constrained form needs alpha > 0, epsilon > 0 and beta > 0 (where the multiplier starts); got "
                f"alpha={alpha}, epsilon={epsilon}, beta={beta}."
            )
        self.epsilon, self.lr = epsilon, lr
        self.log_multiplier = torch.tensor(log(beta), dtype=torch.float64)

    def weigh(self, objective: Tensor, equivariance: Tensor, progress: StepProgress, learn: bool) -> Weighted:
        self.log_multiplier = self.log_multiplier.to(objective.device)
        violation = equivariance / self.epsilon - 1.0
        clipped = batch_mean(violation.detach()).to(self.log_multiplier).clamp(-1.0, 1.0)
        beta = (self.log_multiplier + DAMPING * clipped).exp().to(objective.dtype)
        if learn:
            self.log_multiplier = (self.log_multiplier + self.lr * clipped).clamp(-LIMIT, LIMIT)
        return Weighted(self.alpha * objective + beta * violation, self.alpha, beta)

    def state_dict(self) -> dict[str, Any]:
        return {"log_multiplier": self.log_multiplier}
