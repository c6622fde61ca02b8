"""GNNML3 (Balcilar et al. 2021): convolutions over bands of the Laplacian's spectrum, with learned weights of edges."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoequiv.errors import SignatureError, unknown
from geoequiv.fields import Signature
from geoequiv.models.layers.graph_batches import GraphAdapter
from geoequiv.models.layers.graph_network import POOLS, Output, Pool, Readout
from geoequiv.models.layers.spectra import spectral_bands
from geoequiv.ranges import NonNegativeInt, PositiveFloat, PositiveInt, check_ranges


@check_ranges
class GNNML3(nn.Module):
    r"""Spectral convolutions on learned functions of bands of the Laplacian, beside a product of linear maps.

    .. math::
        C' = \mathrm{mlp}(C), \qquad
        h \leftarrow \Big[\mathrm{ReLU}\big(\textstyle\sum_s C'_s h W_s + b\big) \,\Vert\,
                          \tanh(W_1 h) \odot \tanh(W_2 h)\Big]

    with the supports C of ``spectral_bands``: Gaussian bands of the normalised Laplacian on edges and nodes, and I.

    Args:
        signature: node features and an adjacency or edges → one ``scalar*k per graph``.
        width: features of the convolution; those of the product are half as many.
        depth: layers.
        bands: of the spectrum.
        sharpness: β of the bands.
        pool: "sum" or "mean" over the nodes of a graph.
        head: hidden features of the readout, with a ReLU; 0 is one linear map.
        output: "linear", or "tanh" of the readout.
        degree: whether the degree is a further feature of a node.

    Raises:
        SignatureError: other fields, an unknown pool or output.

    Exactness: invariant to relabelling up to round-off of the eigenvalues; gradients do not pass through the spectrum.
    Reference: Balcilar et al. 2021, "Breaking the limits of message passing graph neural networks" (ICML), section 3.
    """

    claims = None
    compiles = "one graph; ragged batches in parts (their padding has a size that depends on the batch)"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 32,
        depth: PositiveInt = 3,
        *,
        bands: PositiveInt = 5,
        sharpness: PositiveFloat = 2.0,
        pool: Pool = "sum",
        head: NonNegativeInt = 0,
        output: Output = "linear",
        degree: bool = True,
    ) -> None:
        super().__init__()
        self.adapter = GraphAdapter(signature, "GNNML3", degree=degree)
        if self.adapter.width == 0:
            raise SignatureError("GNNML3 needs features on nodes: give some, or degree=True.")
        if pool not in POOLS:
            raise SignatureError(unknown("pool", pool, POOLS))
        self.mean, self.bands, self.sharpness = pool == "mean", bands, sharpness
        half = max(width // 2, 1)
        widths = [self.adapter.width, *[width + half] * (depth - 1)]
        self.layers = nn.ModuleList(SpectralLayer(each, width, half, bands + 1) for each in widths)
        self.readout = Readout(width + half, self.adapter.out_width, "relu", head, output)

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor:
        """Fields of the signature, by name or as a PyG object → its output, ``[..., out]``."""
        graphs = self.adapter.dense(fields, graph)
        with torch.no_grad():
            supports = spectral_bands(graphs, self.bands, self.sharpness)
        which, row, column = (supports != 0).any(1).nonzero(as_tuple=True)
        edges = supports[which, :, row, column]  # [E, S]
        number = (graphs.mask.flatten().cumsum(0) - 1).reshape(graphs.mask.shape)
        ends = torch.stack([number[which, row], number[which, column]])
        nodes, batch = graphs.nodes[graphs.mask], graphs.mask.nonzero()[:, 0]
        for layer in self.layers:
            nodes = layer(nodes, edges, ends)
        total = nodes.new_zeros(len(graphs.mask), nodes.shape[-1]).index_add(0, batch, nodes)
        if self.mean:
            total = total / graphs.mask.sum(-1, keepdim=True)
        return self.adapter.write(self.readout(total), graphs.lead)


class SpectralLayer(nn.Module):
    """One layer: learned supports, a convolution with each, and a product.

    Args:
        inputs: features that come in.
        width: features of the convolution.
        half: features of the product.
        supports: their number.
    """

    def __init__(self, inputs: int, width: int, half: int, supports: int) -> None:
        super().__init__()
        self.first, self.left, self.right = (nn.Linear(supports, 2 * supports, bias=False) for _ in range(3))
        self.mixed = nn.Linear(4 * supports, supports, bias=False)
        self.weight = nn.Parameter(torch.empty(supports, inputs, width))
        self.bias = nn.Parameter(torch.zeros(width))
        bound = (6 / (inputs + width)) ** 0.5
        nn.init.uniform_(self.weight, -bound, bound)
        self.one, self.other = nn.Linear(inputs, half), nn.Linear(inputs, half)

    def forward(self, nodes: Tensor, edges: Tensor, ends: Tensor) -> Tensor:
        """Nodes ``[n, inputs]``, supports ``[E, S]`` at (receiver, sender) ``[2, E]`` → ``[n, width + half]``."""
        product = torch.tanh(self.left(edges)) * torch.tanh(self.right(edges))
        learned = F.relu(self.mixed(torch.cat([F.relu(self.first(edges)), product], -1)))  # [E, S]
        sent = nodes.index_select(0, ends[1])
        gathered = [torch.zeros_like(nodes).index_add(0, ends[0], each.unsqueeze(-1) * sent) for each in learned.T]
        convolved = torch.cat(gathered, -1) @ self.weight.flatten(0, 1) + self.bias
        return torch.cat([F.relu(convolved), torch.tanh(self.one(nodes)) * torch.tanh(self.other(nodes))], -1)
