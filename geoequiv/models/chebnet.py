"""The Chebyshev network (Defferrard et al. 2016), with PyG's convolution."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from geoequiv.fields import Signature
from geoequiv.models.layers.graph_batches import GraphAdapter, SparseGraphs
from geoequiv.models.layers.graph_network import Activation, GraphNetwork, Output, Pool
from geoequiv.models.layers.spectra import largest_eigenvalues
from geoequiv.ranges import NonNegativeInt, PositiveInt, check_ranges


@check_ranges
class ChebNet(GraphNetwork):
    r"""Chebyshev polynomials of the normalised Laplacian, scaled by the largest eigenvalue of each graph.

    .. math:: h \leftarrow a\Big(\sum_{k<K} T_k\big(\tfrac{2}{\lambda_{\max}} L - 1\big)\, h\, W_k + b\Big)

    Args:
        signature: node features and an adjacency or edges → one ``scalar*k per graph``. Edges are where the adjacency
            is not 0.
        width: features of a node; half of it behind the first layer, as published.
        depth: layers.
        terms: K.
        pool: "sum" or "mean" over the nodes of a graph.
        activation: behind every layer, "tanh" or "relu".
        head: hidden features of the readout; 0 is one linear map.
        output: "linear", or "tanh" of the readout.
        degree: whether the degree is a further feature of a node.

    Raises:
        SignatureError: other fields, an unknown pool, activation or output.

    Exactness: invariant to relabelling up to round-off. Tells graphs of equal largest eigenvalue apart that colour
        refinement (1-WL) does; those of different ones by that alone. Locally constant in λ_max: gradients do not pass
        through it.
    Reference: Defferrard et al., NeurIPS 2016; at the defaults the network that Balcilar et al. (ICML 2021) compare
        with, whose K is 5 for classification.
    """

    compiles = "in parts: edges are found among the values of the adjacency"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        depth: PositiveInt = 3,
        *,
        terms: PositiveInt = 4,
        pool: Pool = "sum",
        activation: Activation = "tanh",
        head: NonNegativeInt = 0,
        output: Output = "linear",
        degree: bool = True,
    ) -> None:
        from torch_geometric.nn import ChebConv

        adapter = GraphAdapter(signature, "ChebNet", degree=degree)
        widths = [max(adapter.width, 1), *([max(width // 2, 1)] if depth > 1 else []), *[width] * max(depth - 1, 1)]
        layers = [ChebConv(a, b, terms) for a, b in pairwise(widths)]
        super().__init__(adapter, layers, width, pool, activation, head, output)

    def passed(self, graphs: SparseGraphs) -> Callable[[nn.Module, Tensor], Tensor]:
        with torch.no_grad():
            largest = largest_eigenvalues(graphs)

        def apply(layer: nn.Module, nodes: Tensor) -> Tensor:
            found: Tensor = layer(nodes, graphs.edge_index, batch=graphs.batch, lambda_max=largest)
            return found

        return apply
