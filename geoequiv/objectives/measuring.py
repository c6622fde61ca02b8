"""Forward passes without gradients and without side effects on the model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def measuring(model: Callable[..., Any]) -> Iterator[None]:
    """No gradients, and copies of the running statistics, which a forward pass in training mode would change.

    Modules with a buffer named ``running_…`` (batch normalisation of torch, PyG and e3nn) get copies of their buffers
    while the context lasts. The original buffers are restored, never written to: a graph whose backward pass is pending
    may refer to them. Other modules keep their buffers; modules inside a plain function are not found.
    """
    kept: list[tuple[nn.Module, str, Tensor]] = []
    copies: dict[int, Tensor] = {}  # a buffer that two modules share stays shared
    for part in model.modules() if isinstance(model, nn.Module) else ():
        if any(name.startswith("running_") for name in part._buffers):
            kept += [(part, name, buffer) for name, buffer in part._buffers.items() if buffer is not None]
    try:
        for part, name, buffer in kept:
            part._buffers[name] = copies.setdefault(id(buffer), buffer.detach().clone())
        with torch.no_grad():
            yield
    finally:
        for part, name, buffer in kept:
            part._buffers[name] = buffer
