"""Networks of vector neurons on point sets: what they read, their layers of edges, and their equivariant head."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geoequiv.models.layers.cloud import Cloud, SignatureAdapter
from geoequiv.models.layers.point_sets import Head, Neighbours, PointSet, pooled
from geoequiv.models.layers.vector_neurons import VNBatchNorm, VNLeakyReLU, VNLinear


@dataclass(frozen=True)
class VectorCloud:
    """The vectors of a batch in dense clouds.

    Args:
        vectors: ``[B, N, V, 3]``: points about the centroid, then vectors.
        scalars: ``[B, N, S]``.
        points: how the clouds lie.
    """

    vectors: Tensor
    scalars: Tensor
    points: PointSet

    @classmethod
    def of(cls, cloud: Cloud) -> "VectorCloud":
        """That of a cloud with points; positions are about the centroid of the first point of its nodes."""
        points = PointSet.of(cloud)
        positions, scalars = points.fill(cloud.points), points.fill(cloud.scalars)
        centre = pooled(positions[:, :, 0], points.mask, "mean")[:, None, None]
        centred = positions - centre
        if points.mask is not None:
            centred = centred.masked_fill(~points.mask[..., None, None], 0.0)
        return cls(torch.cat([centred, points.fill(cloud.vectors)], dim=-2), scalars, points)


class VNLayer(nn.Module):
    """Vector neurons: linear, normalisation of lengths, leaky ReLU.

    Args:
        inputs, outputs: vectors.
        slope: of the ReLU.
        shared: one direction for all vectors.
    """

    def __init__(self, inputs: int, outputs: int, slope: float, *, shared: bool = False) -> None:
        super().__init__()
        self.linear = VNLinear(inputs, outputs)
        self.norm = VNBatchNorm(outputs)
        self.relu = VNLeakyReLU(outputs, slope, shared=shared)

    def forward(self, vectors: Tensor, mask: Tensor | None = None) -> Tensor:
        """``[..., inputs, 3]`` → ``[..., outputs, 3]``."""
        return self.relu(self.norm(self.linear(vectors), mask))


class VNEdgeLayer(nn.Module):
    r"""The same of the edges to the neighbours of a node, :math:`(v_j - v_i, v_i)` and, with ``cross``, their product.

    The linear maps are applied to nodes before they are paired. Cross products are pseudovectors: with them the layer
    commutes with rotations, and not with reflections.
    """

    def __init__(self, inputs: int, outputs: int, slope: float, *, cross: bool = False) -> None:
        super().__init__()
        self.difference, self.own = (VNLinear(inputs, outputs) for _ in range(2))
        self.product = VNLinear(inputs, outputs) if cross else None
        self.norm = VNBatchNorm(outputs)
        self.relu = VNLeakyReLU(outputs, slope)

    def forward(self, vectors: Tensor, near: Neighbours) -> Tensor:
        """``[B, N, inputs, 3]`` → ``[B, N, k, outputs, 3]``."""
        sent = self.difference(vectors)
        edges = near.gather(sent) + (self.own(vectors) - sent).unsqueeze(2)
        if self.product is not None:
            others = near.gather(vectors)
            edges = edges + self.product(torch.linalg.cross(others, vectors.unsqueeze(2).expand_as(others)))
        return self.relu(self.norm(edges, near.mask))


def mean_of_vectors(vectors: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the third last axis: ``[..., N, C, 3]`` → ``[..., C, 3]``."""
    return pooled(vectors.flatten(-2), mask, "mean").unflatten(-1, vectors.shape[-2:])


class EquivariantHead(nn.Module):
    r"""Vectors at nodes out of their coordinates in a learned frame t, which rotates with them.

    .. math:: z = \langle v, t \rangle, \qquad c = \mathrm{head}\big(\max_j z_j, z, u, s\big), \qquad
              y = \textstyle\sum_k c_k t_k

    Args:
        adapter: of the model, for the number of outputs.
        channels: vectors v of a node.
        local: further vectors u of a node, which are seen in the same frame.
        middle: vectors of the two layers that make the frame.
        width: unit of the head's widths.
        slope: of all ReLUs.
        dropout: in the head.
        own: whether the head sees the coordinates z of the node itself, beside the largest of the cloud.

    Exactness: equivariant to the group that v and u are. t need not be orthogonal or independent: where all vectors lie
    in a line or plane, outputs lie in it, too, as they must.
    Reference: Deng et al. 2021 for t, whose network for parts of shapes ends in invariants; that outputs are made of t
    is ours, as normals are not in it.
    """

    def __init__(
        self,
        adapter: SignatureAdapter,
        channels: int,
        local: int,
        middle: tuple[int, int],
        width: int,
        slope: float,
        dropout: float = 0.0,
        *,
        own: bool = True,
    ) -> None:
        super().__init__()
        self.adapter, self.own = adapter, own
        self.frame = nn.Sequential(
            VNLinear(channels, middle[0]), VNLeakyReLU(middle[0], slope), VNLinear(middle[0], middle[1]),
            VNLeakyReLU(middle[1], slope), VNLinear(middle[1], 3),
        )  # fmt: skip
        self.vectors = adapter.out_points + adapter.out_vectors
        outputs = 3 * self.vectors + adapter.out_scalars
        self.head = Head((3 + 3 * own) * channels + 3 * local + adapter.scalars, width, outputs, slope, dropout)

    def forward(self, cloud: Cloud, found: VectorCloud, vectors: Tensor, local: Tensor) -> Tensor | dict[str, Tensor]:
        """``[B, N, channels, 3]`` and ``[B, N, local, 3]`` → the outputs of the signature."""
        mask = found.points.mask
        frame = self.frame(vectors)
        invariants = (vectors @ frame.mT).flatten(-2)
        whole = pooled(invariants, mask, "max").unsqueeze(1).expand_as(invariants)
        shown = [whole, invariants] if self.own else [whole]
        seen = torch.cat([*shown, (local @ frame.mT).flatten(-2), found.scalars], dim=-1)
        channels = self.head(seen, mask)
        mixed, scalars = channels.split([3 * self.vectors, self.adapter.out_scalars], dim=-1)
        outputs = found.points.strip(mixed.unflatten(-1, (self.vectors, 3)) @ frame)
        steps, heads = outputs.split([self.adapter.out_points, self.adapter.out_vectors], dim=-2)
        return self.adapter.write(
            cloud, points=self.adapter.origins(cloud) + steps, vectors=heads, scalars=found.points.strip(scalars)
        )
