"""A second-order integrator with a learned, E(3)-equivariant law of motion."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoequiv.errors import SignatureError
from geoequiv.fields import Signature
from geoequiv.models.layers.cloud import SignatureAdapter
from geoequiv.models.layers.pairs import PairLinear, Pairs
from geoequiv.models.layers.perceptron import perceptron
from geoequiv.ranges import PositiveFloat, PositiveInt, check_ranges

GEOMETRIC = 5  # invariants of a pair besides products: distance, its logarithm and inverse, x·v, ‖Δv‖²


@check_ranges
class SecondOrder(nn.Module):
    r"""A learned acceleration, the same in each of K steps of a symplectic Euler integrator.

    .. math::
        m_{ij} &= \phi_e\big(h_i, h_j, \|v_i\|^2, \|v_j\|^2, r, \log r, 1/r, x_{ij} \cdot v_{ij}, \|v_{ij}\|^2,
            s_i s_j\big), \qquad r^2 = \|x_{ij}\|^2 + \epsilon^2 \\
        a_i &= \tfrac{1}{N-1} \sum_{j \neq i} \big(\alpha(m_{ij})\, x_{ij} / r + \beta(m_{ij})\, v_{ij}\big)
            + \gamma\big(h_i, \textstyle\sum_j m_{ij}\big)\, v_i \\
        v_i &\leftarrow v_i + \tau_k a_i, \qquad x_i \leftarrow x_i + \tau_k v_i, \qquad
        h_i \leftarrow h_i + \phi_h\big(h_i, \textstyle\sum_j m_{ij}\big)

    The time span :math:`\sum_k \tau_k` is learned, in equal steps. The norm of an acceleration is bounded smoothly,
    which keeps a path finite where the law is far off; node features are not bounded, and a training in which they
    overflow ends with an error. No law of physics is built in.

    Args:
        signature: one input point; at most one vector, the velocity (else bodies start at rest); scalars. Outputs: the
            point, a vector (the last velocity), or both.
        width: features of nodes and messages.
        steps: K.
        softening: ε, in the unit of the positions.
        max_acceleration: bound A of the norm, :math:`a \leftarrow a / \sqrt{1 + \|a\|^2 / A^2}`.

    Raises:
        SignatureError: for other fields.

    Exactness: equivariant to E(3) and to permutations up to round-off.
    Reference: after SEGNO, Liu et al. 2024 (weight-tied second-order updates); the law and its invariants are ours.
    """

    claims = "E(3)"
    compiles = "one graph"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        steps: PositiveInt = 12,
        *,
        softening: PositiveFloat = 0.05,
        max_acceleration: PositiveFloat = 30.0,
    ) -> None:
        super().__init__()
        kinds = ("point", "vector", "scalar", "adjacency")
        self.adapter = adapter = SignatureAdapter(signature, kinds=kinds, architecture="SecondOrder", needs_point=True)
        check_dynamics(adapter, "SecondOrder")
        self.steps, self.softening, self.max_acceleration = steps, softening, max_acceleration
        self.embed = nn.Linear(adapter.scalars + 1, width)
        self.first = PairLinear(width + 1, GEOMETRIC + adapter.scalars + adapter.relations, width)
        self.second = nn.Linear(width, width)
        self.along = nn.Linear(width, 2)
        self.node = perceptron(2 * width, width, width + 1)
        self.span = nn.Parameter(torch.tensor(0.0))  # logarithm of the time span

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        pairs = cloud.pairs()
        position = cloud.points[..., 0, :]
        velocity = cloud.vectors[..., 0, :] if self.adapter.vectors else torch.zeros_like(position)
        fixed = [pairs.receiver(cloud.scalars) * pairs.sender(cloud.scalars)]
        if self.adapter.relations:
            fixed.append(pairs.between(cloud.relations))  # type: ignore[union-attr]
        nodes = self.embed(torch.cat([cloud.scalars, velocity.square().sum(-1, keepdim=True)], dim=-1))
        step = self.span.exp() / self.steps
        for _ in range(self.steps):
            nodes, acceleration = self.law(pairs, nodes, position, velocity, fixed)
            velocity = velocity + step * acceleration
            position = position + step * velocity
        points = position.unsqueeze(-2)[..., : self.adapter.out_points, :]
        vectors = velocity.unsqueeze(-2)[..., : self.adapter.out_vectors, :]
        return self.adapter.write(cloud, points=points, vectors=vectors, scalars=cloud.scalars[..., :0])

    def law(
        self, pairs: Pairs, nodes: Tensor, position: Tensor, velocity: Tensor, fixed: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Nodes ``[..., N, width]``, positions and velocities ``[..., N, 3]`` → nodes, accelerations."""
        both = pairs.difference(torch.cat([position, velocity], dim=-1)).unflatten(-1, (2, 3))
        square, cross, speed = invariants(both)
        inverse = (square + self.softening**2).rsqrt()
        edges = torch.cat([1 / inverse, -inverse.log(), inverse, cross, speed, *fixed], dim=-1)
        seen = torch.cat([nodes, velocity.square().sum(-1, keepdim=True)], dim=-1)
        message = F.silu(self.second(F.silu(self.first(pairs, seen, edges))))
        factors = self.along(message)
        scaled = torch.stack([factors[..., :1] * inverse, factors[..., 1:]], dim=-2)
        acceleration = pairs.mean((both * scaled).sum(-2))
        change = self.node(torch.cat([nodes, pairs.sum(message)], dim=-1))
        acceleration = acceleration + change[..., -1:] * velocity
        return nodes + change[..., :-1], bounded(acceleration, self.max_acceleration)


def bounded(acceleration: Tensor, longest: float) -> Tensor:
    r""":math:`a / \sqrt{1 + \|a\|^2 / A^2}`: vectors ``[..., 3]`` whose norm stays below A, smooth at 0."""
    scaled = acceleration / longest
    largest = scaled.detach().abs().amax(-1, keepdim=True).clamp(min=1)  # whose square may be no finite number
    unit = scaled / largest
    return longest * unit * (largest.pow(-2) + unit.square().sum(-1, keepdim=True)).rsqrt()


def invariants(both: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Differences of position and velocity ``[..., 2, 3]`` → ‖x‖², x·v and ‖v‖², ``[..., 1]`` each."""
    x, v = both.unbind(-2)
    return x.square().sum(-1, keepdim=True), (x * v).sum(-1, keepdim=True), v.square().sum(-1, keepdim=True)


def check_dynamics(adapter: SignatureAdapter, architecture: str) -> None:
    """Raise SignatureError unless the fields are a position, at most one velocity, and what stays fixed."""
    fits = (adapter.points, adapter.vectors <= 1, adapter.out_points <= 1, adapter.out_vectors <= 1)
    if fits != (1, True, True, True) or adapter.out_scalars:
        raise SignatureError(
            f"{architecture} moves one point of each node along at most one vector, such as 'pos: point, vel: vector, "
            f"charge: scalar -> pos: point'; got '{adapter.signature}'."
        )
