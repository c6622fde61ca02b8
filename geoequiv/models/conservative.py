"""Forces, and stress, as minus the gradient of an energy."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import SignatureError
from geoequiv.fields import BoundCall, FieldType, Side, Signature, call_model, layout_of
from geoequiv.fields.graphs import is_graph
from geoequiv.models.layers.batches import by_name

#: names of the outputs that a signature of an energy alone does not give
FORCES, STRESS, CELL = "forces", "stress", "cell"


class Conservative(nn.Module):
    r"""An energy model that gives forces as well, and stress where it is periodic.

    .. math:: F_i = -\frac{\partial E}{\partial x_i}, \qquad
              \sigma = \frac{1}{|\det C|} \frac{\partial}{\partial \varepsilon}
                       E\big(x (1 + \varepsilon),\, C (1 + \varepsilon)\big) \Big|_{\varepsilon = 0}, \quad
              \varepsilon = \varepsilon^\top

    The model sees the signature without forces and stress. To average a potential over frames, average the energy and
    differentiate the average: ``Conservative(FrameAveraging(energy_model, …))``. While gradients are enabled, forces
    can be differentiated once more (training on forces is a double backward pass); where they are switched off, as in
    evaluation, they are switched on for the derivative alone.

    Args:
        model: predicts the energy; called with named inputs.
        signature: with one input point, and one output ``scalar per graph``, the energy; the forces, one ``vector``,
            may be named as a further output, and are called "forces" else. An input ``cell: vector*3 per graph`` (its
            rows are the lattice vectors) adds "stress", a symmetric ``tensor per graph`` in energy per volume, ASE's
            sign: positive under tension. ``None``: the signature that the model has itself, as wrappers do.

    Raises:
        SignatureError: for another signature, or a model that has none.

    Exactness: round-off; the field is conservative. Where the energy is invariant to a group of isometries, the forces
    are equivariant to it: Φ claims what the model claims.
    Reference: Chmiela et al. 2017; Schütt et al., SchNet, 2017, eq. 4; stress: Knuth et al. 2015, eq. 1.
    """

    def __init__(self, model: nn.Module, signature: Signature | str | None = None) -> None:
        super().__init__()
        self.model = model
        if signature is None:
            signature = getattr(model, "signature", None)
        if not isinstance(signature, (Signature, str)):
            raise SignatureError(
                f"{type(model).__name__} has no signature of its own: give one, such as 'pos: point -> energy: scalar "
                "per graph'."
            )
        self.signature = signature = with_forces(Signature.parse(signature))
        self.energy_signature = energy_signature(signature)
        (self.energy,) = self.energy_signature.outputs
        (self.forces,) = signature.outputs.of_kind("vector")
        (self.point,) = signature.inputs.of_kind("point")
        self.has_cell = STRESS in signature.outputs

    @property
    def claims(self) -> str | None:
        """The group that the model inside claims."""
        return getattr(self.model, "claims", None)

    def forward(self, *args: Any, **fields: Any) -> dict[str, Tensor]:
        """The inputs of the signature, as the model takes them, by name, or as a PyG object → outputs by name."""
        named = self.named(args, fields)
        training = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            usable = differentiable(named, self.point)
            place, strain = usable[self.point], None
            if self.has_cell:
                usable, strain = strained(usable, self.point, self.energy_signature)
            energy = call_model(self.model, self.energy_signature, usable)[self.energy]
            asked = [place] if strain is None else [place, strain]
            gradient, *virial = torch.autograd.grad(energy.sum(), asked, create_graph=training)
        outputs = {self.energy: energy if training else energy.detach(), self.forces: -gradient}
        if virial:
            volume = torch.linalg.det(cells(named)).abs()
            outputs[STRESS] = (virial[0] + virial[0].mT) / 2 / volume[..., None, None]
        return outputs

    def named(self, args: tuple, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments of a call, by field name."""
        if not args or (len(args) == 1 and is_graph(args[0])):
            return by_name(args[0] if args else None, fields)
        found = BoundCall.bind(self.model, self.energy_signature, args, fields).fields
        return {name: value for name, value in found.items() if value is not None}


def differentiable(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Fields that a gradient to one of them can be taken of, also if they were made in inference mode.

    Gradients must be enabled. What requires them already stays in its graph.
    """
    usable = {
        each: values.clone() if isinstance(values, Tensor) and values.is_inference() else values
        for each, values in fields.items()
    }
    place = usable[name] if usable[name].requires_grad else usable[name].detach().requires_grad_()
    usable[name] = place.view_as(place)  # torch's counter of operations cannot hook a leaf under grad()
    return usable


def cells(fields: Mapping[str, Any]) -> Tensor:
    """Lattice vectors as rows, ``[*shape, 3, 3]``."""
    cell = fields[CELL]
    return cell if cell.shape[-2:] == (3, 3) else cell.unflatten(-1, (3, 3))


def strained(fields: Mapping[str, Any], point: str, signature: Signature) -> tuple[dict[str, Any], Tensor]:
    """Fields under a symmetric strain of each cloud that is zero, and the strain ``[*shape, 3, 3]``."""
    layout = layout_of(fields, signature)
    pos, cell = fields[point], fields[CELL]
    strain = pos.new_zeros(*layout.shape, 3, 3).requires_grad_()
    stretch = torch.eye(3, dtype=pos.dtype, device=pos.device) + (strain + strain.mT) / 2
    if layout.batch is None:
        changed = pos @ stretch
    else:
        changed = (pos.unsqueeze(-2) @ stretch[layout.batch]).squeeze(-2)
    return {**fields, point: changed, CELL: (cells(fields) @ stretch).reshape(cell.shape)}, strain


def with_forces(signature: Signature) -> Signature:
    """A signature with outputs for the forces, and for the stress where there is a cell, if it has none."""
    outputs = dict(signature.outputs.items())
    if not signature.outputs.of_kind("vector") and len(outputs) == 1:
        outputs[FORCES] = FieldType("vector")
    cell = signature.inputs.get(CELL)
    if cell is not None and STRESS not in outputs:
        if cell != FieldType("vector", 3, rows="graph"):
            raise SignatureError(f"A cell has three vectors for each cloud, 'cell: vector*3 per graph'; got {cell}.")
        outputs[STRESS] = FieldType("tensor", rows="graph")
    return Signature(signature.inputs, Side(tuple(outputs.items())), signature.names)


def energy_signature(signature: Signature | str) -> Signature:
    """The signature of energy and forces (and stress) without these.

    Raises:
        SignatureError: it is not one of an energy and forces.
    """
    signature = Signature.parse(signature)
    outputs = signature.outputs
    energies = [name for name in outputs.of_kind("scalar") if outputs[name].per_graph]
    forces = outputs.of_kind("vector")
    points = signature.inputs.of_kind("point")
    ones = [signature.inputs[name].multiplicity for name in points]
    ones += [outputs[name].multiplicity for name in (*energies, *forces)]
    derived = (*energies, *forces, *((STRESS,) if CELL in signature.inputs else ()))
    others = [name for name in outputs if name not in derived]
    if (len(points), len(energies), len(forces)) != (1, 1, 1) or others or set(ones) != {1}:
        raise SignatureError(
            "Forces as a gradient need one input point, an energy that is a scalar per graph, and forces that are a "
            f"vector, such as 'pos: point -> energy: scalar per graph, forces: vector'; got '{signature}'."
        )
    return Signature(signature.inputs, Side(((energies[0], outputs[energies[0]]),)), signature.names)
