"""Forward passes that only look: without gradients, and without a trace in the model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def measuring(model: Callable[..., Any]) -> Iterator[None]:
    """Without gradients, and on copies of the running statistics, which a pass in training mode would move.

    Modules with a buffer named ``running_…`` (batch normalisation of torch, PyG and e3nn) get copies of their buffers
    for as long as the context lasts. The buffers themselves are put back, not written to: a graph that waits for its
    backward pass may hold them. Other modules keep theirs; those inside of a plain function are not found.
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
