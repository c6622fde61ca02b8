"""What a model returns, by output name, and back in the form in which it returns it."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import fields as fields_of_class
from dataclasses import is_dataclass
from typing import Any

from torch import Tensor, nn

from geoequiv.errors import ModelOutputError
from geoequiv.fields.graphs import graph_fields, is_graph, with_fields
from geoequiv.fields.signature import Signature

#: the name of an entry, or its position
Key = str | int


def name_outputs(signature: Signature, raw: Any, function: Callable[..., Any]) -> dict[str, Tensor]:
    """What a model returned, by output name.

    Args:
        raw: a tensor (one output); a mapping, a dataclass, a named tuple or a PyG object with the outputs by name; or a
            tuple or list in the signature's order. Anything besides the outputs is left out.

    Raises:
        ModelOutputError: naming what came and what the signature expects.
    """
    entries = entries_of(raw)
    keys = output_keys(signature, raw, function)
    named = {name: entries[key] for name, key in keys.items()}
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise ModelOutputError(
                f"Output '{name}' of {model_name(function)} is {type(value).__name__}, not a tensor."
            )
        if not value.is_floating_point():
            raise ModelOutputError(
                f"Output '{name}' of {model_name(function)} holds {value.dtype}, not floating-point numbers: convert "
                "it with .float()."
            )
    return named


def with_channels(named: Mapping[str, Tensor], targets: Mapping[str, Any], signature: Signature) -> dict[str, Tensor]:
    """Outputs in the shape of their targets where these have an axis for the channel of a single scalar, ``[B, 1]``."""

    def shaped(name: str, value: Tensor) -> Tensor:
        target = targets.get(name)
        alone = isinstance(target, Tensor) and target.shape[-1:] == (1,) and target.ndim == value.ndim + 1
        kind = signature.outputs.get(name)
        return value.unsqueeze(-1) if alone and kind is not None and kind.is_scalar else value

    return {name: shaped(name, value) for name, value in named.items()}


def entries_of(raw: Any) -> dict[Key, Any]:
    """The entries of what a model returned, by name or position; empty if it is of another form."""
    if isinstance(raw, Tensor):
        return {0: raw}
    if is_graph(raw):
        return {name: value for name, value in graph_fields(raw).items()}  # noqa: C416
    if isinstance(raw, Mapping):
        return dict(raw)
    if is_dataclass(raw) and not isinstance(raw, type):
        return {field.name: getattr(raw, field.name) for field in fields_of_class(raw)}
    if isinstance(raw, tuple) and hasattr(raw, "_fields"):
        return dict(zip(raw._fields, raw, strict=True))
    return dict(enumerate(raw)) if isinstance(raw, (tuple, list)) else {}


def output_keys(signature: Signature, raw: Any, function: Callable[..., Any]) -> dict[str, Key]:
    """Output name → the entry that holds it.

    Entries of a tuple or list are taken in order. Where there are more of them than outputs, those that are no tensors
    do not count, and then single numbers (a loss) do not.
    """
    names, entries = list(signature.outputs), entries_of(raw)
    expected = f"the signature's outputs are ({signature.outputs})"
    if set(names) <= set(entries):
        return {name: name for name in names}
    if isinstance(raw, (Tensor, tuple, list)) and not set(names) & set(entries):
        for counts in (lambda v: True, lambda v: isinstance(v, Tensor), lambda v: isinstance(v, Tensor) and v.ndim > 0):
            keys = [key for key, value in entries.items() if counts(value)]
            if len(keys) == len(names):
                return dict(zip(names, keys, strict=True))
        raise ModelOutputError(f"{model_name(function)} returned {len(entries)} outputs; {expected}.")
    if not entries:
        raise ModelOutputError(f"{model_name(function)} returned {type(raw).__name__}; {expected}.")
    absent = next(name for name in names if name not in entries)
    raise ModelOutputError(f"{model_name(function)} returned {list(entries)}; {expected}: '{absent}' is missing.")


def extra_outputs(signature: Signature, raw: Any, function: Callable[..., Any]) -> dict[Key, Any]:
    """What a model returns besides its outputs: single numbers, such as an auxiliary loss, and what is no tensor.

    Raises:
        ModelOutputError: a tensor with axes, which cannot be averaged without a type.
    """
    if is_graph(raw):
        return {}
    used = set(output_keys(signature, raw, function).values())
    extra = {key: value for key, value in entries_of(raw).items() if key not in used}
    for key, value in extra.items():
        if holds_arrays(value):
            raise ModelOutputError(
                f"The model returns {key!r}, which the signature's outputs ({signature.outputs}) do not name: "
                "without a type it cannot be averaged. Add it to the signature or do not return it."
            )
    return extra


def holds_arrays(value: Any) -> bool:
    """Whether a value is, or contains, a tensor with axes."""
    if isinstance(value, Tensor):
        return value.ndim > 0
    if isinstance(value, Mapping):
        return any(holds_arrays(each) for each in value.values())
    return isinstance(value, (tuple, list)) and any(holds_arrays(each) for each in value)


def restore_outputs(
    signature: Signature,
    raw: Any,
    named: Mapping[str, Tensor],
    inputs: Any,
    function: Callable[..., Any],
    extra: Mapping[Key, Any] | None = None,
) -> Any:
    """Named outputs in the form in which the model returns them.

    Args:
        raw: what it returned, perhaps for copies of a batch.
        inputs: what it was called with for the batch itself; where model and caller speak in PyG objects, a copy of
            this one bears the outputs.
        extra: what it returns besides; ``None`` passes on that of ``raw``.

    Raises:
        ModelOutputError: if that is something that cannot be averaged (see ``extra_outputs``).
    """
    if isinstance(raw, Tensor):
        return next(iter(named.values()))
    if is_graph(raw):
        return with_fields(inputs, named) if is_graph(inputs) else dict(named)
    keys = output_keys(signature, raw, function)
    extra = extra_outputs(signature, raw, function) if extra is None else extra
    values = {**extra, **{keys[name]: value for name, value in named.items()}}
    if isinstance(raw, Mapping):
        if type(raw) is dict or not hasattr(raw, "__setitem__"):
            return {key: values[key] for key in raw}
        same: Any = copy.copy(raw)
        for key, value in values.items():
            same[key] = value
        return same
    if is_dataclass(raw):
        changed: Any = copy.copy(raw)
        for key, value in values.items():
            object.__setattr__(changed, str(key), value)
        return changed
    ordered = [values[key] for key in entries_of(raw)]
    return type(raw)(ordered) if type(raw) in (tuple, list) else type(raw)(*ordered)


def model_name(function: Callable[..., Any]) -> str:
    """How messages name a model."""
    if isinstance(function, nn.Module):
        return type(function).__name__
    return getattr(function, "__qualname__", repr(function))
