"""Forces as minus the gradient of an energy."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import SignatureError
from geoequiv.fields import Side, Signature, call_model
from geoequiv.models.layers.batches import by_name


class Conservative(nn.Module):
    r"""An energy model that gives forces as well.

    .. math:: F_i = -\partial E / \partial x_i

    The model has the signature without the forces. While gradients are enabled, forces can be differentiated again
    (training on forces is a double backward pass). Where gradients are disabled, as in evaluation, they are enabled for
    the derivative only.

    Args:
        model: predicts the energy; called with named inputs.
        signature: with one input point and two outputs: one ``scalar per graph``, the energy, and one ``vector``, the
            forces.

    Raises:
        SignatureError: for another signature.

    Exactness: round-off; the field is conservative. Where the energy is invariant to a group of isometries, the forces
    are equivariant to it: it claims what the model claims.
    Reference: Chmiela et al. 2017; Schütt et al., SchNet, 2017, eq. 4.
    """

    def __init__(self, model: nn.Module, signature: Signature | str) -> None:
        super().__init__()
        self.model = model
        self.signature = signature = Signature.parse(signature)
        self.energy_signature = energy_signature(signature)
        (self.energy,) = self.energy_signature.outputs
        (self.forces,) = signature.outputs.of_kind("vector")
        (self.point,) = signature.inputs.of_kind("point")

    @property
    def claims(self) -> str | None:
        """The group that the wrapped model claims."""
        return getattr(self.model, "claims", None)

    def forward(self, graph: Any = None, /, **fields: Any) -> dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → energy and forces, by name."""
        training = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            fields = differentiable(by_name(graph, fields), self.point)
            energy = call_model(self.model, self.energy_signature, fields)[self.energy]
            (gradient,) = torch.autograd.grad(energy.sum(), fields[self.point], create_graph=training)
        return {self.energy: energy if training else energy.detach(), self.forces: -gradient}


def differentiable(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Fields with respect to one of which a gradient can be taken, even if they were created in inference mode.

    Gradients must be enabled. A tensor that requires them already stays in its graph.
    """
    usable = {
        each: values.clone() if isinstance(values, Tensor) and values.is_inference() else values
        for each, values in fields.items()
    }
    leaf = usable[name] if usable[name].requires_grad else usable[name].detach().requires_grad_()
    usable[name] = leaf.view_as(leaf)  # torch's counter of operations cannot hook a leaf under grad()
    return usable


def energy_signature(signature: Signature | str) -> Signature:
    """The signature of energy and forces without the forces.

    Raises:
        SignatureError: for other outputs than an energy and forces.
    """
    signature = Signature.parse(signature)
    outputs = signature.outputs
    energies = [name for name in outputs.of_kind("scalar") if outputs[name].per_graph]
    forces = outputs.of_kind("vector")
    points = signature.inputs.of_kind("point")
    ones = [signature.inputs[name].multiplicity for name in points]
    ones += [outputs[name].multiplicity for name in (*energies, *forces)]
    if (len(points), len(energies), len(forces), len(outputs)) != (1, 1, 1, 2) or set(ones) != {1}:
        raise SignatureError(
            "Forces as a gradient need one input point, an energy that is a scalar per graph, and forces that are a "
            f"vector, such as 'pos: point -> energy: scalar per graph, forces: vector'; got '{signature}'."
        )
    return Signature(signature.inputs, Side(((energies[0], outputs[energies[0]]),)))
