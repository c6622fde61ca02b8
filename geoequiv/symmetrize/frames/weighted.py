"""A weighted frame that moves continuously with the cloud where frames of one orbit jump."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import GroupError
from geoequiv.fields import Layout, Side
from geoequiv.groups import Element
from geoequiv.symmetrize.frames.diagnosis import FrameReport
from geoequiv.symmetrize.frames.directions import Directions
from geoequiv.symmetrize.frames.enlarge import compact, take
from geoequiv.symmetrize.frames.pca import PCAFrame, framed
from geoequiv.symmetrize.frames.spectrum import Spectrum


@dataclass(frozen=True)
class WeightedFrame(PCAFrame):
    r"""Gram–Schmidt frames of all pairs of points that span much, with weights that fade out before a pair drops out.

    .. math:: g_{ij} = (\hat w,\; \pm\, \hat x_i \times \hat w,\; \hat x_i), \qquad
              \omega_{ij} \propto \max\!\big(0,\; |x_i \times x_j|^2 - c \max_{kl} |x_k \times x_l|^2\big)^2

    with w the part of x_j across x_i, and x about the centroid where the group translates. In the plane single points
    take the place of pairs.

    Cost: under SO(3) 3 frames on average (10 at most) for 5 random points, 5 (26) for 21, 7 (28) for 60; twice that
    under O(3); hundreds for a symmetric cloud, up to all n(n-1). The batch is filled up to its largest frame. A c
    nearer to one makes them fewer and the change with x steeper; c = 0 takes all pairs. n² memory.

    Where all points lie on one line, no pair spans anything: as ``PCAFrame`` there, and where they nearly do.

    Args:
        threshold: c, between 0 and 1.
        degenerate, tolerance: as for ``PCAFrame``, for clouds on one line.
        frame_from: as for ``PCAFrame``, but all that is named gives pairs on equal terms: directions, each field's
            longest as long as the others', times (3 + label)/4.

    Exactness: round-off. Continuous in x, once differentiable but where the largest pairs change, except at clouds on
    one line (nearer than ``Spectrum.trust``) and where all of a further field vanish.

    Reference: weighted frames: Dym, Lawrence & Siegel, "Equivariant frames and the impossibility of continuous
    canonicalization" (ICML 2024), whose weights of pairs have c = 0.
    """

    threshold: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.threshold < 1:
            raise GroupError(f"threshold lies in [0, 1); got {self.threshold}.")

    @torch._disable_dynamo  # sizes depend on values: torch.compile breaks its graph here and loses nothing
    def elements(self, fields: Mapping[str, Any], side: Side, layout: Layout) -> tuple[Element, Tensor | None]:
        spectrum = self.spectrum(fields, side, layout)
        cloud = fields[self.source(side).cloud]
        frames, weights, flat = self.pairs(spectrum, fields, side, layout)
        dim = self.group.dim
        linear = frames[..., :dim, :dim].movedim(1, 0).reshape(-1, *layout.shape, dim, dim)
        weights = weights.to(cloud).mT.reshape(-1, *layout.shape)
        if self.degenerate == "ignore" or not bool(flat.any()):
            return framed(linear, spectrum.centre, cloud), weights
        flat = flat.reshape(layout.shape)
        other, other_weights = super().elements(fields, side, layout)
        if other_weights is None:
            other_weights = weights.new_full(other.shape, 1 / len(other))
        size = max(len(linear), len(other))
        linear = torch.where(flat[..., None, None], filled(other.linear, size), filled(linear, size))
        weights = torch.where(flat, filled(other_weights, size, 0), filled(weights, size, 0))
        return framed(linear, spectrum.centre, cloud), weights

    def pairs(
        self, spectrum: Spectrum, fields: Mapping[str, Any], side: Side, layout: Layout
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Frames ``[B, M, 3, 3]``, weights ``[B, M]`` (zero for padding), and which items span nothing ``[B]``."""
        every = torch.ones(layout.shape, dtype=torch.bool, device=spectrum.points.device)
        source = self.source(side)
        directions = Directions.of(fields, side, layout, source, spectrum, every)
        taken = (directions.level >= 0) & (directions.level <= len(source.further))
        x = directions.vectors * (taken * (3 + directions.label) / 4).unsqueeze(-1)
        legs = x if self.group.dim == 3 else x.new_tensor([0.0, 0.0, 1.0]).expand(len(x), 1, 3)
        spans = legs.unsqueeze(2).cross(x.unsqueeze(1).expand(-1, legs.shape[1], -1, -1), dim=-1).square().sum(-1)
        spans = spans.flatten(1)
        most = largest(spans, spectrum.tolerance.reshape(-1, 1))
        flat = most.squeeze(1) <= spectrum.trust.flatten() ** 2
        weights = (spans - self.threshold * most).clamp_min(0).square()
        weights = torch.where(flat.unsqueeze(1), 0, weights)
        kept, real = compact(weights > 1e-16 * most.square())  # less is round-off
        weights = weights.gather(1, kept)
        a, u = take(legs, kept // x.shape[1]), take(x, kept % x.shape[1])
        a = unit(a, real, 2)
        w = unit(u - (u * a).sum(-1, keepdim=True) * a, real, 0)
        frames = torch.stack([w, a.cross(w, dim=-1), a], -1)
        if not self.group.is_proper:
            mirrored = frames * frames.new_tensor([1.0, -1.0, 1.0])
            frames, weights = torch.cat([frames, mirrored], 1), weights.repeat(1, 2)
        total = weights.sum(1, keepdim=True)
        return frames, weights / torch.where(flat.unsqueeze(1), 1, total), flat

    def distance(self, spectrum: Spectrum, fields: Mapping[str, Any], side: Side, layout: Layout) -> Tensor:
        """How far each item is from one line (in the plane from a single place), ``[*shape]``; 0 where it is there."""
        off = spectrum.values[..., :-1] if self.group.dim == 3 else spectrum.values
        with torch.no_grad():
            _, _, flat = self.pairs(spectrum, fields, side, layout)
        return torch.where(flat.reshape(layout.shape), 0, off.sum(-1).sqrt())

    def diagnose(self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None) -> FrameReport:
        report = super().diagnose(fields, side, layout)
        return replace(report, degenerate=report.distance == 0)


def largest(spans: Tensor, tolerance: Tensor) -> Tensor:
    """The largest of ``[B, P]``, as ``[B, 1]``; its gradient is shared by all that are as large up to ``tolerance``.

    In a symmetric cloud many pairs span most. Whichever round-off puts first would bear the whole gradient, and forces
    would not be equivariant.
    """
    most = spans.detach().amax(1, keepdim=True)
    near = spans.detach() >= (1 - tolerance) * most
    mean = (spans * near).sum(1, keepdim=True) / near.sum(1, keepdim=True)
    return most + (mean - mean.detach())


def unit(vectors: Tensor, real: Tensor, axis: int) -> Tensor:
    """Vectors ``[B, P, 3]`` of length 1; a coordinate axis where they are not ``real`` ``[B, P]``."""
    eye = torch.eye(3, dtype=vectors.dtype, device=vectors.device)[axis]
    vectors = torch.where(real.unsqueeze(-1), vectors, eye)
    return vectors / vectors.norm(dim=-1, keepdim=True)


def filled(values: Tensor, size: int, fill: float | None = None) -> Tensor:
    """``[M, …]`` filled up to ``[size, …]``, by ``fill`` or by what stands first."""
    missing = size - len(values)
    rest = values[:1] if fill is None else torch.full_like(values[:1], fill)
    return torch.cat([values, rest.expand(missing, *values.shape[1:])])
