"""VN-DGCNN (Deng et al. 2021): DGCNN of vector neurons, here with an equivariant head."""

from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.fields import Signature
from geoequiv.models.layers.cloud import SignatureAdapter
from geoequiv.models.layers.point_sets import Neighbours
from geoequiv.models.layers.vn_point_sets import EquivariantHead, VectorCloud, VNEdgeLayer, VNLayer, mean_of_vectors
from geoequiv.ranges import PositiveInt, ProperFraction, check_ranges

SLOPE = 0.2  # of all ReLUs, as published


@check_ranges
class VNDGCNN(nn.Module):
    r"""DGCNN whose features are vectors: messages from the nearest nodes in the space of these.

    .. math:: v^{l+1}_i = \overline{\mathrm{VN}^l(v^l_j - v^l_i, v^l_i)}_{j \in N_k^l(i)}, \qquad
              y_i = \mathrm{head}\big(\mathrm{VN}(v^1, v^2, v^3), v^1, v^2, v^3\big)

    Thirds of the widths of DGCNN, rounded down; neighbours are found anew in each of three blocks of two, two and one
    layers. The head writes its outputs in a learned frame of each node (see ``EquivariantHead``). Positions are taken
    about the centroid.

    Args:
        signature: of points, vectors and scalars, with at least one input point; scalars enter in the head.
        width: unit of the widths, 3 or more; 64 is published.
        neighbours: k, the node itself included; 40 is published.
        dropout: in the head, after the first two layers.

    Raises:
        SignatureError: for other field types, or without an input point.

    Exactness: equivariant to E(3) and to permutations up to round-off (unless nodes are equally far). Jumps where the
    neighbours of a node change.
    Reference: Deng et al. 2021, section 4, widths of its network for parts of shapes, mean pooling. That outputs are
    vectors is ours.
    """

    claims = "E(3)"
    compiles = "one graph; ragged and masked batches in parts (their padding has a size that depends on the batch)"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        *,
        neighbours: PositiveInt = 40,
        dropout: ProperFraction = 0.5,
    ) -> None:
        super().__init__()
        kinds = ("point", "vector", "scalar")
        self.adapter = adapter = SignatureAdapter(signature, kinds=kinds, architecture="VNDGCNN", needs_point=True)
        self.neighbours = neighbours
        one, most = max(width // 3, 1), max(16 * width // 3, 1)
        start = adapter.points + adapter.vectors
        self.edges = nn.ModuleList(VNEdgeLayer(inputs, one, SLOPE) for inputs in (start, one, one))
        self.further = nn.ModuleList(VNLayer(one, one, SLOPE) for _ in range(2))
        self.whole = VNLayer(3 * one, most, SLOPE, shared=True)
        self.head = EquivariantHead(
            adapter, 2 * most, 3 * one, (most, max(most // 2, 1)), width, SLOPE, float(dropout), own=False
        )

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        found = VectorCloud.of(cloud)
        mask, vectors = found.points.mask, found.vectors
        blocks = []
        for number, layer in enumerate(self.edges):
            near = Neighbours.of(vectors.flatten(-2), self.neighbours, mask)
            edges = layer(vectors, near)
            if number < len(self.further):
                edges = self.further[number](edges, near.mask)
            vectors = mean_of_vectors(edges, near.mask)
            blocks.append(vectors)
        local = torch.cat(blocks, dim=-2)
        whole = self.whole(local, mask)
        mean = mean_of_vectors(whole, mask).unsqueeze(1).expand_as(whole)
        return self.head(cloud, found, torch.cat([whole, mean], dim=-2), local)
