"""The constrained form: ask for a symmetry error instead of a β."""

from math import log
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import ConfigError
from geoequiv.objectives.place import Place
from geoequiv.objectives.weighting import Weighted, Weighting

#: The multiplier stays in [1e-8, 1e8]: nearer to 0 it would take too long to come back.
LIMIT = log(1e8)


class Constrained(Weighting):
    r"""Minimise the task's loss subject to E′ ≤ ε, by dual ascent on the multiplier λ ≥ 0.

    .. math:: L = \alpha\, \ell + \lambda\, (E'/\varepsilon - 1), \qquad
              \log\lambda \leftarrow \log\lambda + \eta\, \mathrm{clip}(E'/\varepsilon - 1,\, -1,\, 1)

    E′ is the error of the batch (see ``REMUL``), not a loss. The ascent is multiplicative (mirror ascent with the
    entropy as its distance): λ has the unit of ℓ, whose size may change by orders of magnitude during a training, and
    a step changes λ by at most e^{±η} whatever that size is. A step of λ takes effect at the next call.

    Args:
        alpha: weight of the task, constant.
        beta: λ at the start, in the unit of the task's loss.
        epsilon: ε, in the unit of the error that is bounded.
        lr: η.

    Exactness: E′ of the batches hovers around ε where the bound is active; what holds on other data is to be measured.

    Reference: Kivinen & Warmuth, "Exponentiated gradient versus gradient descent for linear predictors" (1997), for
    the multiplicative step; the primal-dual form of constrained learning as in Chamon & Ribeiro (2020).
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

    def weigh(self, objective: Tensor, equivariance: Tensor, place: Place, learn: bool) -> Weighted:
        self.log_multiplier = self.log_multiplier.to(objective.device)
        multiplier = self.log_multiplier.exp().to(objective.dtype)
        violation = equivariance / self.epsilon - 1.0
        if learn:
            step = self.lr * violation.detach().to(self.log_multiplier).clamp(-1.0, 1.0)
            self.log_multiplier = (self.log_multiplier + step).clamp(-LIMIT, LIMIT)
        return Weighted(self.alpha * objective + multiplier * violation, self.alpha, multiplier)

    def state_dict(self) -> dict[str, Any]:
        return {"log_multiplier": self.log_multiplier}
