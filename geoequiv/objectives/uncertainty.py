"""Learned uncertainty weights."""

from math import log
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import ConfigError
from geoequiv.objectives.step_progress import StepProgress
from geoequiv.objectives.weighting import Weighted, Weighting
from geoequiv.sharding import batch_mean


class Uncertainty(Weighting):
    r"""Each term is weighted by its own learned variance.

    .. math:: L = e^{-s_1} L_1 + s_1 + e^{-s_2} L_2 + s_2, \qquad
              s_i \leftarrow s_i - \eta\, \mathrm{clip}(1 - e^{-s_i} L_i,\, -1,\, 1)

    s_i is the logarithm of a variance, so that α = e^{-s_1} and β = e^{-s_2}; it settles where α·objective = 1 and
    β·equivariance = 1. The step of s_i is gradient descent on L with the gradient clipped; it is taken here, from its
    closed form, and takes effect at the next call; no optimizer is involved. L may be negative.

    Args:
        alpha: α at the start.
        beta: β at the start.
        lr: η.

    Reference: Kendall, Gal & Cipolla, "Multi-task learning using uncertainty to weigh losses for scene geometry and
    semantics" (CVPR 2018), equation 10 (twice it, with s = log σ²); the clipping is ours.
    """

    def __init__(self, alpha: float, beta: float, lr: float = 0.01) -> None:
        super().__init__(alpha, beta)
        if not (alpha > 0 and beta > 0):
            raise ConfigError(f"uncertainty weights start positive; got alpha={alpha}, beta={beta}.")
        self.lr = lr
        self.log_variances = torch.tensor([-log(alpha), -log(beta)], dtype=torch.float64)

    def weigh(self, objective: Tensor, equivariance: Tensor, progress: StepProgress, learn: bool) -> Weighted:
        self.log_variances = s = self.log_variances.to(objective.device)
        weights = torch.exp(-s).to(objective.dtype)
        if learn:
            losses = batch_mean(torch.stack([objective.detach(), equivariance.detach()])).to(s)
            self.log_variances = s - self.lr * (1.0 - torch.exp(-s) * losses).clamp(-1.0, 1.0)
        total = weights[0] * objective + weights[1] * equivariance + s.sum().to(objective.dtype)
        return Weighted(total, weights[0], weights[1])

    def state_dict(self) -> dict[str, Any]:
        return {"log_variances": self.log_variances}
