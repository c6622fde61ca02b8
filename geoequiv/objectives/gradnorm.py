"""GradNorm: weights that balance the gradients of the terms on shared parameters."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import ConfigError, unknown
from geoequiv.objectives.step_progress import StepProgress
from geoequiv.objectives.weighting import Weighted, Weighting
from geoequiv.sharding import batch_mean

#: A weight never falls below this fraction of the sum: from 0 it could not grow again.
FLOOR = 1e-3
TINY = 1e-30


class GradNorm(Weighting):
    r"""Weights w = (α, β) that are learned so that both terms train at similar rates.

    .. math::
        G_i &= w_i \|\nabla_W L_i\|, \qquad \bar G = \tfrac12 (G_1 + G_2), \qquad
        r_i = \frac{L_i / L_i(0)}{\tfrac12 \sum_j L_j / L_j(0)} \\
        w_i &\leftarrow w_i - \eta\, \frac{\partial}{\partial w_i} \sum_j \big| G_j - \bar G r_j^a \big|
             = w_i - \eta\, \mathrm{sign}(G_i - \bar G r_i^a)\, \|\nabla_W L_i\|,

    with :math:`\bar G r_j^a` held constant, and then rescaled so that α + β keeps its initial value. No weight
    falls below 10⁻³ of that sum. A step of the weights takes effect at the next call.

    Args:
        alpha: α at the start.
        beta: β at the start.
        model: module whose parameters W are shared; may be a function if ``shared`` gives the tensors.
        shared: W: the parameters themselves, or a prefix of their names in the model. ``None`` takes those of the last
            layer that the loss depends on, in the order in which the model registers its parameters.
        lr: η, of plain gradient descent.
        asymmetry: a: 0 makes the gradients equal, larger values pull back the term that trains faster.

    Reference: Chen, Badrinarayanan, Lee & Rabinovich, "GradNorm: gradient normalization for adaptive loss balancing in
    deep multitask networks" (ICML 2018), algorithm 1, equations 1 and 2 (there lr 0.025, a = 1.5 or 0.12).
    """

    def __init__(
        self,
        alpha: float,
        beta: float,
        model: Callable[..., Any],
        shared: str | Sequence[nn.Parameter] | None = None,
        lr: float = 0.025,
        asymmetry: float = 1.5,
    ) -> None:
        super().__init__(alpha, beta)
        if not (alpha > 0 and beta > 0):
            raise ConfigError(f"gradnorm starts from positive weights; got alpha={alpha}, beta={beta}.")
        self.lr, self.asymmetry, self.sum = lr, asymmetry, alpha + beta
        self.weights = torch.tensor([alpha, beta], dtype=torch.float64)
        self.first: Tensor | None = None
        self.candidates = shared_candidates(model, shared)
        self.shared: list[nn.Parameter] | None = None

    def weigh(self, objective: Tensor, equivariance: Tensor, progress: StepProgress, learn: bool) -> Weighted:
        self.weights = self.weights.to(objective.device)
        alpha, beta = weights = self.weights.to(objective.dtype)
        if learn:
            losses = batch_mean(torch.stack([objective.detach(), equivariance.detach()])).to(self.weights)
            self.weights = self.stepped(losses, self.norms(objective, equivariance).to(self.weights))
        return Weighted(weights[0] * objective + weights[1] * equivariance, alpha, beta)

    def stepped(self, losses: Tensor, norms: Tensor) -> Tensor:
        """The weights after one step, from the losses ``[2]`` and the norms ``‖∇_W L_i‖`` ``[2]``."""
        if self.first is None:
            self.first = losses.clone()
        ratio = losses / self.first.to(losses).clamp_min(TINY)
        rate = ratio / ratio.mean().clamp_min(TINY)
        balanced = self.weights * norms
        target = balanced.mean() * rate**self.asymmetry
        weights = self.weights - self.lr * (balanced - target).sign() * norms
        weights = weights.clamp_min(FLOOR * self.sum)
        return self.sum * (weights / weights.sum()).clamp(FLOOR, 1.0 - FLOOR)

    def norms(self, *losses: Tensor) -> Tensor:
        """``‖∇_W L_i‖`` of each loss; only the part of the graph between the losses and W is walked."""
        if self.shared is None:
            self.shared = last_that_matters(losses[0], self.candidates)
        norms = []
        for loss in losses:
            parts = torch.autograd.grad(loss, self.shared, retain_graph=True, allow_unused=True)
            squares = [batch_mean(part).square().sum() for part in parts if part is not None]
            norms.append(torch.stack(squares).sum().sqrt() if squares else loss.detach() * 0)
        return torch.stack(norms)

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights, "first": self.first}


def shared_candidates(
    model: Callable[..., Any], shared: str | Sequence[nn.Parameter] | None
) -> list[list[nn.Parameter]]:
    """Candidate sets of parameters for W, the best first.

    Raises:
        ConfigError: there are none, or no name has the prefix (the nearest name is given).
    """
    if shared is not None and not isinstance(shared, str):
        if not all(isinstance(each, Tensor) and each.requires_grad for each in shared) or not shared:
            raise ConfigError("gradnorm's shared= takes parameters that require grad, or a prefix of their names.")
        return [list(shared)]
    if not isinstance(model, nn.Module):
        raise ConfigError(
            "gradnorm compares gradients on shared parameters, and this model is a function, whose parameters cannot "
            "be listed: give them, as in shared=list(net[-1].parameters())."
        )
    named = {name: each for name, each in model.named_parameters() if each.requires_grad}
    if shared is not None:
        chosen = [each for name, each in named.items() if name == shared or name.startswith(shared.rstrip(".") + ".")]
        if not chosen:
            raise ConfigError(unknown("parameter or module for shared=", shared, named))
        return [chosen]
    layers: dict[str, list[nn.Parameter]] = {}
    for name, each in named.items():
        layers.setdefault(name.rpartition(".")[0], []).append(each)
    if not layers:
        raise ConfigError(f"{type(model).__name__} has no parameter that requires grad: nothing to balance.")
    return list(reversed(layers.values()))


def last_that_matters(loss: Tensor, candidates: list[list[nn.Parameter]]) -> list[nn.Parameter]:
    """The first of the candidates that the loss depends on.

    Raises:
        ConfigError: it depends on none.
    """
    for parameters in candidates:
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        if any(each is not None for each in gradients):
            return parameters
    raise ConfigError("The loss depends on none of gradnorm's shared parameters: name others by shared=….")
