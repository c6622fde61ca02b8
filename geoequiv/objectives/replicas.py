"""Outputs of a model for transformed replicas of a batch, and transformed targets."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from geoequiv.errors import ModelOutputError
from geoequiv.fields import Layout, Signature, act, call_model, replicate, split_replicas
from geoequiv.groups import Element

Outputs = dict[str, Tensor]


def predict_replicas(
    model: Callable[..., Any],
    signature: Signature,
    inputs: Any,
    elements: Element,
    layout: Layout,
    *,
    original: bool = True,
    fused: bool = True,
) -> list[Outputs]:
    """``[f(x), f(g_1 x), …, f(g_K x)]``, without the first unless ``original``.

    Args:
        inputs: a dict of tensors or a PyG object.
        elements: ``[K, *shape]``, one element per replica and item.
        layout: of the inputs.
        fused: whether all replicas are evaluated as one batch, or one by one.

    Raises:
        ModelOutputError: an output of the fused call does not keep the axis of the items first.
    """
    if not fused:
        here = [call_model(model, signature, inputs)] if original else []
        transformed = (act(elements[k], inputs, signature.inputs, layout) for k in range(len(elements)))
        return here + [call_model(model, signature, each) for each in transformed]
    count = len(elements) + original
    outputs = call_model(model, signature, replicate(elements, inputs, signature.inputs, layout, original))
    copies: list[Outputs] = [{} for _ in range(count)]
    for name, values in outputs.items():
        stacked = split_replicas(values, count, layout)
        if stacked is None:
            raise ModelOutputError(
                f"Output '{name}' has shape {list(values.shape)}, whose first axis does not hold {count} copies of the "
                f"batch {list(layout.shape)}. Keep the axis of the items first, or set fused=False."
            )
        for k, copy in enumerate(stacked):
            copies[k][name] = copy
    return copies


def transform_outputs(
    elements: Element, outputs: Mapping[str, Tensor], signature: Signature, layout: Layout
) -> list[Outputs]:
    """``[g_1 y, …, g_K y]`` of targets or predictions y, by name; unnamed ones are unchanged."""
    return [dict(act(elements[k], dict(outputs), signature.outputs, layout)) for k in range(len(elements))]
