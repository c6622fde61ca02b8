"""Models that differentiate inside, such as potentials whose forces are a gradient, where gradients are off."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.fields.graphs import named_fields

#: modules that have been seen to differentiate inside
KNOWN: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()
#: how torch says that there is nothing to differentiate
MESSAGES = ("does not require grad", "appears to not have been used in the graph", "Inference tensors cannot be saved")


def called(model: Callable[..., Any], call: Callable[[Any], Any], fields: Any, with_values: Callable[..., Any]) -> Any:
    """What a model returns for inputs, whether gradients are on or off.

    Where they are off and the model calls ``torch.autograd.grad`` in its forward pass, it is called again with
    gradients, for inputs that are leaves, and what it returns is detached.

    Args:
        model: that is called; a module is remembered, so that it is called once from then on.
        call: fields → what the model returns.
        fields: its inputs, a mapping or a PyG object.
        with_values: the inputs with some values replaced.
    """
    transformed = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    if torch.is_grad_enabled() or transformed:
        return call(fields)
    if not (isinstance(model, nn.Module) and model in KNOWN):
        try:
            return call(fields)
        except RuntimeError as error:
            if not any(message in str(error) for message in MESSAGES):
                raise
    with torch.inference_mode(False), torch.enable_grad():
        returned = call(with_values(leaves(fields)))
    if isinstance(model, nn.Module):
        KNOWN.add(model)
    return detached(returned)


def leaves(fields: Any) -> dict[str, Tensor]:
    """Copies of the floating-point inputs that a gradient can be taken to."""
    floats = {
        name: value
        for name, value in named_fields(fields).items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }
    return {name: value.detach().clone().requires_grad_() for name, value in floats.items()}


def detached(returned: Any) -> Any:
    """The tensors in what a model returns, without their graph; anything else as it is."""
    if isinstance(returned, Tensor):
        return returned.detach()
    if type(returned) in (tuple, list):
        return type(returned)(detached(each) for each in returned)
    if type(returned) is dict:
        return {name: detached(each) for name, each in returned.items()}
    return returned
