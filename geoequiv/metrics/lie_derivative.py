"""The local equivariance error: the Lie derivative of a model along the generators of a group."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from geoequiv.errors import GeoequivError, GroupError
from geoequiv.fields import Layout, Signature, act, call_model, check_finite, layout_of, named_fields, read_inputs
from geoequiv.groups import Group, inverse
from geoequiv.groups import group as group_by_name
from geoequiv.metrics.estimate import Estimate, as_plain, spread
from geoequiv.metrics.generators import Generators, generators
from geoequiv.metrics.layers import LayerDerivative, layer_derivatives, recording
from geoequiv.metrics.measure import Model, evaluating, item_norm, ratio
from geoequiv.metrics.projected import comparable
from geoequiv.metrics.spread import scale_invariants, spread_factors

Method = Literal["forward-mode", "finite-difference"]


class DerivativeError(GeoequivError):
    """A model has an operation without a forward-mode derivative."""


@dataclass(frozen=True)
class LieReport:
    """Local equivariance errors.

    Args:
        norm: by generator, the mean over the items of ‖L f(x)‖, in the unit of the outputs per radian (rotations) or
            per unit of length (translations).
        relative: by generator, the mean of ‖L f(x)‖ / ‖f(x)‖, per radian or per unit of length; invariant scalars count
            with their spread over the items, as in ``equivariance_error``.
        layers: per layer, in the order of the calls, where requested (see ``LayerDerivative``).
        method: how the derivatives were taken.
        group: name of the group.
        num_items: how many items.
    """

    norm: dict[str, Estimate]
    relative: dict[str, Estimate]
    layers: tuple[LayerDerivative, ...]
    method: str
    group: str
    num_items: int

    @property
    def largest(self) -> float:
        """The largest relative one over the generators."""
        return max(error.value for error in self.relative.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: as_plain(getattr(self, name)) for name in self.__dataclass_fields__}


def lie_derivative(
    model: Model,
    inputs: Any,
    signature: str | Signature,
    group: str | Group,
    *,
    layers: bool | Collection[str] = False,
    method: Method = "forward-mode",
    step: float | None = None,
    names: Mapping[str, str] | None = None,
) -> LieReport:
    r"""Lie derivative of a model along each generator ξ of a continuous group.

    .. math:: L_\xi f(x) = \frac{d}{dt}\Big|_{t=0} \rho_\text{out}(e^{t\xi})^{-1} f(\rho_\text{in}(e^{t\xi}) x)

    For a differentiable f it vanishes for all ξ and x if and only if f is equivariant to the connected part of the
    group. It is blind to reflections and finite groups.

    Args:
        model: a module (evaluated in evaluation mode) or function.
        inputs: a dict of tensors (dense or ragged) or a PyG object.
        signature: types of its inputs and outputs, or the string.
        group: a group with a continuous part, or its name.
        layers: which layers to measure as well: ``True`` for every submodule, or names (``"layers.2"``); see
            ``LayerDerivative`` for what is computed.
        method: ``"forward-mode"`` (``torch.func.jvp``; attention takes its mathematical kernel, as the fused ones have
            no forward mode), or ``"finite-difference"`` (central, two calls for each generator).
        step: of the finite difference, in radians or units of length; ``None`` takes the cube root of the round-off
            of the inputs' dtype.
        names: roles of tensors without a type, as of ``equivariance_error``.

    Raises:
        DerivativeError: in forward mode, if an operation has no forward-mode rule, or derivatives are lost inside
            (``detach``, ``torch.no_grad``). There is no silent fallback.
        GroupError: if the group has no continuous part. Else as ``equivariance_error``.

    Exactness: forward mode: round-off; lost derivatives are detected, to 20 %, against one finite difference
    along all generators at once. Finite differences: an error of the order of the step squared, and of round-off over
    the step: about 1e-10 in float64 and 1e-4 in float32.

    Reference: Gruver, Finzi, Goldblum & Wilson, "The Lie derivative for measuring learned equivariance" (ICLR 2023).
    """
    inputs, signature = read_inputs(inputs, signature, model, names)
    acting = group_by_name(group)
    signature.check_group(acting)
    algebra = generators(acting)
    if not len(algebra):
        raise GroupError(f"{acting} has no continuous part, so there is nothing to differentiate along.")
    layout = layout_of(inputs, signature, acting.dim, acting.acts_on_space)
    check_finite(named_fields(inputs), signature.inputs, layout)
    step = default_step(inputs, signature) if step is None else step
    whole, (model, signature) = model, comparable(model, signature)
    with evaluating(whole), torch.no_grad(), recording(whole, layers) as recorder:
        here = call_model(model, signature, inputs)
        calls = recorder.take()
        changes: list[dict[str, Tensor]] = []
        velocities: list[list[Tensor]] = []
        if method == "forward-mode":
            check_kept(model, inputs, signature, algebra, layout)
            recorder.take()
        for index in range(len(algebra)):
            change, seen = along(model, inputs, signature, algebra, index, layout, method, step, recorder.values)
            changes.append(change)
            velocities.append(seen)
        found = layer_derivatives(calls, velocities, algebra, method, step) if calls else ()
    factors = spread_factors([here], signature.outputs, [layout])
    scale = item_norm(scale_invariants(here, signature.outputs, factors), layout, signature.outputs)
    norms = [item_norm(change, layout, signature.outputs) for change in changes]
    return LieReport(
        norm={name: over_items(norm) for name, norm in zip(algebra.names, norms, strict=True)},
        relative={name: over_items(ratio(norm, scale)) for name, norm in zip(algebra.names, norms, strict=True)},
        layers=found,
        method=method,
        group=acting.name,
        num_items=len(scale),
    )


def over_items(values: Tensor) -> Estimate:
    """The mean over the items, ``[n]``; nothing is drawn from the group."""
    return Estimate(float(values.mean()), spread(values), 0.0)


def along(
    model: Model,
    inputs: Any,
    signature: Signature,
    algebra: Generators,
    index: int,
    layout: Layout,
    method: Method,
    step: float,
    values: Callable[[], list[Tensor]],
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """``L_ξ f`` for one generator, and d/dt of all inputs and outputs of layers (``values()`` after a call).

    Raises:
        DerivativeError: without a forward-mode rule.
    """

    def back(g: Any) -> tuple[dict[str, Tensor], list[Tensor]]:
        there = call_model(model, signature, act(g, inputs, signature.inputs, layout))
        return act(inverse(g), there, signature.outputs, layout), values()

    if method == "finite-difference":
        unit = torch.zeros(len(algebra), dtype=torch.float64)
        unit[index] = step
        (ahead, seen_ahead), (behind, seen_behind) = back(algebra.exp(unit)), back(algebra.exp(-unit))
        change = {name: (ahead[name] - behind[name]) / (2 * step) for name in ahead}
        return change, [(a - b) / (2 * step) for a, b in zip(seen_ahead, seen_behind, strict=True)]
    if method != "forward-mode":
        raise GeoequivError(f"method is 'forward-mode' or 'finite-difference', got {method!r}.")
    zero = torch.zeros((), dtype=torch.float64)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            derivative = torch.func.jvp(
                lambda t: back(algebra.first_order(index, t)), (zero,), (torch.ones_like(zero),)
            )
    except (NotImplementedError, RuntimeError) as error:
        raise DerivativeError(
            f"The model cannot be differentiated in forward mode along '{algebra.names[index]}': {error}\n"
            "Take method='finite-difference' instead."
        ) from error
    tangents: tuple[dict[str, Tensor], list[Tensor]] = derivative[1]
    return tangents


#: Step of the finite difference that forward mode is checked with: large, so that round-off hardly enters.
COARSE = 0.02


def check_kept(model: Model, inputs: Any, signature: Signature, algebra: Generators, layout: Layout) -> None:
    """Raise DerivativeError if forward mode and a coarse finite difference disagree about how the model changes."""
    weights = torch.linspace(1.0, 0.5, len(algebra), dtype=torch.float64)
    together = Generators(("all generators at once",), *(part[None] for part in algebra.velocity(weights)))
    a, b = (
        along(model, inputs, signature, together, 0, layout, method, COARSE, list)[0]
        for method in ("forward-mode", "finite-difference")
    )
    with torch.no_grad():
        size = item_norm(call_model(model, signature, inputs), layout, signature.outputs).norm()
    off = item_norm({name: a[name] - b[name] for name in a}, layout, signature.outputs).norm()
    most = 0.2 * sum(item_norm(each, layout, signature.outputs).norm() for each in (a, b)) + COARSE * size
    if bool(off > most):
        raise DerivativeError(
            f"Forward mode and finite differences disagree about the Lie derivative (by {float(off / size):.1e} of the "
            "outputs' norm): the model loses derivatives inside (detach, torch.no_grad), or is far from smooth. Take "
            "method='finite-difference' instead."
        )


def default_step(inputs: Any, signature: Signature) -> float:
    """The cube root of the round-off of the inputs' dtype: where the two errors of a central difference meet."""
    fields = named_fields(inputs)
    return max(torch.finfo(fields[name].dtype).eps for name in signature.inputs) ** (1 / 3)


def rotation_tensor(
    model: Model, inputs: Any, signature: Signature, algebra: Generators, method: Method
) -> tuple[Tensor, float]:
    r"""Mean over the items of the inner products of Lie derivatives, and the mean square of the outputs.

    .. math:: Q_{ij} = \frac{1}{n} \sum_x \langle L_i f(x), L_j f(x) \rangle

    The Lie derivative is linear in the generator, so that ``nᵀQn`` is its mean square about the axis n.

    Returns:
        Q ``[k, k]`` and the mean of ‖f(x)‖².
    """
    layout = layout_of(inputs, signature, algebra.linear.shape[-1])
    step = default_step(inputs, signature)
    model, signature = comparable(model, signature)
    with evaluating(model), torch.no_grad():
        here = call_model(model, signature, inputs)
        if method == "forward-mode":
            check_kept(model, inputs, signature, algebra, layout)
        changes = [
            along(model, inputs, signature, algebra, i, layout, method, step, list)[0] for i in range(len(algebra))
        ]
    q = torch.zeros(len(changes), len(changes), dtype=torch.float64)
    for i, a in enumerate(changes):
        for j, b in enumerate(changes[: i + 1]):
            plus = item_norm({name: a[name] + b[name] for name in a}, layout, signature.outputs).square().mean()
            minus = item_norm({name: a[name] - b[name] for name in a}, layout, signature.outputs).square().mean()
            q[i, j] = q[j, i] = (plus - minus) / 4
    return q, float(item_norm(here, layout, signature.outputs).square().mean())
