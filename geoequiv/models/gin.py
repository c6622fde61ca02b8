"""The graph isomorphism network (Xu et al. 2019), with PyG's convolution."""

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from geoequiv.fields import Signature
from geoequiv.models.layers.graph_batches import GraphAdapter, SparseGraphs
from geoequiv.models.layers.graph_network import Activation, GraphNetwork, Output, Pool
from geoequiv.ranges import NonNegativeInt, PositiveInt, check_ranges


@check_ranges
class GIN(GraphNetwork):
    r"""Sums over neighbours, one linear map a layer.

    .. math:: h_i \leftarrow a\Big(W \big((1 + \epsilon) h_i + \sum_{j \in N(i)} h_j\big) + b\Big)

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
        positions: if positive, a one-hot code of so many places is a further feature of a node: the place in its graph.

    Raises:
        SignatureError: other fields, an unknown pool, activation or output.

    Exactness: invariant to relabelling up to round-off. Tells no two graphs apart that colour refinement (1-WL)
        does not. With ``positions`` not invariant: to be averaged over orders (GIN+ID).
    Reference: Xu et al., ICLR 2019; at the defaults the network that Balcilar et al. (ICML 2021) compare
        with, ε uniform in (0, 1) at first; GIN+ID as in Puny et al. (ICLR 2022), section 4.2.
    """

    compiles = "in parts: edges are found among the values of the adjacency"

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
        positions: NonNegativeInt = 0,
    ) -> None:
        from torch_geometric.nn import GINConv

        adapter = GraphAdapter(signature, "GIN", degree=degree, positions=positions)
        widths = [max(adapter.width, 1), *[width] * depth]
        layers = [GINConv(nn.Linear(a, b), train_eps=True) for a, b in pairwise(widths)]
        for layer in layers:
            nn.init.uniform_(layer.eps)
        super().__init__(adapter, layers, width, pool, activation, head, output)

    def passed(self, graphs: SparseGraphs) -> Callable[[nn.Module, Tensor], Tensor]:
        return lambda layer, nodes: layer(nodes, graphs.edge_index)
