"""REMUL: equivariance as a second task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import pi, prod
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from geoequiv.errors import ConfigError, unknown
from geoequiv.fields import Layout, Signature, layout_of, read_inputs
from geoequiv.groups import Element, Group
from geoequiv.groups import group as group_by_name
from geoequiv.objectives.constrained import Constrained
from geoequiv.objectives.distance import item_distance, item_norm, transformed_mask
from geoequiv.objectives.gradnorm import GradNorm
from geoequiv.objectives.measuring import measuring
from geoequiv.objectives.pointwise import PointwiseLoss, as_named, compare
from geoequiv.objectives.replicas import Outputs, predict_replicas, transform_outputs
from geoequiv.objectives.sampling import check_connected, draw, largest_angle, shrink
from geoequiv.objectives.schedules import Cosine, Linear
from geoequiv.objectives.step_progress import StepProgress
from geoequiv.objectives.uncertainty import Uncertainty
from geoequiv.objectives.weighting import Constant, Weighting
from geoequiv.ranges import NonNegativeFloat, PositiveFloat, PositiveFraction, PositiveInt, check_ranges

#: weighting → its class, and the options of REMUL that it takes
WEIGHTINGS: dict[str, tuple[type[Weighting], tuple[str, ...]]] = {
    "constant": (Constant, ()),
    "linear": (Linear, ("beta_start", "over")),
    "cosine": (Cosine, ("beta_start", "over")),
    "gradnorm": (GradNorm, ("shared", "lr", "asymmetry")),
    "uncertainty": (Uncertainty, ("lr",)),
    "constrained": (Constrained, ("epsilon", "lr")),
}
SAMPLINGS = ("haar", "small-angle", "adversarial")
ANCHORS = ("label", "prediction")
BOUNDS = ("relative", "E_prime")
#: radians, in (0, π]
Angle = Annotated[float, Field(gt=0, le=pi)]


class RemulLoss(NamedTuple):
    """Value of the REMUL objective: ``total = α·objective + β·equivariance`` (see ``REMUL`` for the exceptions).

    ``objective`` and ``equivariance`` are detached; learned weights are tensors with one number.
    """

    total: Tensor
    objective: Tensor
    equivariance: Tensor
    alpha: float | Tensor
    beta: float | Tensor


@check_ranges
class REMUL:
    r"""Relaxed equivariance by multitask learning.

    .. math:: L = \alpha\, \ell(f(x), y) + \beta\, \frac1K \sum_k \ell(f(g_k x), g_k y), \qquad g_k \sim \text{Haar}(G)

    K independent draws per item and call; ``anchor="prediction"`` compares f(g x) with g f(x) instead of g y, and the
    gradient flows through both. A plain callable for anyone's training loop:

    >>> import torch, geoequiv as ge
    >>> net = torch.nn.Linear(3, 3)
    >>> objective = ge.REMUL(net, "pos: point -> pos: point", "SO(3)", torch.nn.functional.mse_loss,
    ...                      weighting="cosine", total_steps=100)
    >>> optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    >>> for _ in range(100):
    ...     x = torch.randn(64, 5, 3)
    ...     loss = objective({"pos": x}, {"pos": 2 * x})
    ...     optimizer.zero_grad()
    ...     loss.total.backward()
    ...     optimizer.step()
    >>> bool(loss.objective < 0.1), bool(loss.equivariance < 0.1), loss.beta > 0.99
    (True, True, True)

    Weightings:

    * ``constant``: α and β as given.
    * ``linear``, ``cosine``: β goes from ``beta_start`` to ``beta`` over the fraction ``over`` of the training.
    * ``gradnorm``: α and β balance the gradients on the ``shared`` parameters (see ``GradNorm``).
    * ``uncertainty``: α and β are learned precisions, and the total gains − log α − log β (see ``Uncertainty``).
    * ``constrained``: E′ ≤ ``epsilon`` instead of a β (see ``Constrained``). ``equivariance`` is then E′ of the batch,
      always anchored at the prediction, ``beta`` the damped multiplier λ·e^{κv̄} (given: λ at the start), and the total
      is ``α·objective + beta·(E′/ε − 1)``. By ``bound``, E′ is ``"relative"``, the mean over items and draws of
      ‖f(gx) − g f(x)‖ / (½‖f(gx)‖ + ½‖g f(x)‖) without unit, or ``"E_prime"``, the mean of ‖f(gx) − g f(x)‖ in the unit
      of the outputs; both as ``equivariance_error`` reports them. Norms are over all outputs of an item.

    Samplings: ``haar``; ``small-angle``, where rotation angles grow from at most ``sigma`` to the whole group over the
    fraction ``over`` of the training (see ``shrink``); ``adversarial``, where each item keeps the one of the K draws
    with the largest ‖f(gx) − gy‖ (from a forward pass of its own, without gradients or running statistics).

    Learned weights and the count of steps advance with every call while gradients are enabled, and are in
    ``state_dict()``. Schedules and curricula need the length of the training: ``total_steps``, or ``at_step`` before
    each call, which training from a suite does.

    Args:
        model: called with named inputs; not constrained in any way.
        signature: types of its inputs and outputs, or the string.
        group: where g is drawn from, or its name.
        loss: point-wise ℓ(prediction, target) → scalar, applied to each output and added up.
        alpha: weight of the task, or where it starts.
        beta: weight of the equivariance term, or where it starts (schedules: ends); a constant 0 is the task loss: the
            term is measured without gradients or changes of running statistics.
        weighting: one of the above.
        anchor: ``"label"``, as published, or ``"prediction"``. ``None``: label, except for ``constrained``.
        num_samples: K.
        sampling: one of the above.
        fused: whether x and all g x go through the model as one batch: faster, and K + 1 times the memory of f(x).
            Layers whose output for an item depends on the others (batch normalisation) then see all copies together;
            with False, x and each g x on their own.
        generator: source of the draws (on the CPU); ``None`` is torch's global one.
        total_steps: calls in the whole training.
        beta_start: β at the start of a schedule; ``None``: 0.
        over: fraction of the training that a schedule or curriculum takes, in (0, 1]; ``None``: 1.
        shared: parameters for ``gradnorm``, or a prefix of their names; ``None``: the last layer's.
        lr: learning rate of learned weights; ``None``: 0.025 for ``gradnorm``, else 0.01.
        asymmetry: of ``gradnorm``; ``None``: 1.5.
        epsilon: ε of ``constrained``, in the unit of ``bound``; there is no default.
        bound: what ε bounds; ``None``: ``"relative"``.
        sigma: largest angle at the start of ``small-angle``, radians in (0, π]; ``None``: 0.5.

    Raises:
        ConfigError: negative or vanishing weights, an unknown name, or an option of a weighting that is not chosen.

    Exactness: symmetry is learned; its degree is measured by ``equivariance_error``.

    Reference: Elhag, Rusch, Di Giovanni & Bronstein, "Relaxed Equivariance via Multitask Learning" (2024),
    arXiv:2410.17878, §3.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        signature: str | Signature,
        group: str | Group,
        loss: PointwiseLoss,
        alpha: NonNegativeFloat = 1.0,
        beta: NonNegativeFloat = 1.0,
        weighting: Literal["constant", "linear", "cosine", "gradnorm", "uncertainty", "constrained"] = "constant",
        *,
        anchor: Literal["label", "prediction"] | None = None,
        num_samples: PositiveInt = 1,
        sampling: Literal["haar", "small-angle", "adversarial"] = "haar",
        fused: bool = True,
        generator: torch.Generator | None = None,
        total_steps: PositiveInt | None = None,
        beta_start: NonNegativeFloat | None = None,
        over: PositiveFraction | None = None,
        shared: str | Sequence[nn.Parameter] | None = None,
        lr: PositiveFloat | None = None,
        asymmetry: NonNegativeFloat | None = None,
        epsilon: PositiveFloat | None = None,
        bound: Literal["relative", "E_prime"] | None = None,
        sigma: Angle | None = None,
    ) -> None:
        for kind, name, known in (
            ("weighting", weighting, WEIGHTINGS),
            ("sampling", sampling, SAMPLINGS),
            ("anchor", anchor or "label", ANCHORS),
            ("bound", bound or "relative", BOUNDS),
        ):
            if name not in known:
                raise ConfigError(unknown(kind, name, known))
        if alpha == beta == 0:
            raise ConfigError("REMUL's weights alpha and beta must not both be 0.")
        options = {"beta_start": beta_start, "over": over, "shared": shared, "lr": lr, "asymmetry": asymmetry}
        options = {name: value for name, value in {**options, "epsilon": epsilon}.items() if value is not None}
        curriculum = {"sigma": sigma, "over": over} if sampling == "small-angle" else {}
        check_options(weighting, sampling, {**options, "bound": bound, "sigma": sigma})
        constrained = weighting == "constrained"
        if constrained and anchor == "label":
            raise ConfigError("The constrained form bounds ‖f(gx) − g f(x)‖, which is anchored at the prediction.")
        if constrained and epsilon is None:
            raise ConfigError("weighting 'constrained' needs epsilon=…, the bound on the equivariance error.")
        if sampling == "adversarial" and num_samples == 1:
            raise ConfigError("sampling 'adversarial' keeps the worst of num_samples draws: give two or more.")
        self.model = model
        self.signature = Signature.parse(signature)
        self.group = group_by_name(group)
        self.signature.check_group(self.group)
        self.loss = loss
        self.anchor = anchor or ("prediction" if constrained else "label")
        self.num_samples, self.sampling, self.fused, self.generator = num_samples, sampling, fused, generator
        self.bound = (bound or "relative") if constrained else None
        self.over = curriculum.get("over") or 1.0
        self.sigma = 0.5 if sigma is None else sigma
        if sampling == "small-angle":
            check_connected(self.group)
        self.progress = StepProgress(0, total_steps)
        weigher, names = WEIGHTINGS[weighting]
        own = {name: value for name, value in options.items() if name in names}
        more = {"model": model} if weigher is GradNorm else {}
        self.weighting = weigher(float(alpha), float(beta), **own, **more)
        self.idle = weighting == "constant" and beta == 0  # g x contributes no gradient

    def __call__(self, inputs: Any, targets: Tensor | Mapping[str, Tensor]) -> RemulLoss:
        """Loss of a batch.

        Args:
            inputs: a dict of tensors (dense, or ragged with ``batch``) or a PyG object.
            targets: output name → tensor, or the tensor of a single output.
        """
        learn = torch.is_grad_enabled()
        named = as_named(targets, self.signature)
        inputs, _ = read_inputs(inputs, self.signature)
        layout = layout_of(inputs, self.signature, self.group.dim, self.group.acts_on_space)
        elements = self._elements(inputs, named, layout)
        if self.idle:
            here = predict_replicas(self.model, self.signature, inputs, elements[:0], layout, fused=False)
            with measuring(self.model):
                here += self._predict(inputs, elements, layout, original=False)
        else:
            here = self._predict(inputs, elements, layout)
        objective = compare(here[0], named, self.signature, self.loss)
        equivariance = self._equivariance(here, named, elements, layout)
        total, alpha, beta = self.weighting.weigh(objective, equivariance, self.progress, learn)
        if learn:
            self.progress = replace(self.progress, step=self.progress.step + 1)
        weights = (each.detach() if isinstance(each, Tensor) else each for each in (alpha, beta))
        return RemulLoss(total, objective.detach(), equivariance.detach(), *weights)

    def at_step(self, step: int, total: int) -> None:
        """Set the progress of the training: ``step`` of ``total`` steps are done (``total_steps`` takes precedence)."""
        known = self.progress.total
        self.progress = StepProgress(step, total if known is None else known)

    def state_dict(self) -> dict[str, Any]:
        """The count of steps and what the weighting has learned, as plain values and tensors."""
        return {"step": self.progress.step, "weighting": self.weighting.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state.

        Raises:
            ValueError: it is the state of another weighting.
        """
        self.weighting.load_state_dict(state["weighting"])
        self.progress = replace(self.progress, step=state["step"])

    def _predict(self, inputs: Any, elements: Element, layout: Layout, original: bool = True) -> list[Outputs]:
        return predict_replicas(
            self.model, self.signature, inputs, elements, layout, original=original, fused=self.fused
        )

    def _equivariance(
        self, here: list[Outputs], targets: Mapping[str, Tensor], elements: Element, layout: Layout
    ) -> Tensor:
        anchors = transform_outputs(elements, targets if self.anchor == "label" else here[0], self.signature, layout)
        pairs = list(zip(here[1:], anchors, strict=True))
        if self.bound is None:
            terms = [compare(there, anchor, self.signature, self.loss) for there, anchor in pairs]
        else:
            terms = [self._error(there, anchor, elements[k], layout) for k, (there, anchor) in enumerate(pairs)]
        return torch.stack(terms).mean() if len(terms) > 1 else terms[0]

    def _error(self, there: Outputs, expected: Outputs, element: Element, layout: Layout) -> Tensor:
        """E′ of one copy, mean over the items."""
        side = self.signature.outputs
        distance = item_distance(there, expected, side, element, layout)
        if self.bound == "relative":
            mask = transformed_mask(element, layout)
            scale = 0.5 * (item_norm(there, side, layout, mask) + item_norm(expected, side, layout, mask))
            distance = distance / scale
        return distance.mean()

    def _elements(self, inputs: Any, targets: Mapping[str, Tensor], layout: Layout) -> Element:
        """The elements ``[K, *shape]`` that count, ``[1, *shape]`` for the worst of K."""
        drawn = draw(self.group, self.num_samples, layout, self.generator)
        if self.sampling == "small-angle":
            passed = self.progress.passed(self.over, "sampling 'small-angle'")
            return shrink(drawn, largest_angle(self.sigma, passed) / pi)
        if self.sampling == "haar":
            return drawn
        by_label = self.anchor == "label"
        with measuring(self.model):
            here = self._predict(inputs, drawn, layout, original=not by_label)
            anchors = transform_outputs(drawn, targets if by_label else here.pop(0), self.signature, layout)
            distances = [
                item_distance(there, {n: anchor[n] for n in there}, self.signature.outputs, drawn[k], layout)
                for k, (there, anchor) in enumerate(zip(here, anchors, strict=True))
            ]
        worst = torch.stack(distances).argmax(0).cpu()
        items = prod(layout.shape)
        flat = drawn.reshape(self.num_samples, items)
        return flat[worst, torch.arange(items)].reshape(1, *layout.shape)


def check_options(weighting: str, sampling: str, given: Mapping[str, Any]) -> None:
    """Raise ConfigError for an option that has no effect with this weighting and sampling."""
    used = set(WEIGHTINGS[weighting][1])
    used |= {"bound"} if weighting == "constrained" else set()
    used |= {"sigma", "over"} if sampling == "small-angle" else set()
    for name, value in given.items():
        if value is not None and name not in used:
            owners = [each for each, (_, options) in WEIGHTINGS.items() if name in options]
            owners = {"bound": ["constrained"], "sigma": ["small-angle"]}.get(name, owners)
            raise ConfigError(
                f"{name}={value!r} has no effect with weighting '{weighting}' and sampling '{sampling}': it belongs "
                f"to {', '.join(owners)}."
            )
