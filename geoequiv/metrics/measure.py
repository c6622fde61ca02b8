"""The one loop that transforms a batch, calls a model and compares outputs; every metric is computed from it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geoequiv.errors import BatchError
from geoequiv.fields import (
    FieldType,
    Layout,
    Side,
    Signature,
    act,
    call_model,
    check_finite,
    item_squares,
    layout_of,
    named_fields,
)
from geoequiv.groups import Element, inverse
from geoequiv.metrics.partial_sums import PartialSums
from geoequiv.metrics.projected import comparable
from geoequiv.metrics.replicas import output_replicas, replicas_per_call, transform_replicas
from geoequiv.metrics.spread import scale_invariants, spread_factors

Model = Callable[..., Any]


@dataclass(frozen=True)
class SampledErrors:
    """Errors of M group elements on n items, in float64 on the CPU.

    Args:
        distance: ``[M, n]``, ‖f(gx) − g f(x)‖.
        relative: ``[M, n]``, the distance over the mean of the two norms, where invariant parts of outputs count with
            their spread over the items (see ``spread_factors``).
        by_size: ``[M, n]``, the distance over the mean of the two norms as they are.
        of_means: ``[n]``, ‖mean over g of g f(x) − mean over g of f(gx)‖.
        of_means_without: ``[K, n]``, the same without the k-th part of the elements.
        to_average: ``[n]``, ‖f(x) − mean over g of g⁻¹ f(gx)‖.
        to_average_without: ``[K, n]``, the same without the k-th part of the elements.
        factors: spread over size of each output with an invariant part.
        dtype: of the outputs, ``"float32"``.
    """

    distance: Tensor
    relative: Tensor
    by_size: Tensor
    of_means: Tensor
    of_means_without: Tensor
    to_average: Tensor
    to_average_without: Tensor
    factors: Mapping[str, float]
    dtype: str

    @classmethod
    def concatenate(cls, parts: "list[SampledErrors]") -> "SampledErrors":
        """The errors of the same elements on a batch that was cut into parts."""
        names = [name for name in cls.__dataclass_fields__ if name not in ("dtype", "factors")]
        columns = {name: torch.cat([getattr(part, name) for part in parts], dim=-1) for name in names}
        return cls(**columns, factors=parts[0].factors, dtype=parts[0].dtype)

    def worst_index(self) -> tuple[int, int]:
        """Element and item of the largest relative error."""
        element, item = divmod(int(self.relative.argmax()), self.relative.shape[1])
        return element, item


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Every module in evaluation mode, and back to its own mode afterwards."""
    modes = [(part, part.training) for part in model.modules()] if isinstance(model, nn.Module) else []
    if isinstance(model, nn.Module):
        model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def rotates(elements: Element) -> bool:
    """Whether elements do anything to space, beside relabelling nodes."""
    eye = torch.eye(elements.dim, dtype=elements.linear.dtype, device=elements.linear.device)
    return elements.translation is not None or bool((elements.linear != eye).any())


def measure(
    model: Model,
    inputs: Any,
    signature: Signature,
    elements: Element,
    *,
    batch_size: int | None = None,
    outputs: Collection[str] | None = None,
    factors: Mapping[str, float] | None = None,
) -> SampledErrors:
    """Compare f(gx) with g f(x) for each group element g and each item x; outputs up to sign by their projectors.

    Args:
        model: called without gradients; a module is put in evaluation mode meanwhile.
        inputs: a dict of tensors (dense, or ragged with ``batch``) or a PyG object.
        elements: ``[M]``, shared by all items.
        batch_size: dense batches only: items per call.
        outputs: names of those that count; ``None`` counts all.
        factors: of invariant parts, from a larger batch; ``None`` computes those of this one (``spread_factors``).

    Raises:
        BatchError: an input that is not finite (the item is named), or a batch that cannot be cut.
    """
    model, signature = comparable(model, signature)
    with evaluating(model), torch.no_grad():
        parts = list(batches(inputs, signature, elements.dim, batch_size))
        layouts = [layout_of(part, signature, elements.dim, rotates(elements)) for part in parts]
        for part, layout in zip(parts, layouts, strict=True):
            check_finite(named_fields(part), signature.inputs, layout)
        before = [call_model(model, signature, part) for part in parts]
        factors = spread_factors(before, signature.outputs, layouts) if factors is None else factors
        found = [
            measure_outputs(
                lambda _, given: call_model(model, signature, given),
                here, part, signature, elements, layout, outputs, factors=factors,
            )
            for here, part, layout in zip(before, parts, layouts, strict=True)
        ]  # fmt: skip
    return SampledErrors.concatenate(found)


def measure_outputs(
    label: Callable[[Element, Any], dict[str, Tensor]],
    here: dict[str, Tensor],
    inputs: Any,
    signature: Signature,
    elements: Element,
    layout: Layout,
    outputs: Collection[str] | None = None,
    at_once: bool = True,
    factors: Mapping[str, float] | None = None,
) -> SampledErrors:
    """``measure`` for anything that gives outputs, such as a simulator.

    Args:
        label: ``(g, transformed inputs) → outputs``.
        here: outputs for the inputs as they are.
        inputs: a dict of tensors or a PyG object.
        at_once: small batches are transformed by several elements at once, as one larger batch, and g holds one element
            per item. With False, g is one element.
        factors: as in ``measure``.
    """
    count = len(elements)
    factors = spread_factors([here], signature.outputs, [layout]) if factors is None else factors
    differences, pulled_back = PartialSums(count), PartialSums(count)
    distances, relatives, by_size = [], [], []
    size = replicas_per_call(inputs, signature, layout, count) if at_once else 1
    for start in range(0, count, size):
        some = elements[start : start + size]
        transformed, now, each, kept = transform_replicas(some, inputs, here, signature, layout)
        there = label(some[0] if len(some) == 1 else each, transformed)
        compared = compare(each, kept, there, signature, now, now.mask, outputs, factors)
        distances.append(compared.distance.reshape(len(some), -1))
        relatives.append(ratio(compared.distance, compared.scale).reshape(len(some), -1))
        by_size.append(ratio(compared.distance, compared.size).reshape(len(some), -1))
        back = act(inverse(each), there, signature.outputs, now)
        for sums, values in ((differences, compared.difference), (pulled_back, back)):
            for name in here:
                for i, value in enumerate(output_replicas(name, values[name], here[name], len(some), layout)):
                    sums.add(start + i, name, value)

    bare = replace(layout, mask=None)  # differences are zero where masked out, and each element has its own mask

    def size_of(difference: dict[str, Tensor]) -> Tensor:
        return item_norm(difference, bare, signature.outputs, outputs)

    def from_here(average: dict[str, Tensor]) -> Tensor:
        return item_norm({name: here[name] - average[name] for name in here}, layout, signature.outputs, outputs)

    of_means, to_average = size_of(differences.mean()), from_here(pulled_back.mean())
    none = [of_means.new_zeros(0, len(of_means))]
    return SampledErrors(
        torch.cat(distances).cpu(),
        torch.cat(relatives).cpu(),
        torch.cat(by_size).cpu(),
        of_means.cpu(),
        torch.cat(none + [size_of(each)[None] for each in differences.means_without()]).cpu(),
        to_average.cpu(),
        torch.cat(none + [from_here(each)[None] for each in pulled_back.means_without()]).cpu(),
        factors,
        str(next(iter(here.values())).dtype).removeprefix("torch."),
    )


class Comparison(NamedTuple):
    """f(gx) − g f(x), 0 at masked-out nodes; its norm ``[n]``; the mean of the two norms with and without factors."""

    difference: dict[str, Tensor]
    distance: Tensor
    scale: Tensor
    size: Tensor


def compare(
    g: Element,
    here: dict[str, Tensor],
    there: dict[str, Tensor],
    signature: Signature,
    layout: Layout,
    mask: Tensor | None,
    outputs: Collection[str] | None = None,
    factors: Mapping[str, float] | None = None,
) -> Comparison:
    """f(gx) against g f(x).

    Args:
        g: one element, or one per item.
        mask: of the transformed batch.
        factors: as in ``measure``; ``None`` takes outputs as they are.
    """
    transformed = act(g, here, signature.outputs, layout)
    now = layout if layout.mask is None else replace(layout, mask=mask)
    side = signature.outputs
    difference = {name: without_hidden(there[name] - transformed[name], now, name, side[name]) for name in here}

    def size_of(both: Sequence[dict[str, Tensor]]) -> Tensor:
        return 0.5 * (item_norm(both[0], now, side, outputs) + item_norm(both[1], now, side, outputs))

    size = scale = size_of((there, transformed))
    if factors and any(factor != 1.0 for factor in factors.values()):
        scale = size_of([scale_invariants(each, side, factors) for each in (there, transformed)])
    return Comparison(difference, item_norm(difference, now, side, outputs), scale, size)


def without_hidden(values: Tensor, layout: Layout, name: str, kind: FieldType) -> Tensor:
    """Values on nodes with zeros at those that are masked out, so that means over relabellings do not mix them in."""
    mask = layout.mask
    if mask is None or not layout.has_node_axis(values, name, kind):
        return values
    return torch.where(mask[(..., *(None,) * (values.ndim - mask.ndim))], values, 0)


def ratio(distance: Tensor, scale: Tensor) -> Tensor:
    """Relative error; 0 where both are 0."""
    return distance / scale.clamp_min(torch.finfo(scale.dtype).tiny)


def batches(inputs: Any, signature: Signature, dim: int, batch_size: int | None) -> Iterator[Any]:
    """Cut a dense batch along its first axis."""
    if batch_size is None:
        yield inputs
        return
    layout = layout_of(inputs, signature, dim)
    if layout.is_ragged or not layout.shape:
        raise BatchError("batch_size cuts dense batches only; give ragged ones and single clouds whole.")
    total = layout.shape[0]
    for start in range(0, total, batch_size):
        yield {
            name: value[start : start + batch_size]
            if isinstance(value, Tensor) and value.ndim and len(value) == total
            else value
            for name, value in inputs.items()
        }


def item_norm(outputs: dict[str, Tensor], layout: Layout, side: Side, names: Collection[str] | None = None) -> Tensor:
    """Euclidean norm of all (or the named) outputs of each item together, ``[n]``, in float64; masked-out nodes do not
    count.
    """
    wide = {name: value.double() for name, value in outputs.items() if names is None or name in names}
    return item_squares(wide, side, layout).sqrt()
