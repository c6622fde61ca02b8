"""Continuous groups that fix the origin: SO(d), O(d) for d = 2, 3, and SO(2), O(2) about an axis of 3-space."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from geoequiv.groups.base import Group, fixes_origin, is_orthogonal
from geoequiv.groups.element import Element


def quaternion_to_rotation(q: Tensor) -> Tensor:
    """Unit quaternions (w, x, y, z), ``[..., 4]``, to rotation matrices ``[..., 3, 3]``."""
    w, x, y, z = q.unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def rotation_about(axis: Tensor, angle: Tensor) -> Tensor:
    """Rotations by ``angle`` (radians, ``[...]``) about unit vectors ``axis`` ``[..., 3]`` (right-hand rule)."""
    half = 0.5 * angle.unsqueeze(-1)
    axis = axis.expand(*half.shape[:-1], 3)
    return quaternion_to_rotation(torch.cat([half.cos(), half.sin() * axis], -1))


def plane_rotation(angle: Tensor) -> Tensor:
    """Counter-clockwise rotations of the plane by ``angle`` (radians, ``[...]``), ``[..., 2, 2]``."""
    c, s = angle.cos(), angle.sin()
    return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)


def random_signs(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Fair ±1, float64."""
    return 1.0 - 2.0 * torch.randint(0, 2, shape, generator=generator).double()


@dataclass(frozen=True)
class OrthogonalGroup(Group):
    """SO(d) (``proper``) or O(d), d = 2, 3.

    Haar draws: a uniform angle (d = 2), a normalised Gaussian quaternion (d = 3); for O(d) times a fair reflection.
    """

    proper: bool = True

    @property
    def is_proper(self) -> bool:
        return self.proper

    def _draw(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Element:
        if self.dim == 2:
            angle = 2 * math.pi * torch.rand(shape, generator=generator, dtype=torch.float64)
            linear = plane_rotation(angle)
        else:
            q = torch.randn(*shape, 4, generator=generator, dtype=torch.float64)
            linear = quaternion_to_rotation(q / q.norm(dim=-1, keepdim=True))
        if not self.proper:
            mirror = torch.ones(*shape, self.dim, dtype=torch.float64)
            mirror[..., 0] = random_signs(shape, generator)
            linear = linear * mirror.unsqueeze(-2)
        return Element(linear)

    def _holds(self, g: Element, tolerance: float) -> Tensor:
        inside = is_orthogonal(g, tolerance) & fixes_origin(g, tolerance)
        return inside & (g.det > 0) if self.proper else inside


@dataclass(frozen=True)
class AxialGroup(Group):
    """SO(2) about an axis of 3-space (``proper``), or O(2): also the mirrors in every plane that holds the axis (C∞v).

    The axis itself is fixed by every element: what gravity leaves of O(3).

    Args:
        axis: unit vector.
    """

    proper: bool = True
    axis: tuple[float, float, float] = (0.0, 0.0, 1.0)

    @property
    def is_proper(self) -> bool:
        return self.proper

    def _draw(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Element:
        axis = torch.tensor(self.axis, dtype=torch.float64)
        angle = 2 * math.pi * torch.rand(shape, generator=generator, dtype=torch.float64)
        linear = rotation_about(axis, angle)
        if not self.proper:
            across = torch.linalg.svd(axis[None]).Vh[1]  # a unit vector at right angles to the axis
            flipped = (1 - random_signs(shape, generator))[..., None, None]
            linear = linear @ (torch.eye(3, dtype=torch.float64) - flipped * torch.outer(across, across))
        return Element(linear)

    def _holds(self, g: Element, tolerance: float) -> Tensor:
        axis = torch.tensor(self.axis, dtype=g.linear.dtype, device=g.linear.device)
        fixed = (g.linear @ axis - axis).abs().amax(-1) <= tolerance
        inside = fixed & is_orthogonal(g, tolerance) & fixes_origin(g, tolerance)
        return inside & (g.det > 0) if self.proper else inside
