"""A second-order integrator whose law of motion is any other architecture."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import SignatureError, unknown
from geoequiv.fields import FieldType, Side, Signature
from geoequiv.importing import import_object
from geoequiv.models.layers.batches import by_name
from geoequiv.models.layers.cloud import SignatureAdapter
from geoequiv.models.second_order import bounded, check_dynamics
from geoequiv.ranges import PositiveFloat, PositiveInt, check_ranges

STATE, ACCELERATION, VELOCITY = "state", "acceleration", "velocity"
LAYOUT = ("mask", "batch", "edge_index", "ptr")


@check_ranges
class Integrator(nn.Module):
    r"""Another architecture predicts accelerations, with the same weights in each of K steps.

    .. math::
        (a, \Delta s) &= f(x, v, \tanh s, \ldots), \qquad s \leftarrow s + \Delta s \\
        v &\leftarrow v + \tfrac{T}{K}\, a, \qquad x \leftarrow x + \tfrac{T}{K}\, v

    Features s of each node start at 0 and are carried along; the time span T is learned. What the backbone sees of s
    and the norm of a are bounded, which keeps a path finite: backbones multiply scalars of pairs, which would grow
    doubly exponentially. Inputs other than position and velocity stay as they are. Like any model it can be averaged,
    framed, augmented or trained with REMUL, which separates what symmetry is worth from what mechanics is worth.

    Args:
        signature: one input point and at most one vector, its velocity (else bodies start at rest); further fields as
            the backbone takes them. Outputs: the point, a vector (the last velocity), or both.
        width: of the backbone.
        depth: of the backbone, in each step.
        backbone: an architecture of ``geoequiv list models`` that predicts a vector and scalars of each node, or
            ``package.module:Class``, called with a signature, ``width`` and, where it takes one, ``depth``.
        steps: K.
        state: features carried along, of each node.
        max_acceleration: bound A of the norm, :math:`a \leftarrow a / \sqrt{1 + \|a\|^2 / A^2}`.

    Raises:
        SignatureError: for fields that are not those of a motion, or that the backbone does not take.

    Exactness: equivariant to whatever the backbone is, up to round-off.
    Reference: after SEGNO, Liu et al. 2024.
    """

    claims: str | None = None  # of the class; an instance claims what its backbone does
    compiles = "one graph, where its backbone is"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        depth: PositiveInt = 1,
        *,
        backbone: str = "gnn",
        steps: PositiveInt = 12,
        state: PositiveInt = 32,
        max_acceleration: PositiveFloat = 30.0,
    ) -> None:
        super().__init__()
        self.signature = signature = Signature.parse(signature)
        self.adapter = adapter = SignatureAdapter(signature, architecture="Integrator", needs_point=True)
        check_dynamics(adapter, "Integrator")
        self.steps, self.state, self.max_acceleration = steps, state, max_acceleration
        inputs = signature.inputs
        (self.point,) = inputs.of_kind("point")
        self.velocity = next(iter(inputs.of_kind("vector")), VELOCITY)
        taken = {STATE, ACCELERATION, *([] if self.velocity in inputs else [VELOCITY])} & {*inputs}
        if taken:
            raise SignatureError(
                f"Integrator has a field '{min(taken)}' of its own: give that of '{signature}' another."
            )
        fields = {**dict(inputs.items()), self.velocity: FieldType("vector"), STATE: FieldType("scalar", state)}
        made = {ACCELERATION: FieldType("vector"), STATE: FieldType("scalar", state)}
        law = Signature(Side(tuple(fields.items())), Side(tuple(made.items())))
        build = architecture(backbone)
        sizes = {"width": width, "depth": depth}
        self.law: nn.Module = build(law, **{name: sizes[name] for name in sizes if name in parameters(build)})
        self.claims = getattr(self.law, "claims", None)
        self.span = nn.Parameter(torch.tensor(0.0))  # logarithm of the time span

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        found = by_name(graph, fields)
        cloud = self.adapter.read(found)  # checks, and reads padding as 0
        kept = (*self.signature.inputs, *LAYOUT)
        given = {name: found[name] for name in kept if found.get(name) is not None}
        position = cloud.points[..., 0, :]
        velocity = cloud.vectors[..., 0, :] if self.adapter.vectors else torch.zeros_like(position)
        state = position.new_zeros(*position.shape[:-1], self.state)
        step = self.span.exp() / self.steps
        for _ in range(self.steps):
            made = self.law(**{**given, self.point: position, self.velocity: velocity, STATE: state.tanh()})
            state = state + made[STATE].view_as(state)  # a lone feature has no axis of its own
            velocity = velocity + step * bounded(made[ACCELERATION], self.max_acceleration)
            position = position + step * velocity
        points = position.unsqueeze(-2)[..., : self.adapter.out_points, :]
        vectors = velocity.unsqueeze(-2)[..., : self.adapter.out_vectors, :]
        return self.adapter.write(cloud, points=points, vectors=vectors, scalars=state[..., :0])


def architecture(name: str) -> Any:
    """The class of an architecture, by its name in the catalog or ``package.module:Class``.

    Raises:
        GeoequivError: there is none of that name.
    """
    if ":" in name:
        return import_object("backbone", name)
    home = "geoequiv.models"
    public = import_object("model", f"{home}:__all__")
    classes = {each.lower(): each for each in public if each != Integrator.__name__}
    if name.replace("_", "") not in classes:
        raise SignatureError(unknown("backbone of Integrator", name, classes))
    return import_object("model", f"{home}:{classes[name.replace('_', '')]}")


def parameters(build: Any) -> set[str]:
    """Names of the arguments of a constructor."""
    return set(inspect.signature(build).parameters)
