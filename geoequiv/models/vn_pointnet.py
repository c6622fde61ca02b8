"""VN-PointNet (Deng et al. 2021): PointNet of vector neurons, here with an equivariant head."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.fields import Signature
from geoequiv.models.layers.cloud import SignatureAdapter
from geoequiv.models.layers.point_sets import Neighbours
from geoequiv.models.layers.vector_neurons import VNBatchNorm, VNLinear
from geoequiv.models.layers.vn_point_sets import EquivariantHead, VectorCloud, VNEdgeLayer, VNLayer, mean_of_vectors
from geoequiv.ranges import PositiveInt, ProperFraction, check_ranges


@check_ranges
class VNPointNet(nn.Module):
    r"""PointNet whose features are vectors: layers of neurons that rotate with the cloud.

    .. math:: v^1_i = \overline{\phi(v_j - v_i, v_i, v_j \times v_i)}_{j \in N_k(i)}, \qquad
              v^{l+1}_i = \mathrm{VN}^l(v^l_i), \qquad y_i = \mathrm{head}(v_i, \bar v)

    Thirds of the widths of PointNet, rounded down: 1, 1, 2, 2, 8 and 32. A network of the same kind sees the cloud and
    adds 2 thirds of vectors to all nodes before the layer of 8. The head writes its outputs in a learned frame of each
    node (see ``EquivariantHead``). Positions are taken about the centroid.

    Args:
        signature: of points, vectors and scalars, with at least one input point; scalars enter in the head.
        width: unit of the widths, 3 or more; 64 is published.
        neighbours: k, the node itself included; 20 is published.
        slope: of all ReLUs. The published network has 0, where a vector along its direction collapses to 0: the next
            layer then normalises its round-off.

    Raises:
        SignatureError: for other field types, or without an input point.

    Exactness: equivariant to SE(3) and to permutations up to round-off (unless nodes are equally far); not to
    reflections, under which cross products keep their sign. Round-off grows from layer to layer, as a vector is
    projected along a direction that may be much shorter: about 1e-5 in float32 at the output, and on clouds whose
    vectors are all parallel a factor of 5 or so a layer. Jumps where the neighbours of a node change.
    Reference: Deng et al. 2021, section 4, widths of its network for parts of shapes, mean pooling. Its code normalises
    before the direction of the ReLU is taken, as here; that outputs are vectors is ours.
    """

    claims = "SE(3)"
    compiles = "one graph; ragged and masked batches in parts (their padding has a size that depends on the batch)"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        *,
        neighbours: PositiveInt = 20,
        slope: ProperFraction = 0.2,
    ) -> None:
        super().__init__()
        kinds = ("point", "vector", "scalar")
        self.adapter = adapter = SignatureAdapter(signature, kinds=kinds, architecture="VNPointNet", needs_point=True)
        self.neighbours, slope = neighbours, float(slope)
        one, two, eight, most = (max(factor * width // 3, 1) for factor in (1, 2, 8, 32))
        self.edges = VNEdgeLayer(adapter.points + adapter.vectors, one, slope, cross=True)
        self.first, self.second = VNLayer(one, one, slope), VNLayer(one, two, slope)
        self.third, self.fourth = VNLayer(two, two, slope), VNLayer(2 * two, eight, slope)
        self.transform = VNTransformNet(two, width, slope)
        self.last, self.norm = VNLinear(eight, most), VNBatchNorm(most)
        self.head = EquivariantHead(
            adapter, 2 * most, one + 2 * two + eight, (16 * width // 3, 8 * width // 3), width, slope
        )

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        found = VectorCloud.of(cloud)
        mask = found.points.mask
        near = Neighbours.of(found.vectors.flatten(-2), self.neighbours, mask)
        start = mean_of_vectors(self.edges(found.vectors, near), near.mask)
        one = self.first(start, mask)
        two = self.second(one, mask)
        three = self.third(two, mask)
        whole = self.transform(three, mask).unsqueeze(1).expand_as(three)
        four = self.fourth(torch.cat([three, whole], dim=-2), mask)
        five = self.norm(self.last(four), mask)
        mean = mean_of_vectors(five, mask).unsqueeze(1).expand_as(five)
        local = torch.cat([one, two, three, four], dim=-2)
        return self.head(cloud, found, torch.cat([five, mean], dim=-2), local)


class VNTransformNet(nn.Module):
    """Vectors of a whole cloud, for each of its nodes.

    Args:
        channels: vectors of a node, and of the cloud.
        width: unit of the widths.
        slope: of the ReLUs.
    """

    def __init__(self, channels: int, width: int, slope: float) -> None:
        super().__init__()
        sizes = [channels, *(max(factor * width // 3, 1) for factor in (1, 2, 16, 8, 4))]
        pairs = list(pairwise(sizes))
        self.nodes = nn.ModuleList(VNLayer(a, b, slope) for a, b in pairs[:3])
        self.clouds = nn.ModuleList(VNLayer(a, b, slope) for a, b in pairs[3:])
        self.last = VNLinear(sizes[-1], channels)

    def forward(self, vectors: Tensor, mask: Tensor | None) -> Tensor:
        """``[B, N, channels, 3]`` → ``[B, channels, 3]``."""
        for layer in self.nodes:
            vectors = layer(vectors, mask)
        whole = mean_of_vectors(vectors, mask)
        for layer in self.clouds:
            whole = layer(whole)
        return self.last(whole)
