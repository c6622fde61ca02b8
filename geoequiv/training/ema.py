"""Exponential moving average of a model's weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EMA:
    """An exponential moving average of a model's weights.

        ā ← decay · ā + (1 − decay) · a         after every step, ā = a at the start

    Floating-point parameters and buffers are averaged, other buffers are copied.

    Args:
        model: whose weights are averaged.
        decay: weight of the former average, in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        state = {name: tensor.detach() for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
        self.shadow = {name: tensor.clone() for name, tensor in state.items()}
        self._live = state  # shares the memory of the model's own weights
        smooth = [name for name in state if state[name].is_floating_point() or state[name].is_complex()]
        self._averages, self._followed = [self.shadow[n] for n in smooth], [state[n] for n in smooth]
        self._copied = [name for name in state if name not in set(smooth)]

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the current weights."""
        torch._foreach_lerp_(self._averages, self._followed, 1.0 - self.decay)
        for name in self._copied:
            self.shadow[name].copy_(self._live[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the averaged weights into the model; its own are restored at the end, bit for bit."""
        own = {name: tensor.clone() for name, tensor in self._live.items()}
        self._write(self.shadow)
        try:
            yield
        finally:
            self._write(own)

    def load(self, shadow: Mapping[str, Tensor]) -> None:
        """Continue from saved averages."""
        for name, tensor in self.shadow.items():
            tensor.copy_(shadow[name])

    @torch.no_grad()
    def _write(self, state: Mapping[str, Tensor]) -> None:
        for name, tensor in self._live.items():
            tensor.copy_(state[name])
