"""Forces that are a gradient, averaged over frames: they are not the gradient of the averaged energy any more."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import ModelOutputError
from geoequiv.fields import BoundCall, Signature, name_outputs, named_fields
from geoequiv.symmetrize.frames import Frame, GroupFrame

#: relative difference below which forces count as the gradient, and above which they count as something else
SAME, OTHER = 0.02, 0.05
#: of finite differences, relative to the spread of the coordinates
STEP = {torch.float64: 1e-4, torch.float32: 1e-2}
#: along which they are taken
DIRECTIONS = 2


def may_be_potential(signature: Signature) -> bool:
    """Whether a model has one position to differentiate by, one energy and one vector at each node."""
    points, scalars = signature.inputs.of_kind("point"), signature.outputs.of_kind("scalar")
    vectors = signature.outputs.of_kind("vector")
    sizes = [signature.inputs[name].multiplicity for name in points]
    sizes += [signature.outputs[name].multiplicity for name in (*scalars, *vectors)]
    return (len(points), len(scalars), len(vectors)) == (1, 1, 1) and set(sizes) == {1}


def has_to_be_checked(signature: Signature, frame: Frame) -> bool:
    """Whether averaging can make forces that are a gradient into forces that are none.

    The average over a constant set of elements that fix the origin commutes with the derivative; frames and centroids
    depend on the positions. Draws are not compared.
    """
    constant = isinstance(frame, GroupFrame) and not frame.group.translates
    return may_be_potential(signature) and not constant and frame.is_exact


def check_forces(
    function: Callable[..., Any],
    average: Callable[..., Any],
    signature: Signature,
    args: tuple,
    kwargs: Mapping[str, Any],
) -> bool:
    r"""Raise ModelOutputError if a model's forces are the gradient of its energy, and the averaged ones are not.

    .. math:: F = -\partial E / \partial x \;\text{ but }\;
              \sum_i w_i\, \rho(g_i) F(g_i^{-1} x) \ne -\partial/\partial x \sum_i w_i\, E(g_i^{-1} x)

    as g_i and w_i depend on x. By the gradient of both energies, or where that is not to be had by finite differences
    along two random directions.

    Args:
        function: the model; ``average``: the same averaged; both are called with ``args`` and ``kwargs``.

    Returns:
        Whether it could be decided.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    call = BoundCall.bind(function, signature, args, kwargs)
    (point,), (energy,) = signature.inputs.of_kind("point"), signature.outputs.of_kind("scalar")
    (forces,) = signature.outputs.of_kind("vector")
    device = named_fields(call.fields)[point].device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), evaluated(function, args):
        own = difference(call, signature, point, energy, forces)
        if own is None or own > SAME:
            return own is not None
        off = difference(replace(call, function=average), signature, point, energy, forces)
    if off is not None and off > OTHER:
        raise ModelOutputError(
            f"'{forces}' is minus the gradient of '{energy}' in the model, but its average over frames is not that of "
            f"the averaged energy (off by {off:.0%}): frames depend on the positions. Average the energy first, and "
            f"differentiate the average: ge.Conservative(ge.FrameAveraging(energy_model, '… -> {energy}: scalar per "
            "graph', group))."
        )
    return off is not None


def difference(call: BoundCall, signature: Signature, point: str, energy: str, forces: str) -> float | None:
    """Relative difference of the forces and minus the gradient of the energy; ``None`` where round-off hides it."""
    given = named_fields(call.fields)
    mask, pos = given.get("mask"), given[point].detach()

    def outputs(where: Tensor) -> dict[str, Tensor]:
        return name_outputs(signature, call(call.with_values({point: where})), call.function)

    if torch.is_grad_enabled():
        leaf = pos.clone().requires_grad_()
        found = outputs(leaf)
        gradient = gradient_of(found[energy], leaf)
        if gradient is not None and found[forces].shape == gradient.shape:
            size = gradient.norm()
            return float((gradient + found[forces].detach()).norm() / size) if size > 0 else None
    else:
        found = outputs(pos)
    if found[forces].shape != pos.shape or pos.dtype not in STEP:
        return None
    step = STEP[pos.dtype] * (pos - pos.mean(-2, keepdim=True)).square().mean().sqrt()
    noise = 4 * torch.finfo(pos.dtype).eps * found[energy].detach().abs().sum() / step
    generator, off = torch.Generator().manual_seed(271828), []
    for _ in range(DIRECTIONS):
        along = torch.randn(pos.shape, generator=generator, dtype=pos.dtype).to(pos.device)
        along = along if mask is None else along * mask.unsqueeze(-1)
        wants = torch.is_grad_enabled()  # as the model may differentiate inside
        shifted = ((pos + sign * step * along).requires_grad_(wants) for sign in (1, -1))
        ahead, behind = (outputs(where)[energy].detach().sum() for where in shifted)
        slope, expected = (ahead - behind) / (2 * step), -(found[forces].detach() * along).sum()
        size = torch.maximum(slope.abs(), expected.abs())
        if size <= 20 * noise:
            return None
        off.append(float((slope - expected).abs() / size))
    return max(off)


def gradient_of(energy: Tensor, leaf: Tensor) -> Tensor | None:
    """∂E/∂x; ``None`` if the model cuts or has freed the graph of its energy."""
    if not energy.requires_grad:
        return None
    try:
        (gradient,) = torch.autograd.grad(energy.sum(), leaf, allow_unused=True)
    except RuntimeError:  # freed by the model's own derivative
        return None
    return gradient


@contextmanager
def evaluated(function: Callable[..., Any], args: tuple) -> Iterator[None]:
    """The model, or the module whose method is called, in evaluation mode, and back to its own mode afterwards."""
    module = function if isinstance(function, nn.Module) else next(iter(args), None)
    modes = [(part, part.training) for part in module.modules()] if isinstance(module, nn.Module) else []
    for part, _ in modes:
        part.training = False
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
