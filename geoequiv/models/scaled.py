"""A model in scaled units: inputs and outputs are of order one."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import SignatureError, unknown
from geoequiv.fields import Signature, call_model
from geoequiv.fields.signature import Side
from geoequiv.models.layers.batches import by_name

#: of a field, or of each column of a ``scalar*k``
Scale = float | Sequence[float]


class Scaled(nn.Module):
    r"""A model between two changes of units.

    .. math:: \Phi(x) = s_\text{out}\, f(x / s_\text{in})

    Nothing is shifted: about another origin than zero, a model that is symmetric to rotations about zero would not be.

    Args:
        model: called with named inputs.
        signature: of its inputs and outputs.
        inputs: input name → what it is divided by; a field that is not named stays. A ``scalar*k`` may have k scales,
            one for each column.
        outputs: output name → what it is multiplied by, likewise.
        zeros: output name → the constant that the task has taken off its targets, in their unit: kept in the checkpoint
            for whoever wants absolute values, which are output + zero; k of them for ``scalar*k``. Where an energy was
            taken off for each element, these, in the order of nuclear charge.

    Raises:
        SignatureError: an unknown name, a scale that is not positive, several scales where there are no columns, or
            points (which translate together) of different scales.

    Exactness: equivariant to whatever the model is, up to round-off; scales are buffers, and part of the checkpoint.
    """

    def __init__(
        self,
        model: nn.Module,
        signature: Signature | str,
        inputs: Mapping[str, Scale] | None = None,
        outputs: Mapping[str, Scale] | None = None,
        zeros: Mapping[str, Scale] | None = None,
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
                self.register_buffer(f"{kind}_scale_{name}", torch.as_tensor(scale, dtype=torch.get_default_dtype()))
        for name, zero in (zeros or {}).items():
            if name not in signature.outputs:
                raise SignatureError(unknown("output", name, signature.outputs))
            self.register_buffer(f"zero_{name}", torch.as_tensor(zero, dtype=torch.float64))

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
        scales = {name: value.tolist() for name, value in self._buffers.items() if value is not None}
        return ", ".join(
            f"{name}={f'{value:.4g}' if isinstance(value, float) else [float(f'{each:.4g}') for each in value]}"
            for name, value in scales.items()
        )


def check_scales(kind: str, side: Side, scales: Mapping[str, Scale]) -> None:
    """Raise SignatureError for a scale of an unknown field, one that is not positive and finite, or too many."""
    for name, scale in scales.items():
        if name not in side:
            raise SignatureError(unknown(kind, name, side))
        columns = torch.as_tensor(scale, dtype=torch.float64)
        if not bool(((columns > 0) & columns.isfinite()).all()):
            raise SignatureError(f"The scale of {kind} '{name}' must be positive, got {scale}.")
        numbers = side[name].kind in ("scalar", "pseudoscalar")
        if columns.ndim and not (numbers and tuple(columns.shape) == (side[name].multiplicity,)):
            raise SignatureError(
                f"{kind.capitalize()} '{name}' is a {side[name]}, which cannot have scales of shape "
                f"{list(columns.shape)}."
            )
