"""GNNML1 (Balcilar et al. 2021): sums over neighbours and products of features, as strong as colour refinement."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from geoequiv.fields import Signature
from geoequiv.models.layers.graph_batches import GraphAdapter, SparseGraphs
from geoequiv.models.layers.graph_network import Activation, GraphNetwork, Output, Pool
from geoequiv.ranges import NonNegativeInt, PositiveInt, check_ranges


@check_ranges
class GNNML1(GraphNetwork):
    r"""Each layer adds a linear map, a sum over neighbours and a product of two linear maps.

    .. math:: h_i \leftarrow a\Big(W_1 h_i + \sum_{j \in N(i)} W_2 h_j + (W_3 h_i) \odot (W_4 h_i)\Big)

    (each W with a bias).

    Args:
        signature: node features and an adjacency or edges → one ``scalar*k per graph``. Edges are where the adjacency
            is not 0.
        width: features of a node.
        depth: layers.
        pool: "sum" or "mean" over the nodes of a graph.
        activation: behind every layer, "tanh" or "relu".
        head: hidden features of the readout; 0 is one linear map.
        output: "linear", as published, or "tanh" of the readout.
        degree: whether the degree is a further feature of a node.

    Raises:
        SignatureError: other fields, an unknown pool, activation or output.

    Exactness: invariant to relabelling up to round-off. Tells no two graphs apart that colour refinement (1-WL)
        does not.
    Reference: Balcilar et al. 2021, "Breaking the limits of message passing graph neural networks" (ICML), equation 4.
    """

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        depth: PositiveInt = 3,
        *,
        pool: Pool = "sum",
        activation: Activation = "tanh",
        head: NonNegativeInt = 0,
        output: Output = "linear",
        degree: bool = True,
    ) -> None:
        adapter = GraphAdapter(signature, "GNNML1", degree=degree)
        widths = [max(adapter.width, 1), *[width] * depth]
        layers = [ProductLayer(a, b) for a, b in pairwise(widths)]
        super().__init__(adapter, layers, width, pool, activation, head, output)

    def passed(self, graphs: SparseGraphs) -> Callable[[nn.Module, Tensor], Tensor]:
        return lambda layer, nodes: layer(nodes, graphs.edge_index)


class ProductLayer(nn.Module):
    """One layer, without its activation.

    Args:
        inputs: features that come in.
        width: features that go out.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.own, self.left, self.right = (nn.Linear(inputs, width) for _ in range(3))
        self.neighbours = nn.Linear(inputs, width)
        nn.init.xavier_uniform_(self.neighbours.weight)
        nn.init.zeros_(self.neighbours.bias)

    def forward(self, nodes: Tensor, edge_index: Tensor) -> Tensor:
        """``[n, inputs]`` → ``[n, width]``."""
        source, target = edge_index
        gathered = torch.zeros_like(nodes).index_add(0, target, nodes.index_select(0, source))
        product: Tensor = self.left(nodes) * self.right(nodes)
        return self.own(nodes) + self.neighbours(gathered) + product
