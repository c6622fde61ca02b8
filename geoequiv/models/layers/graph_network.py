"""What networks of message passing on graphs share: layers, a pool over nodes, a readout."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoequiv.errors import SignatureError, unknown
from geoequiv.models.layers.graph_batches import GraphAdapter, SparseGraphs

Pool = Literal["sum", "mean"]
Activation = Literal["tanh", "relu"]
Output = Literal["linear", "tanh"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": F.relu}
POOLS = ("sum", "mean")
OUTPUTS = ("linear", "tanh")


def activation_of(name: str) -> Callable[[Tensor], Tensor]:
    """The function of a name; SignatureError with the nearest one if there is none."""
    if name not in ACTIVATIONS:
        raise SignatureError(unknown("activation", name, ACTIVATIONS))
    return ACTIVATIONS[name]


class Readout(nn.Module):
    r"""From features of a graph to its output.

    .. math:: y = \sigma(W h) \quad\text{or}\quad \sigma(W_2\, a(W_1 h))

    Args:
        width: features of a graph.
        out: of the output.
        activation: a, of the hidden layer.
        head: features of the hidden layer; 0 for none.
        output: σ, "linear" or "tanh".
    """

    def __init__(self, width: int, out: int, activation: str, head: int, output: str) -> None:
        super().__init__()
        if output not in OUTPUTS:
            raise SignatureError(unknown("output", output, OUTPUTS))
        self.activation, self.squashed = activation_of(activation), output == "tanh"
        self.hidden = nn.Linear(width, head) if head else None
        self.last = nn.Linear(head or width, out)

    def forward(self, features: Tensor) -> Tensor:
        """``[B, width]`` → ``[B, out]``."""
        if self.hidden is not None:
            features = self.activation(self.hidden(features))
        values = self.last(features)
        return torch.tanh(values) if self.squashed else values


class GraphNetwork(nn.Module, ABC):
    """Layers on nodes with an activation behind each, a sum or mean over the nodes of a graph, and a readout.

    Args:
        adapter: reads the graphs.
        layers: maps of node features.
        width: features behind the last of them.
        pool: "sum" or "mean" over nodes.
        activation: "tanh" or "relu".
        head, output: of the readout.

    Raises:
        SignatureError: an unknown pool, activation or output.
    """

    claims = None
    compiles = "one graph; ragged batches in parts (their padding has a size that depends on the batch)"

    def __init__(
        self,
        adapter: GraphAdapter,
        layers: Sequence[nn.Module],
        width: int,
        pool: str,
        activation: str,
        head: int,
        output: str,
    ) -> None:
        super().__init__()
        if adapter.width == 0:
            raise SignatureError(f"{adapter.architecture} needs features on nodes: give some, or degree=True.")
        if pool not in POOLS:
            raise SignatureError(unknown("pool", pool, POOLS))
        self.adapter, self.mean, self.activation = adapter, pool == "mean", activation_of(activation)
        self.layers = nn.ModuleList(layers)
        self.readout = Readout(width, adapter.out_width, activation, head, output)

    @abstractmethod
    def passed(self, graphs: SparseGraphs) -> Callable[[nn.Module, Tensor], Tensor]:
        """How one layer maps the nodes of these graphs: (layer, nodes ``[n, k]``) → ``[n, width]``."""

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor:
        """Fields of the signature, by name or as a PyG object → its output, ``[..., out]``."""
        graphs = self.adapter.sparse(fields, graph)
        apply, nodes = self.passed(graphs), graphs.nodes
        for layer in self.layers:
            nodes = self.activation(apply(layer, nodes))
        total = nodes.new_zeros(graphs.count, nodes.shape[-1]).index_add(0, graphs.batch, nodes)
        if self.mean:
            total = total / torch.bincount(graphs.batch, minlength=graphs.count).clamp(min=1).unsqueeze(-1)
        return self.adapter.write(self.readout(total), graphs.lead)
