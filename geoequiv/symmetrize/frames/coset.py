"""All the relabellings that bring an item into one order, written as one of them and the item's own symmetries."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from geoequiv.fields import Layout, Side
from geoequiv.groups import Element


@dataclass(frozen=True, eq=False)
class Coset(Element):
    r"""The elements h g, with g an element and h the relabellings that leave the item x as it is.

    The model sees the same input g⁻¹x from all of them, so that one call is enough, and the average over h is that
    over the orbits of nodes and of pairs of nodes:

    .. math:: \frac{1}{|H|} \sum_{h \in H} \rho(h)\, \rho(g)\, f(\rho(g)^{-1} \rho(h)^{-1} x)
              = P_H\, \rho(g)\, f(\rho(g)^{-1} x)

    Selecting elements gives plain ones: g without the symmetries.

    Args:
        linear, translation, permutation: g, of batch shape ``[1, *shape]``.
        nodes_alike: number of the orbit of each node, ``[*shape, n]`` int64, below n.
        pairs_alike: number of the orbit of each ordered pair of nodes, ``[*shape, n, n]`` int64, below n².
    """

    nodes_alike: Tensor | None = None
    pairs_alike: Tensor | None = None

    def average(self, fields: Mapping[str, Tensor], side: Side, layout: Layout) -> dict[str, Tensor]:
        """``P_H`` on the fields of a side; those that belong to whole items stay as they are."""
        return {name: self._average(fields[name], side, layout, name) for name in side}

    def with_gradients(self, fields: Mapping[str, Tensor], side: Side, layout: Layout) -> dict[str, Tensor]:
        """The fields bit for bit, with the derivative of ``P_H`` where one is asked for.

        The derivative of the average over h is then right to first order, where that at g alone knows of no h.
        """
        tracked = Side(tuple((name, kind) for name, kind in side.items() if fields[name].requires_grad))
        means = self.average(fields, tracked, layout)
        return {**fields, **{name: fields[name].detach() + (mean - mean.detach()) for name, mean in means.items()}}

    def _average(self, values: Tensor, side: Side, layout: Layout, name: str) -> Tensor:
        assert self.nodes_alike is not None
        assert self.pairs_alike is not None
        kind, n, items = side[name], self.nodes_alike.shape[-1], len(layout.shape)
        if layout.is_ragged:
            if layout.on_nodes(values, 0, name, kind):
                if kind.kind == "adjacency":  # of a single graph
                    return self._pairs(values.unsqueeze(0), 1, 1)[0]
                members = layout.members(n)
                means = orbit_means(values[members].reshape(*members.shape, -1), self.nodes_alike)
                return torch.zeros_like(values).index_put((members,), means.reshape(*members.shape, *values.shape[1:]))
            if layout.on_edges(values, 0, name, kind):
                return self._edges(values, layout)
            if kind.kind not in ("node", "adjacency"):
                return values
        axes = kind.node_axes(values, items, n, self.dim, name)
        if not axes:
            return values
        if len(axes) == 2:
            return self._pairs(values, axes[0], items)
        leading = values.movedim(axes[0], items)
        labels = self.nodes_alike.reshape(-1, n)
        return orbit_means(leading.reshape(*labels.shape, -1), labels).reshape(leading.shape).movedim(items, axes[0])

    def _edges(self, values: Tensor, layout: Layout) -> Tensor:
        """Means over the edges whose pairs of nodes are alike."""
        assert self.pairs_alike is not None
        assert layout.edges is not None
        assert layout.batch is not None
        n = self.pairs_alike.shape[-1]
        graph, (i, j) = layout.batch[layout.edges[0]], layout.places(n)[layout.edges]
        _, labels = (graph * n * n + self.pairs_alike[graph, i, j]).unique(return_inverse=True)
        return orbit_means(values.reshape(1, len(values), -1), labels.unsqueeze(0)).reshape(values.shape)

    def _pairs(self, values: Tensor, axis: int, items: int) -> Tensor:
        """Means over orbits of pairs; the axes of nodes are ``axis`` and the next one."""
        assert self.pairs_alike is not None
        n = self.pairs_alike.shape[-1]
        leading = values.movedim((axis, axis + 1), (items, items + 1))
        labels = self.pairs_alike.reshape(-1, n * n)
        means = orbit_means(leading.reshape(*labels.shape, -1), labels)
        return means.reshape(leading.shape).movedim((items, items + 1), (axis, axis + 1))


def orbit_means(values: Tensor, labels: Tensor) -> Tensor:
    """Each row of ``[B, m, k]`` replaced by the mean of the rows with the same label, ``[B, m]`` below m."""
    rows, size, width = values.shape
    flat = (labels + size * torch.arange(rows, device=labels.device).unsqueeze(-1)).flatten()
    counts = torch.bincount(flat, minlength=rows * size).clamp_min(1).to(values)
    sums = values.new_zeros(rows * size, width).index_add(0, flat, values.reshape(rows * size, width))
    return (sums / counts.unsqueeze(-1))[flat].reshape(values.shape)
