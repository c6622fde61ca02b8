"""Groups with all translations: T(d), SE(d), E(d), and a translation factor on any group that fixes the origin."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geoequiv.groups.base import Group
from geoequiv.groups.element import Element


@dataclass(frozen=True)
class EuclideanGroup(Group):
    """The semidirect product of all translations with a group that fixes the origin.

    Args:
        linear: the group of linear parts (O(d) makes E(d), SO(d) makes SE(d), C1 makes T(d)).
        translation_scale: standard deviation of sampled translations, in the unit of the coordinates. The group is
            not compact and has no uniform draw; a centred Gaussian stands in for one.
    """

    linear: Group | None = None
    translation_scale: float = 1.0

    @property
    def translates(self) -> bool:
        return True

    @property
    def linear_part(self) -> Group:
        assert self.linear is not None
        return self.linear

    @property
    def is_proper(self) -> bool:
        return self.linear_part.is_proper

    def _draw(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Element:
        linear = self.linear_part._draw(shape, generator).linear
        translation = self.translation_scale * torch.randn(*shape, self.dim, generator=generator, dtype=torch.float64)
        return Element(linear, translation)

    def _holds(self, g: Element, tolerance: float) -> Tensor:
        return self.linear_part.contains(Element(g.linear), tolerance)
