"""The graph attention network (Veličković et al. 2018), with PyG's convolution."""

from collections.abc import Callable

from torch import Tensor, nn

from geoequiv.fields import Signature
from geoequiv.models.layers.graph_batches import GraphAdapter, SparseGraphs
from geoequiv.models.layers.graph_network import Activation, GraphNetwork, Output, Pool
from geoequiv.ranges import NonNegativeInt, PositiveInt, check_ranges


@check_ranges
class GAT(GraphNetwork):
    r"""Neighbours weighed by attention, several heads side by side.

    .. math:: h_i \leftarrow a\Big(\big\Vert_k \sum_{j \in N(i) \cup i} \alpha^k_{ij} W^k h_j + b\Big)

    Args:
        signature: node features and an adjacency or edges → one ``scalar*k per graph``. Edges are where the adjacency
            is not 0.
        width: features of a node in one head.
        depth: layers.
        heads: of attention.
        pool: "sum" or "mean" over the nodes of a graph.
        activation: behind every layer, "tanh" or "relu".
        head: hidden features of the readout; 0 is one linear map.
        output: "linear", or "tanh" of the readout.
        degree: whether the degree is a further feature of a node.

    Raises:
        SignatureError: other fields, an unknown pool, activation or output.

    Exactness: invariant to relabelling up to round-off. Tells no two graphs apart that colour refinement (1-WL)
        does not.
    Reference: Veličković et al., ICLR 2018; at the defaults the network that Balcilar et al. (ICML 2021) compare
        with.
    """

    compiles = "in parts: edges are found among the values of the adjacency"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 16,
        depth: PositiveInt = 3,
        *,
        pool: Pool = "sum",
        activation: Activation = "tanh",
        head: NonNegativeInt = 0,
        output: Output = "linear",
        degree: bool = True,
        heads: PositiveInt = 8,
    ) -> None:
        from torch_geometric.nn import GATConv

        adapter = GraphAdapter(signature, "GAT", degree=degree)
        widths = [max(adapter.width, 1), *[heads * width] * depth]
        layers = [GATConv(each, width, heads=heads) for each in widths[:-1]]
        super().__init__(adapter, layers, heads * width, pool, activation, head, output)

    def passed(self, graphs: SparseGraphs) -> Callable[[nn.Module, Tensor], Tensor]:
        return lambda layer, nodes: layer(nodes, graphs.edge_index)
