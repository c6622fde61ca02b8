"""Finite point groups of 3-space (Schoenflies names) and of the plane, listed by closing their generators."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cache, reduce

import torch
from torch import Tensor

from geoequiv.groups.base import Group, fixes_origin
from geoequiv.groups.element import Element
from geoequiv.groups.orthogonal import plane_rotation, rotation_about
from geoequiv.groups.plain_matrix import X, Z
from geoequiv.groups.point_groups import LARGEST_FOLD, Inversion, Mirror, Rotation, generators, parts


def rotation_by(axis: tuple[float, float, float], angle: float) -> Tensor:
    """Rotation matrix about an axis of any length."""
    unit = torch.tensor(axis, dtype=torch.float64)
    return rotation_about(unit / unit.norm(), torch.tensor(angle, dtype=torch.float64))


def mirror(normal: tuple[float, float, float]) -> Tensor:
    """Reflection in the plane through the origin with this normal."""
    n = torch.tensor(normal, dtype=torch.float64)
    n = n / n.norm()
    return torch.eye(3, dtype=torch.float64) - 2 * torch.outer(n, n)


def generator_tensors(symbol: str) -> list[Tensor]:
    """Generators of a point group of 3-space, principal axis z."""
    return [reduce(torch.matmul, map(isometry, generator)) for generator in generators(symbol, 3)]


def isometry(step: Rotation | Mirror | Inversion) -> Tensor:
    """The matrix of one rotation or reflection."""
    if isinstance(step, Rotation):
        return rotation_by(*step)
    return mirror(step.normal) if isinstance(step, Mirror) else -torch.eye(3, dtype=torch.float64)


def plane_generators(base: str, n: int) -> list[Tensor]:
    """Generators of C_n (rotations) or D_n (with mirrors, order 2n) in the plane."""
    rotation = plane_rotation(torch.tensor(2 * math.pi / n, dtype=torch.float64))
    flip = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
    return {"C": [rotation], "D": [rotation, flip]}[base]


def closure(generators: list[Tensor]) -> Tensor:
    """All products of the generators, ``[order, d, d]``, the identity first, in breadth-first order.

    Exactness: a new element is one that differs from all known ones by more than 1e-6; each is a product of at most
    a few dozen orthogonal matrices, so entries are exact to about 1e-14.
    """
    dim = generators[0].shape[0]
    found = torch.eye(dim, dtype=torch.float64)[None]
    frontier = found
    while len(frontier):
        products = torch.cat([frontier @ generator for generator in generators])
        fresh: list[Tensor] = []
        for product in products:
            known = torch.cat([found, torch.stack(fresh)]) if fresh else found
            if (known - product).abs().amax((-1, -2)).min() > 1e-6:
                fresh.append(product)
        frontier = torch.stack(fresh) if fresh else found[:0]
        found = torch.cat([found, frontier])
        assert len(found) <= 4 * LARGEST_FOLD, "generators do not close"
    return found


@cache
def matrices(symbol: str, dim: int, axis: tuple[float, float, float]) -> Tensor:
    """The elements of a point group by symbol ("Oh", "C4v"), its principal axis z rotated to ``axis``."""
    base, n, _ = parts(symbol)
    listed = closure(plane_generators(base, n) if dim == 2 else generator_tensors(symbol))
    if dim == 3 and axis != Z:
        tilt = rotation_to(axis)
        listed = torch.cat([listed[:1], tilt @ listed[1:] @ tilt.mT])
    return listed


def rotation_to(axis: tuple[float, float, float]) -> Tensor:
    """A rotation that takes z to the unit vector ``axis`` (by the shortest way; about x where they are opposite)."""
    x, y, z = axis
    across = (-y, x, 0.0) if math.hypot(x, y) > 1e-12 else X
    return rotation_by(across, math.atan2(math.hypot(x, y), z))


@dataclass(frozen=True)
class ListedGroup(Group):
    """A finite group that fixes the origin, given by the list of its matrices."""

    @abstractmethod
    def _matrices(self) -> Tensor:
        """All elements, ``[order, d, d]`` float64, the identity first; not to be written to."""

    @property
    def order(self) -> int:
        return len(self._matrices())

    @property
    def is_proper(self) -> bool:
        return bool((torch.linalg.det(self._matrices()) > 0).all())

    @property
    def permutes_pixels(self) -> bool:
        listed = self._matrices()
        in_plane = bool((listed[:, 2:, :2].abs() < 1e-9).all())
        return in_plane and bool(((listed - listed.round()).abs() < 1e-9).all())

    def elements(self) -> Element:
        return Element(self._matrices().clone())

    def _draw(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Element:
        return Element(self._matrices()[torch.randint(0, self.order, shape, generator=generator)])

    def _holds(self, g: Element, tolerance: float) -> Tensor:
        listed = self._matrices().to(g.linear)
        nearest = (g.linear.unsqueeze(-3) - listed).abs().amax((-1, -2)).amin(-1)
        return (nearest <= tolerance) & fixes_origin(g, tolerance)


@dataclass(frozen=True)
class FiniteGroup(ListedGroup):
    """A finite point group.

    Args:
        symbol: Schoenflies symbol, such as ``"Oh"``; in the plane ``"C4"`` or ``"D4"`` (with mirrors).
        axis: where the principal axis lies, a unit vector.
    """

    symbol: str = "C1"
    axis: tuple[float, float, float] = Z

    def _matrices(self) -> Tensor:
        return matrices(self.symbol, self.dim, self.axis)
