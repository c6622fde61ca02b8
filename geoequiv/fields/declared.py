"""Tensors beside the typed fields: what the user says that they are, and those of which it has to be said."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import BatchError, SignatureError
from geoequiv.fields.graphs import is_graph, named_fields
from geoequiv.fields.layout import Layout
from geoequiv.fields.signature import LAYOUT_ROLES, Signature


def read_inputs(
    inputs: Any, signature: str | Signature, model: object = None, names: Mapping[str, str] | None = None
) -> tuple[Any, Signature]:
    """Inputs under the names that say how a batch is laid out, and the signature with what the model's own declares.

    Args:
        inputs: a mapping, or a PyG object, whose attributes keep PyG's meaning.
        model: whose ``signature``, where it has one, may declare further names.
        names: what is declared beside the signature.
    """
    signature = Signature.parse(signature, names)
    own = getattr(model, "signature", None) if isinstance(model, nn.Module) else None
    if isinstance(own, Signature):
        further = {name: role for name, role in own.names if name not in signature.inputs}
        signature = signature.with_names({**further, **dict(signature.names)})
    return (inputs if is_graph(inputs) else under_layout_names(inputs, signature)), signature


def under_layout_names(inputs: Mapping[str, Any], signature: Signature) -> Mapping[str, Any]:
    """Inputs with ``edge_index``, ``batch`` and ``mask`` in the place of tensors that are declared to be them."""
    found = dict(inputs)
    for name, role in signature.names:
        if role not in LAYOUT_ROLES or found.get(name) is None or name == role:
            continue
        place = role.removeprefix("~")
        if found.get(place) is not None:
            raise BatchError(f"The inputs hold both '{place}' and '{name}', which is declared to be it.")
        found[place] = complement(found.pop(name), name) if role.startswith("~") else found.pop(name)
    return found if len(found) < len(inputs) or any(name not in inputs for name in found) else inputs


def under_own_names(
    inputs: Mapping[str, Any], signature: Signature, takes: Callable[[str], bool] = lambda name: True
) -> dict[str, Any]:
    """The inverse of ``under_layout_names``, for a model that takes them under their own names."""
    found = dict(inputs)
    for name, role in signature.names:
        place = role.removeprefix("~")
        if role in LAYOUT_ROLES and place != name and found.get(place) is not None and takes(name):
            found[name] = complement(found.pop(place), name) if role.startswith("~") else found.pop(place)
    return found


def complement(mask: Any, name: str) -> Tensor:
    """A mask of real nodes from one of padding, and back."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise BatchError(f"'{name}' is declared to be a mask of padding, '~mask': it must be bool, got {kind}.")
    return ~mask


def layout_of(inputs: Any, signature: Signature, dim: int = 3, rotates: bool = True) -> Layout:
    """How a batch of inputs is laid out: a dict of tensors under the layout's names, or a PyG object.

    Raises:
        BatchError: it does not fit the signature.
        SignatureError: it holds a tensor of which it has to be said what it is (see ``check_declared``).
    """
    fields = named_fields(inputs)
    layout = Layout.of(fields, signature.inputs, dim, signature.names, is_graph(inputs))
    if is_graph(inputs):  # PyG's names say what integers are, and y what is predicted
        fields = {n: v for n, v in fields.items() if n != "y" and isinstance(v, Tensor) and v.is_floating_point()}
    check_declared(fields, signature, layout, dim, rotates)
    return layout


def check_declared(fields: Mapping[str, Any], signature: Signature, layout: Layout, dim: int, rotates: bool) -> None:
    """Raise SignatureError for a tensor whose meaning decides the result, and of which nothing says what it is.

    Such are integers ``[2, E]`` and ``[n]`` (edges, a batch index, numbers of nodes), bools of the shape of a mask, and
    floating-point numbers with a last axis of length d, which may be directions.

    Args:
        dim: d.
        rotates: whether the group acts on directions at all.
    """
    known = {*signature.inputs, *dict(signature.names), "batch", "mask", "edge_index", "ptr", *layout.indices}
    for name, value in fields.items():
        if name in known or not isinstance(value, Tensor) or value.ndim == 0:
            continue
        possible = meanings(value, layout, dim, rotates)
        if possible is None:
            continue
        what, types, roles = possible
        declared = " or ".join(f"'{name}: {each}'" for each in (*types, *roles))
        explained = ", ".join(f"{role} = {MEANING_OF_ROLE[role]}" for role in roles if role in MEANING_OF_ROLE)
        raise SignatureError(
            f"The signature does not say what '{name}' is, {value.dtype} of shape {list(value.shape)}: it may be "
            f"{what}. Add to the inputs of the signature {declared} ({explained}). Wrappers and measures take "
            f"the same by names=, such as names={{'{name}': '{roles[0]}'}}."
        )


MEANING_OF_ROLE = {
    "mask": "True for real nodes",
    "~mask": "True for padding",
    "index": "numbers of nodes",
    "pass": "not transformed, repeated with the rows that it goes with",
    "constant": "not transformed, the same for all clouds",
}

Meanings = tuple[str, tuple[str, ...], tuple[str, ...]]


def meanings(value: Tensor, layout: Layout, dim: int, rotates: bool) -> Meanings | None:
    """What a tensor could be: in words, by types, and by roles; ``None`` where that makes no difference."""
    if value.dtype == torch.bool:
        if layout.is_ragged or tuple(value.shape) != (*layout.shape, layout.nodes):
            return None
        return "a mask of real nodes, or of padding", ("scalar per node",), ("mask", "~mask", "pass")
    if value.is_complex():
        return None
    if value.is_floating_point():
        if not rotates or value.shape[-1] != dim:
            return None
        types = ("vector", "vector per edge") if layout.edges is not None else ("vector",)
        return "directions, which rotate", types, ("pass", "constant")
    if value.ndim == 2 and value.shape[0] == 2:
        return "the edges of a graph", ("edge_index",), ("edge_index", "index", "pass", "constant")
    if value.ndim == 1 and len(value) == layout.nodes:
        return "the batch index, numbers of nodes, or kinds of nodes", ("scalar",), ("batch", "index", "pass")
    return None
