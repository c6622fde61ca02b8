"""A model in units of its own: what goes in and comes out is of the order of one."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import SignatureError, unknown
from geoequiv.fields import Signature, call_model
from geoequiv.fields.signature import Side
from geoequiv.models.layers.batches import by_name


class Scaled(nn.Module):
    r"""A model between two changes of units.

    .. math:: \Phi(x) = s_\text{out}\, f(x / s_\text{in})

    Nothing is shifted: about another origin than zero, a model that is symmetric to rotations about zero would not be.

    Args:
        model: called with named inputs.
        signature: of its inputs and outputs.
        inputs: input name → what it is divided by; a field that is not named stays.
        outputs: output name → what it is multiplied by.
        zeros: output name → the constant that the task has taken off its targets, in their unit: kept in the checkpoint
            for whoever wants absolute values, which are output + zero.

    Raises:
        SignatureError: an unknown name, a scale that is not positive, or points (which translate together) of different
            scales.

    Exactness: equivariant to whatever the model is, up to round-off; scales are buffers, and part of the checkpoint.
    """

    def __init__(
        self,
        model: nn.Module,
        signature: Signature | str,
        inputs: Mapping[str, float] | None = None,
        outputs: Mapping[str, float] | None = None,
        zeros: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.signature = signature = Signature.parse(signature)
        sides = {"input": (signature.inputs, dict(inputs or {})), "output": (signature.outputs, dict(outputs or {}))}
        for kind, (side, scales) in sides.items():
            check_scales(kind, side, scales)
        lengths = {scales.get(name, 1.0) for side, scales in sides.values() for name in side if side[name].translates}
        if len(lengths) > 1:
            raise SignatureError(f"The points of '{signature}' translate together and need one scale, got {lengths}.")
        for kind, (_, scales) in sides.items():
            for name, scale in scales.items():
                self.register_buffer(f"{kind}_scale_{name}", torch.tensor(float(scale)))
        for name, zero in (zeros or {}).items():
            if name not in signature.outputs:
                raise SignatureError(unknown("output", name, signature.outputs))
            self.register_buffer(f"zero_{name}", torch.tensor(float(zero), dtype=torch.float64))

    @property
    def claims(self) -> str | None:
        """The group that the model inside claims."""
        return getattr(self.model, "claims", None)

    def forward(self, graph: Any = None, /, **fields: Any) -> dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs, by name."""
        scaled = {
            name: values / scale if (scale := self.scale("input", name)) is not None else values
            for name, values in by_name(graph, fields).items()
        }
        outputs = call_model(self.model, self.signature, scaled)
        return {
            name: values * scale if (scale := self.scale("output", name)) is not None else values
            for name, values in outputs.items()
        }

    def scale(self, kind: str, name: str) -> Tensor | None:
        """Scale of an "input" or "output", None for one that stays as it is."""
        return self._buffers.get(f"{kind}_scale_{name}")

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={float(value):.4g}" for name, value in self._buffers.items() if value is not None)


def check_scales(kind: str, side: Side, scales: Mapping[str, float]) -> None:
    """Raise SignatureError for a scale of an unknown field, or one that is not positive and finite."""
    for name, scale in scales.items():
        if name not in side:
            raise SignatureError(unknown(kind, name, side))
        if not 0 < scale < float("inf"):
            raise SignatureError(f"The scale of {kind} '{name}' must be positive, got {scale}.")
