"""Frames under ``torch.func.vmap``: the mapped axis becomes one more axis of the batch."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geoequiv.fields import Layout

Lead = tuple[int, ...]
Tensors = tuple[Tensor, ...]


def is_mapped(fields: Mapping[str, Any]) -> bool:
    """Whether ``torch.func.vmap`` maps over one of the fields, so that there is no asking it for its values."""
    return any(isinstance(values, Tensor) and is_batched(values) for values in fields.values())


def is_batched(values: Tensor) -> bool:
    """Whether a tensor hides a mapped axis, under gradients by ``torch.func`` or not."""
    if not torch._C._are_functorch_transforms_active():
        return False
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(values):
        if functorch.is_batchedtensor(values):
            return True
        values = functorch.get_unwrapped(values)
    return False


def mapped_frames(
    frames: Callable[[Mapping[str, Tensor], Layout], tuple[Tensor, Tensor | None]],
    fields: Mapping[str, Any],
    names: tuple[str, ...],
    layout: Layout,
) -> tuple[Tensor, Tensor]:
    """Frames of a batch that is mapped over, computed for all that is mapped in one call.

    Args:
        frames: fields and layout → ``[F, *shape, d, d]`` and weights ``[F, *shape]``; may look at values.
        names: the fields it looks at.

    Returns:
        The same, F being the largest number in all that is mapped. Differentiable as often as ``frames`` is.
    """

    def make(lead: Lead) -> Callable[..., Tensors]:
        whole, rows = widened_layout(layout, lead), len(lead) if layout.is_ragged else 0

        def run(*values: Tensor) -> Tensors:
            folded = (value.flatten(0, rows) if rows else value for value in values)
            linear, weights = frames(dict(zip(names, folded, strict=True)), whole)
            if weights is None:
                weights = linear.new_full(linear.shape[:-2], 1 / len(linear))
            found = linear.movedim(0, -3), weights.movedim(0, -1)
            return tuple(value.unflatten(0, (*lead, *layout.shape)) for value in found) if rows else found

        return run

    linear, weights = Folded(make)(*(fields[name] for name in names))
    return linear.movedim(-3, 0), weights.movedim(-1, 0)


def widened_layout(layout: Layout, lead: Lead) -> Layout:
    """The layout of a batch of batches ``[*lead, …]``; ragged ones lie one behind the other."""
    if not lead:
        return layout
    if layout.batch is None:
        mask = None if layout.mask is None else layout.mask.expand(*lead, *layout.mask.shape)
        return Layout((*lead, *layout.shape), layout.nodes, mask, round_off=layout.round_off)
    copies = torch.arange(math.prod(lead), device=layout.batch.device)
    batch = (layout.batch + layout.shape[0] * copies.unsqueeze(1)).flatten()
    edges = layout.edges
    if edges is not None:
        edges = (edges.unsqueeze(1) + layout.nodes * copies[:, None]).flatten(1)
    return Layout(
        (layout.shape[0] * len(copies),),
        layout.nodes * len(copies),
        batch=batch,
        edges=edges,
        round_off=layout.round_off,
    )


@dataclass(frozen=True, eq=False)
class Folded:
    """A function of tensors that makes mapped axes batch axes ``lead`` in front, and so do its derivatives.

    Args:
        make: lead → the function for inputs and outputs with these axes in front.
    """

    make: Callable[[Lead], Callable[..., Tensors]]
    lead: Lead = ()

    def __call__(self, *tensors: Tensor) -> Tensors:
        return _Folded.apply(self, *tensors)

    def pullback(self, inputs: int) -> "Folded":
        """(inputs, cotangents of the outputs) → cotangents of the inputs."""

        def make(lead: Lead) -> Callable[..., Tensors]:
            run = self.make(lead)
            return lambda *values: torch.func.vjp(run, *values[:inputs])[1](values[inputs:])

        return Folded(make, self.lead)

    def pushforward(self, inputs: int) -> "Folded":
        """(inputs, their tangents) → tangents of the outputs."""

        def make(lead: Lead) -> Callable[..., Tensors]:
            run = self.make(lead)
            return lambda *values: torch.func.jvp(run, values[:inputs], values[inputs:])[1]

        return Folded(make, self.lead)


class _Folded(torch.autograd.Function):
    """What ``Folded`` calls: to torch, a function with a rule of its own for each transform."""

    @staticmethod
    def forward(folded: Folded, *tensors: Tensor) -> Tensors:
        return folded.make(folded.lead)(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
        ctx.folded = inputs[0]
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        return None, *ctx.folded.pullback(len(saved))(*saved, *grads)

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Tensors:
        saved = ctx.saved_tensors
        full = (torch.zeros_like(x) if t is None else t for x, t in zip(saved, tangents, strict=True))
        return ctx.folded.pushforward(len(saved))(*saved, *full)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], folded: Folded, *tensors: Tensor) -> tuple[Tensors, Any]:
        size = info.batch_size
        spread = (
            x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
            for x, dim in zip(tensors, in_dims[1:], strict=True)
        )
        out = Folded(folded.make, (size, *folded.lead))(*spread)
        return out, tuple(0 for _ in out)
