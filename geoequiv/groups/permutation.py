"""The symmetric group S(n): all relabellings of n nodes."""

import math
from dataclasses import dataclass
from functools import cache
from itertools import permutations

import torch
from torch import Tensor

from geoequiv.errors import GroupError
from geoequiv.groups.base import Group, fixes_origin
from geoequiv.groups.element import Element

LARGEST_LISTED = 7  # 5040 elements; 8 nodes have 40320


@cache
def relabellings(n: int) -> Tensor:
    """All permutations of n nodes, ``[n!, n]``, in lexicographic order (the identity first)."""
    return torch.tensor(list(permutations(range(n))), dtype=torch.int64)


@dataclass(frozen=True)
class PermutationGroup(Group):
    """S(n), n! relabellings; space itself stays where it is, so ``dim`` only says which space the nodes lie in.

    Uniform draws by sorting random numbers.

    Args:
        size: n.
    """

    size: int = 1

    @property
    def order(self) -> int:
        return math.factorial(self.size)

    @property
    def is_finite(self) -> bool:
        """Whether ``elements()`` can list it: up to n = 7. Above it is finite too, but only to be sampled."""
        return self.size <= LARGEST_LISTED

    @property
    def nodes(self) -> int:
        return self.size

    @property
    def acts_on_space(self) -> bool:
        return False

    @property
    def permutes_pixels(self) -> bool:
        return True  # it leaves them alone

    @property
    def is_proper(self) -> bool:
        return True

    def _draw(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Element:
        return self._element(torch.rand(*shape, self.size, generator=generator, dtype=torch.float64).argsort(-1))

    def _element(self, permutation: Tensor) -> Element:
        eye = torch.eye(self.dim, dtype=torch.float64)
        return Element(eye.expand(*permutation.shape[:-1], self.dim, self.dim), None, permutation)

    def elements(self) -> Element:
        """All n! elements, the identity first.

        Raises:
            GroupError: for n > 7.
        """
        if not self.is_finite:
            raise GroupError(
                f"{self.name} has {self.order_text} elements: too many to list (n ≤ {LARGEST_LISTED}). "
                "Draw some with .sample(m), or give num_samples to an average."
            )
        return self._element(relabellings(self.size).clone())

    def _holds(self, g: Element, tolerance: float) -> Tensor:
        still = (g.linear - torch.eye(g.dim).to(g.linear)).abs().amax((-1, -2)) <= tolerance
        return still & fixes_origin(g, tolerance) & relabels(g, self.size)


def relabels(g: Element, size: int) -> Tensor:
    """Whether the permutation is one of ``size`` nodes (none at all counts as the identity), ``[...]`` bool."""
    if g.permutation is None:
        return torch.ones(g.shape, dtype=torch.bool, device=g.linear.device)
    if g.nodes != size:
        return torch.zeros(g.shape, dtype=torch.bool, device=g.linear.device)
    return (g.permutation.sort(-1).values == torch.arange(size, device=g.permutation.device)).all(-1)
