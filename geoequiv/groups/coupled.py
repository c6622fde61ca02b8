"""Two elements: the identity, and one isometry of order two that swaps nodes in pairs, such as left and right."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geoequiv.groups.base import Group, fixes_origin
from geoequiv.groups.element import Element


@dataclass(frozen=True)
class CoupledGroup(Group):
    r"""A group {1, (R, p)}: space is transformed and nodes are swapped at once, never one without the other.

    .. math:: (g x)_{p(i)} = R\, x_i, \qquad R^2 = 1, \quad p^2 = 1

    The left–right symmetry of a body is one: mirrored, its left hand is a right hand.

    Args:
        isometry: the group of two elements {1, R}, such as Cs@x (the mirror x ↦ −x).
        pairs: nodes that are swapped.
        size: n, number of nodes.
    """

    isometry: Group
    pairs: tuple[tuple[int, int], ...]
    size: int

    @property
    def order(self) -> int:
        return 2

    @property
    def nodes(self) -> int:
        return self.size

    @property
    def is_proper(self) -> bool:
        return self.isometry.is_proper

    def elements(self) -> Element:
        listed = self.isometry.elements()
        permutation = torch.arange(self.size).repeat(2, 1)
        for first, second in self.pairs:
            permutation[1, first], permutation[1, second] = second, first
        return Element(listed.linear, None, permutation)

    def _draw(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Element:
        return self.elements()[torch.randint(0, 2, shape, generator=generator)]

    def _holds(self, g: Element, tolerance: float) -> Tensor:
        inside = torch.zeros(g.shape, dtype=torch.bool, device=g.linear.device)
        listed = self.elements().to(g.linear)
        assert listed.permutation is not None
        for k in range(2):
            near = (g.linear - listed.linear[k]).abs().amax((-1, -2)) <= tolerance
            if g.permutation is not None and g.nodes != self.size:
                continue
            same = torch.arange(self.size).to(near.device) if g.permutation is None else g.permutation
            inside = inside | (near & (same == listed.permutation[k]).all(-1))
        return inside & fixes_origin(g, tolerance)
