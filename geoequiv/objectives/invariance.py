"""The invariance loss: ‖f(gx) − g f(x)‖ added to the task's loss, from the start or later."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from geoequiv.fields import Signature, act, layout_of, read_inputs
from geoequiv.groups import Group
from geoequiv.groups import group as group_by_name
from geoequiv.objectives.distance import item_distance
from geoequiv.objectives.measuring import measuring
from geoequiv.objectives.pointwise import PointwiseLoss, as_named, compare
from geoequiv.objectives.remul import RemulLoss
from geoequiv.objectives.replicas import predict_replicas, transform_outputs
from geoequiv.objectives.sampling import draw
from geoequiv.objectives.step_progress import StepProgress
from geoequiv.ranges import NonNegativeFloat, PositiveInt, ProperFraction, check_ranges


@check_ranges
class InvarianceLoss:
    r"""The distance between f(gx) and g f(x), added to the loss of the task.

    .. math:: L = \ell(f(x), y) + \beta\, \frac1n \sum_x \big\| f(\rho_\text{in}(g) x) - \rho_\text{out}(g) f(x) \big\|,
              \qquad g \sim \text{Haar}(G)

    ‖·‖ is the Euclidean norm of all outputs of one item, in their unit, not squared. For invariant outputs it is
    ‖f(gx) − f(x)‖. Before ``start`` the second term is measured but has no gradient.

    Args:
        model: called with named inputs.
        signature: types of its inputs and outputs.
        group: where g is drawn from; one draw per item and call.
        loss: point-wise ℓ(prediction, target) → scalar, applied to each output and added up.
        weight: β.
        start: fraction of the training before the second term is trained, in [0, 1): 0.2 is the published "late" one.
        fused: whether x and g x are evaluated as one batch.
        augment: whether both terms are evaluated at h x instead of x, with h ~ Haar(G) for each item and call, as in
            ``Augmentation``.
        generator: source of the draws (on the CPU); ``None`` is torch's global one.
        total_steps: calls in the whole training; needed if ``start`` is not 0 and ``at_step`` is not called.

    Exactness: symmetry is learned; its degree is measured by ``equivariance_error``.

    Reference: Bökman & Kahl, "Investigating how ReLU-networks encode symmetries" (NeurIPS 2023): invariance loss and
    "late inv-loss" after 20 % of the epochs; the equivariant form is ours.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        signature: str | Signature,
        group: str | Group,
        loss: PointwiseLoss,
        weight: NonNegativeFloat = 1.0,
        start: ProperFraction = 0.0,
        *,
        fused: bool = True,
        augment: bool = False,
        generator: torch.Generator | None = None,
        total_steps: PositiveInt | None = None,
    ) -> None:
        self.model, self.loss, self.weight, self.start = model, loss, float(weight), start
        self.signature, self.group = Signature.parse(signature), group_by_name(group)
        self.signature.check_group(self.group)
        self.fused, self.augment, self.generator = fused, augment, generator
        self.progress = StepProgress(0, total_steps)

    def __call__(self, inputs: Any, targets: Tensor | Mapping[str, Tensor]) -> RemulLoss:
        """Loss of a batch: inputs as the model takes them, targets by name or the tensor of a single output."""
        named = as_named(targets, self.signature)
        inputs, _ = read_inputs(inputs, self.signature)
        layout = layout_of(inputs, self.signature, self.group.dim, self.group.acts_on_space)
        if self.augment:
            first = draw(self.group, 1, layout, self.generator)
            inputs = act(first[0], inputs, self.signature.inputs, layout)
            (named,) = transform_outputs(first, named, self.signature, layout)
        drawn = draw(self.group, 1, layout, self.generator)
        started = self.start == 0 or self.progress.passed(self.start, "The invariance loss with a late start") == 1
        call = self.model, self.signature, inputs
        if started:
            here, there = predict_replicas(*call, drawn, layout, fused=self.fused)
        else:
            (here,) = predict_replicas(*call, drawn[:0], layout, fused=False)
            with measuring(self.model):
                (there,) = predict_replicas(*call, drawn, layout, original=False, fused=False)
        objective = compare(here, named, self.signature, self.loss)
        (expected,) = transform_outputs(drawn, here, self.signature, layout)
        equivariance = item_distance(there, expected, self.signature.outputs, drawn[0], layout).mean()
        beta = self.weight if started else 0.0
        total = objective + beta * equivariance if started else objective
        if torch.is_grad_enabled():
            self.progress = replace(self.progress, step=self.progress.step + 1)
        return RemulLoss(total, objective.detach(), equivariance.detach(), 1.0, beta)

    def at_step(self, step: int, total: int) -> None:
        """Set the progress of the training: ``step`` of ``total`` steps are done (``total_steps`` takes precedence)."""
        known = self.progress.total
        self.progress = StepProgress(step, total if known is None else known)

    def state_dict(self) -> dict[str, Any]:
        """The count of steps."""
        return {"step": self.progress.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore it."""
        self.progress = replace(self.progress, step=state["step"])
