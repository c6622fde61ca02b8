"""What networks on point sets share: dense clouds with a mask, normalised layers, pools and nearest neighbours."""

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoequiv.models.layers.cloud import Cloud
from geoequiv.models.layers.padding import Padding

Pool = Literal["max", "mean"]


@dataclass(frozen=True)
class PointSet:
    """How the clouds of a batch lie in dense tensors ``[B, N, …]``, whatever form they came in.

    Args:
        mask: ``[B, N]`` bool, True for real nodes; None where all are.
        lead: axes of a dense batch before its features, the nodes' included; () for ragged ones.
        padding: of a ragged batch, None for a dense one.
    """

    mask: Tensor | None
    lead: tuple[int, ...]
    padding: Padding | None

    @classmethod
    def of(cls, cloud: Cloud) -> "PointSet":
        """That of a cloud as it was read."""
        if cloud.batch is not None:
            padding = Padding.of(cloud.batch)
            return cls(padding.mask, (), padding)
        lead = tuple(cloud.scalars.shape[:-1])
        return cls(None if cloud.mask is None else cloud.mask.reshape(-1, lead[-1]), lead, None)

    def fill(self, values: Tensor) -> Tensor:
        """Features of the nodes of a cloud → ``[B, N, …]``, 0 at padding."""
        if self.padding is not None:
            return self.padding.fill(values)
        return values.reshape(prod(self.lead[:-1]), self.lead[-1], *values.shape[len(self.lead) :])

    def strip(self, values: Tensor) -> Tensor:
        """The inverse of ``fill``."""
        if self.padding is not None:
            return self.padding.strip(values)
        return values.reshape(*self.lead, *values.shape[2:])


class PointNorm(nn.BatchNorm1d):
    """Batch normalisation of the features of all nodes (or pairs) that count.

    A single row has no spread: in training, too, it is normalised by the running averages, and leaves them as they are.
    """

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """``[..., C]``, with ``mask`` ``[...]`` or without → the same; 0 where masked out."""
        if mask is None:
            return self._rows(values.reshape(-1, values.shape[-1])).reshape(values.shape)
        rows = self._rows(values[mask])
        return torch.zeros_like(values, dtype=rows.dtype).index_put((mask,), rows)

    def _rows(self, rows: Tensor) -> Tensor:
        if self.training and len(rows) < 2:
            return F.batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(rows)


class PointLayer(nn.Module):
    """Linear, batch normalisation, leaky ReLU: what each node (or pair) goes through on its own.

    Args:
        inputs, outputs: features.
        slope: of the ReLU below 0; 1 leaves it out.
        bias: of the linear map.
    """

    def __init__(self, inputs: int, outputs: int, slope: float = 0.0, *, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=bias)
        self.norm = PointNorm(outputs)
        self.slope = slope

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """``[..., inputs]`` → ``[..., outputs]``."""
        values = self.norm(self.linear(values), mask)
        return values if self.slope == 1 else F.leaky_relu(values, self.slope) if self.slope else F.relu(values)


class EdgeLayer(nn.Module):
    r"""The same of pairs, whose linear map is applied to nodes before they are paired.

    .. math:: \sigma(\mathrm{BN}(W (x_j - x_i) + V x_i)) = \sigma(\mathrm{BN}(W x_j + (V x_i - W x_i)))
    """

    def __init__(self, inputs: int, outputs: int, slope: float = 0.2) -> None:
        super().__init__()
        self.difference, self.own = (nn.Linear(inputs, outputs, bias=False) for _ in range(2))
        self.norm = PointNorm(outputs)
        self.slope = slope

    def forward(self, values: Tensor, near: "Neighbours") -> Tensor:
        """``[B, N, inputs]`` → ``[B, N, k, outputs]``."""
        sent = self.difference(values)
        edges = near.gather(sent) + (self.own(values) - sent).unsqueeze(2)
        return F.leaky_relu(self.norm(edges, near.mask), self.slope)


class Head(nn.Module):
    """Normalised layers of 4, 4 and 2 widths, and a last linear map.

    Args:
        inputs, outputs: features.
        width: unit of the widths.
        slope: of the ReLUs.
        dropout: after the first two layers.
        bias: of the linear maps.
    """

    def __init__(
        self, inputs: int, width: int, outputs: int, slope: float = 0.0, dropout: float = 0.0, *, bias: bool = True
    ) -> None:
        super().__init__()
        sizes = (inputs, 4 * width, 4 * width, 2 * width)
        pairs = pairwise(sizes)
        self.layers = nn.ModuleList(PointLayer(a, b, slope, bias=bias) for a, b in pairs)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(2 * width, outputs, bias=bias)

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """``[..., inputs]`` → ``[..., outputs]``."""
        for number, layer in enumerate(self.layers):
            values = layer(values, mask)
            values = self.dropout(values) if number < 2 else values
        return self.last(values)


def pooled(values: Tensor, mask: Tensor | None, pool: Pool) -> Tensor:
    """Largest value or mean over the second last axis, where ``mask`` is True: ``[..., N, C]`` → ``[..., C]``."""
    if mask is None:
        return values.amax(-2) if pool == "max" else values.mean(-2)
    real = mask.unsqueeze(-1)
    if pool == "mean":
        return values.masked_fill(~real, 0.0).sum(-2) / real.sum(-2).clamp(min=1)
    return values.masked_fill(~real, -torch.inf).amax(-2).masked_fill(~real.any(-2), 0.0)


@dataclass(frozen=True)
class Neighbours:
    """The k nearest nodes of each, itself among them.

    Args:
        index: ``[B, N, k]`` int64, nearest first.
        mask: ``[B, N, k]`` bool, True where both are real; None where all are.
    """

    index: Tensor
    mask: Tensor | None

    @classmethod
    @torch.no_grad()
    def of(cls, features: Tensor, k: int, mask: Tensor | None) -> "Neighbours":
        """By Euclidean distance in ``features`` ``[B, N, C]``; all nodes of a cloud that has fewer than k.

        Exactness: which of equally far nodes is taken is not determined.
        """
        square = features.square().sum(-1)
        distance = square.unsqueeze(-1) - 2 * features @ features.mT + square.unsqueeze(-2)
        nodes = features.shape[1]
        distance = distance.masked_fill(torch.eye(nodes, dtype=torch.bool, device=features.device), -torch.inf)
        if mask is not None:
            distance = distance.masked_fill(~mask.unsqueeze(1), torch.inf)
        nearest = distance.topk(min(k, nodes), largest=False)
        return cls(nearest.indices, None if mask is None else (nearest.values < torch.inf) & mask.unsqueeze(-1))

    def gather(self, values: Tensor) -> Tensor:
        """Features ``[B, N, …]`` of the neighbours, ``[B, N, k, …]``."""
        clouds, nodes, _ = self.index.shape
        start = torch.arange(clouds, device=values.device)[:, None, None] * nodes
        rows = (self.index + start).flatten()
        return values.flatten(0, 1).index_select(0, rows).unflatten(0, tuple(self.index.shape))


def transformed(values: Tensor, vectors: int, matrix: Tensor) -> Tensor:
    """Features ``[B, N, C]``, the first of which are so many vectors, with these times a matrix of each cloud.

    Args:
        matrix: ``[B, 3, 3]``.
    """
    first = values[..., : 3 * vectors].unflatten(-1, (-1, 3)) @ matrix.mT.unsqueeze(1)
    return torch.cat([first.flatten(-2), values[..., 3 * vectors :]], dim=-1)
