"""How named fields become the cloud that an architecture reads, and its channels become named outputs again."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import BatchError, SignatureError
from geoequiv.fields import UNSIGNED, FieldType, Side, Signature
from geoequiv.models.layers.batches import by_name, clouds_of, flattened, may_look
from geoequiv.models.layers.neighbours import radius_graph
from geoequiv.models.layers.pairs import AllPairs, EdgeList, Pairs, within_clouds

#: types that E(3)-equivariant architectures built from distances and differences can read and write
GEOMETRIC = ("point", "vector", "scalar", "adjacency")
#: nodes of a cloud from which on finding the pairs within a cutoff is cheaper than having all
MANY = 128


@dataclass(frozen=True)
class Cloud:
    """Fields of a batch by kind: dense ``[..., N, ·]`` (with or without batch axes) or ragged ``[n, ·]``.

    Args:
        points: ``[..., N, P, 3]``.
        vectors: ``[..., N, V, 3]``.
        scalars: ``[..., N, S]``.
        other: ``[..., N, R]``, all further field types, flattened.
        relations: ``[..., N, N, A]``, values of an ``adjacency`` (row i receives).
        mask: ``[..., N]`` bool, True where a node is real, or None.
        batch: ``[n]``, the cloud of each node (ragged), or None (dense).
        edge_index: ``[2, E]`` (senders, receivers), or None for all pairs.
        graphs: number of ragged clouds, None if it is that of the batch vector.
    """

    points: Tensor
    vectors: Tensor
    scalars: Tensor
    other: Tensor
    relations: Tensor
    mask: Tensor | None
    batch: Tensor | None
    edge_index: Tensor | None
    graphs: int | None = None

    @property
    def flat(self) -> Tensor:
        """All channels side by side, for architectures without geometric structure: ``[..., N, 3P + 3V + S + R]``."""
        return torch.cat([self.points.flatten(-2), self.vectors.flatten(-2), self.scalars, self.other], dim=-1)

    def pooled(self, values: Tensor, mean: bool = False) -> Tensor:
        """Sum (or mean) over the nodes of each cloud: ``[..., N, k]`` → ``[..., k]``, ``[n, k]`` → ``[graphs, k]``.

        Args:
            values: 0 at padding.
            mean: divide by the number of real nodes (0 for a cloud of padding alone).
        """
        if self.batch is None:
            total = values.sum(-2)
            count = values.shape[-2] if self.mask is None else self.mask.sum(-1, keepdim=True).clamp(min=1)
            return total / count if mean else total
        graphs = self.graphs
        if graphs is None:
            graphs = int(self.batch.max()) + 1 if len(self.batch) else 0
        total = values.new_zeros(graphs, values.shape[-1]).index_add(0, self.batch, values)
        return total / torch.bincount(self.batch, minlength=graphs).clamp(min=1).unsqueeze(-1) if mean else total

    def pairs(self, cutoff: float = 0.0) -> Pairs:
        """The pairs over which messages pass.

        Args:
            cutoff: distance between first points beyond which pairs have no effect, 0 for none. Clouds of `MANY` nodes
                and more then have only the pairs within it.
        """
        nodes = self.scalars.shape[-2]
        if self.edge_index is not None:
            return EdgeList(nodes, self.edge_index[0], self.edge_index[1])
        large = cutoff > 0 and nodes >= MANY and may_look()
        if large and self.batch is not None:
            large = int(torch.bincount(self.batch).max()) >= MANY
        if large and not self.relations.numel():
            return self._near(cutoff)
        return AllPairs.of(nodes, self.mask, self.scalars.device) if self.batch is None else within_clouds(self.batch)

    def _near(self, cutoff: float) -> EdgeList:
        """The pairs of real nodes within the cutoff."""
        positions, lead = self.points[..., 0, :], tuple(self.scalars.shape[:-1])
        if self.batch is not None:
            return EdgeList(lead[0], *radius_graph(positions, cutoff, self.batch))
        real = (
            torch.ones(lead, dtype=torch.bool, device=positions.device) if self.mask is None else self.mask.expand(lead)
        )
        chosen = real.flatten().nonzero().squeeze(-1)
        ends = radius_graph(positions.flatten(0, -2)[chosen], cutoff, chosen // lead[-1])
        senders, receivers = chosen[ends]
        return EdgeList(real.numel(), senders, receivers, lead)


class SignatureAdapter:
    """Adapts a signature to an architecture: reads a cloud from named fields, writes named outputs.

    Args:
        signature: the task's, or its text.
        kinds: field types that the architecture can handle, or None for all.
        architecture: its name, for messages.
        needs_point: whether it requires positions.

    Raises:
        SignatureError: if a field is of another type, or positions are missing.
    """

    def __init__(
        self,
        signature: Signature | str,
        *,
        kinds: Collection[str] | None = None,
        architecture: str = "This model",
        needs_point: bool = False,
    ) -> None:
        self.signature = signature = as_networks_see(Signature.parse(signature))
        inputs, outputs = self.signature.inputs, self.signature.outputs
        for name, field in [*inputs.items(), *outputs.items()]:
            if kinds is not None and field.kind not in kinds:
                raise SignatureError(
                    f"{architecture} handles fields of type {', '.join(kinds)}; '{name}' is a {field} in '{signature}'."
                )
        self.points = sum(field.multiplicity for field in inputs.values() if field.kind == "point")
        self.vectors = sum(field.multiplicity for field in inputs.values() if field.kind == "vector")
        self.scalars = sum(field.multiplicity for field in inputs.values() if field.kind == "scalar")
        self.relations = sum(field.multiplicity for field in inputs.values() if field.kind == "adjacency")
        self.width = sum(field.size() for field in inputs.values() if field.kind != "adjacency")
        self.out_width = sum(field.size() for field in outputs.values())
        self.out_points = sum(field.multiplicity for field in outputs.values() if field.kind == "point")
        self.out_vectors = sum(field.multiplicity for field in outputs.values() if field.kind == "vector")
        self.out_scalars = sum(field.multiplicity for field in outputs.values() if field.kind == "scalar")
        self.directions = self.vectors + max(self.points - 1, 0)
        self.origin_channels = self._origin_channels()
        for name in outputs.of_kind("adjacency"):
            raise SignatureError(f"{architecture} predicts nodes and graphs, not pairs: '{name}' in '{signature}'.")
        for name, field in (*inputs.items(), *outputs.items()):
            if field.per_edge:
                raise SignatureError(f"{architecture} has no fields per edge: '{name}' in '{signature}'.")
        if all(field.per_graph or field.kind == "adjacency" for field in inputs.values()):
            raise SignatureError(f"{architecture} needs an input that lives on nodes; '{signature}' has none.")
        if self.points == 0 and (needs_point or self.out_points):
            raise SignatureError(f"{architecture} needs an input of type point; '{signature}' has none.")

    @property
    def pair_invariants(self) -> int:
        """Invariants of a pair: products of scalars, squared distances, relations."""
        return self.scalars + self.points + self.relations

    def read(self, fields: Mapping[str, Any], graph: Any = None) -> Cloud:
        """The cloud of a batch.

        Args:
            fields: every input of the signature, ``[..., N, ·]`` or ``[n, ·]`` (per graph: ``[..., ·]`` or
                ``[graphs, ·]``, repeated for each node); optionally ``mask``, or ``batch`` and ``edge_index``.
                Further names are ignored. Padding may hold anything: it is read as 0.
            graph: a PyG object that has them as attributes, instead.

        Raises:
            BatchError: if an input is missing, its shape is not that of its type, or fields, mask, batch vector and
                edges do not go together.
        """
        fields, inputs = by_name(graph, fields), self.signature.inputs
        for name in inputs:
            if name not in fields:
                raise BatchError(f"Input '{name}' of '{self.signature}' is missing; got {sorted(fields)}.")
        first = next(name for name in inputs if not inputs[name].per_graph and inputs[name].kind != "adjacency")
        lead = tuple(flattened(first, inputs[first], fields[first]).shape[:-1])
        ragged = fields.get("batch") is not None or fields.get("edge_index") is not None
        channels = {name: with_channel(inputs[name], fields[name], lead, ragged) for name in inputs}
        flat = {name: flattened(name, inputs[name], values) for name, values in channels.items()}
        mask, batch, edge_index = clouds_of(fields, lead, first)
        graphs = len(fields["ptr"]) - 1 if batch is not None and fields.get("ptr") is not None else None
        columns: dict[str, list[Tensor]] = {"point": [], "vector": [], "scalar": [], "other": [], "adjacency": []}
        for name, values in flat.items():
            field = inputs[name]
            if field.kind == "adjacency" and batch is not None:
                raise BatchError(f"Field '{name}' is a matrix over nodes: give a dense batch, not a ragged one.")
            if field.per_graph and batch is not None:
                graphs, values = len(values), values.index_select(0, batch)
            else:
                wanted = lead[:-1] if field.per_graph else (*lead, lead[-1]) if field.kind == "adjacency" else lead
                if tuple(values.shape[:-1]) != wanted:
                    raise BatchError(
                        f"Fields '{first}' and '{name}' disagree: {list(fields[first].shape)} against "
                        f"{list(fields[name].shape)}."
                    )
                values = values.unsqueeze(-2).expand(*lead, -1) if field.per_graph else values
            if mask is not None:
                real = mask.unsqueeze(-1) & mask.unsqueeze(-2) if field.kind == "adjacency" else mask
                values = values.masked_fill(~real.unsqueeze(-1), 0.0)
            columns[field.kind if field.kind in columns else "other"].append(values)
        relations, none = columns.pop("adjacency"), flat[first].new_zeros(*lead, 0)
        points, vectors, scalars, other = (torch.cat([none, *group], dim=-1) for group in columns.values())
        return Cloud(
            points.unflatten(-1, (self.points, 3)),
            vectors.unflatten(-1, (self.vectors, 3)),
            scalars, other,
            torch.cat(relations, dim=-1) if relations else scalars.new_zeros(0), mask, batch, edge_index, graphs,
        )  # fmt: skip

    def origins(self, cloud: Cloud) -> Tensor:
        """The input point that each output point is displaced from: ``[..., N, out_points, 3]``.

        It is the input of the same name if there is one of that multiplicity, else the first input point.
        """
        return cloud.points[..., self.origin_channels, :]

    def start(self, cloud: Cloud) -> tuple[Tensor, Tensor]:
        """The position that an architecture updates, and the vectors along which it may do so.

        Returns:
            ``[..., N, 3]``, the origin of the first output point (else the first input point); and
            ``[..., N, directions, 3]``, the input vectors, then the further input points as seen from there.
        """
        channel = self.origin_channels[0] if self.origin_channels else 0
        start = cloud.points[..., channel, :]
        others = [other for other in range(self.points) if other != channel]
        if not others:
            return start, cloud.vectors
        return start, torch.cat([cloud.vectors, cloud.points[..., others, :] - start.unsqueeze(-2)], dim=-2)

    def write(self, cloud: Cloud, *, points: Tensor, vectors: Tensor, scalars: Tensor) -> Tensor | dict[str, Tensor]:
        """Name the outputs of an equivariant architecture.

        Args:
            cloud: the input.
            points: ``[..., N, out_points, 3]``, absolute.
            vectors: ``[..., N, out_vectors, 3]``.
            scalars: ``[..., N, out_scalars]``.

        Returns:
            The one output, or a dict of them, each of the shape of its type; 0 at padding. What is declared per graph
            is summed over the nodes (points: averaged).
        """
        columns = {"point": points.flatten(-2), "vector": vectors.flatten(-2), "scalar": scalars}
        used = dict.fromkeys(columns, 0)
        outputs = {}
        for name, field in self.signature.outputs.items():
            start = used[field.kind]
            used[field.kind] = start + field.size()
            outputs[name] = self._finish(columns[field.kind][..., start : used[field.kind]], field, cloud)
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def write_flat(self, cloud: Cloud, channels: Tensor) -> Tensor | dict[str, Tensor]:
        """Name the outputs of an architecture without geometric structure: point = input point + channels.

        Args:
            cloud: the input.
            channels: ``[..., N, out_width]``, in the order of the signature's outputs.
        """
        origins, used = self.origins(cloud), 0
        outputs = {}
        sizes = [field.size() for field in self.signature.outputs.values()]
        for (name, field), values in zip(self.signature.outputs.items(), channels.split(sizes, dim=-1), strict=True):
            if field.kind == "point":
                values = values + origins[..., used : used + field.multiplicity, :].flatten(-2)
                used += field.multiplicity
            outputs[name] = self._finish(values, field, cloud)
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def _origin_channels(self) -> list[int]:
        starts, start = {}, 0
        for name, field in self.signature.inputs.items():
            if field.kind == "point":
                starts[name] = (start, field.multiplicity)
                start += field.multiplicity
        channels: list[int] = []
        for name, field in self.signature.outputs.items():
            if field.kind == "point":
                start, copies = starts.get(name, (0, 0))
                same = copies == field.multiplicity
                channels += [start + copy if same else 0 for copy in range(field.multiplicity)]
        return channels

    @staticmethod
    def _finish(values: Tensor, field: FieldType, cloud: Cloud) -> Tensor:
        if cloud.mask is not None:
            values = values.masked_fill(~cloud.mask.unsqueeze(-1), 0.0)
        if field.per_graph:
            values = cloud.pooled(values, mean=field.translates)
        if field.irreps is not None or field.rank == 0:
            return values
        copies = (field.multiplicity,) if field.multiplicity > 1 else ()
        return values.unflatten(-1, (*copies, *(3,) * field.rank)) if copies or field.rank > 1 else values


def with_channel(field: FieldType, values: Tensor, lead: tuple[int, ...], ragged: bool) -> Tensor:
    """A single scalar of each cloud, ``[B]``, with the axis that it has left out."""
    axes = 1 if ragged else len(lead) - 1
    return values.unsqueeze(-1) if field.is_scalar and field.per_graph and values.ndim == axes else values


def as_networks_see(signature: Signature) -> Signature:
    """A signature whose labels are scalars, and whose vectors up to sign are vectors."""
    seen = {"label": "scalar", UNSIGNED: "vector"}

    def plain(side: Side) -> Side:
        kinds = ((name, replace(kind, kind=seen.get(kind.kind, kind.kind))) for name, kind in side.items())
        return Side(tuple(kinds))

    return Signature(plain(signature.inputs), plain(signature.outputs))


def smooth_norm(vectors: Tensor, tiny: float = 1e-12) -> Tensor:
    r""":math:`\sqrt{\|v\|^2 + \epsilon}` over the last axis, with finite derivatives of every order at 0."""
    return (vectors.square().sum(-1) + tiny).sqrt()


def squared_distances(points: Tensor, pairs: Pairs) -> Tensor:
    """‖x_i − x_j‖² per pair and point channel: ``[..., N, P, 3]`` → ``[..., N, N−1, P]`` (or ``[E, P]``)."""
    flat = points.flatten(-2)
    return pairs.difference(flat).unflatten(-1, points.shape[-2:]).square().sum(-1)


def pair_invariants(cloud: Cloud, pairs: Pairs) -> Tensor:
    """Products of the scalars, squared distances and relations of each pair.

    Returns:
        ``[..., N, N−1, S + P + A]`` (or ``[E, S + P]``); as many as ``SignatureAdapter.pair_invariants``.
    """
    products = pairs.receiver(cloud.scalars) * pairs.sender(cloud.scalars)
    invariants = [products, squared_distances(cloud.points, pairs)]
    if isinstance(pairs, AllPairs) and cloud.relations.numel():
        invariants.append(pairs.between(cloud.relations))
    return torch.cat(invariants, dim=-1)
