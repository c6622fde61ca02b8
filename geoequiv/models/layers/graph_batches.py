"""How named fields become graphs, sparse for message passing or dense for networks on pairs of nodes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from geoequiv.errors import BatchError, SignatureError
from geoequiv.fields import Signature
from geoequiv.models.layers.batches import by_name, clouds_of, flattened
from geoequiv.models.layers.cloud import as_networks_see
from geoequiv.models.layers.padding import Padding


@dataclass(frozen=True)
class DenseGraphs:
    """Graphs of one size, padded.

    Args:
        nodes: ``[B, N, k]``, 0 at padding.
        adjacency: ``[B, N, N]``, 0 at padding.
        mask: ``[B, N]`` bool, True for real nodes.
        lead: batch axes that B stands for.
    """

    nodes: Tensor
    adjacency: Tensor
    mask: Tensor
    lead: tuple[int, ...]


@dataclass(frozen=True)
class SparseGraphs:
    """Graphs one behind the other, real nodes alone.

    Args:
        nodes: ``[n, k]``.
        edge_index: ``[2, E]`` int64.
        batch: ``[n]`` int64, the graph of each node.
        count: number of graphs, B.
        lead: batch axes that B stands for.
    """

    nodes: Tensor
    edge_index: Tensor
    batch: Tensor
    count: int
    lead: tuple[int, ...]


class GraphAdapter:
    """Adapts a signature to networks of graphs: features on nodes, one adjacency or edges, one output per graph.

    Args:
        signature: inputs of type node, scalar (per node) and at most one adjacency; one output ``scalar*k per graph``.
        architecture: its name, for messages.
        degree: whether the degree (the sum of a row of the adjacency) is a further feature of a node.
        positions: if positive, the number of places whose one-hot code is a further feature: the place that a node has
            in its graph, which no longer leaves the order of nodes free.

    Raises:
        SignatureError: for other fields, or nodes without any feature.
    """

    def __init__(
        self, signature: Signature | str, architecture: str, *, degree: bool = True, positions: int = 0
    ) -> None:
        self.signature = seen = as_networks_see(Signature.parse(signature))
        self.architecture, self.degree, self.positions = architecture, degree, positions
        for name, kind in seen.inputs.items():
            if kind.kind not in ("node", "scalar", "adjacency") or kind.rows in ("graph", "edge"):
                raise SignatureError(
                    f"{architecture} reads node and scalar fields on nodes and an adjacency; '{name}' is a {kind}."
                )
        matrices = seen.inputs.of_kind("adjacency")
        if len(matrices) > 1 or any(seen.inputs[name].multiplicity > 1 for name in matrices):
            raise SignatureError(f"{architecture} reads one adjacency; '{signature}' has more.")
        self.matrix = matrices[0] if matrices else None
        self.features = [name for name in seen.inputs if name not in matrices]
        outputs = list(seen.outputs.items())
        if len(outputs) != 1 or outputs[0][1].kind != "scalar" or not outputs[0][1].per_graph:
            raise SignatureError(f"{architecture} predicts one 'scalar*k per graph'; got ({seen.outputs}).")
        self.out_width = outputs[0][1].multiplicity
        self.given = sum(seen.inputs[name].multiplicity for name in self.features)
        self.width = self.given + degree + positions
        if self.width == 0 and self.matrix is None:
            raise SignatureError(f"{architecture} needs an adjacency, or features on nodes; '{signature}' has none.")

    def dense(self, fields: Mapping[str, Any], graph: Any = None) -> DenseGraphs:
        """Graphs of a batch, padded.

        Args:
            fields: every input by name, dense ``[..., N, ·]`` with an optional ``mask``; without an adjacency in the
                signature ragged ``[n, ·]`` with ``edge_index`` and ``batch``.
            graph: a PyG object that has them as attributes, instead.

        Raises:
            BatchError: an input is missing or has another shape than its type, or there are no edges.
        """
        fields = by_name(graph, fields)
        for name in self.signature.inputs:
            if name not in fields:
                raise BatchError(f"Input '{name}' of '{self.signature}' is missing; got {sorted(fields)}.")
        if self.matrix is None or fields.get("batch") is not None:
            return self._from_edges(fields)
        adjacency = flattened(self.matrix, self.signature.inputs[self.matrix], fields[self.matrix]).squeeze(-1)
        lead = tuple(adjacency.shape[:-1])
        columns = [self._column(name, fields[name], lead) for name in self.features]
        mask, _, _ = clouds_of(fields, lead, self.matrix)
        mask = torch.ones(lead, dtype=torch.bool, device=adjacency.device) if mask is None else mask
        size = lead[-1]
        adjacency, mask = adjacency.reshape(-1, size, size), mask.reshape(-1, size)
        columns = [each.reshape(-1, size, each.shape[-1]) for each in columns]
        return self._finished(columns, adjacency, mask, lead[:-1])

    def sparse(self, fields: Mapping[str, Any], graph: Any = None) -> SparseGraphs:
        """Graphs of a batch, as edges between the nodes that are not 0 in the adjacency; arguments as of `dense`."""
        whole = self.dense(fields, graph)
        number = (whole.mask.flatten().cumsum(0) - 1).reshape(whole.mask.shape)
        which, sender, receiver = whole.adjacency.nonzero(as_tuple=True)
        edges = torch.stack([number[which, sender], number[which, receiver]])
        return SparseGraphs(
            whole.nodes[whole.mask], edges, whole.mask.nonzero()[:, 0], len(whole.mask), whole.lead
        )  # fmt: skip

    def write(self, values: Tensor, lead: tuple[int, ...]) -> Tensor:
        """Outputs ``[B, out_width]`` with the batch axes of the input."""
        return values.reshape(*lead, self.out_width)

    def _column(self, name: str, values: Tensor, lead: tuple[int, ...]) -> Tensor:
        """One field with a trailing axis, ``[*lead, k]``."""
        kind = self.signature.inputs[name]
        if kind.multiplicity == 1 and tuple(values.shape) == lead:
            values = values.unsqueeze(-1)
        if tuple(values.shape) != (*lead, kind.multiplicity):
            raise BatchError(
                f"Field '{name}' is a {kind}: expected shape {[*lead, kind.multiplicity]}, got {list(values.shape)}."
            )
        return values

    def _from_edges(self, fields: Mapping[str, Any]) -> DenseGraphs:
        if self.matrix is not None:
            raise BatchError(f"Field '{self.matrix}' is a matrix over nodes: give a dense batch, not a ragged one.")
        if fields.get("edge_index") is None:
            raise BatchError(f"{self.architecture} needs an 'edge_index' [2, E] where the signature has no adjacency.")
        lead = (len(fields[self.features[0]]) if self.features else len(fields["batch"]),)
        columns = [self._column(name, fields[name], lead) for name in self.features]
        _, batch, edges = clouds_of(fields, lead, self.features[0] if self.features else "batch")
        assert batch is not None
        assert edges is not None
        padding = Padding.of(batch)
        mask = padding.mask
        first, second = padding.slot[edges[0]], padding.slot[edges[1]]
        size = padding.longest
        flat = columns[0].new_zeros(padding.clouds * size * size) if columns else torch.zeros(len(mask) * size * size)
        flat = flat.index_put((first * size + second % size,), flat.new_ones(()))
        adjacency = flat.reshape(-1, size, size)
        return self._finished([padding.fill(each) for each in columns], adjacency, mask, (padding.clouds,))

    def _finished(self, columns: list[Tensor], adjacency: Tensor, mask: Tensor, lead: tuple[int, ...]) -> DenseGraphs:
        """Mask, and append degrees and positions."""
        adjacency = torch.where(mask.unsqueeze(-1) & mask.unsqueeze(-2), adjacency, 0)
        if self.degree:
            columns = [*columns, adjacency.sum(-1, keepdim=True)]
        if self.positions:
            size = mask.shape[-1]
            if size > self.positions:
                raise BatchError(f"{self.architecture} has {self.positions} positions; it got graphs of {size} nodes.")
            places = torch.arange(size, device=mask.device)
            code = F.one_hot(places, self.positions).to(adjacency)
            columns = [*columns, code.expand(len(mask), size, -1)]
        nodes = torch.cat([adjacency.new_zeros(*mask.shape, 0), *columns], dim=-1)
        return DenseGraphs(torch.where(mask.unsqueeze(-1), nodes, 0), adjacency, mask, lead)
