"""Deep Sets (Zaheer et al. 2017): nodes interact through a pooled feature of their cloud."""

from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from geoequiv.errors import SignatureError, unknown
from geoequiv.fields import Signature
from geoequiv.models.layers.cloud import Cloud, SignatureAdapter
from geoequiv.models.layers.perceptron import perceptron
from geoequiv.ranges import PositiveInt, check_ranges

POOLS = ("mean", "sum")


@check_ranges
class DeepSets(nn.Module):
    r"""Nodes interact only through a pooled feature of their cloud: cost linear in N.

    .. math:: h_i \leftarrow h_i + \phi\big(h_i, \operatorname{pool}_j h_j\big)

    Nodes start from all their fields concatenated. A decoder predicts each output from :math:`h_i`; an output point is
    the input point plus the decoded displacement, and an output per graph is the sum over the nodes. ``edge_index`` and
    ``adjacency`` inputs are not read: there are no pair features.

    Args:
        signature: any field types; a point output needs a point input.
        width: features of a node.
        depth: layers.
        pool: "mean" or "sum" over the real nodes of a cloud, the node itself included.

    Raises:
        SignatureError: for a point output without a point input, or another pool.

    Exactness: equivariant to permutations up to round-off; not to rotations, reflections or translations.
    Reference: Zaheer et al. 2017, the equivariant layer of equation 4, here with a residual two-layer perceptron.
    """

    claims = None
    compiles = "one graph"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        depth: PositiveInt = 4,
        *,
        pool: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__()
        if pool not in POOLS:
            raise SignatureError(unknown("pool of DeepSets", pool, POOLS))
        self.adapter = SignatureAdapter(signature, architecture="DeepSets")
        self.embed = nn.Linear(self.adapter.width, width)
        self.layers = nn.ModuleList(SetLayer(width, pool) for _ in range(depth))
        self.decode = perceptron(width, width, self.adapter.out_width)

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        nodes = self.embed(cloud.flat)
        for layer in self.layers:
            nodes = layer(cloud, nodes)
        return self.adapter.write_flat(cloud, self.decode(nodes))


class SetLayer(nn.Module):
    """A residual perceptron of a node and the pooled feature, whose part is computed once per cloud.

    Args:
        width: features of a node.
        pool: "mean" or "sum".
    """

    def __init__(self, width: int, pool: str) -> None:
        super().__init__()
        self.mean = pool == "mean"
        self.own = nn.Linear(width, width)
        self.pooled = nn.Linear(width, width, bias=False)
        self.last = nn.Linear(width, width)

    def forward(self, cloud: Cloud, nodes: Tensor) -> Tensor:
        """``[..., N, width]`` → the same."""
        real = nodes if cloud.mask is None else nodes.masked_fill(~cloud.mask.unsqueeze(-1), 0.0)
        pool = self.pooled(cloud.pooled(real, mean=self.mean))
        pool = pool.unsqueeze(-2) if cloud.batch is None else pool.index_select(0, cloud.batch)
        return nodes + self.last(F.silu(self.own(nodes) + pool))
