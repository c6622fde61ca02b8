"""All directions that a batch shows: its points and vectors, gathered item by item."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from geoequiv.fields import FieldType, Layout, Side
from geoequiv.symmetrize.frames.frame import per_node
from geoequiv.symmetrize.frames.frame_inputs import FrameInputs
from geoequiv.symmetrize.frames.labels import node_labels
from geoequiv.symmetrize.frames.spectrum import Spectrum, noise_of


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions of D items, padded to the longest list; their order means nothing.

    Args:
        vectors: ``[D, K, 3]`` float64 (those of the plane have z = 0), each level scaled to a longest one of length 1.
        level: ``[D, K]``, 0 for the cloud itself, 1, 2, … for the other fields in order, -1 for padding.
        label: ``[D, K]``, what the labels of its node say, in [-1, 1]; 0 without.
        pseudo: ``[D, K]``, which are pseudovectors: reflected frames see them with the other sign.
        back: ``[D, K]``, which are the other end of a pseudovector, whose sign is a matter of handedness: as a leg of
            a frame either end will do.
    """

    vectors: Tensor
    level: Tensor
    label: Tensor
    pseudo: Tensor
    back: Tensor

    @classmethod
    def of(
        cls,
        fields: Mapping[str, Any],
        side: Side,
        layout: Layout,
        source: FrameInputs,
        spectrum: Spectrum,
        chosen: Tensor,
    ) -> "Directions":
        """Those of the chosen items ``[*shape]`` bool: the cloud, what else is named, the rest."""
        dim = spectrum.axes.shape[-1]
        of_node = node_labels(fields, source, layout)
        number = chosen.flatten().cumsum(0) - 1
        size = int(chosen.sum())
        single = spectrum.coincident.flatten()[chosen.flatten()]
        found = []
        for level, name in enumerate((source.cloud, *source.further, *source.rest)):
            kind = side[name]
            values = spectrum.points if level == 0 else fields[name].double()
            if level and kind.translates and spectrum.centre is not None:
                values = about(values, spectrum.centre, dim, layout, name, kind)
            rows, item, node = rows_of(values, dim, layout, name, kind)
            keep = chosen.flatten()[item] & (node >= -1)
            rows, item, node = rows[keep], number[item[keep]], node[keep]
            length = rows.detach().norm(dim=-1)
            longest = length.new_zeros(size).scatter_reduce(0, item, length, "amax")
            lost = longest <= 0
            if kind.translates and spectrum.centre is not None:
                far_off = spectrum.centre.detach().abs().amax(-1).flatten()[chosen.flatten()]
                lost = single if level == 0 else longest <= noise_of(layout.eps(fields[name])) * far_off
            elif level == 0:
                lost = single
            rows = rows / longest.clamp_min(torch.finfo(longest.dtype).tiny)[item].unsqueeze(-1)
            far = ~lost[item]
            rows, item, node = rows[far], item[far], node[far]
            label = (
                rows.new_zeros(len(rows)) if of_node is None else torch.where(node < 0, 0, of_node[node.clamp_min(0)])
            )
            pseudo = torch.full_like(item, kind.kind == "pseudovector", dtype=torch.bool)
            back = torch.zeros_like(pseudo)
            if kind.kind == "pseudovector":
                rows, item, label, pseudo = (
                    torch.cat([rows, -rows]),
                    *(part.repeat(2) for part in (item, label, pseudo)),
                )
                back = torch.cat([back, ~back])
            found.append((rows, item, torch.full_like(item, level), label, pseudo, back))
        rows, item, *marks = (torch.cat(parts) for parts in zip(*found, strict=True))
        return cls(*padded(rows, item, marks, (-1, 0, False, False), size))

    def only(self, keep: Tensor) -> "Directions":
        """The same with other directions than ``keep`` ``[D, K]`` marked as padding."""
        return replace(self, level=torch.where(keep, self.level, -1))

    @property
    def seen(self) -> Tensor:
        """Which tell frames apart, ``[D, K]``."""
        return (self.level >= 0) & ~self.back


def rows_of(values: Tensor, dim: int, layout: Layout, name: str, kind: FieldType) -> tuple[Tensor, Tensor, Tensor]:
    """All vectors of a field in one list ``[R, dim]``, and the item and node of each ``[R]``.

    Nodes are numbered through the batch; -1 stands for a vector of the whole item, -2 for one that is masked out.
    """
    if layout.batch is not None:
        index = layout.rows(values, 0, name, kind)
        item = torch.arange(layout.shape[0], device=values.device) if index is None else index
        node = torch.arange(len(item), device=values.device) if index is layout.batch else torch.full_like(item, -1)
        copies = values[0].numel() // dim
        return values.reshape(-1, dim), item.repeat_interleave(copies), node.repeat_interleave(copies)
    items = torch.Size(layout.shape).numel()
    rows = values.reshape(items, -1, dim)
    node = torch.full(rows.shape[:2], -1, device=values.device)
    if layout.has_node_axis(values, name, kind):
        copies = rows.shape[1] // layout.nodes
        node = torch.arange(items * layout.nodes, device=values.device).reshape(items, -1).repeat_interleave(copies, 1)
        if layout.mask is not None:
            node = torch.where(layout.mask.reshape(items, -1).repeat_interleave(copies, 1), node, -2)
    item = torch.arange(items, device=values.device).unsqueeze(1).expand(rows.shape[:2])
    return rows.flatten(0, 1), item.flatten(), node.flatten()


def about(values: Tensor, centre: Tensor, dim: int, layout: Layout, name: str, kind: FieldType) -> Tensor:
    """Positions about the centre of their item."""
    here = centre
    if layout.batch is not None:
        index = layout.rows(values, 0, name, kind)
        here = centre if index is None else per_node(centre, layout)
    flat = values.reshape(*values.shape[: here.ndim - 1], -1, dim)
    return (flat - here.unsqueeze(-2)).reshape(values.shape)


def padded(rows: Tensor, item: Tensor, marks: list[Tensor], fill: tuple, size: int) -> tuple[Tensor, ...]:
    """Rows with their item ``[R]`` to ``[size, K, 3]``, and their marks to ``[size, K]``, filled up."""
    order = torch.argsort(item, stable=True)
    item = item[order]
    place, counts = places(item, size)
    longest = max(int(counts.max()), 1) if len(item) else 1
    rows = torch.nn.functional.pad(rows[order], (0, 3 - rows.shape[-1]))
    vectors = rows.new_zeros(size, longest, 3).index_put((item, place), rows)
    columns = (
        torch.full((size, longest), value, dtype=mark.dtype, device=mark.device).index_put((item, place), mark[order])
        for mark, value in zip(marks, fill, strict=True)
    )
    return (vectors, *columns)


def places(item: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Where each of a list stands among those of its item ``[R]``, and how many each item has ``[size]``.

    Args:
        item: which item each belongs to ``[R]``, ascending.
    """
    counts = torch.bincount(item, minlength=size)
    return torch.arange(len(item), device=item.device) - (counts.cumsum(0) - counts)[item], counts
