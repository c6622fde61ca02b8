"""Activations of two networks on the same data: captured batch by batch, reduced to sums of products."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.alignment.labels import tensors_in
from geoequiv.alignment.traced import Inputs, Tap, call
from geoequiv.errors import AlignmentError


@dataclass
class Moments:
    """Streamed sums of two networks' features at one tap, in float64, shifted by the first batch's means.

    Args:
        first, second: ``[F]`` sums of squares; ``cross``: ``[F, F]``; ``mean_first``, ``mean_second``: sums.
    """

    rows: int = 0
    shift: tuple[Tensor, Tensor] | None = None
    sums: list[Tensor] = field(default_factory=list)
    broken: Tensor | None = None

    def add(self, a: Tensor, b: Tensor) -> None:
        """One batch: features ``[F, …]`` of both networks."""
        if self.shift is None:
            self.shift = (a.nan_to_num(0, 0, 0).flatten(1).mean(1), b.nan_to_num(0, 0, 0).flatten(1).mean(1))
            self.broken = torch.zeros(len(a), dtype=torch.bool, device=a.device)
        parts = products(*(less(each, s) for each, s in zip((a, b), self.shift, strict=True)))
        if not all(bool(torch.isfinite(part).all()) for part in parts[:4]):
            assert self.broken is not None
            self.broken = self.broken | ~(torch.isfinite(a) & torch.isfinite(b)).flatten(1).all(1)
            parts = products(*(less(each.nan_to_num(0, 0, 0), s) for each, s in zip((a, b), self.shift, strict=True)))
        self.sums = [s + p for s, p in zip(self.sums, parts, strict=True)] if self.sums else parts
        self.rows += a[0].numel()

    def covariance(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For units at coordinates ``[size, k]``: covariance of the networks, ``[size, size]``, and both variances."""
        mean_a, mean_b, square_a, square_b, cross = self.sums
        total, first, second = (cross.new_zeros((len(index),) * axes) for axes in (2, 1, 1))
        for place in index.T:
            a, b = mean_a[place], mean_b[place]
            total = total + cross[place][:, place] / self.rows - torch.outer(a, b) / self.rows**2
            first = first + square_a[place] / self.rows - (a / self.rows).square()
            second = second + square_b[place] / self.rows - (b / self.rows).square()
        return total, first, second

    def moment(self, index: Tensor) -> Tensor:
        """Mean products about 0, ``[size, size]``."""
        assert self.shift is not None
        mean_a, mean_b, _, _, cross = self.sums
        a, b = (part.double() for part in self.shift)
        whole = cross / self.rows + torch.outer(mean_a / self.rows, b) + torch.outer(a, mean_b / self.rows)
        whole = whole + torch.outer(a, b)
        return sum((whole[place][:, place] for place in index.T), torch.zeros(1, dtype=torch.float64))

    def energy(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squares about 0 of the units ``[size]``, in both networks."""
        assert self.shift is not None
        found = []
        for k in range(2):
            shift, mean, square = self.shift[k].double(), self.sums[k] / self.rows, self.sums[k + 2] / self.rows
            found.append((square + 2 * shift * mean + shift.square())[index].sum(-1))
        return found[0], found[1]


def less(values: Tensor, shift: Tensor) -> Tensor:
    """Features ``[F, …]`` minus their shift, ``[F, rows]``, in one pass."""
    column = shift.reshape(-1, *(1,) * (values.ndim - 1))
    if (
        values.ndim == 2 or values.stride(0) == 1
    ):  # stored as rows by features: a matrix product takes them without a copy
        return values.flatten(1) - column.flatten(1)
    return torch.sub(values, column, out=values.new_empty(values.shape)).flatten(1)


def products(a: Tensor, b: Tensor) -> list[Tensor]:
    """Sums, sums of squares and of products over the rows of ``[F, rows]`` features, returned in float64."""
    squares = [torch.linalg.vector_norm(each, dim=1).double().square() for each in (a, b)]
    return [a.sum(1).double(), b.sum(1).double(), *squares, (a @ b.mT).double()]


@contextmanager
def output_hooks(model: nn.Module, taps: Iterable[Tap], receive: Callable[[Tap, Tensor], None]) -> Iterator[None]:
    """Pass what modules return at the taps, ``[F, …]``, to a function."""
    wanted: dict[str, list[Tap]] = {}
    for tap in taps:
        wanted.setdefault(tap.module, []).append(tap)
    counts: dict[str, int] = {}

    def hook(name: str) -> Any:
        def after(module: nn.Module, args: Any, output: Any) -> None:
            number = counts[name] = counts.get(name, -1) + 1
            tensors = list(tensors_in(output))
            for tap in wanted[name]:
                if tap.call == number:
                    receive(tap, tensors[tap.leaf].detach().movedim(tap.axis, 0))

        return after

    modules = dict(model.named_modules())
    handles = [modules[name].register_forward_hook(hook(name)) for name in wanted]
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for part, mode in modes:
            part.training = mode


def capture(model: nn.Module, inputs: Inputs, taps: Iterable[Tap], copy: bool) -> dict[Tap, Tensor] | None:
    """What a network's modules return on a batch; None if it was not copied and a later layer overwrote it."""
    captured: dict[Tap, Tensor] = {}
    versions: dict[Tap, int] = {}

    def receive(tap: Tap, values: Tensor) -> None:
        captured[tap] = values.clone() if copy else values
        versions[tap] = captured[tap]._version

    with torch.no_grad(), output_hooks(model, taps, receive):
        call(model, inputs)
    return None if any(captured[tap]._version != version for tap, version in versions.items()) else captured


def observe(first: nn.Module, second: nn.Module, taps: Iterable[Tap], batches: Iterable[Inputs]) -> dict[Tap, Moments]:
    """Run both networks over the batches and stream their moments; memory does not grow with the data.

    Activations of the first network are kept for one batch; those of the second are reduced as they are computed.
    """
    found: dict[Tap, Moments] = {tap: Moments() for tap in taps}
    copy = False
    for inputs in batches:
        captured = capture(first, inputs, found, copy)
        if captured is None:  # a later layer writes into it in place
            copy = True
            captured = capture(first, inputs, found, copy)
        assert captured is not None

        def receive(tap: Tap, values: Tensor, captured: dict[Tap, Tensor] = captured) -> None:
            known = captured.pop(tap, None)
            if known is None or known.shape != values.shape:
                raise different(tap)
            found[tap].add(known, values)

        with torch.no_grad(), output_hooks(second, found, receive):
            call(second, inputs)
        if captured:
            raise different(next(iter(captured)))
    return found


def different(tap: Tap) -> AlignmentError:
    """The error for networks whose modules return different shapes."""
    return AlignmentError(f"Layer '{tap.module}' does not return the same shapes in both networks.")
