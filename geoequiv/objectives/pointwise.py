"""Comparing named predictions with named targets by a point-wise loss."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import ModelOutputError
from geoequiv.fields import Signature, call_model, with_channels

PointwiseLoss = Callable[[Tensor, Tensor], Tensor] | Mapping[str, Callable[[Tensor, Tensor], Tensor]]


def as_named(targets: Tensor | Mapping[str, Tensor], signature: Signature) -> dict[str, Any]:
    """Targets by output name; a bare tensor is the only output's."""
    if isinstance(targets, Tensor):
        if len(signature.outputs) != 1:
            raise ModelOutputError(f"Give the targets by name: the signature's outputs are ({signature.outputs}).")
        return {next(iter(signature.outputs)): targets}
    return dict(targets)


def compare(
    predictions: Mapping[str, Tensor], targets: Mapping[str, Any], signature: Signature, loss: PointwiseLoss
) -> Tensor:
    """Sum of the loss over the outputs that the signature names; a mapping gives each output its own.

    Raises:
        ModelOutputError: if a target is missing or a prediction has another shape (so that nothing broadcasts unseen).
    """
    parts = []
    predictions = with_channels(predictions, targets, signature)
    for name in signature.outputs:
        if name not in targets:
            raise ModelOutputError(f"There is no target for output '{name}'; targets: {list(targets)}.")
        if predictions[name].shape != targets[name].shape:
            raise ModelOutputError(
                f"Output '{name}' has shape {list(predictions[name].shape)}, its target {list(targets[name].shape)}."
            )
        each = loss[name] if isinstance(loss, Mapping) else loss
        parts.append(each(predictions[name], targets[name]))
    return torch.stack(parts).sum() if len(parts) > 1 else parts[0]


def evaluate(
    model: Callable[..., Any], inputs: Any, targets: Mapping[str, Any], signature: Signature, loss: PointwiseLoss
) -> Tensor:
    """ℓ(f(x), y)."""
    return compare(call_model(model, signature, inputs), targets, signature, loss)
