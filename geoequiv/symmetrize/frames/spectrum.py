"""The spectrum of a cloud: what principal-axes frames are computed from, and how near it is to degeneracy."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from geoequiv.fields import Layout, Side
from geoequiv.symmetrize.frames.eigen import principal_axes
from geoequiv.symmetrize.frames.frame import centroid, cloud_of, node_count, node_sum, per_node
from geoequiv.symmetrize.frames.frame_inputs import FrameInputs


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Covariance eigenvalues and axes of the clouds of a batch, in float64 whatever the dtype of the positions.

    Args:
        points: the cloud, centred if the group translates; dense ``[*shape, N, d]`` or ragged ``[n, d]``; masked-out
            nodes are zero.
        centre: ``[*shape, d]``, or ``None``.
        values: eigenvalues of the sum of outer products, ascending, ``[*shape, d]``, without gradient.
        axes: their eigenvectors as columns, ``[*shape, d, d]``.
        tolerance: what counts as equal, relative ``[*shape]``; never below ``noise``.
        length_threshold: smallest relative length of a single point that determines a direction ``[*shape]``: the
            fourth root of the round-off ε (1.9e-2 in float32, 1.2e-4 in float64), as round-off is magnified by one over
            it; at least ``tolerance``.
        noise: of the coordinates (see ``noise_of``), relative to the size of the cloud ``[*shape]``.
        coincident: whether all points of a cloud coincide, ``[*shape]``.
        eps: round-off ε of the coordinates.
        layout: of the batch.
    """

    points: Tensor
    centre: Tensor | None
    values: Tensor
    axes: Tensor
    tolerance: Tensor
    length_threshold: Tensor
    noise: Tensor
    coincident: Tensor
    eps: float
    layout: Layout

    @classmethod
    def of(
        cls, fields: Mapping[str, Any], side: Side, source: FrameInputs, layout: Layout, tolerance: float | None
    ) -> "Spectrum":
        """Read it off a batch.

        Args:
            tolerance: ``None`` takes the square root of the round-off of the positions' dtype (8 times their noise in
                float16 and bfloat16).
        """
        given = cloud_of(fields, source.cloud, layout)
        eps = layout.eps(given)
        cloud = real_nodes(given.double(), layout)
        largest = item_max(cloud.detach().abs().amax(-1), layout)
        centre = None
        if source.centre is not None:
            points = cloud if source.centre == source.cloud else real_nodes(fields[source.centre].double(), layout)
            centre = centroid(points, layout)
            if side[source.cloud].translates:
                cloud = real_nodes(cloud - per_node(centre, layout), layout)
        if layout.is_ragged:
            outer = (cloud.unsqueeze(-1) * cloud.unsqueeze(-2)).flatten(-2)
            covariance = node_sum(outer, layout).unflatten(-1, (cloud.shape[-1],) * 2)
        else:
            covariance = cloud.mT @ cloud
        values, axes = principal_axes(covariance)
        values = values.clamp_min(0)
        spread = (values[..., -1] / node_count(cloud, layout).squeeze(-1)).sqrt()
        noise = noise_of(eps) * largest / spread.clamp_min(torch.finfo(values.dtype).tiny)
        coincident = (noise >= 1) | (spread <= 0)
        base = tolerance if tolerance is not None else max(eps**0.5, ROOM * noise_of(eps))
        equal = torch.where(coincident, base, noise.clamp_min(base))
        noise = torch.where(coincident, noise_of(eps), noise)
        return cls(
            cloud, centre, values, axes, equal, equal.clamp_min(eps**0.25), noise, coincident, eps, layout,
        )  # fmt: skip

    @cached_property
    def gap_threshold(self) -> Tensor:
        """Smallest relative gap of eigenvalues that determines their eigenvectors, ``[*shape]``.

        Round-off rotates eigenvectors by u ε / gap, where u falls with the number of points (see ``uncertainty``). The
        threshold is u times the fourth root of ε, and at most ``length_threshold``; at least ``tolerance``.
        """
        factor = uncertainty(self.points.detach(), self.values[..., -1], self.layout, self.eps).clamp(max=1.0)
        return torch.maximum(self.tolerance, factor * self.eps**0.25)

    @cached_property
    def gaps(self) -> Tensor:
        """Relative gaps (λ_{k+1} − λ_k) / λ_d, ``[*shape, d-1]``; 0 for coincident points."""
        top = self.values[..., -1:]
        relative = self.values.diff(dim=-1) / top.clamp_min(torch.finfo(top.dtype).tiny)
        return torch.where(self.coincident.unsqueeze(-1), 0, relative)

    @cached_property
    def degenerate_gaps(self) -> Tensor:
        """Which gaps are too small to determine the axes on either side, ``[*shape, d-1]``."""
        return self.gaps <= self.gap_threshold.unsqueeze(-1)

    @cached_property
    def degenerate(self) -> Tensor:
        """Whether the spectrum is degenerate: some gap is, or all points coincide, ``[*shape]``."""
        return self.degenerate_gaps.any(-1) | self.coincident

    @cached_property
    def any_degenerate(self) -> bool:
        """Whether that of some item is: the host waits for it once."""
        return bool(self.degenerate.any())


#: The tolerance is this many times the noise of a cloud about the origin, so that it seldom depends on where a cloud
#: lies: a frame would jump with it. Matters to float16 and bfloat16 alone.
ROOM = 8
#: Uncertainty of a covariance whose group element has round-off, over ε: what does not fall with the number of points.
ELEMENT = 0.1


def uncertainty(cloud: Tensor, largest: Tensor, layout: Layout, eps: float) -> Tensor:
    r"""Round-off of the covariance relative to its largest eigenvalue, over the round-off ε of the coordinates.

    .. math:: u^2 = b^2 + \frac{r^2 m}{\lambda}, \qquad
              m = \sum_n m_n |x_n|^2 \Big/ \sum_n |x_n|^2

    Coordinates are rounded independently, so errors of N points add up like √N. r is the distance of the farthest
    point, λ the largest eigenvalue (N times a variance), m_n the number of points as far from the centre as the n-th:
    they may be copies of it, with the same error. b = 0.1 stands for the round-off of a rotation matrix, which all
    points share. All of it is invariant to isometries: a threshold that depends on where the cloud lies would make the
    frame jump.

    Args:
        cloud: points about the centre, ``[*shape, N, d]`` or ``[n, d]``, zero where masked out.
        largest: λ, ``[*shape]``.
    """
    lengths = squared_norms(cloud).sqrt()
    tiny = torch.finfo(lengths.dtype).tiny
    if layout.batch is None:
        lengths = lengths.sort(-1).values  # by length
        longest = lengths[..., -1]
        unit = (4 * eps * longest).clamp_min(tiny).unsqueeze(-1)
        apart = lengths.diff(dim=-1) > unit
    else:
        longest = item_max(lengths, layout)
        order = lengths.argsort(stable=True)
        order = order[layout.batch[order].argsort(stable=True)]  # by item, then by length
        lengths, item = lengths[order], layout.batch[order]
        unit = (4 * eps * longest).clamp_min(tiny)[item[1:]]
        apart = (lengths.diff() > unit) | (item.diff() != 0)
    squares = lengths.square()
    shares = torch.stack([squares, squares * alike(apart)], -1)
    if layout.batch is None:
        total, shared = shares.sum(-2).unbind(-1)
    else:
        total, shared = shares.new_zeros(*layout.shape, 2).index_add(0, item, shares).unbind(-1)
    return (ELEMENT**2 + longest.square() / largest.clamp_min(tiny) * (shared / total.clamp_min(tiny))).sqrt()


def alike(apart: Tensor) -> Tensor:
    """How many of a sorted list are in the run of each, ``[..., N]``, where ``apart`` ``[..., N-1]`` ends runs."""
    count = apart.shape[-1] + 1
    places = torch.arange(count, device=apart.device)
    first = torch.where(pad(apart, (1, 0)), places, 0).cummax(-1).values
    last = torch.where(pad(apart, (0, 1)), places, count - 1).flip(-1).cummin(-1).values.flip(-1)
    return last - first + 1


def squared_norms(vectors: Tensor) -> Tensor:
    """``[..., d]`` to ``[...]``, by components: sums over an axis of length 3 are slow on a CPU."""
    first, *others = vectors.unbind(-1)
    return sum((each * each for each in others), first * first)


def noise_of(eps: float) -> float:
    """How far coordinates are off, relative to the largest: 32 round-offs, as they come out of a computation.

    float16 and bfloat16 are for storage: their values come from a computation in higher precision, 4 round-offs off.
    """
    return (32 if eps < 1e-4 else 4) * eps


def real_nodes(values: Tensor, layout: Layout) -> Tensor:
    """Values of the nodes with zeros where they are masked out."""
    return values if layout.mask is None else torch.where(layout.mask.unsqueeze(-1), values, 0)


def item_max(values: Tensor, layout: Layout) -> Tensor:
    """Largest value over the nodes of each item: dense ``[*shape, N]`` or ragged ``[n]`` to ``[*shape]``."""
    if layout.batch is None:
        return values.amax(-1)
    return values.new_zeros(layout.shape).scatter_reduce(0, layout.batch, values, "amax")
