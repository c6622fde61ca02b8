"""Which layer breaks a symmetry: the Lie derivative layer by layer, through hooks."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from geoequiv.errors import GeoequivError, unknown
from geoequiv.fields import FieldType
from geoequiv.groups import Element
from geoequiv.metrics.element_text import first_line
from geoequiv.metrics.estimate import as_plain
from geoequiv.metrics.generators import Generators


@dataclass(frozen=True)
class LayerDerivative:
    r"""The equivariance error of one call of a layer.

    Hidden features have no declared type. Each float input and output of the layer is given the type that fits best:
    of ``scalar`` and, if its last axis has the dimension of space, ``vector`` and ``point`` (for an e3nn layer also its
    ``irreps_in``, ``irreps_out``) the one with the smallest :math:`\sum_\xi \| \dot h_\xi - \rho'(\xi) h \|`, where
    :math:`\dot h_\xi` is the derivative of the tensor h as the model's inputs are transformed by
    :math:`e^{t\xi}`. With these types, by generator:

    .. math::
        \text{accumulated} &= \| \dot h^\text{out}_\xi - \rho'(\xi) h^\text{out} \| / \| h^\text{out} \| \\
        \text{own} &= \| D\ell(h^\text{in})[\rho'(\xi) h^\text{in}] - \rho'(\xi) h^\text{out} \| / \| h^\text{out} \|

    ``accumulated`` is the error of all layers up to and including this one. ``own`` is the Lie derivative of the layer
    ℓ by itself at its input features: 0 for an equivariant layer, even after a broken one. Norms are over the whole
    batch, so there is no standard error.

    Args:
        name: of the submodule; ``name#2`` is its second call.
        kind: its class.
        types_in, types_out: the types found, in the order of its tensors.
        fits: whether every input transforms like its type, up to ``FIT``.
        own: by generator; ``None`` where the layer cannot be called by itself (``note`` has the reason).
        accumulated: by generator.

    Exactness: the types are a guess. Where a feature transforms like none of them, ``own`` is relative to the nearest.
    A network without any equivariance mixes coordinates into channels that transform like no type: those count as
    scalars, and ``accumulated`` is more informative than ``own``.

    Reference: the layer-wise terms of Gruver et al. (ICLR 2023) before they are pushed forward through later layers.
    """

    name: str
    kind: str
    types_in: tuple[str, ...]
    types_out: tuple[str, ...]
    fits: bool
    own: dict[str, float] | None
    accumulated: dict[str, float]
    note: str = ""

    @property
    def largest_own(self) -> float:
        """The largest over the generators; 0 where it is not known."""
        return max(self.own.values()) if self.own else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: as_plain(getattr(self, name)) for name in self.__dataclass_fields__}


#: Largest relative misfit of features that still count as transforming like a type, in units of √(round-off).
FIT = 10.0


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of a layer, recorded by a hook."""

    name: str
    module: nn.Module
    leaves: list[Any]
    structure: TreeSpec
    out_structure: TreeSpec
    tensors_in: list[Tensor]
    tensors_out: list[Tensor]
    opaque: bool


class Recorder:
    """Collects inputs and outputs of layers, call by call."""

    def __init__(self) -> None:
        self.calls: list[LayerCall] = []

    def take(self) -> list[LayerCall]:
        """The calls since the last ``take``; forgets them."""
        calls, self.calls = self.calls, []
        return calls

    def values(self) -> list[Tensor]:
        """All tensors of those calls, concatenated."""
        return [tensor for call in self.take() for tensor in call.tensors_in + call.tensors_out]


@contextmanager
def recording(model: Callable[..., Any], layers: bool | Collection[str]) -> Iterator[Recorder]:
    """Hooks on the named submodules (or all) while the context lasts.

    Raises:
        GeoequivError: for a name that the model does not have, or layers of a function.
    """
    recorder = Recorder()
    if not layers:
        yield recorder
        return
    if not isinstance(model, nn.Module):
        raise GeoequivError("Only an nn.Module has layers to measure; this model is a function.")
    named = {name: module for name, module in model.named_modules() if name}
    chosen = list(named) if layers is True else list(layers)
    for name in chosen:
        if name not in named:
            raise GeoequivError(unknown("layer", name, named))
    pending: list[tuple[list[Any], TreeSpec]] = []

    def before(_: nn.Module, args: Any, kwargs: Any) -> None:
        leaves, structure = tree_flatten((args, kwargs))
        pending.append(([leaf.clone() if is_feature(leaf) else leaf for leaf in leaves], structure))  # in-place layers

    def after(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            leaves, structure = pending.pop()
            out, out_structure = tree_flatten(output)
            earlier = sum(call.module is module for call in recorder.calls)
            recorder.calls.append(
                LayerCall(
                    f"{name}#{earlier + 1}" if earlier else name, module, leaves, structure, out_structure,
                    [leaf for leaf in leaves if is_feature(leaf)],
                    [leaf.clone() for leaf in out if is_feature(leaf)],
                    any(hides_features(leaf) for leaf in leaves),
                )
            )  # fmt: skip

        return hook

    handles = []
    for name in chosen:
        handles.append(named[name].register_forward_pre_hook(before, with_kwargs=True))
        handles.append(named[name].register_forward_hook(after(name), with_kwargs=True))
    try:
        yield recorder
    finally:
        for handle in handles:
            handle.remove()


def is_feature(leaf: Any) -> bool:
    """Whether it is a tensor of floating-point numbers."""
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def hides_features(leaf: Any) -> bool:
    """Whether it is an object of some class that holds float tensors, which cannot be transformed from outside."""
    if isinstance(leaf, (Tensor, nn.Module)) or not hasattr(leaf, "__dict__"):
        return False
    return any(is_feature(value) for value in vars(leaf).values())


def layer_derivatives(
    calls: list[LayerCall],
    velocities: list[list[Tensor]],
    algebra: Generators,
    method: str,
    step: float,
) -> tuple[LayerDerivative, ...]:
    """Types, accumulated and own errors of recorded calls; ``velocities``: by generator, of all their tensors."""
    found, start = [], 0
    for call in calls:
        tensors = call.tensors_in + call.tensors_out
        tangents = [each[start : start + len(tensors)] for each in velocities]
        start += len(tensors)
        entering = len(call.tensors_in)
        types, misfits = [], []
        for i, tensor in enumerate(tensors):
            stated = getattr(call.module, "irreps_in" if i < entering else "irreps_out", None)
            kind, misfit = best_type(tensor, [each[i] for each in tangents], algebra, stated)
            types.append(kind)
            misfits.append(misfit)
        kinds_in, kinds_out = types[:entering], types[entering:]
        accumulated, own, note = {}, {}, ""
        for k, name in enumerate(algebra.names):
            targets = [along_type(kind, h, algebra, k) for kind, h in zip(kinds_out, call.tensors_out, strict=True)]
            accumulated[name] = relative_norm(tangents[k][entering:], targets, call.tensors_out)
            if call.opaque or note:
                continue
            directions = [along_type(kind, h, algebra, k) for kind, h in zip(kinds_in, call.tensors_in, strict=True)]
            try:
                own[name] = relative_norm(alone(call, directions, method, step), targets, call.tensors_out)
            except Exception as error:  # raised by the layer
                note = f"cannot be differentiated by itself: {first_line(error)}"
        if call.opaque:
            note = "takes an object that holds float tensors, which cannot be transformed from outside"
        fits = all(
            misfit <= FIT * torch.finfo(tensor.dtype).eps ** 0.5
            for misfit, tensor in zip(misfits[:entering], call.tensors_in, strict=True)
        )
        found.append(
            LayerDerivative(
                call.name, type(call.module).__name__, tuple(map(str, kinds_in)), tuple(map(str, kinds_out)), fits,
                None if note else own, accumulated, note,
            )
        )  # fmt: skip
    return tuple(found)


def best_type(values: Tensor, tangents: list[Tensor], algebra: Generators, stated: Any) -> tuple[FieldType, float]:
    """The type that features transform like, and the misfit relative to their norm."""
    d = algebra.linear.shape[-1]
    kinds = [FieldType("scalar")]
    if values.ndim and values.shape[-1] == d:
        kinds += [FieldType("vector"), FieldType("point")]
    if stated is not None and d == 3 and values.ndim and getattr(stated, "dim", None) == values.shape[-1]:
        kinds.append(FieldType("irreps", 1, str(stated)))
    fits = []
    for kind in kinds:
        parts = [relative_norm([v], [along_type(kind, values, algebra, k)], [values]) for k, v in enumerate(tangents)]
        fits.append(sum(parts))
    best = min(range(len(kinds)), key=lambda i: (fits[i] > min(fits) * (1 + 1e-9), i))
    return kinds[best], fits[best]


def along_type(kind: FieldType, values: Tensor, algebra: Generators, index: int) -> Tensor:
    """``ρ'(ξ) h``: the derivative of features of a type along a generator."""
    if kind.kind in ("scalar", "label"):
        return torch.zeros_like(values)
    if kind.kind in ("vector", "point"):  # (R, t) ↦ R h + t is affine: at (A, b) it is the derivative
        return kind.act(Element(algebra.linear[index], algebra.translation[index]), values)
    zero = torch.zeros((), dtype=torch.float64)
    transformed = torch.func.jvp(
        lambda t: kind.act(algebra.first_order(index, t), values), (zero,), (torch.ones_like(zero),)
    )
    return transformed[1]


def alone(call: LayerCall, directions: list[Tensor], method: str, step: float) -> list[Tensor]:
    """The derivative of a layer by itself along ``directions`` of its inputs."""

    def run(*tensors: Tensor) -> list[Tensor]:
        left = list(tensors)
        leaves = [left.pop(0) if is_feature(leaf) else leaf for leaf in call.leaves]
        args, kwargs = tree_unflatten([x.clone() if is_feature(x) else x for x in leaves], call.structure)
        return [leaf for leaf in tree_flatten(call.module.forward(*args, **kwargs))[0] if is_feature(leaf)]

    if not any(bool(direction.any()) for direction in directions):
        return [torch.zeros_like(h) for h in call.tensors_out]
    if method == "finite-difference":
        ahead = run(*(h + step * v for h, v in zip(call.tensors_in, directions, strict=True)))
        behind = run(*(h - step * v for h, v in zip(call.tensors_in, directions, strict=True)))
        return [(a - b) / (2 * step) for a, b in zip(ahead, behind, strict=True)]
    with sdpa_kernel(SDPBackend.MATH):
        return torch.func.jvp(run, tuple(call.tensors_in), tuple(directions))[1]


def relative_norm(tangents: list[Tensor], targets: list[Tensor], values: list[Tensor]) -> float:
    """‖tangents − targets‖ / ‖values‖ of all tensors together, in float64; 0 where all are 0."""
    off = sum(float((a.double() - b.double()).square().sum()) for a, b in zip(tangents, targets, strict=True))
    size = sum(float(h.double().square().sum()) for h in values)
    return (off / size) ** 0.5 if size > 0 else (0.0 if off == 0 else float("inf"))
