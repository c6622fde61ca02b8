"""Convolutions over positions and orientations, after PONITA (Bekkers et al. 2024)."""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from geoequiv.errors import SignatureError
from geoequiv.fields import Signature
from geoequiv.groups import group
from geoequiv.models.layers.clebsch_gordan import Constant
from geoequiv.models.layers.cloud import GEOMETRIC, SignatureAdapter, smooth_norm
from geoequiv.models.layers.pairs import Pairs
from geoequiv.models.layers.perceptron import perceptron
from geoequiv.models.layers.tensor_products import pair_scalars
from geoequiv.ranges import PositiveInt, check_ranges

#: orientations → the rotation axes (group, order) that they are, and the group that permutes them
GRIDS = {
    6: ([("O", 4)], "Oh"),
    12: ([("I", 5)], "Ih"),
    20: ([("I", 3)], "Ih"),
    32: ([("I", 5), ("I", 3)], "Ih"),
}
TINY = 1e-8  # squared; keeps the root differentiable for coincident nodes


@check_ranges
class PONITA(nn.Module):
    r"""Functions of position and orientation, convolved over space, then over the sphere, then mixed node by node.

    .. math::
        u_i(o) &= \operatorname{mean}_{j \neq i}
            k\bigl(o \cdot r_{ij},\ \|r_{ij} - (o \cdot r_{ij})\, o\|,\ a_{ij}\bigr) \odot h_j(o) \\
        h_i(o) &\leftarrow h_i(o) + \mathrm{MLP}\bigl(\mathrm{LN}\bigl(\operatorname{mean}_{o'}
            \kappa(o \cdot o') \odot u_i(o')\bigr)\bigr)

    Kernels are linear in a basis that a perceptron makes of the invariants of a pair and that all layers share. A
    vector v enters as the function :math:`v \cdot o`, scalars and norms as constants; an output vector is
    :math:`\tfrac{3}{n} \sum_o w(o)\, o`, a scalar the mean over orientations, an output point is displaced by a vector.

    Args:
        signature: of points, vectors and scalars, with at least one input point.
        width: features of each node and orientation.
        depth: layers.
        orientations: n; 6 (the vertices of an octahedron), 12 (of an icosahedron), 20 (its faces) or 32 (both).
        basis: functions that kernels are linear in.
        expansion: hidden features of the perceptron over ``width``.

    Raises:
        SignatureError: for other field types, without an input point, or for another number of orientations.

    Exactness: equivariant up to round-off to translations, to permutations, and to the rotations and reflections that
    permute the grid: the 120 of the icosahedron (``Ih``; with 6 orientations the 48 of ``Oh``). To all other rotations
    it is approximate, limited by the resolution of the grid: displacements of an untrained model of default size have
    an error of 6 % with 6 orientations, .6 % with 12, .4 % with 20 and .06 % with 32. The published model is
    equivariant in the same sense, on a grid without a symmetry of its own.
    Reference: Bekkers, Vadgama, Hesselink, van der Linden & Romero 2024, sections 3 and 4 (separable convolutions on
    R³ × S²). Sums are means here, the basis is made without polynomials, the grid is an orbit.
    """

    claims = "Ih"
    compiles = "one graph"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        depth: PositiveInt = 4,
        *,
        orientations: Literal[6, 12, 20, 32] = 12,
        basis: PositiveInt = 64,
        expansion: PositiveInt = 2,
    ) -> None:
        super().__init__()
        if orientations not in GRIDS:
            raise SignatureError(f"PONITA has grids of {', '.join(map(str, GRIDS))} orientations, not {orientations}.")
        axes, self.claims = GRIDS[orientations]
        self.adapter = adapter = SignatureAdapter(signature, kinds=GEOMETRIC, architecture="PONITA", needs_point=True)
        self.grid = Constant(torch.cat([axes_of(*each) for each in axes]))  # [n, 3]
        self.embed = nn.Linear(max(2 * adapter.directions + adapter.scalars, 1), width)
        self.spatial = perceptron(2 + adapter.pair_invariants, basis, basis, active=True)
        self.spherical = perceptron(1, basis, basis, active=True)
        self.layers = nn.ModuleList(Layer(width, basis, expansion) for _ in range(depth))
        moves = adapter.out_points + adapter.out_vectors
        self.norm = nn.LayerNorm(width)
        self.scalars = nn.Linear(width, adapter.out_scalars) if adapter.out_scalars else None
        self.moves = nn.Linear(width, moves, bias=False) if moves else None
        if self.moves is not None:
            nn.init.xavier_uniform_(self.moves.weight, gain=0.1)  # initial displacements are small

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        pairs = cloud.pairs()
        start, directions = self.adapter.start(cloud)  # [..., N, 3], [..., N, directions, 3]
        grid = self.grid.like(start)
        constant = torch.cat([smooth_norm(directions), cloud.scalars], dim=-1)
        if not constant.shape[-1]:
            constant = torch.ones_like(start[..., :1])
        constant = constant.unsqueeze(-2).expand(*constant.shape[:-1], len(grid), -1)
        nodes = self.embed(torch.cat([grid @ directions.mT, constant], dim=-1))  # [..., N, n, width]
        invariants = seen_along(pairs.difference(start), grid)  # [..., N, N−1, n, 2]
        others = pair_scalars(cloud, pairs).unsqueeze(-2).expand(*invariants.shape[:-1], -1)
        space = self.spatial(torch.cat([invariants, others], dim=-1))
        sphere = self.spherical((grid @ grid.T).unsqueeze(-1))  # [n, n, basis]
        for layer in self.layers:
            nodes = layer(pairs, nodes, space, sphere)
        nodes = self.norm(nodes)
        moves = start.unsqueeze(-2)[..., :0, :]
        if self.moves is not None:
            moves = self.moves(nodes).mT @ grid * (3 / len(grid))  # Σ o oᵀ = n/3
        steps, vectors = moves.split([self.adapter.out_points, self.adapter.out_vectors], dim=-2)
        scalars = cloud.scalars[..., :0] if self.scalars is None else self.scalars(nodes.mean(-2))
        return self.adapter.write(cloud, points=self.adapter.origins(cloud) + steps, vectors=vectors, scalars=scalars)


class Layer(nn.Module):
    """One separable convolution and a perceptron, added back.

    Args:
        width: features of a node and orientation.
        basis: functions that kernels are linear in.
        expansion: hidden features of the perceptron over ``width``.
    """

    def __init__(self, width: int, basis: int, expansion: int) -> None:
        super().__init__()
        self.spatial = nn.Linear(basis, width, bias=False)
        self.spherical = nn.Linear(basis, width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.mix = perceptron(width, expansion * width, width)

    def forward(self, pairs: Pairs, nodes: Tensor, space: Tensor, sphere: Tensor) -> Tensor:
        """Features ``[..., N, n, width]`` → the same.

        Args:
            pairs: over which messages pass.
            nodes: features of nodes and orientations.
            space: ``[..., N, N−1, n, basis]`` (or ``[E, n, basis]``).
            sphere: ``[n, n, basis]``.
        """
        messages = pairs.sender(nodes.flatten(-2)) * self.spatial(space).flatten(-2)
        gathered = pairs.mean(messages).unflatten(-1, nodes.shape[-2:])
        kernel = self.spherical(sphere).movedim(-1, 0) / len(sphere)  # [width, n, n]
        convolved = (kernel @ gathered.mT.unsqueeze(-1)).squeeze(-1).mT
        return nodes + self.mix(self.norm(convolved))


def seen_along(differences: Tensor, grid: Tensor) -> Tensor:
    """Length along and across each orientation: ``[..., 3]`` and ``[n, 3]`` → ``[..., n, 2]``."""
    along = (differences @ grid.T).unsqueeze(-1)
    across = smooth_norm(differences.unsqueeze(-2) - along * grid, TINY).unsqueeze(-1)
    return torch.cat([along, across], dim=-1)


def axes_of(name: str, order: int) -> Tensor:
    r"""Axes of the rotations by :math:`2\pi / \text{order}` of a finite group, in both directions: ``[n, 3]`` float64.

    Exactness: an orbit of the group, so that each of its elements permutes them.
    """
    rotations = group(name).elements().linear.double()
    cosine = math.cos(2 * math.pi / order)
    chosen = rotations[(rotations.diagonal(dim1=-2, dim2=-1).sum(-1) - 1 - 2 * cosine).abs() < 1e-6]
    projectors = ((chosen + chosen.mT) / 2 - cosine * torch.eye(3, dtype=torch.float64)) / (1 - cosine)  # Rodrigues
    kept: list[Tensor] = []
    for projector in projectors:
        longest = int(projector.diagonal().argmax())
        axis = projector[longest] / projector[longest].norm()
        if all(float((axis @ other).abs()) < 1 - 1e-6 for other in kept):
            kept.append(axis)
    return torch.cat([torch.stack(kept), -torch.stack(kept)])
