"""The frame of a cloud whose covariance does not tell its axes: an orbit built from the points themselves."""

import math

import torch
from torch import Tensor

from geoequiv.groups import group
from geoequiv.groups.orthogonal import rotation_about
from geoequiv.symmetrize.frames.directions import Directions, places

#: outputs of a higher degree (spherical-harmonic l) are not averaged exactly over a continuous stabilizer
EXACT_DEGREE = 5
#: what the score of a pair of legs below the threshold loses against those above
POOR = 1000.0


def orbit(
    directions: Directions,
    legs: Tensor,
    axis: Tensor,
    has_axis: Tensor,
    tolerance: Tensor,
    threshold: Tensor,
    noise: Tensor,
    proper: bool,
    plane: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Frames from extremal pairs of directions, thinned out to one orbit of the cloud's own symmetry.

    .. math:: g_{ij} = (\hat w,\; \pm\, \hat a_i \times \hat w,\; \hat a_i), \qquad
              w = u_j - (u_j \cdot \hat a_i)\, \hat a_i

    for every first leg a_i (plus and minus the simple principal axis where there is one; else the longest directions)
    and every u_j farthest from its line, all maxima kept; of these frames those in which a fixed generic function of
    the cloud is largest, all maxima kept. Every choice is by an invariant, symmetric in the points: the set is
    equivariant and independent of the order of the points.

    Where no pair spans a plane, the cloud has a continuous stabilizer and looks the same from all frames that differ
    by it; C_6 (C_6v) about the line, or I (I_h) about coincident points, replace it. Where the best w is shorter than
    ``threshold``, C_6 is applied to the frames as well: round-off of relative size ε rotates them by ε/|w| about
    the first leg, the average over C_6 leaves of that an effect of |w|, and the product is round-off again, however
    short w is.

    Args:
        directions: of D items.
        legs: which of them may span frames, ``[D, K]``.
        axis: ``[D, 3]`` the simple principal axis, where ``has_axis`` ``[D]``.
        tolerance, threshold, noise: relative, ``[D]`` (``threshold``: ``Spectrum.length_threshold``).
        proper: leave out the mirrored frames.
        plane: clouds of the plane, in the first two components; ``axis`` is then z.

    Returns:
        ``[D, M, 3, 3]`` (columns are the axes of a frame), which of them are real ``[D, M]``, and which items have a
        continuous stabilizer ``[D]``.

    Exactness: round-off; over a continuous stabilizer for outputs up to l = 5: the mean of a degree-l representation
    over C_n (n > l) is that over SO(2), over I (l ≤ 5) that over SO(3).
    """
    level = torch.where(legs, directions.level, -1)
    first, first_real = first_legs(directions.vectors, level, axis, has_axis, tolerance, plane)
    with torch.no_grad():
        across = first.unsqueeze(2).cross(directions.vectors.unsqueeze(1).expand(-1, first.shape[1], -1, -1), dim=-1)
        size = across.norm(dim=-1)
        score = rank(size, level.unsqueeze(1), noise[:, None, None])
        score = torch.where(size > threshold[:, None, None], score, score - POOR)
        score = torch.where(first_real.unsqueeze(-1), score, -math.inf).flatten(1)
        best, place = score.max(1)
        length = size.flatten(1).gather(1, place.unsqueeze(1)).squeeze(1)
        poor, none = best <= -POOR / 2, ~best.isfinite()
        near = torch.where(poor, tolerance * length + noise, tolerance)
        pairs, real = compact((score >= (best - near).unsqueeze(1)) & score.isfinite())
        i, j = pairs // size.shape[2], pairs % size.shape[2]
    a, u = take(first, i), take(directions.vectors, j)
    w = u - (u * a).sum(-1, keepdim=True) * a
    frames = frames_about(a, torch.where(real.unsqueeze(-1), w, 1))
    if bool(none.any()):  # any perpendicular direction will do; coincident points need none
        arbitrary = torch.nn.functional.one_hot(first.detach().abs().argmin(-1), 3).to(first)
        arbitrary = arbitrary - (arbitrary * first).sum(-1, keepdim=True) * first
        frames = torch.cat([frames, frames_about(first, arbitrary)], 1)
        real = torch.cat([real, first_real & none.unsqueeze(1)], 1)
    if not proper:
        frames, real = torch.cat([frames, mirrored(frames)], 1), real.repeat(1, 2)
    with torch.no_grad():
        kept, real = one_orbit(frames, real, directions, tolerance)
    eye = torch.eye(3, dtype=frames.dtype, device=frames.device)
    frames = torch.where(real[..., None, None], take(frames.flatten(-2), kept).unflatten(-1, (3, 3)), eye)
    frames, real = rotated_about(frames, real, poor)
    frames, real = everywhere(frames, real, none & ~first_real.any(1), proper)
    return frames, real, none | (poor & (length <= tolerance))


def rank(size: Tensor, level: Tensor, tolerance: Tensor) -> Tensor:
    """Score of directions of relative length ``size``: longer is better, a lower level beats a higher one."""
    return torch.where((level >= 0) & (size > tolerance), size - 2.0 * level, -math.inf)


def first_legs(
    vectors: Tensor, level: Tensor, axis: Tensor, has_axis: Tensor, tolerance: Tensor, plane: bool
) -> tuple[Tensor, Tensor]:
    """Unit first legs ``[D, A, 3]`` and which are real ``[D, A]``."""
    ends = torch.stack([axis, -axis], 1)
    given = has_axis.unsqueeze(1) & torch.tensor([True, not plane], device=axis.device)
    if bool(has_axis.all()):
        return ends, given
    with torch.no_grad():
        score = rank(vectors.norm(dim=-1), level, tolerance.unsqueeze(1))
        best = score.amax(1, keepdim=True)
        longest, real = compact((score >= best - tolerance.unsqueeze(1)) & score.isfinite() & ~has_axis.unsqueeze(1))
    legs = take(vectors, longest)
    legs = legs / torch.where(real.unsqueeze(-1), legs, 1).norm(dim=-1, keepdim=True)
    return torch.cat([torch.where(given.unsqueeze(-1), ends, 0), legs], 1), torch.cat([given, real], 1)


def frames_about(first: Tensor, across: Tensor) -> Tensor:
    """Right-handed frames ``[..., 3, 3]`` from unit first legs and what stands across them, of any length."""
    across = across / across.norm(dim=-1, keepdim=True)
    across = across - (across * first).sum(-1, keepdim=True) * first  # what cancellation left of it in a short one
    return torch.stack([across, first.cross(across, dim=-1), first], -1)


def mirrored(frames: Tensor) -> Tensor:
    """The same frames with their second axis the other way."""
    return frames * frames.new_tensor([1.0, -1.0, 1.0])


def rotated_about(frames: Tensor, real: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
    """Every frame of the items ``which`` ``[D]`` replaced by its six rotations about the first leg."""
    if not bool(which.any()):
        return frames, real
    count = EXACT_DEGREE + 1
    angles = torch.arange(count, dtype=frames.dtype, device=frames.device) * 2 * math.pi / count
    rotations = rotation_about(frames.new_tensor([0.0, 0.0, 1.0]), angles)
    is_one = which.unsqueeze(1) | (torch.arange(count, device=frames.device) == 0)
    return (frames.unsqueeze(2) @ rotations).flatten(1, 2), (real.unsqueeze(2) & is_one.unsqueeze(1)).flatten(1, 2)


def everywhere(frames: Tensor, real: Tensor, which: Tensor, proper: bool) -> tuple[Tensor, Tensor]:
    """I or I_h as the frames of the items ``which`` ``[D]``, whose points coincide."""
    if not bool(which.any()):
        return frames, real
    elements = group("I" if proper else "Ih").elements().linear.to(frames)
    frames = torch.cat([frames, elements.expand(len(frames), -1, -1, -1)], 1)
    real = torch.cat([real & ~which.unsqueeze(1), which.unsqueeze(1).expand(-1, len(elements))], 1)
    kept, real = compact(real)
    return take(frames.flatten(-2), kept).unflatten(-1, (3, 3)), real


#: wave vectors and phases of the generic functions; any others would do
WAVES = [((2.1, 3.7, 4.3), 0.4), ((-5.9, 2.3, 1.7), 0.9), ((1.8, -5.1, 3.9), 1.3), ((3.2, 1.6, -6.1), 0.2)]
#: how much a label shifts the phase
LABEL = 2.3


def one_orbit(frames: Tensor, real: Tensor, directions: Directions, tolerance: Tensor) -> tuple[Tensor, Tensor]:
    """The frames (of ``[D, M, 3, 3]``) from which the directions look best by generic functions of them.

    Returns:
        Their indices ``[D, P]``, and which of these are real ``[D, P]``: one orbit of the symmetry of the directions.
    """
    seen = directions.seen
    share = torch.where(seen, 1.0 / (1 + directions.level), 0).to(frames) / seen.sum(1, keepdim=True).clamp_min(1)
    parity = torch.linalg.det(frames) if bool(directions.pseudo.any()) else None
    kept, real = compact(real)
    for wave, phase in WAVES:
        if kept.shape[1] == 1:
            break
        along = take(frames @ frames.new_tensor(wave), kept)
        waves = directions.vectors @ along.mT  # [D, K, P]
        if parity is not None:
            waves = torch.where(directions.pseudo.unsqueeze(-1), waves * parity.gather(1, kept).unsqueeze(1), waves)
        waves = waves + (phase + LABEL * directions.label).unsqueeze(-1)
        score = (waves.sin_() * share.unsqueeze(-1)).sum(1)
        best = torch.where(real, score, -math.inf).amax(1, keepdim=True)
        chosen, real = compact(real & (score >= best - 16 * tolerance.unsqueeze(1)))
        kept = kept.gather(1, chosen)
    return kept, real


def compact(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Indices ``[D, P]`` of what is chosen ``[D, M]``, P the largest number in a row, and which of them are real.

    The others are 0.
    """
    row, column = chosen.nonzero(as_tuple=True)
    place, counts = places(row, len(chosen))
    index = column.new_zeros(len(chosen), max(int(counts.max()), 1)).index_put((row, place), column)
    return index, torch.arange(index.shape[1], device=row.device) < counts.unsqueeze(1)


def take(values: Tensor, index: Tensor) -> Tensor:
    """Rows ``[D, P, k]`` of ``[D, M, k]`` by ``[D, P]``."""
    return values.gather(1, index.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
