"""A model on a whole split, without gradients: its outputs, its metric, and whether its outputs fit the targets."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import ModelOutputError
from geoequiv.fields import Signature, call_model, with_channels
from geoequiv.metrics.measure import evaluating


def predict(model: nn.Module, signature: Signature, inputs: Mapping[str, Tensor], batch_size: int) -> dict[str, Tensor]:
    """Outputs of a model for all items of a split, in evaluation mode and without gradients.

    Args:
        model: called with the named fields of `inputs`, on the device of its weights.
        signature: declares the outputs.
        inputs: tensors [n, ...].
        batch_size: items a forward pass.

    Returns:
        Output name → tensor [n, ...] on the CPU.

    Raises:
        ModelOutputError: an output is missing, or is not finite (which item and how many).
    """
    device = device_of(model)
    parts: list[dict[str, Tensor]] = []
    size = len(next(iter(inputs.values())))
    with evaluating(model), torch.no_grad():  # not inference_mode: a model may keep what it makes here
        for start in range(0, size, batch_size):
            batch = {name: tensor[start : start + batch_size].to(device) for name, tensor in inputs.items()}
            parts.append(call_model(model, signature, batch))
    outputs = {name: torch.cat([part[name] for part in parts]).cpu() for name in parts[0]}
    for name, tensor in outputs.items():
        _check_finite(name, tensor)
    return outputs


def score(
    model: nn.Module, task: Any, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], batch_size: int
) -> float:
    """Mean of the task's metric over the items of a split.

    Args:
        model: the model.
        task: gives the signature and the metric.
        inputs: tensors [n, ...], best on the model's device.
        targets: tensors [n, ...] on the CPU.
        batch_size: items a forward pass.

    Raises:
        ModelOutputError: the outputs or the metric are not finite.
    """
    outputs = with_channels(predict(model, task.signature, inputs, batch_size), targets, task.signature)
    values = task.metric.per_item(outputs, targets)
    value = float(values.double().mean())
    if not isfinite(value):
        raise ModelOutputError(f"The metric {task.metric.name} of the model's outputs is {value}.")
    return value


def check_outputs(model: nn.Module, task: Any, items: int) -> None:
    """Compare a model's outputs for the first training items with their targets.

    Raises:
        ModelOutputError: names the output, the shape it has and the shape of its target.
    """
    split = task.splits["train"]
    device = device_of(model)
    with evaluating(model), torch.no_grad():
        batch = {name: tensor[:items].to(device) for name, tensor in split.inputs.items()}
        outputs = with_channels(call_model(model, task.signature, batch), split.targets, task.signature)
    for name, target in split.targets.items():
        if name not in outputs:
            raise ModelOutputError(
                f"The model returns no output '{name}', which the task {task.name} has a target for; "
                f"it returns: {', '.join(outputs)}."
            )
        got, expected = tuple(outputs[name].shape), tuple(target[:items].shape)
        if got != expected:
            raise ModelOutputError(
                f"The model's output '{name}' has shape {list(got)}; the targets of the task {task.name} for the same "
                f"{len(target[:items])} items have shape {list(expected)} (signature: {task.signature})."
            )


def device_of(model: nn.Module) -> torch.device:
    """Device of a model's first weight or buffer; the CPU if it has none."""
    for tensors in (model.parameters(), model.buffers()):
        for tensor in tensors:
            return tensor.device
    return torch.device("cpu")


def _check_finite(name: str, tensor: Tensor) -> None:
    if tensor.isfinite().all():
        return
    bad = ~tensor.isfinite().flatten(1).all(dim=1) if tensor.dim() > 1 else ~tensor.isfinite()
    raise ModelOutputError(
        f"The model's output '{name}' is not finite for {int(bad.sum())} of {len(bad)} items "
        f"(the first is item {int(bad.nonzero()[0])})."
    )
