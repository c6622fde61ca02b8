"""The graph convolutional network (Kipf & Welling 2017), with PyG's convolution."""

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from geoequiv.fields import Signature
from geoequiv.models.layers.graph_batches import GraphAdapter, SparseGraphs
from geoequiv.models.layers.graph_network import Activation, GraphNetwork, Output, Pool
from geoequiv.ranges import NonNegativeInt, PositiveInt, check_ranges


@check_ranges
class GCN(GraphNetwork):
    r"""Convolutions normalised by degrees.

    .. math:: h_i \leftarrow a\Big(\sum_{j \in N(i) \cup i} \frac{W h_j}{\sqrt{\hat d_i \hat d_j}} + b\Big)

    Args:
        signature: node features and an adjacency or edges → one ``scalar*k per graph``. Edges are where the adjacency
            is not 0.
        width: features of a node.
        depth: layers.
        pool: "sum" or "mean" over the nodes of a graph.
        activation: behind every layer, "tanh" or "relu".
        head: hidden features of the readout; 0 is one linear map.
        output: "linear", or "tanh" of the readout.
        degree: whether the degree is a further feature of a node.

    Raises:
        SignatureError: other fields, an unknown pool, activation or output.

    Exactness: invariant to relabelling up to round-off. Tells no two graphs apart that colour refinement (1-WL)
        does not.
    Reference: Kipf & Welling, ICLR 2017; at the defaults the network that Balcilar et al. (ICML 2021) compare
        with.
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
        from torch_geometric.nn import GCNConv

        adapter = GraphAdapter(signature, "GCN", degree=degree)
        widths = [max(adapter.width, 1), *[width] * depth]
        layers = [GCNConv(a, b) for a, b in pairwise(widths)]
        super().__init__(adapter, layers, width, pool, activation, head, output)

    def passed(self, graphs: SparseGraphs) -> Callable[[nn.Module, Tensor], Tensor]:
        return lambda layer, nodes: layer(nodes, graphs.edge_index)
