"""PaiNN, the polarizable atom interaction network (Schütt et al. 2021): scalar and vector features on nodes."""

from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.fields import Signature
from geoequiv.models.layers.cloud import GEOMETRIC, SignatureAdapter, smooth_norm
from geoequiv.models.layers.pairs import AllPairs, Pairs
from geoequiv.models.layers.perceptron import perceptron
from geoequiv.models.layers.radial import RadialBasis
from geoequiv.ranges import NonNegativeFloat, PositiveInt, check_ranges


@check_ranges
class PaiNN(nn.Module):
    r"""Messages of scalars and vectors, filtered by the distance.

    .. math::
        (a, b, c)_{ij} &= \phi(s_j) \circ W(\|x_i - x_j\|) \\
        s_i &\leftarrow s_i + \textstyle\sum_j a_{ij}, \qquad
        v_i \leftarrow v_i + \textstyle\sum_j \big(b_{ij} \circ v_j + c_{ij} \circ \hat r_{ij}\big) \\
        s_i &\leftarrow s_i + \alpha_i + \beta_i \circ \langle U v_i, V v_i \rangle, \qquad
        v_i \leftarrow v_i + \gamma_i \circ U v_i, \quad (\alpha, \beta, \gamma)_i = \psi(s_i, \|V v_i\|)

    Scalars start from a node's scalars and the norms of its vectors (further points seen from the first), vectors from
    linear combinations of these vectors. An output vector is a combination of the vector features, each scaled by a
    function of the scalar ones; an output point is displaced by one. The values of an ``adjacency`` are
    concatenated to the radial functions of a pair.

    Args:
        signature: of points, vectors and scalars, with at least one input point.
        width: scalar features, and vector features.
        depth: rounds of messages.
        cutoff: distance at which filters smoothly vanish, in units of the points; 0 for none. With one, pairs further
            apart may be left out of ``edge_index`` without effect (see `radius_graph`); without ``edge_index``
            clouds of 128 nodes and more leave them out by themselves.
        basis: radial functions; with a cutoff the n-th is n times as sensitive to round-off of a distance.

    Raises:
        SignatureError: for other field types, or without an input point.

    Exactness: equivariant to E(3) and to permutations up to round-off.
    Reference: Schütt, Unke & Gastegger 2021, equations 7–11; there 128 × 3, cutoff 5 Å, 20 radial functions, which are
    these with a cutoff. Sums over neighbours are not divided by their number, as published.
    """

    claims = "E(3)"
    compiles = "one graph"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        depth: PositiveInt = 3,
        *,
        cutoff: NonNegativeFloat = 0.0,
        basis: PositiveInt = 20,
    ) -> None:
        super().__init__()
        self.adapter = adapter = SignatureAdapter(signature, kinds=GEOMETRIC, architecture="PaiNN", needs_point=True)
        directions = adapter.directions
        self.embed = nn.Linear(max(directions + adapter.scalars, 1), width)
        self.lift = nn.Linear(directions, width, bias=False) if directions else None
        self.radial = RadialBasis(basis, cutoff)
        moves = adapter.out_points + adapter.out_vectors
        self.messages = nn.ModuleList(Message(width, basis + adapter.relations) for _ in range(depth))
        self.updates = nn.ModuleList(Update(width, moves > 0 or layer + 1 < depth) for layer in range(depth))
        self.scalars = perceptron(width, width, adapter.out_scalars) if adapter.out_scalars else None
        self.gates = perceptron(width, width, moves) if moves else None
        self.moves = nn.Linear(width, moves, bias=False) if moves else None
        if self.moves is not None:
            nn.init.xavier_uniform_(self.moves.weight, gain=0.1)  # initial displacements are small

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        pairs = cloud.pairs(self.radial.cutoff)
        start, directions = self.adapter.start(cloud)  # [..., N, 3], [..., N, directions, 3]
        invariants = torch.cat([smooth_norm(directions), cloud.scalars], dim=-1)
        if not invariants.shape[-1]:
            invariants = torch.ones_like(start[..., :1])
        scalars = self.embed(invariants)
        if self.lift is not None:
            vectors = self.lift(directions.mT)  # [..., N, 3, width]
        else:
            vectors = scalars.new_zeros(*scalars.shape[:-1], 3, scalars.shape[-1])
        difference = pairs.difference(start)
        distance = smooth_norm(difference).unsqueeze(-1)
        unit, radial = difference / distance, self.radial(distance)
        if isinstance(pairs, AllPairs) and self.adapter.relations:
            radial = torch.cat([radial, pairs.between(cloud.relations) * radial[..., -1:]], dim=-1)
        for message, update in zip(self.messages, self.updates, strict=True):
            scalars, vectors = update(*message(pairs, scalars, vectors, unit, radial))
        moves = start.unsqueeze(-2)[..., :0, :]
        if self.moves is not None and self.gates is not None:
            moves = (self.moves(vectors) * self.gates(scalars).unsqueeze(-2)).mT
        steps, free = moves.split([self.adapter.out_points, self.adapter.out_vectors], dim=-2)
        values = cloud.scalars[..., :0] if self.scalars is None else self.scalars(scalars)
        return self.adapter.write(cloud, points=self.adapter.origins(cloud) + steps, vectors=free, scalars=values)


class Message(nn.Module):
    """Messages of neighbours.

    Args:
        width: scalar and vector features.
        basis: functions that filters are linear in, without the envelope.
    """

    def __init__(self, width: int, basis: int) -> None:
        super().__init__()
        self.content = perceptron(width, width, 3 * width)
        self.filter = nn.Linear(basis + 1, 3 * width, bias=False)  # the envelope is a bias

    def forward(
        self, pairs: Pairs, scalars: Tensor, vectors: Tensor, unit: Tensor, radial: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Scalars ``[..., N, F]``, vectors ``[..., N, 3, F]``; unit vectors, radial functions of pairs → the same."""
        content = pairs.sender(self.content(scalars)) * self.filter(radial)  # [..., N, N−1, 3F]
        added, kept, pointed = content.chunk(3, dim=-1)
        sent = pairs.sender(vectors.flatten(-2)).unflatten(-1, (3, -1))
        received = sent * kept.unsqueeze(-2) + unit.unsqueeze(-1) * pointed.unsqueeze(-2)
        vectors = vectors + pairs.sum(received.flatten(-2)).unflatten(-1, (3, -1))
        return scalars + pairs.sum(added), vectors


class Update(nn.Module):
    """Updates scalars from vectors of the same node, and vectors from scalars.

    Args:
        width: scalar and vector features.
        moves: whether the vectors are updated.
    """

    def __init__(self, width: int, moves: bool) -> None:
        super().__init__()
        self.parts = 3 if moves else 2
        self.both = nn.Linear(width, 2 * width, bias=False)
        self.weights = perceptron(2 * width, width, self.parts * width)

    def forward(self, scalars: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """``[..., N, F]`` and ``[..., N, 3, F]`` → the same."""
        first, second = self.both(vectors).chunk(2, dim=-1)
        length = (second.square().sum(-2) + 1e-12).sqrt()
        alpha, beta, *gamma = self.weights(torch.cat([scalars, length], dim=-1)).chunk(self.parts, dim=-1)
        scalars = scalars + alpha + beta * (first * second).sum(-2)
        return scalars, vectors + gamma[0].unsqueeze(-2) * first if gamma else vectors
