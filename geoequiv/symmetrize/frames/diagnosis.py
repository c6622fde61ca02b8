"""A report about the frames of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geoequiv.fields import Layout, Side
from geoequiv.fields.graphs import graph_fields, is_graph
from geoequiv.symmetrize.frames.spectrum import Spectrum


@dataclass(frozen=True, eq=False)
class FrameReport:
    r"""How well determined the frames of a batch of clouds are.

    Args:
        gaps: relative gaps (λ_{k+1} − λ_k)/λ_d of the covariance eigenvalues, ``[*shape, d-1]``.
        size: number of frame elements, ``[*shape]``.
        degenerate: whether the frame cannot be read off the cloud in the ordinary way, ``[*shape]``: gaps below the
            threshold; for ``learned`` dependent vectors, for ``weighted`` collinear points.
        tolerance: relative tolerance, ``[*shape]``.
        gap_threshold: smallest relative gap that tells axes apart, ``[*shape]``.
        distance: how far the cloud is from one where the frame jumps, ``[*shape]``, in the unit of the coordinates,
            as the root of the sum of all squared displacements; 0 where any displacement may make it jump. For
            eigenvalues that come as near as the threshold

            .. math:: \min_k \big( \sqrt{\lambda_{k+1}} - \sqrt{\lambda_k} \big) / \sqrt 2,

            the distance to the nearest matrix with equal singular values (Mirsky), less what the threshold takes off.
            Signs (``minimal``) and vectors (``learned``) are followed to first order.
    """

    gaps: Tensor
    size: Tensor
    degenerate: Tensor
    tolerance: Tensor
    gap_threshold: Tensor
    distance: Tensor


def crossing_distance(spectrum: Spectrum) -> Tensor:
    """How far two eigenvalues are from coming as near as the threshold, ``[*shape]``; 0 where they have."""
    roots = spectrum.values.sqrt()
    above = (spectrum.gaps - spectrum.gap_threshold.unsqueeze(-1)) * spectrum.values[..., -1:]
    steps = above / (2**0.5 * (roots[..., 1:] + roots[..., :-1])).clamp_min(torch.finfo(roots.dtype).tiny)
    return torch.where(spectrum.degenerate, 0, steps.amin(-1))


def first_order(quantity: Tensor, margin: Tensor, points: Tensor, layout: Layout) -> Tensor:
    """How far points have to be displaced until a quantity of their item has changed by ``margin``, to first order.

    Args:
        quantity, margin: ``[*shape]``; the quantity depends on ``points``, the points ``[*shape, N, d]`` or ``[n, d]``.
    """
    slope = torch.autograd.grad(quantity.sum(), points, retain_graph=True)[0].square().sum(-1)
    if layout.batch is None:
        steep = slope.sum(-1)
    else:
        steep = slope.new_zeros(layout.shape).index_add(0, layout.batch, slope)
    return margin.detach().clamp_min(0) / steep.sqrt().clamp_min(torch.finfo(slope.dtype).tiny)


def read_fields(
    fields: Any, side: str | Side, dim: int, layout: Layout | None
) -> tuple[Mapping[str, Any], Side, Layout]:
    """Fields (a dict, a PyG object, or the positions alone), their types and layout, as ``diagnose`` is given them."""
    side = Side.parse(side)
    if is_graph(fields):
        fields = graph_fields(fields)
    fields = fields if isinstance(fields, Mapping) else {next(iter(side)): fields}
    return fields, side, layout or Layout.of(fields, side, dim)
