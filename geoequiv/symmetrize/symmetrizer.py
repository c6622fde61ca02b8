"""The one operator: a weighted average of a model over an equivariant set of group elements."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from geoequiv.errors import BatchError, GeoequivError, GroupError, ModelOutputError, SignatureError
from geoequiv.fields import (
    BoundCall,
    Layout,
    Signature,
    act_on_field,
    check_finite,
    extra_outputs,
    finite_where_hidden,
    layout_of,
    name_outputs,
    named_fields,
    projected,
    projected_signature,
    replicate,
    restore_outputs,
    split_replicas,
)
from geoequiv.groups import Element, Group, inverse
from geoequiv.symmetrize.checkpoint import share_checkpoints
from geoequiv.symmetrize.forces import check_forces, has_to_be_checked
from geoequiv.symmetrize.frames import Coset, Frame, GroupFrame
from geoequiv.symmetrize.frames.parameters import with_parameters
from geoequiv.symmetrize.leading import unprojected

#: Points that one call of the model gets on a CPU, where ``chunk`` is not given. Measured on one thread with a DeepSets
#: and a transformer of width 64: the time per element is least for some thousand points a call (forward passes of 128
#: clouds of 21 points, over frames × bare: 0.8 with one copy a call, 1.1 with three, 1.2 with eight). Small batches
#: gain up to 2× by going in one call; above that the activations fall out of the cache.
POINTS_PER_CALL = 4096
NO_EXPORT = (
    "torch.export cannot trace a frame, which looks at the values of its inputs. Export the model inside, program = "
    "torch.export.export(averaged.model, …), and average what it gives: ge.FrameAveraging(program.module(), signature, "
    "group, chunk=1). Averages over groups can be exported whole, with strict=False."
)
HALVES = (torch.float16, torch.bfloat16)


def symmetrize(
    function: Callable[..., Any],
    signature: Signature,
    frame: Frame,
    args: tuple,
    kwargs: Mapping[str, Any],
    *,
    training: bool = False,
    chunk: int | None = None,
) -> Any:
    r"""One call of a model, averaged over a frame of its inputs.

    .. math:: \Phi(x) = \sum_i w_i \, \rho_\text{out}(g_i)\, f(\rho_\text{in}(g_i)^{-1} x), \qquad
              \{(g_i, w_i)\} = \text{frame}(x)

    The elements go through the model in one batched call, or ``chunk`` at a time. Outputs of type ``vector up to
    sign``, of which the elements may each give either sign, are averaged as projectors; the result is the leading
    eigenvector times its eigenvalue, ‖y‖ where all agree:

    .. math:: \Phi(x) = \lambda_1 u_1 \quad\text{of}\quad
              \sum_i w_i \, \rho(g_i)\, \frac{y_i y_i^\top}{\|y_i\|}\, \rho(g_i)^\top,
              \qquad y_i = f(\rho_\text{in}(g_i)^{-1} x)

    Args:
        function: the model; ``args`` and ``kwargs`` are what it would be called with.
        signature: types of its inputs and outputs.
        frame: input → group elements and weights.
        training: passed to the frame; stochastic frames draw only then.
        chunk: largest number of frame elements in one call of the model. Given, it bounds memory, with gradients too:
            of all calls but the last the activations are computed again in the backward pass instead of kept, so that
            the peak stays below (chunk + 1) × that of the bare model (measured: chunk + 0.2), for up to one more
            forward pass per element. ``None`` is for speed and keeps everything: it takes as many elements as make up
            ``POINTS_PER_CALL`` points on a CPU (large clouds go element by element), and all at once elsewhere.

    Returns:
        What the model returns, in the same form. Of what it returns besides the signature's outputs, single numbers
        (an auxiliary loss) are averaged over the elements, and what is no tensor is passed on.

    Raises:
        SignatureError, BatchError: the arguments do not fit the signature.
        ModelOutputError: what the model returns does not.

    Exactness: that of the frame; beyond that, round-off. Outputs up to sign are besides discontinuous where two leading
    eigenvalues cross, as the directions averaged disagree there; a single element is passed on as it is.

    Frames and group actions are computed in float32 at least: float16 and bfloat16 inputs are widened for them, but
    what counts as equal follows their own round-off (see ``Layout.round_off``); the model gets its inputs in the dtype
    that they came in, and what it returns is averaged in float32 and returned in the model's dtype. Under
    ``torch.autocast`` only the model runs in the lower precision, and the average stays in float32.

    ``torch.func`` transforms work through it where they work through the model and the frame; under them inputs are
    not checked for NaN and infinities. Masks and batch vectors cannot be mapped over (they are checked), and random
    draws want ``vmap(..., randomness="same")``.

    Recomputation (``chunk`` with gradients) is ``torch.utils.checkpoint``: draws such as dropout's are the same both
    times, and gradients of gradients work, but a module that changes its own state in a forward pass, such as the
    statistics of a batch norm, changes it twice. Under ``torch.compile`` and ``torch.func`` everything is kept.
    """
    exporting = torch.compiler.is_exporting()
    if exporting and (torch.compiler.is_dynamo_compiling() or not isinstance(frame, GroupFrame)):
        raise GeoequivError(NO_EXPORT)
    call = BoundCall.bind(function, signature, args, kwargs)
    found = named_fields(call.fields)
    device = next((v.device.type for v in found.values() if isinstance(v, Tensor)), "cpu")
    mixed = autocast_dtype(device)
    with torch.autocast(device, enabled=False) if mixed else nullcontext():
        layout = layout_of(call.fields, signature, frame.group.dim, frame.group.acts_on_space)
        if not (exporting or torch._C._are_functorch_transforms_active()):  # there values cannot be looked at
            check_finite(found, signature.inputs, layout)
        wide = {
            name: widened(finite_where_hidden(found[name], layout, name, kind))
            for name, kind in signature.inputs.items()
        }
        layout = replace(layout, round_off=round_off(found[name] for name in signature.inputs))
        elements, weights = frame({**found, **wide}, signature.inputs, layout, training=training)
        if isinstance(elements, Coset):  # gradients, too, of the average over the whole coset
            wide = elements.with_gradients(wide, signature.inputs, layout)
        batch = call.with_values(wide)
        alone = len(elements) == 1 and not isinstance(elements, Coset)  # then there is nothing to average
        averaged = signature if alone else projected_signature(signature)

        def weighted_sum(chosen: slice) -> tuple[Any, dict[str, Tensor], dict[str, torch.dtype], dict[str | int, Any]]:
            some = elements[chosen]
            transformed = replicate(inverse(some), batch, signature.inputs, layout)
            for name in signature.inputs:
                if transformed[name].dtype != found[name].dtype:
                    transformed[name] = transformed[name].to(found[name].dtype)
            with torch.autocast(device, dtype=mixed) if mixed else nullcontext():
                raw = call(transformed)
            returned = name_outputs(signature, raw, function)
            named = returned if alone else projected(returned, signature.outputs)
            part = None if weights is None else weights[chosen]
            sums = {n: pull_back_and_sum(n, widened(v), averaged, some, part, layout) for n, v in named.items()}
            return raw, sums, {n: v.dtype for n, v in returned.items()}, extra_outputs(signature, raw, function)

        total: dict[str, Tensor] = {}
        extra: dict[str | int, Any] = {}
        for chosen in chunks(len(elements), chunk or default_chunk(len(elements), layout, elements.linear.device)):
            if chunk is not None and chosen.stop < len(elements) and can_recompute():
                raw, sums, dtypes, beside = checkpoint(weighted_sum, chosen, use_reentrant=False)
            else:
                raw, sums, dtypes, beside = weighted_sum(chosen)
            total = {name: total[name] + value if name in total else value for name, value in sums.items()}
            extra = mean_so_far(extra, beside, chosen.start, len(range(*chosen.indices(len(elements)))))
        if weights is None:
            total = {name: value / len(elements) for name, value in total.items()}
        if isinstance(elements, Coset):
            total = elements.average(total, averaged.outputs, layout)
        if not alone:
            total = unprojected(total, signature.outputs, name_outputs(signature, raw, function))
        if not mixed:
            halves = [name for name, dtype in dtypes.items() if dtype in HALVES]
            total |= {name: total[name].to(dtypes[name]) for name in halves}
        return restore_outputs(signature, raw, total, call.fields, function, extra)


def mean_so_far(
    mean: Mapping[str | int, Any], new: Mapping[str | int, Any], before: int, count: int
) -> dict[str | int, Any]:
    """What a model returns besides its outputs, ``count`` elements later: a mean of numbers, else the last."""

    def joined(key: str | int, value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point() or not before:
            return value
        return (before * mean[key] + count * value) / (before + count)

    return {key: joined(key, value) for key, value in new.items()}


def averaging(
    function: Callable[..., Any], signature: Signature, frame: Frame, chunk: int | None
) -> Callable[..., Any]:
    """A model averaged over a frame as in evaluation, called like the model."""

    def average(*args: Any, **kwargs: Any) -> Any:
        return symmetrize(function, signature, frame, args, kwargs, chunk=chunk)

    return average


def autocast_dtype(device: str) -> torch.dtype | None:
    """The lower precision of the ``torch.autocast`` under way, ``None`` without one."""
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)


def round_off(fields: Iterable[Tensor]) -> float | None:
    """Largest round-off of the float16 and bfloat16 fields; ``None`` without such."""
    return max((torch.finfo(values.dtype).eps for values in fields if values.dtype in HALVES), default=None)


def widened(values: Tensor) -> Tensor:
    """float16 and bfloat16 as float32; anything else as it is."""
    return values.float() if values.dtype in HALVES else values


def can_recompute() -> bool:
    """Whether activations can be left to be computed again: gradients are on, and the code runs as it is written."""
    return (
        torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
    )


def check(signature: Signature, frame: Frame, chunk: int | None) -> None:
    """Raise SignatureError or GroupError unless a model of this signature can be averaged over the frame."""
    signature.check_group(frame.group)
    frame.check_inputs(signature.inputs)
    frame.check_outputs(signature.outputs)
    if chunk is not None and not (isinstance(chunk, int) and chunk > 0):
        raise GroupError(f"chunk must be a positive number of frame elements, got {chunk!r}.")


def default_chunk(copies: int, layout: Layout, device: torch.device) -> int:
    """Number of frame elements in one call of the model, by the number of points of the batch."""
    if device.type != "cpu":
        return copies
    points = layout.nodes if layout.is_ragged else math.prod(layout.shape) * layout.nodes
    calls = math.ceil(copies / max(1, POINTS_PER_CALL // max(1, points)))
    return math.ceil(copies / calls)  # calls of equal size


def chunks(count: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``size`` that cover ``count``."""
    return (slice(start, start + size) for start in range(0, count, size))


def pull_back_and_sum(
    name: str, values: Tensor, signature: Signature, elements: Element, weights: Tensor | None, layout: Layout
) -> Tensor:
    """Pull one output of the replicated batch back and sum over the replicas: ``Σ_i w_i ρ(g_i) y_i``."""
    copies = len(elements)
    stacked = split_replicas(values, copies, layout)
    if stacked is None:
        raise ModelOutputError(
            f"Output '{name}' has shape {list(values.shape)}, whose first axis does not hold {copies} copies of "
            f"the batch {list(layout.shape)}: a symmetrized model must keep the axis of the items first."
        )
    kind = signature.outputs[name]
    try:
        pulled_back = act_on_field(kind, elements, stacked, name, layout, 1)
    except BatchError as error:
        raise ModelOutputError(
            f"Shown {copies} copies of the batch, the model returns what does not fit its signature. {error}"
        ) from None
    if weights is None:
        return pulled_back.sum(0)
    here = layout.align(weights, stacked, 1, name, kind).to(pulled_back)
    return (here.reshape(here.shape + (1,) * (pulled_back.ndim - here.ndim)) * pulled_back).sum(0)


class Symmetrizer(nn.Module):
    """A model averaged over a frame (see ``symmetrize``); called like the model itself.

    Its checkpoints are those of the model: either loads what the other saved. A frame with parameters of its own adds
    keys that begin with ``frame.``. ``torch.compile`` of the model inside works as on its own; of the whole wrapper
    with graph breaks, as it looks at the values of its inputs. ``torch.func.functional_call`` wants the names of
    ``named_parameters()``, which begin with ``model.``; the keys of ``state_dict()`` it rejects or ignores.

    Args:
        model: any module or function.
        signature: a ``Signature`` or its string.
        frame: where the group elements come from.
        chunk: largest number of frame elements in one call of the model, to bound memory, with gradients too:
            activations are then computed again in the backward pass (see ``symmetrize``). ``None`` is for speed and
            goes by the number of points: small batches in one call, large ones element by element.
        names: roles of tensors that the model takes and the signature does not type, such as ``{"edges":
            "edge_index", "key_padding_mask": "~mask", "z": "pass"}`` (see ``Signature``).
    """

    def __init__(
        self,
        model: Callable[..., Any],
        signature: str | Signature,
        frame: Frame,
        chunk: int | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        if not callable(model):
            raise SignatureError(f"A model is a module or a function; got {model!r}.")
        self.model = model
        self.signature = Signature.parse(signature, names)
        check(self.signature, frame, chunk)
        self.frame = with_parameters(frame)
        self.chunk = chunk
        self.forces_open = has_to_be_checked(self.signature, self.frame)
        share_checkpoints(self)

    @property
    def group(self) -> Group:
        """The group that the averaged model is equivariant to."""
        return self.frame.group

    @property
    def claims(self) -> str | None:
        """Name of that group if the average is exact, else ``None``."""
        return self.frame.group.name if self.frame.is_exact else None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.forces_open:
            average = averaging(self.model, self.signature, self.frame, self.chunk)
            self.forces_open = not check_forces(self.model, average, self.signature, args, kwargs)
        return symmetrize(
            self.model, self.signature, self.frame, args, kwargs, training=self.training, chunk=self.chunk
        )

    def extra_repr(self) -> str:
        frame = "" if isinstance(self.frame, nn.Module) else f"frame={self.frame}, "
        return f"signature='{self.signature}', {frame}chunk={self.chunk}"
