"""Radial Field (Köhler et al. 2019) with velocity."""

from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import SignatureError
from geoequiv.fields import Signature
from geoequiv.models.layers.cloud import GEOMETRIC, SignatureAdapter, pair_invariants, smooth_norm
from geoequiv.models.layers.perceptron import gain, perceptron
from geoequiv.ranges import PositiveInt, check_ranges


@check_ranges
class RadialField(nn.Module):
    r"""Positions are updated along their differences by a learned function of the distance; no node features.

    .. math::
        x_i \leftarrow x_i + \sum_v \phi_v(\|v_i\|)_v\, v_i
            + \tfrac{1}{N-1} \sum_{j \neq i} (x_i - x_j)\, \tanh \phi(\|x_i - x_j\|, a_{ij})

    with :math:`a_{ij}` the products of scalars and the squared distance at the input.

    Args:
        signature: of points, vectors and scalars, with an input point; outputs are points and vectors. The first
            output point is the updated input point; further outputs are the displacement and the
            input vectors in learned constant proportions.
        width: hidden features of :math:`\phi`.
        depth: layers.

    Raises:
        SignatureError: for other field types, scalar outputs, or without an input point.

    Exactness: equivariant to E(3) and to permutations up to round-off.
    Reference: Köhler, Klein & Noé 2019; with velocity as the baseline of Satorras et al. 2021, who add the tanh.
    """

    claims = "E(3)"
    compiles = "one graph"

    def __init__(self, signature: Signature | str, width: PositiveInt = 64, depth: PositiveInt = 4) -> None:
        super().__init__()
        self.adapter = adapter = SignatureAdapter(
            signature, kinds=GEOMETRIC, architecture="RadialField", needs_point=True
        )
        if adapter.out_scalars:
            raise SignatureError(f"RadialField has no node features to predict scalars from: '{signature}'.")
        directions = adapter.directions
        self.fields = nn.ModuleList(gain(1 + adapter.pair_invariants, width) for _ in range(depth))
        self.speeds = nn.ModuleList(perceptron(directions, width, directions) for _ in range(depth * (directions > 0)))
        heads = adapter.out_vectors + max(adapter.out_points - 1, 0)
        self.proportions = nn.Parameter(torch.zeros(heads, 1 + directions))
        nn.init.ones_(self.proportions[:, :1])

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        pairs = cloud.pairs()
        start, directions = self.adapter.start(cloud)  # [..., N, 3], [..., N, directions, 3]
        position, displacement = start, torch.zeros_like(start)
        norms = smooth_norm(directions)
        edges = pair_invariants(cloud, pairs)
        for layer, field in enumerate(self.fields):
            difference = pairs.difference(position)
            distance = smooth_norm(difference).unsqueeze(-1)
            step = pairs.mean(difference * field(torch.cat([distance, edges], dim=-1)).tanh())
            if self.speeds:
                step = step + (self.speeds[layer](norms).unsqueeze(-2) @ directions).squeeze(-2)
            position, displacement = position + step, displacement + step  # position - start would lose digits
        basis = torch.cat([displacement.unsqueeze(-2), directions], dim=-2)
        own = min(self.adapter.out_points, 1)
        heads = self.proportions @ basis
        further, vectors = heads.split([self.adapter.out_points - own, self.adapter.out_vectors], dim=-2)
        points = self.adapter.origins(cloud)[..., own:, :] + further
        points = torch.cat([position.unsqueeze(-2)[..., :own, :], points], dim=-2)
        return self.adapter.write(cloud, points=points, vectors=vectors, scalars=cloud.scalars[..., :0])
