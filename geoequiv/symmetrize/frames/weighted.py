"""A weighted frame that is continuous in the cloud, where frames of one orbit jump."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import GroupError
from geoequiv.fields import Layout, Side
from geoequiv.fields.uncompiled import uncompiled
from geoequiv.groups import Element
from geoequiv.ranges import ProperFraction
from geoequiv.symmetrize.frames.diagnosis import FrameReport
from geoequiv.symmetrize.frames.directions import Directions, places
from geoequiv.symmetrize.frames.orbit import frames_about, mirrored
from geoequiv.symmetrize.frames.pca import PCAFrame, framed
from geoequiv.symmetrize.frames.spectrum import Spectrum

#: round-off of what a pair spans, of vectors no longer than 1
SLACK = 1e-14
#: pairs that are looked at in one go, which bounds the memory
PAIRS = 2**16


@dataclass(frozen=True)
class WeightedFrame(PCAFrame):
    r"""Gram–Schmidt frames of all pairs of points that span much, with weights that fade out before a pair drops out.

    .. math:: g_{ij} = (\hat w,\; \pm\, \hat x_i \times \hat w,\; \hat x_i), \qquad
              \omega_{ij} \propto \max\!\big(0,\; |x_i \times x_j|^2 - c \max_{kl} |x_k \times x_l|^2\big)^2

    with w the part of x_j across x_i, and x about the centroid where the group translates. In the plane single points
    take the place of pairs.

    Cost: under SO(3) 3 frames on average (10 at most) for 5 random points, 5 (26) for 21, 7 (28) for 60; twice that
    under O(3); hundreds for a symmetric cloud, up to all n(n-1). The batch is filled up to its largest frame. A c
    nearer to one makes them fewer and the change with x steeper; c = 0 takes all pairs. Time goes with n².

    Where the points are (nearly) collinear, no pair spans anything: as ``PCAFrame`` there.

    Args:
        threshold: c, between 0 and 1.
        degenerate, tolerance: as for ``PCAFrame``, for collinear clouds.
        frame_from: as for ``PCAFrame``, but all that is named gives pairs on equal terms: directions, each field's
            longest as long as the others', times (3 + label)/4.

    Exactness: round-off. Continuous in x, once differentiable but where the largest pairs change, except at collinear
    clouds (nearer than ``Spectrum.length_threshold``) and where all of a further field vanish.

    Reference: weighted frames: Dym, Lawrence & Siegel, "Equivariant frames and the impossibility of continuous
    canonicalization" (ICML 2024), whose weights of pairs have c = 0.
    """

    threshold: ProperFraction = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.threshold < 1:
            raise GroupError(f"threshold lies in [0, 1); got {self.threshold}.")

    @uncompiled  # sizes depend on values: torch.compile breaks its graph here and loses nothing
    def elements(
        self, fields: Mapping[str, Any], side: Side, layout: Layout, spectrum: Spectrum | None = None
    ) -> tuple[Element, Tensor | None]:
        if spectrum is None:
            spectrum = self.spectrum(fields, side, layout)
        cloud = fields[self.frame_inputs(side).cloud]
        linear, weights, flat = self.pairs(spectrum, fields, side, layout)
        dim = self.group.dim
        linear = linear[..., :dim, :dim].reshape(-1, *layout.shape, dim, dim)
        weights = weights.to(cloud).reshape(-1, *layout.shape)
        if self.degenerate == "ignore" or not bool(flat.any()):
            return framed(linear, spectrum.centre, cloud), weights
        flat = flat.reshape(layout.shape)
        other, other_weights = super().elements(fields, side, layout, spectrum)
        if other_weights is None:
            other_weights = weights.new_full(other.shape, 1 / len(other))
        size = max(len(linear), len(other))
        linear = torch.where(flat[..., None, None], filled(other.linear, size), filled(linear, size))
        weights = torch.where(flat, filled(other_weights, size, 0), filled(weights, size, 0))
        return framed(linear, spectrum.centre, cloud), weights

    def pairs(
        self, spectrum: Spectrum, fields: Mapping[str, Any], side: Side, layout: Layout
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Frames ``[M, B, 3, 3]``, weights ``[M, B]`` (zero for padding), and which items span nothing ``[B]``."""
        every = torch.ones(layout.shape, dtype=torch.bool, device=spectrum.points.device)
        source = self.frame_inputs(side)
        directions = Directions.of(fields, side, layout, source, spectrum, every)
        taken = (directions.level >= 0) & (directions.level <= len(source.further))
        x = directions.vectors * (taken * (3 + directions.label) / 4).unsqueeze(-1)
        legs = x if self.group.dim == 3 else x.new_tensor([0.0, 0.0, 1.0]).expand(len(x), 1, 3)
        least_length, tolerance = spectrum.length_threshold.flatten(), spectrum.tolerance.flatten()
        item, i, j = self.candidates(legs, x, least_length, tolerance)
        a, u = legs[item, i], x[item, j]
        spans = a.cross(u, dim=-1).square().sum(-1)
        most = largest(spans, item, tolerance)
        flat = most <= least_length**2
        weights = (spans - self.threshold * most[item]).clamp_min(0).square()
        kept = (weights > 1e-16 * most[item].square()) & ~flat[item]  # less is round-off
        item, a, u, weights = item[kept], a[kept], u[kept], weights[kept]
        weights = weights / torch.zeros_like(most).index_add(0, item, weights)[item]
        a = a / a.norm(dim=-1, keepdim=True)
        w = u - (u * a).sum(-1, keepdim=True) * a
        place, counts = places(item, len(x))
        shape = max(int(counts.max()), 1), len(x)
        frames = torch.eye(3, dtype=x.dtype, device=x.device).expand(*shape, 3, 3)
        frames = frames.index_put((place, item), frames_about(a, w))
        weights = weights.new_zeros(shape).index_put((place, item), weights)
        if not self.group.is_proper:
            frames, weights = torch.cat([frames, mirrored(frames)]), weights.repeat(2, 1) / 2
        return frames, weights, flat

    def candidates(self, legs: Tensor, x: Tensor, least_length: Tensor, tolerance: Tensor) -> tuple[Tensor, ...]:
        """All pairs of ``[B, A, 3]`` and ``[B, K, 3]`` that may have a weight: items, first and second ``[R]``.

        What pairs span is |a|²|x|² - (a·x)², quick for all of them and good to a few round-offs of |a|²|x|². None are
        needed where all are collinear.
        """
        size = max(1, PAIRS // max(1, legs.shape[1] * x.shape[1]))
        least = (1 - tolerance).clamp_max(self.threshold)
        found = []
        with torch.no_grad():
            for start in range(0, max(len(x), 1), size):
                a, u, flat = (part[start : start + size] for part in (legs, x, least_length**2 / 2))
                spans = a.square().sum(-1).unsqueeze(2) * u.square().sum(-1).unsqueeze(1) - (a @ u.mT).square()
                most = spans.amax((1, 2))
                bound = torch.where(most > flat, least[start : start + size] * most - SLACK, torch.inf)
                item, i, j = (spans >= bound[:, None, None]).nonzero(as_tuple=True)
                found.append((item + start, i, j))
        return tuple(torch.cat(part) for part in zip(*found, strict=True))

    def jumps(self, spectrum: Spectrum, real: Tensor | None) -> Tensor:
        return torch.zeros_like(spectrum.degenerate)  # pairs of points take over from the frames that jump

    def distance(self, spectrum: Spectrum, fields: Mapping[str, Any], side: Side, layout: Layout) -> Tensor:
        """How far each item is from being collinear (in the plane: coincident), ``[*shape]``; 0 where it is."""
        off = spectrum.values[..., :-1] if self.group.dim == 3 else spectrum.values
        with torch.no_grad():
            _, _, flat = self.pairs(spectrum, fields, side, layout)
        return torch.where(flat.reshape(layout.shape), 0, off.sum(-1).sqrt())

    def diagnose(self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None) -> FrameReport:
        report = super().diagnose(fields, side, layout)
        return replace(report, degenerate=report.distance == 0)


def largest(spans: Tensor, item: Tensor, tolerance: Tensor) -> Tensor:
    """The largest of ``[R]`` in each item, ``[B]``; its gradient is shared by all as large up to ``tolerance``.

    In a symmetric cloud many pairs span most. Whichever round-off puts first would bear the whole gradient, and forces
    would not be equivariant.
    """
    given = spans.detach()
    most = torch.zeros_like(tolerance).scatter_reduce(0, item, given, "amax")
    near = given >= ((1 - tolerance) * most)[item]
    item, spans = item[near], spans[near]
    mean = torch.zeros_like(tolerance).index_add(0, item, spans)
    mean = mean / torch.bincount(item, minlength=len(mean)).clamp_min(1)
    return most + (mean - mean.detach())


def filled(values: Tensor, size: int, fill: float | None = None) -> Tensor:
    """``[M, …]`` filled up to ``[size, …]``, by ``fill`` or by what stands first."""
    missing = size - len(values)
    rest = values[:1] if fill is None else torch.full_like(values[:1], fill)
    return torch.cat([values, rest.expand(missing, *values.shape[1:])])
