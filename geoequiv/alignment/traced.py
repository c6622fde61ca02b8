"""What a trace of a network returns: labels of weights, and where units can be observed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from geoequiv.alignment.labels import Layers, Ledger
from geoequiv.fields.calling import parameters_of, positional_names

Inputs = Mapping[str, Any] | tuple | Tensor


@dataclass(frozen=True)
class Tap:
    """An axis of a module's output along which units lie.

    Args:
        module: its name; ``call``: index of the call within one pass; ``leaf``: which of its output tensors.
        axis: counted from the end (−1 is the last).
        labels: the unit at each index along the axis.
        rows: how many numbers a unit has in the traced batch.
    """

    module: str
    call: int
    leaf: int
    axis: int
    labels: Tensor
    rows: int


@dataclass(frozen=True)
class Trace:
    """Labels of every parameter's axes and what was learnt about them.

    Args:
        axes: (tensor name, axis) → labels ``[length]``, for the tensors that the network reads.
        aliases: tensor name → further names of the same tensor in the state dict.
        outputs: what the network returned, with its layers.
        cuts: cut module → labels of the units that go in and that come out; None where they do not lie along the last
            axis alone.
    """

    ledger: Ledger
    axes: dict[tuple[str, int], Tensor]
    aliases: dict[str, list[str]]
    taps: list[Tap]
    outputs: list[tuple[Tensor, Layers]]
    cuts: dict[str, tuple[Tensor, Tensor] | None]


@dataclass(frozen=True)
class Sight:
    """Where a module returns all units of a stream.

    Args:
        tap: an axis of a module's output.
        index: ``[size, k]``, the coordinates of each unit along it.
        signs: ``[k]``, ±1: how the numbers there scale with the unit (a key scales inversely to its query).
        flips: ``[k]``, which of the stream's sign flips negate the numbers there (see ``Place``).
    """

    tap: Tap
    index: Tensor
    signs: Tensor
    flips: Tensor


def call(model: nn.Module, inputs: Inputs) -> Any:
    """Call a network with a dict of named inputs (by position if it has none of the names), a tuple, or one tensor."""
    if isinstance(inputs, Mapping):
        unnamed = positional_names(parameters_of(model), list(inputs))
        return model(*(inputs[name] for name in unnamed.values())) if unnamed else model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)
