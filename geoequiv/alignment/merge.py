"""Merging two networks: linear interpolation of their weights, and the barrier at the midpoint."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoequiv.alignment.spec import StateDict
from geoequiv.errors import AlignmentError, unknown
from geoequiv.fields import Signature, call_model

#: a loader gives pairs: inputs by name, and targets by name
Loader = Iterable[tuple[Mapping[str, Any], Mapping[str, Tensor]]]
#: (output, target) of a batch → number; dicts where a signature has several outputs
Metric = Callable[[Any, Any], Any]


def accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Fraction of items whose largest logit is that of their class ``[...]`` int64."""
    return (logits.argmax(-1) == target.reshape(logits.shape[:-1])).double().mean()


#: name → the metric, and which values are better
METRICS: dict[str, tuple[Metric, str]] = {
    "mse": (F.mse_loss, "lower"), "mae": (F.l1_loss, "lower"), "accuracy": (accuracy, "higher"),
}  # fmt: skip


def interpolate(first: StateDict, second: StateDict, part: float = 0.5) -> dict[str, Tensor]:
    r"""The state dict :math:`(1 - \lambda)\,\theta_1 + \lambda\,\theta_2`; integer tensors are the first's."""
    if first.keys() != second.keys():
        odd = sorted(first.keys() ^ second.keys())
        raise AlignmentError(f"The architectures differ: one has a tensor '{odd[0]}', the other has not.")
    for name, value in first.items():
        if value.shape != second[name].shape:
            raise AlignmentError(
                f"The architectures differ: '{name}' is {list(value.shape)} in one and {list(second[name].shape)} in "
                "the other."
            )
    return {name: torch.lerp(value, second[name], part) if value.is_floating_point() else value.clone()
            for name, value in first.items()}  # fmt: skip


def loaded(model: nn.Module, state: StateDict) -> nn.Module:
    """A copy of a network, in evaluation mode, with another state dict."""
    other = copy.deepcopy(model)
    other.load_state_dict(dict(state))
    return other.eval()


def evaluate(model: nn.Module, signature: str | Signature, loader: Loader, metric: str | Metric) -> float:
    """Mean of a metric over a loader, each batch weighted by its number of items.

    Args:
        loader: pairs of inputs and targets by name; it is iterated once.
        metric: "mse", "mae", "accuracy", or a function of output and target (of dicts, where there are several).
    """
    signature, total, items = Signature.parse(signature), 0.0, 0
    measure = metric_of(metric)[0]
    names = list(signature.outputs)
    with torch.no_grad():
        for inputs, targets in loader:
            outputs = call_model(model, signature, inputs)
            pair: Sequence[Any] = (outputs, targets)
            if len(names) == 1:
                pair = (outputs[names[0]], targets[names[0]])
            size = len(next(iter(targets.values())))
            total, items = total + size * float(measure(*pair)), items + size
    if not items:
        raise AlignmentError("The loader is empty: a barrier needs data to be measured on.")
    return total / items


def metric_of(metric: str | Metric) -> tuple[Metric, str | None]:
    """The metric by its name, and which values are better (None: not known)."""
    if not isinstance(metric, str):
        return metric, None
    if metric not in METRICS:
        raise AlignmentError(unknown("metric", metric, METRICS))
    return METRICS[metric]


def path(
    model: nn.Module, first: StateDict, second: StateDict, signature: str | Signature, loader: Loader,
    metric: str | Metric, steps: int = 11,
) -> tuple[list[float], list[float]]:  # fmt: skip
    """The metric along the linear interpolation of two networks: λ from 0 to 1, and the value at each."""
    parts = torch.linspace(0, 1, steps).tolist()
    line = [loaded(model, interpolate(first, second, part)) for part in parts]
    return parts, [evaluate(each, signature, loader, metric) for each in line]


def barrier_of(first: float, second: float, middle: float, better: str) -> tuple[float, float]:
    r"""Relative and absolute barrier of the midpoint; positive where it is worse than the two ends.

    .. math:: \frac{\tfrac12(\zeta_1 + \zeta_2) - \zeta(\tfrac12(\theta_1 + \theta_2))}{\tfrac12(\zeta_1 + \zeta_2)}

    for a metric whose higher values are better; for one whose lower values are, the numerator changes sign.

    Reference: Bökman & Kahl 2023, equation 4.
    """
    if better not in ("lower", "higher"):
        raise AlignmentError(f"Say which values of the metric are better, 'lower' or 'higher'; got {better!r}.")
    mean = (first + second) / 2
    absolute = mean - middle if better == "higher" else middle - mean
    return (absolute / mean if mean else (0.0 if absolute == 0 else float("inf"))), absolute
