"""The ordered pairs (i, j), i ≠ j, over which messages pass: dense for clouds of one size, a list for ragged ones.

Both forms have the same five methods, so an architecture is written once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class AllPairs:
    r"""Every ordered pair of different nodes of a dense cloud: :math:`N(N-1)` rows, no scatter.

    Args:
        nodes: N.
        index: ``[N·(N−1)]``, the sender of each pair, receivers in order.
        own: ``[N·(N−1)]``, the receiver of each.
        mask: ``[..., N]`` bool, True where a node is real, or None.
    """

    nodes: int
    index: Tensor
    own: Tensor
    mask: Tensor | None = None

    @classmethod
    def of(cls, nodes: int, mask: Tensor | None, device: torch.device) -> "AllPairs":
        """The pairs of clouds of ``nodes`` nodes."""
        if torch.compiler.is_compiling():  # a compiled graph holds the index by itself, and warns of caches
            return cls(nodes, *ends_of.__wrapped__(nodes, device), mask)
        return cls(nodes, *ends_of(nodes, device), mask)

    def receiver(self, values: Tensor) -> Tensor:
        """Values of i for each pair: ``[..., N, F]`` → ``[..., N, 1, F]``, which broadcasts over j."""
        return values.unsqueeze(-2)

    def sender(self, values: Tensor) -> Tensor:
        """Values of j for each pair: ``[..., N, F]`` → ``[..., N, N−1, F]``."""
        return values.index_select(-2, self.index).unflatten(-2, (self.nodes, self.nodes - 1))

    def between(self, values: Tensor) -> Tensor:
        """Values of the pairs themselves: ``[..., N, N, F]`` → ``[..., N, N−1, F]``."""
        numbers = self.own * self.nodes + self.index
        return values.flatten(-3, -2).index_select(-2, numbers).unflatten(-2, (self.nodes, self.nodes - 1))

    def sum(self, values: Tensor) -> Tensor:
        """Sum over j: ``[..., N, N−1, F]`` → ``[..., N, F]``; padding nodes send nothing."""
        if self.mask is not None:
            values = values * self.sender(self.mask.unsqueeze(-1).to(values.dtype))
        return values.sum(-2)

    def difference(self, values: Tensor) -> Tensor:
        """Values of i less those of j: ``[..., N, F]`` → ``[..., N, N−1, F]``."""
        ends = values.index_select(-2, self.own), values.index_select(-2, self.index)  # few columns broadcast slowly
        return (ends[0] - ends[1]).unflatten(-2, (self.nodes, self.nodes - 1))

    def mean(self, values: Tensor) -> Tensor:
        """Mean over j, 0 for a node without neighbours: ``[..., N, N−1, F]`` → ``[..., N, F]``."""
        if self.mask is None:
            return self.sum(values) / max(self.nodes - 1, 1)
        others = self.mask.sum(-1, keepdim=True) - self.mask.long()
        return self.sum(values) / others.clamp(min=1).unsqueeze(-1)


@dataclass(frozen=True)
class EdgeList:
    """Given edges of ragged clouds (or of dense ones that have few); sums run on ``index_add``.

    Args:
        nodes: n, the number of nodes of all clouds together.
        senders: ``[E]``, j of each edge.
        receivers: ``[E]``, i of each edge.
        lead: axes of dense clouds, ``(..., N)`` with the product n: values of nodes have them instead of n.
    """

    nodes: int
    senders: Tensor
    receivers: Tensor
    lead: tuple[int, ...] = ()

    def receiver(self, values: Tensor) -> Tensor:
        """Values of i for each edge: ``[n, F]`` → ``[E, F]``."""
        return values.flatten(0, -2).index_select(0, self.receivers)

    def sender(self, values: Tensor) -> Tensor:
        """Values of j for each edge: ``[n, F]`` → ``[E, F]``."""
        return values.flatten(0, -2).index_select(0, self.senders)

    def difference(self, values: Tensor) -> Tensor:
        """Values of i less those of j: ``[n, F]`` → ``[E, F]``."""
        return self.receiver(values) - self.sender(values)

    def sum(self, values: Tensor) -> Tensor:
        """Sum over the edges of each receiver: ``[E, F]`` → ``[n, F]``."""
        total = values.new_zeros(self.nodes, values.shape[-1]).index_add(0, self.receivers, values)
        return total.unflatten(0, self.lead) if self.lead else total

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the edges of each receiver, 0 where there is none: ``[E, F]`` → ``[n, F]``."""
        degree = torch.bincount(self.receivers, minlength=self.nodes).clamp(min=1).unsqueeze(-1)
        return self.sum(values) / (degree.unflatten(0, self.lead) if self.lead else degree)


Pairs = AllPairs | EdgeList


@lru_cache(maxsize=64)
def ends_of(nodes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For receivers 0 … N−1 in turn, every other node: senders and receivers, ``[N·(N−1)]`` each."""
    with torch.inference_mode(False):  # the cached index must stay usable where gradients are taken
        every = torch.arange(nodes, device=device).expand(nodes, nodes)
        others = ~torch.eye(nodes, dtype=torch.bool, device=device)
        return every[others], every.T[others]


def within_clouds(batch: Tensor) -> EdgeList:
    """All ordered pairs of different nodes that share a cloud.

    Args:
        batch: ``[n]`` int64, the cloud of each node, in any order.
    """
    order = batch.argsort(stable=True)  # nodes of a cloud side by side
    size = torch.bincount(batch)
    first = (size.cumsum(0) - size)[batch[order]]  # [n] where the node's cloud begins
    others = size[batch[order]] - 1  # [n]
    receiver = torch.arange(len(batch), device=batch.device).repeat_interleave(others)
    rank = torch.arange(len(receiver), device=batch.device) - (others.cumsum(0) - others)[receiver]
    start = first[receiver]
    sender = start + rank + (rank >= receiver - start)  # steps over i itself
    return EdgeList(len(batch), order[sender], order[receiver])


class PairLinear(nn.Linear):
    r"""A linear map of concatenated pair features, without concatenating them.

    .. math:: y_{ij} = W [h_i, h_j, e_{ij}] + b = (W_r h_i + b) + W_s h_j + W_e e_{ij}

    The first two products are taken once per node, not once per pair: N−1 times fewer operations.

    Args:
        nodes: features of a node.
        edges: features of a pair.
        out: features of the result.
    """

    def __init__(self, nodes: int, edges: int, out: int) -> None:
        super().__init__(2 * nodes + edges, out)
        self.split = [nodes, nodes, edges]

    def forward(self, pairs: Pairs, nodes: Tensor, edges: Tensor) -> Tensor:  # type: ignore[override]
        """``[..., N, nodes]`` and ``[..., N, N−1, edges]`` (or ``[n, ·]``, ``[E, ·]``) → ``out`` per pair."""
        (receiver, bias), (sender, _) = self.of_nodes
        return self.join(pairs, F.linear(nodes, receiver, bias), F.linear(nodes, sender), edges)

    @property
    def of_nodes(self) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, None]]:
        """Weight and bias of what is taken once per node: of a receiver and of a sender."""
        receiver, sender, _ = self.weight.split(self.split, dim=1)
        return (receiver, self.bias), (sender, None)

    def join(self, pairs: Pairs, received: Tensor, sent: Tensor, edges: Tensor) -> Tensor:
        """Both products of the nodes ``[..., N, out]`` and ``[..., N, N−1, edges]`` → ``out`` per pair."""
        both, received = pairs.sender(sent), pairs.receiver(received)
        # few columns: a contiguous transpose gives BLAS the shapes it is 3 to 5 times faster at in the backward pass
        of_edges = self.weight[:, sum(self.split[:2]) :].T.contiguous()
        if both.requires_grad or edges.requires_grad or of_edges.requires_grad:
            return torch.addmm((both + received).flatten(0, -2), edges.flatten(0, -2), of_edges).view_as(both)
        edges, of_edges = edges.to(both), of_edges.to(both)  # autocast does not cast in-place operations
        both.add_(received).flatten(0, -2).addmm_(edges.flatten(0, -2), of_edges)
        return both


def fused_linears(
    values: Tensor, maps: Sequence[tuple[Tensor, Tensor | None]], after: tuple[Tensor, nn.Linear] | None = None
) -> tuple[Tensor, ...]:
    """Linear maps (weight, bias or None) of the same features in one matrix product, which is faster than many.

    Args:
        values: ``[..., inputs]``.
        maps: weights ``[out, inputs]`` with biases ``[out]``.
        after: earlier features and the linear map from them to ``values``; the maps are composed if that is cheaper.

    Returns:
        ``[..., out]`` of each.
    """
    weights = [weight for weight, _ in maps]
    biases = [weight.new_zeros(weight.shape[0]) if bias is None else bias for weight, bias in maps]
    weight, bias = torch.cat(weights), torch.cat(biases)
    if after is not None and after[0].shape[-1] < weight.shape[-1]:
        values, first = after
        bias = torch.addmv(bias, weight, first.bias)
        weight = weight @ first.weight
    joint = F.linear(values, weight, bias)
    return joint.split([each.shape[0] for each in weights], dim=-1)
