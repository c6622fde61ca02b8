"""A multilayer perceptron on the whole cloud: no symmetry at all, not even permutations."""

from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from geoequiv.errors import BatchError
from geoequiv.fields import Signature
from geoequiv.models.layers.cloud import SignatureAdapter
from geoequiv.ranges import PositiveInt, check_ranges


@check_ranges
class MLP(nn.Module):
    r"""All fields of all nodes flattened, ``depth`` hidden layers, all outputs of all nodes.

    .. math:: \hat y = \mathrm{MLP}([x_1, v_1, s_1, \ldots, x_N, v_N, s_N])

    An output point is the input point plus the predicted displacement.

    Args:
        signature: any field types; a point output needs a point input. An ``adjacency`` is not read.
        width: hidden features.
        depth: hidden layers.
        nodes: N; None takes it from the first batch, until when the first and the last weights have no shape.

    Raises:
        SignatureError: for a point output without a point input.
        BatchError: for ragged batches, or clouds of another size than N.

    Exactness: no symmetry.
    Reference: the baseline "MLP" of Brehmer et al. 2023 (GATr).
    """

    claims = None
    compiles = "one graph"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        depth: PositiveInt = 4,
        *,
        nodes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.adapter = adapter = SignatureAdapter(signature, architecture="MLP")
        self.nodes = nodes
        hidden = [layer for _ in range(depth - 1) for layer in (nn.Linear(width, width), nn.SiLU())]
        first: nn.Linear = nn.LazyLinear(width)  # sized by the first batch
        self.last: nn.Linear = nn.LazyLinear(1)
        if nodes is not None:
            first, self.last = nn.Linear(nodes * adapter.width, width), nn.Linear(width, nodes * adapter.out_width)
        self.body = nn.Sequential(first, nn.SiLU(), *hidden)

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, dense ``[..., N, ·]`` → its outputs."""
        cloud = self.adapter.read(fields, graph)
        if cloud.batch is not None:
            raise BatchError("MLP reads clouds of one size, dense [B, N, …]; it got a ragged batch (with 'batch').")
        nodes = cloud.scalars.shape[-2]
        if self.nodes is None:
            if is_lazy(self.last.weight):
                self.last.out_features = nodes * self.adapter.out_width
            self.nodes = nodes if is_lazy(self.last.weight) else len(self.last.bias) // self.adapter.out_width
        if nodes != self.nodes:
            raise BatchError(f"MLP is built for clouds of {self.nodes} nodes; it got one of {nodes}.")
        channels = self.last(self.body(cloud.flat.flatten(-2))).unflatten(-1, (nodes, -1))
        return self.adapter.write_flat(cloud, channels)
