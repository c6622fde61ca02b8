"""PointNet for values at points (Qi et al. 2017), as in the normal estimation of Puny et al. 2022."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.fields import Signature
from geoequiv.models.layers.cloud import SignatureAdapter
from geoequiv.models.layers.point_sets import Head, PointLayer, PointSet, pooled, transformed
from geoequiv.ranges import PositiveInt, check_ranges


@check_ranges
class PointNet(nn.Module):
    r"""Nodes go through layers of their own and see each other in the largest feature of their cloud.

    .. math:: h^{l+1}_i = \sigma(\mathrm{BN}(W^l h^l_i)), \qquad
              y_i = \mathrm{head}\big(\max_j h^5_j, h^1_i, \dots, h^5_i\big)

    Layers of 1, 2, 2, 8 and 32 widths, the last without σ; σ is a ReLU, and the head has layers of 4, 4 and 2 widths.
    Two small networks of the same kind (T-Nets) see the cloud and give a matrix for its coordinates, and one for the
    features after the third layer. Nodes start from all their fields concatenated; an output point is the input point
    plus the decoded displacement. ``edge_index`` is not read.

    Args:
        signature: any field types but adjacencies; a point output needs a point input.
        width: unit of the widths; 64 is published.
        transforms: whether there are T-Nets; without them it is the network inside the published FA-PointNet.

    Raises:
        SignatureError: for a point output without a point input.

    Exactness: equivariant to permutations up to round-off; not to rotations, reflections or translations. Batch
    normalisation: in training, outputs depend on the other clouds of the batch.
    Reference: Qi et al. 2017; widths of the code of Puny et al. 2022, without its penalty of 0.001 on the feature
    transform.
    """

    claims = None
    compiles = "one graph; ragged and masked batches in parts (their padding has a size that depends on the batch)"

    def __init__(self, signature: Signature | str, width: PositiveInt = 64, *, transforms: bool = True) -> None:
        super().__init__()
        self.adapter = adapter = SignatureAdapter(signature, architecture="PointNet")
        w = width
        sizes = (adapter.width, w, 2 * w, 2 * w, 8 * w, 32 * w)
        self.layers = nn.ModuleList(PointLayer(a, b, 1.0 if b == 32 * w else 0.0) for a, b in pairwise(sizes))
        self.vectors = adapter.points + adapter.vectors
        self.coordinates = TransformNet(adapter.width, 3, w) if transforms and self.vectors else None
        self.features = TransformNet(2 * w, 2 * w, w) if transforms else None
        self.head = Head(sum(sizes[1:]) + sizes[-1], w, adapter.out_width)

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        points = PointSet.of(cloud)
        mask = points.mask
        values = points.fill(cloud.flat)
        if self.coordinates is not None:
            values = transformed(values, self.vectors, self.coordinates(values, mask))
        found = []
        for number, layer in enumerate(self.layers):
            if number == 3 and self.features is not None:
                values = values @ self.features(values, mask).mT
            values = layer(values, mask)
            found.append(values)
        whole = pooled(values, mask, "max").unsqueeze(1).expand(-1, values.shape[1], -1)
        channels = self.head(torch.cat([whole, *found], dim=-1), mask)
        return self.adapter.write_flat(cloud, points.strip(channels))


class TransformNet(nn.Module):
    """A matrix of each cloud, near the identity at the start.

    Args:
        inputs: features of a node.
        outputs: rows and columns of the matrix.
        width: unit of the widths.
    """

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.outputs = outputs
        sizes = (inputs, width, 2 * width, 16 * width)
        self.nodes = nn.ModuleList(PointLayer(a, b) for a, b in pairwise(sizes))
        self.clouds = nn.ModuleList([PointLayer(16 * width, 8 * width), PointLayer(8 * width, 4 * width)])
        self.last = nn.Linear(4 * width, outputs**2)

    def forward(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """``[B, N, inputs]`` → ``[B, outputs, outputs]``."""
        for layer in self.nodes:
            values = layer(values, mask)
        whole = pooled(values, mask, "max")
        for layer in self.clouds:
            whole = layer(whole)
        matrix = self.last(whole).unflatten(-1, (self.outputs, self.outputs))
        return matrix + torch.eye(self.outputs, dtype=matrix.dtype, device=matrix.device)
