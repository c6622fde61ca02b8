"""DGCNN for values at points (Wang et al. 2019): messages from the nearest nodes in feature space."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from geoequiv.fields import Signature
from geoequiv.models.layers.cloud import SignatureAdapter
from geoequiv.models.layers.point_sets import EdgeLayer, Head, Neighbours, PointLayer, PointSet, pooled, transformed
from geoequiv.ranges import PositiveInt, ProperFraction, check_ranges

SLOPE = 0.2  # of all ReLUs, as published


@check_ranges
class DGCNN(nn.Module):
    r"""Each layer looks for the k nearest nodes in its own features, and pools over them.

    .. math:: h^{l+1}_i = \max_{j \in N_k^l(i)} \phi^l(h^l_j - h^l_i, h^l_i), \qquad
              y_i = \mathrm{head}\big(\max_j \psi(h^1_j, h^2_j, h^3_j), h^1_i, h^2_i, h^3_i\big)

    φ has two layers of one width (the third block has one), ψ one of 16 widths, the head 4, 4 and 2 widths; all with
    batch normalisation and a leaky ReLU. A transform network sees the edges of the input and gives a matrix for its
    coordinates, the identity at the start. Nodes start from all their fields concatenated; an output point is the input
    point plus the decoded displacement. ``edge_index`` is not read.

    Args:
        signature: any field types but adjacencies; a point output needs a point input.
        width: unit of the widths; 64 is published.
        neighbours: k, the node itself included; 40 is published. Smaller clouds take all their nodes.
        pool: over neighbours and clouds: "max" as published, or "mean" as in the published FA-DGCNN.
        dropout: in the head, after the first two layers.

    Raises:
        SignatureError: for a point output without a point input.

    Exactness: equivariant to permutations up to round-off (unless nodes are equally far); not to rotations, reflections
    or translations; jumps where the neighbours of a node change. Batch normalisation: in training, outputs depend on
    the other clouds of the batch.
    Reference: Wang et al. 2019; widths of the code of Puny et al. 2022, whose last sigmoid only bounds the length of
    normals and is left out. At width 64 for normals it has 1 436 809 parameters, 128 fewer than that code: as many as
    a batch norm of 64 channels, which the part-segmentation code it starts from has for a class label.
    """

    claims = None
    compiles = "one graph; ragged and masked batches in parts (their padding has a size that depends on the batch)"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        *,
        neighbours: PositiveInt = 40,
        pool: Literal["max", "mean"] = "max",
        dropout: ProperFraction = 0.5,
    ) -> None:
        super().__init__()
        self.adapter = adapter = SignatureAdapter(signature, architecture="DGCNN")
        self.neighbours, self.pool = neighbours, pool
        w = width
        self.vectors = adapter.points + adapter.vectors
        self.coordinates = EdgeTransformNet(adapter.width, w) if self.vectors else None
        self.blocks = nn.ModuleList(
            EdgeBlock(inputs, w, layers, pool) for inputs, layers in ((adapter.width, 2), (w, 2), (w, 1))
        )
        self.whole = PointLayer(3 * w, 16 * w, SLOPE, bias=False)
        self.head = Head(19 * w, w, adapter.out_width, SLOPE, float(dropout), bias=False)

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        points = PointSet.of(cloud)
        mask = points.mask
        values = points.fill(cloud.flat)
        if self.coordinates is not None:
            matrix = self.coordinates(values, Neighbours.of(values, self.neighbours, mask), mask)
            values = transformed(values, self.vectors, matrix)
        found = []
        for block in self.blocks:
            values = block(values, Neighbours.of(values, self.neighbours, mask))
            found.append(values)
        nodes = torch.cat(found, dim=-1)
        whole = pooled(self.whole(nodes, mask), mask, self.pool).unsqueeze(1).expand(-1, nodes.shape[1], -1)
        channels = self.head(torch.cat([whole, nodes], dim=-1), mask)
        return self.adapter.write_flat(cloud, points.strip(channels))


class EdgeBlock(nn.Module):
    """Layers on the edges to the neighbours of a node, pooled.

    Args:
        inputs, outputs: features of a node.
        layers: one or two.
        pool: "max" or "mean".
    """

    def __init__(self, inputs: int, outputs: int, layers: int, pool: Literal["max", "mean"]) -> None:
        super().__init__()
        self.first = EdgeLayer(inputs, outputs, SLOPE)
        self.second = PointLayer(outputs, outputs, SLOPE, bias=False) if layers == 2 else None
        self.pool = pool

    def forward(self, values: Tensor, near: Neighbours) -> Tensor:
        """``[B, N, inputs]`` → ``[B, N, outputs]``."""
        edges = self.first(values, near)
        if self.second is not None:
            edges = self.second(edges, near.mask)
        return pooled(edges, near.mask, self.pool)


class EdgeTransformNet(nn.Module):
    """A 3 × 3 matrix of each cloud from its edges, the identity at the start.

    Args:
        inputs: features of a node.
        width: unit of the widths.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        w = width
        self.edges = EdgeLayer(inputs, w, SLOPE)
        self.second = PointLayer(w, 2 * w, SLOPE, bias=False)
        self.nodes = PointLayer(2 * w, 16 * w, SLOPE, bias=False)
        self.clouds = nn.ModuleList(
            [PointLayer(16 * w, 8 * w, SLOPE, bias=False), PointLayer(8 * w, 4 * w, SLOPE, bias=False)]
        )
        self.last = nn.Linear(4 * w, 9)
        with torch.no_grad():
            self.last.weight.zero_()
            self.last.bias.copy_(torch.eye(3).flatten())

    def forward(self, values: Tensor, near: Neighbours, mask: Tensor | None) -> Tensor:
        """``[B, N, inputs]`` → ``[B, 3, 3]``."""
        nodes = pooled(self.second(self.edges(values, near), near.mask), near.mask, "max")
        whole = pooled(self.nodes(nodes, mask), mask, "max")
        for layer in self.clouds:
            whole = layer(whole)
        return self.last(whole).unflatten(-1, (3, 3))
