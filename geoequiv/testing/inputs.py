"""Random inputs that fit a signature: what a model is checked on where no data are given."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import ConfigError, unknown
from geoequiv.fields import FieldType, Signature

LAYOUTS = ("dense", "ragged", "graph")
IMAGE = (3, 16)  # channels, and pixels along a side, of an image whose type does not say


def random_inputs(
    signature: str | Signature,
    items: int = 64,
    points: int = 16,
    *,
    layout: str = "dense",
    edges: str | None = None,
    integers: Mapping[str, tuple[int, int]] | None = None,
    scale: float = 1.0,
    dim: int = 3,
    dtype: torch.dtype = torch.float32,
    generator: torch.Generator | None = None,
) -> Any:
    """Standard-normal fields of the types that the inputs of a signature have.

    Args:
        signature: its input side says which fields, or the string.
        items: number of clouds.
        points: nodes of a cloud; ragged clouds and graphs have between half as many and as many, at least two.
        layout: "dense" (``[items, points, …]``), "ragged" (``[n, …]`` with ``batch``) or "graph" (a PyG ``Batch``).
        edges: "complete" or "radius:R" adds ``edge_index`` (within clouds, no loops) to ragged clouds and graphs.
        integers: further fields of whole numbers, one per node: name → (lowest, highest), such as atom types.
        scale: standard deviation of points, in the unit of the coordinates; their centroid is shifted by as much again.
        dim: of space.
        dtype: of all fields but the integers.
        generator: source of the draws; ``None`` draws with a fixed seed, so that a check can be repeated.

    Returns:
        A dict of tensors, or a PyG ``Batch``.

    Raises:
        ConfigError: an unknown layout or kind of edges, or a type that the layout cannot hold.
    """
    signature = Signature.parse(signature)
    if layout not in LAYOUTS:
        raise ConfigError(unknown("layout", layout, LAYOUTS))
    if edges is not None and layout == "dense":
        raise ConfigError(f"Edges ('{edges}') go with the layouts ragged and graph; a dense batch has none.")
    generator = generator if generator is not None else torch.Generator().manual_seed(0)
    sizes = [points] * items
    if layout != "dense":
        least = min(points, max(2, points // 2))
        sizes = torch.randint(least, points + 1, (items,), generator=generator).tolist()
    fields: dict[str, Tensor] = {}
    shift = scale * normal((items, 1, dim), generator)
    for name, kind in signature.inputs.items():
        if kind.per_edge:
            if edges is None:
                raise ConfigError(f"Field '{name}' is a {kind}: give edges='complete' or 'radius:R' for it.")
            continue
        values = (
            scale * drawn(kind, items, points, dim, generator)
            if kind.translates
            else drawn(kind, items, points, dim, generator)
        )
        if kind.translates:
            values = values + shift.reshape(items, *(1,) * (values.ndim - 2), dim)
        if layout == "dense" or kind.per_graph:
            fields[name] = values.to(dtype)
        elif kind.kind in ("adjacency", "image"):
            raise ConfigError(f"Field '{name}' is an {kind}: inputs for it can be generated in the layout dense only.")
        else:
            fields[name] = packed(values, sizes).to(dtype)
    for name, (low, high) in (integers or {}).items():
        values = torch.randint(low, high + 1, (items, points), generator=generator)
        fields[name] = values if layout == "dense" else packed(values, sizes)
    if layout == "dense":
        return fields
    fields["batch"] = torch.repeat_interleave(torch.arange(items), torch.tensor(sizes))
    if edges is not None:
        fields["edge_index"] = edges_within(edges, signature, fields)
        count = fields["edge_index"].shape[1]
        for name, kind in signature.inputs.items():
            if kind.per_edge:
                fields[name] = drawn(kind, 1, count, dim, generator)[0].to(dtype)
    return as_graph(fields) if layout == "graph" else fields


def drawn(kind: FieldType, items: int, points: int, dim: int, generator: torch.Generator) -> Tensor:
    """Standard-normal values of one type, in float64: ``[items, points, …]``, ``[items, …]`` where it is per graph."""
    if kind.kind == "adjacency":
        copies = (kind.multiplicity,) if kind.multiplicity > 1 else ()
        values = normal((items, points, points, *copies), generator)
        return (values + values.transpose(1, 2)) / 2
    if kind.kind == "image":
        channels = kind.multiplicity if kind.multiplicity > 1 else IMAGE[0]
        return normal((items, channels, IMAGE[1], IMAGE[1]), generator)
    lead = (items,) if kind.per_graph else (items, points)
    if kind.rank == 0 or kind.irreps is not None:
        return normal((*lead, kind.size(dim)), generator)
    copies = (kind.multiplicity,) if kind.multiplicity > 1 else ()
    return normal((*lead, *copies, *(dim,) * kind.rank), generator)


def normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Standard-normal numbers in float64."""
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float64)


def packed(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """The first ``sizes[i]`` nodes of each item, one cloud behind the other."""
    return torch.cat([row[:size] for row, size in zip(values, sizes, strict=True)])


def edges_within(edges: str, signature: Signature, fields: Mapping[str, Tensor]) -> Tensor:
    """``edge_index`` ``[2, E]`` of all ordered pairs of a cloud's nodes, or of those closer than R.

    Raises:
        ConfigError: neither "complete" nor "radius:R", or there are no points to measure distances between.
    """
    batch = fields["batch"]
    pairs = batch[:, None] == batch[None, :]
    pairs.fill_diagonal_(False)
    if edges != "complete":
        radius = re.fullmatch(r"radius:([0-9.]+(?:e[+-]?\d+)?)", edges)
        located = signature.inputs.of_kind("point")
        if radius is None:
            raise ConfigError(f"Edges are 'complete' or 'radius:R' with a length R, such as radius:2.5; got '{edges}'.")
        if not located:
            raise ConfigError(f"'{edges}' needs a field of type point; '{signature.inputs}' has none.")
        pos = fields[located[0]].double()
        pairs &= torch.cdist(pos, pos) < float(radius[1])
    return pairs.nonzero().T.contiguous()


def as_graph(fields: Mapping[str, Tensor]) -> Any:
    """Ragged fields as a PyG ``Batch``."""
    from torch_geometric.data import Batch, Data

    sizes = torch.bincount(fields["batch"])
    whole = Batch(_base_cls=Data, **fields)
    whole.ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    whole._num_graphs = len(sizes)
    return whole
