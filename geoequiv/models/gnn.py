"""A message-passing network on raw coordinates: equivariant to permutations only."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoequiv.fields import Signature
from geoequiv.models.layers.cloud import SignatureAdapter, pair_invariants
from geoequiv.models.layers.hooks import can_fuse
from geoequiv.models.layers.pairs import PairLinear, Pairs
from geoequiv.models.layers.perceptron import perceptron, silu
from geoequiv.ranges import PositiveInt, check_ranges


@check_ranges
class GNN(nn.Module):
    r"""Message passing between all nodes of a cloud.

    .. math::
        m_{ij} = \phi_e(h_i, h_j, a_{ij}), \qquad h_i \leftarrow h_i + \phi_h(h_i, \textstyle\sum_{j \neq i} m_{ij})

    Nodes start from all their fields concatenated; pairs carry products of scalars, squared distances and, if
    ``relative``, the differences of points and vectors. A decoder predicts each output from :math:`h_i`; an output
    point is the input point plus the decoded displacement.

    Args:
        signature: any field types; a point output needs a point input.
        width: features of nodes and messages.
        depth: layers.
        relative: whether pairs also carry :math:`x_i - x_j` and :math:`v_i - v_j`.

    Raises:
        SignatureError: for a point output without a point input.

    Exactness: equivariant to permutations up to round-off; not to rotations, reflections or translations.
    Reference: Gilmer et al. 2017; the baseline "GNN" of Satorras et al. 2021 (who decode positions, not displacements,
    and have no relative positions), and the backbone of FA-GNN in Puny et al. 2022.
    """

    claims = None
    compiles = "one graph"

    def __init__(
        self, signature: Signature | str, width: PositiveInt = 64, depth: PositiveInt = 4, *, relative: bool = True
    ) -> None:
        super().__init__()
        self.adapter = adapter = SignatureAdapter(signature, architecture="GNN")
        self.relative = relative
        edges = adapter.pair_invariants + (3 * (adapter.points + adapter.vectors) if relative else 0)
        self.embed = nn.Linear(adapter.width, width)
        self.layers = nn.ModuleList(MessageLayer(width, edges) for _ in range(depth))
        self.decode = perceptron(width, width, adapter.out_width)

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        pairs = cloud.pairs()
        edges = pair_invariants(cloud, pairs)
        if self.relative:
            geometric = torch.cat([cloud.points, cloud.vectors], dim=-2).flatten(-2)
            edges = torch.cat([edges, pairs.difference(geometric)], dim=-1)
        nodes = self.embed(cloud.flat)
        for layer in self.layers:
            nodes = layer(pairs, nodes, edges)
        return self.adapter.write_flat(cloud, self.decode(nodes))


class MessageLayer(nn.Module):
    """One round of messages with a residual update of the nodes.

    Args:
        width: features of nodes and messages.
        edges: features of a pair.
    """

    def __init__(self, width: int, edges: int) -> None:
        super().__init__()
        self.first = PairLinear(width, edges, width)
        self.second = nn.Linear(width, width)
        self.node = perceptron(2 * width, width, width)

    def forward(self, pairs: Pairs, nodes: Tensor, edges: Tensor) -> Tensor:
        """Nodes ``[..., N, width]``, edges ``[..., N, N−1, edges]`` → nodes."""
        act = silu if can_fuse(self.first, self.second) else F.silu
        message = act(self.second(act(self.first(pairs, nodes, edges))))
        return nodes + self.node(torch.cat([nodes, pairs.sum(message)], dim=-1))
