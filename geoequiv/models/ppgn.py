"""PPGN (Maron et al. 2019): products of matrices over pairs of nodes, as strong as 2-FWL."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from geoequiv.errors import SignatureError, unknown
from geoequiv.fields import Signature
from geoequiv.models.layers.graph_batches import GraphAdapter
from geoequiv.models.layers.graph_network import POOLS, Output, Pool, Readout
from geoequiv.ranges import NonNegativeInt, PositiveInt, check_ranges

#: numbers of a tensor [graphs, width, N, N] that goes through at once: 2²² are 16 MB in float32
ENTRIES = 2**22


@check_ranges
class PPGN(nn.Module):
    r"""Provably powerful graph network: matrix products of features of pairs of nodes.

    .. math::
        M_k = \mathrm{ReLU}(W_k X), \qquad X \leftarrow \mathrm{ReLU}\big(W_3 [M_1 M_2 \,\Vert\, X]\big), \qquad
        y = \mathrm{readout}\Big(\big\Vert_{\text{blocks}} \big[\textstyle\sum_i X_{ii} \,\Vert\,
            \sum_{i \neq j} X_{ij}\big]\Big)

    X begins as the adjacency, the identity, and the node features on a diagonal; padding stays 0.

    Args:
        signature: node features and an adjacency or edges → one ``scalar*k per graph``.
        width: features of a pair.
        depth: blocks.
        bias: whether the maps of features have one.
        pool: "sum" over nodes and pairs, or "mean" over each.
        init: of the maps' weights, "default" (that of convolutions in torch) or "xavier".
        head: hidden features of the readout, with a ReLU; 0 is one linear map.
        output: "linear", or "tanh" of the readout.
        degree: whether the degree is a further feature of a node.

    Raises:
        SignatureError: other fields, an unknown pool, init or output.

    Exactness: invariant to relabelling up to round-off, which grows with the products of large graphs.

    Memory: graphs go through at most ``ENTRIES`` numbers of a feature tensor at a time; with gradients each such part
    is computed again in the backward pass, so that the peak does not grow with the batch.

    Reference: Maron et al. 2019, "Provably powerful graph networks" (NeurIPS); layers and readout as Balcilar et al.
        (ICML 2021) have them.
    """

    claims = None
    compiles = "one graph; ragged batches in parts (their padding has a size that depends on the batch)"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 32,
        depth: PositiveInt = 3,
        *,
        bias: bool = True,
        pool: Pool = "sum",
        init: str = "default",
        head: NonNegativeInt = 0,
        output: Output = "linear",
        degree: bool = False,
    ) -> None:
        super().__init__()
        self.adapter = GraphAdapter(signature, "PPGN", degree=degree)
        for kind, given, known in (("pool", pool, POOLS), ("init", init, ("default", "xavier"))):
            if given not in known:
                raise SignatureError(unknown(kind, given, known))
        self.mean, self.width = pool == "mean", width
        widths = [2 + self.adapter.width, *[width] * (depth - 1)]
        self.blocks = nn.ModuleList(ProductBlock(each, width, bias, init == "xavier") for each in widths)
        self.readout = Readout(2 * depth * width, self.adapter.out_width, "relu", head, output)

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor:
        """Fields of the signature, by name or as a PyG object → its output, ``[..., out]``."""
        graphs = self.adapter.dense(fields, graph)
        size = max(1, ENTRIES // (self.width * graphs.mask.shape[-1] ** 2))
        parts = zip(graphs.nodes.split(size), graphs.adjacency.split(size), graphs.mask.split(size), strict=True)
        again = torch.is_grad_enabled() and len(graphs.mask) > size and not torch.compiler.is_compiling()
        found = [checkpoint(self.summed, *part, use_reentrant=False) if again else self.summed(*part) for part in parts]
        return self.adapter.write(self.readout(torch.cat(found)), graphs.lead)

    def summed(self, nodes: Tensor, adjacency: Tensor, mask: Tensor) -> Tensor:
        """Sums (or means) over the diagonal and the rest behind each block: ``[B, 2 · depth · width]``."""
        eye = torch.diag_embed(mask.to(adjacency)).unsqueeze(1)
        x = torch.cat([adjacency.unsqueeze(1), eye, torch.diag_embed(nodes.mT)], 1)  # [B, C, N, N]
        real = (mask.unsqueeze(-1) & mask.unsqueeze(-2)).unsqueeze(1)
        count = mask.sum(-1, keepdim=True).to(nodes)
        sums = []
        for block in self.blocks:
            x = block(x, real)
            diagonal = x.diagonal(dim1=-2, dim2=-1).sum(-1)
            others = x.sum((-1, -2)) - diagonal
            if self.mean:
                diagonal, others = diagonal / count, others / (count * (count - 1)).clamp(min=1)
            sums += [diagonal, others]
        return torch.cat(sums, -1)


class ProductBlock(nn.Module):
    """Two maps of features, the product of their matrices, and a map of that beside the input.

    Args:
        inputs: features that come in.
        width: features that go out.
        bias: whether the maps have one.
        xavier: whether weights are uniform by Glorot & Bengio's bound.
    """

    def __init__(self, inputs: int, width: int, bias: bool, xavier: bool) -> None:
        super().__init__()
        self.left, self.right = (nn.Conv2d(inputs, width, 1, bias=bias) for _ in range(2))
        self.last = nn.Conv2d(inputs + width, width, 1, bias=bias)
        for each in (self.left, self.right, self.last) if xavier else ():
            nn.init.xavier_uniform_(each.weight)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """``[B, inputs, N, N]`` → ``[B, width, N, N]``, 0 where not real."""
        left, right = (F.relu(each(x) * real) for each in (self.left, self.right))
        return F.relu(self.last(torch.cat([left @ right * real, x], 1)) * real)
