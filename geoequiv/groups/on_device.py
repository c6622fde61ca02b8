"""Tensors that never change, copied to each device once."""

from collections.abc import Callable, Hashable

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

Parts = tuple[Tensor | None, ...]

#: how many lists of tensors are kept; the oldest goes first
KEPT = 256
_copies: dict[tuple[Hashable, torch.device], Parts] = {}


def on_device(key: Hashable, device: torch.device, make: Callable[[], Parts]) -> Parts:
    """What ``make`` gives, on a device: made and copied there by the first call, which the host waits for.

    Args:
        key: stands for what is made; the same key has to stand for the same numbers.
        device: where the tensors are asked for.
        make: gives the tensors (``None`` for one that is absent), on any device.

    Returns:
        The tensors, shared by all callers: not to be written to. They can be used where gradients are taken, whether
        or not they were made in ``torch.inference_mode``; what was made while a graph is traced is not kept.
    """
    found = _copies.get((key, device))
    if found is None:
        with torch.inference_mode(False):
            found = tuple(None if part is None else part.to(device) for part in make())
        if not any(isinstance(part, FakeTensor) for part in found):
            if len(_copies) >= KEPT:
                _copies.pop(next(iter(_copies)))
            _copies[key, device] = found
    return found
