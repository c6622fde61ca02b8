"""Transformed replicas of a batch, so that one call of a model serves several group elements."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from geoequiv.errors import ModelOutputError
from geoequiv.fields import Layout, Signature, act, layout_of, merge_replicas, named_fields, replicate, split_replicas
from geoequiv.fields.graphs import is_graph
from geoequiv.groups import Element

#: Small batches are called with several copies at once, up to this many numbers in the input fields.
NUMBERS_PER_CALL = 8192


def replicas_per_call(inputs: Any, signature: Signature, layout: Layout, count: int) -> int:
    """How many group elements share a call of the model: as many replicas as fit in ``NUMBERS_PER_CALL``.

    One for a single cloud, whose model may have no batch axis, and for ragged batches without a batch vector, whose
    model may take one graph only.
    """
    given = inputs.batch if is_graph(inputs) else inputs.get("batch")
    if not layout.shape or (layout.is_ragged and given is None):
        return 1
    fields = named_fields(inputs)
    numbers = sum(fields[name].numel() for name in signature.inputs)
    return max(1, min(count, NUMBERS_PER_CALL // max(1, numbers)))


def transform_replicas(
    some: Element, inputs: Any, here: dict[str, Tensor], signature: Signature, layout: Layout
) -> tuple[Any, Layout, Element, dict[str, Tensor]]:
    """Inputs transformed by each of some group elements, as one batch.

    Returns:
        The batch, its layout, the group element of each of its items, and the untransformed outputs, replicated.
    """
    if len(some) == 1:
        transformed = act(some[0], inputs, signature.inputs, layout)
        return transformed, replace(layout, mask=mask_of(transformed, layout)), some[0], here
    copies, ones = len(some), (1,) * len(layout.shape)
    transformed = replicate(some.reshape(copies, *ones), inputs, signature.inputs, layout)
    now = layout_of(transformed, signature, some.dim, rotates=False)
    each = some.reshape(copies, *ones).expand(copies, *layout.shape).reshape(*now.shape)
    kept = {name: merge_replicas(value.expand(copies, *value.shape), layout) for name, value in here.items()}
    return transformed, now, each, kept


def output_replicas(name: str, values: Tensor, like: Tensor, copies: int, layout: Layout) -> list[Tensor]:
    """One output of a batch of replicas, replica by replica.

    Raises:
        ModelOutputError: if the model does not keep the axis of the items first.
    """
    if copies == 1:
        return [values]
    stacked = split_replicas(values, copies, layout)
    if stacked is None or stacked.shape[1:] != like.shape:
        raise ModelOutputError(
            f"Output '{name}' has shape {list(values.shape)} for {copies} copies of a batch that gives "
            f"{list(like.shape)}: the axis of the items, nodes or edges has to come first."
        )
    return list(stacked)


def mask_of(transformed: Any, layout: Layout) -> Tensor | None:
    """The mask of a transformed batch (a relabelling permutes it too)."""
    return None if layout.mask is None else transformed["mask"]
