"""Points with normals drawn from surfaces: from triangles by their area, or from a stock of points."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

#: largest factor by which a cloud is scaled up, over that which makes its root mean square 1
LARGEST = 20.0


class Surfaces(Protocol):
    """M surfaces that points can be drawn from."""

    def __len__(self) -> int:
        """M."""

    def draw(self, points: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Points and unit normals, ``[M, points, 3]`` each, float64; where they lie is as in the source."""


@dataclass(frozen=True, eq=False)
class TriangleMeshes:
    """Surfaces of triangles; their points are uniform by area, and have the normal of their triangle.

    Args:
        triangles: corners of all triangles, mesh by mesh, ``[T, 3, 3]`` float64, none of area 0.
        counts: triangles of each mesh, ``[M]`` int64.
    """

    triangles: Tensor
    counts: Tensor

    def __len__(self) -> int:
        return len(self.counts)

    def draw(self, points: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Points uniform by area: a triangle by the cumulative area of its mesh, then a place in it.

        Exactness: normals are those of the triangles to round-off.
        """
        corner, first, second = self.triangles[:, 0], *(self.triangles[:, k] - self.triangles[:, 0] for k in (1, 2))
        across = torch.linalg.cross(first, second)
        double_area = across.norm(dim=-1)
        total = double_area.cumsum(0)
        last = self.counts.cumsum(0)
        ends = total[last - 1]
        starts = torch.cat([ends.new_zeros(1), ends[:-1]])
        drawn = torch.rand(3, len(self), points, dtype=torch.float64, generator=generator)
        place = starts[:, None] + drawn[0] * (ends - starts)[:, None]
        low, high = (last - self.counts)[:, None], (last - 1)[:, None]
        chosen = torch.searchsorted(total, place, right=True).clamp(low, high)
        root = drawn[1].sqrt()
        a, b = (root * (1 - drawn[2])).unsqueeze(-1), (root * drawn[2]).unsqueeze(-1)
        normals = across[chosen] / double_area[chosen].unsqueeze(-1)
        return corner[chosen] + a * first[chosen] + b * second[chosen], normals


@dataclass(frozen=True, eq=False)
class PointSets:
    """Surfaces that are known by points on them: a draw is some of these, without repetition.

    Args:
        points, normals: ``[M, N, 3]`` float64; the normals have length 1.
    """

    points: Tensor
    normals: Tensor

    def __len__(self) -> int:
        return len(self.points)

    def draw(self, points: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Some of the points of each surface, in random order."""
        key = torch.rand(self.points.shape[:2], dtype=torch.float64, generator=generator)
        chosen = key.argsort(1)[:, :points].unsqueeze(-1).expand(-1, -1, 3)
        return self.points.gather(1, chosen), self.normals.gather(1, chosen)


def normalised(points: Tensor) -> Tensor:
    r"""Clouds about their mean, over the spread of the distances from it.

    .. math:: x \leftarrow (x - \bar x) / s, \qquad s^2 = \overline{(\|x\| - \overline{\|x\|})^2}

    Args:
        points: ``[M, N, 3]``.

    Exactness: as published, but for clouds that are nearly a sphere, where s goes to 0: it is bounded below by a
    twentieth of the root mean square distance.

    Reference: the code of Puny et al. 2022.
    """
    centred = points - points.mean(-2, keepdim=True)
    length = centred.norm(dim=-1)
    spread = length.std(-1, correction=0)
    least = length.square().mean(-1).sqrt() / LARGEST
    return centred / torch.maximum(spread, least)[..., None, None]
