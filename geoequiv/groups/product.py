"""Products of groups: isometries of one space together, and isometries with relabellings."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geoequiv.errors import GroupError
from geoequiv.groups.base import Group
from geoequiv.groups.element import Element, compose, inverse
from geoequiv.groups.euclidean import EuclideanGroup
from geoequiv.groups.named_product import LARGEST_LISTED
from geoequiv.groups.parsing import joined_names
from geoequiv.groups.permutation import PermutationGroup, relabels


@dataclass(frozen=True)
class ProductGroup(Group):
    r"""All products of an element of one group with one of another.

    .. math:: G = H K = \{ h k : h \in H, k \in K \}, \qquad H \cap K = \{1\}

    Direct for isometries with relabellings, which commute; two groups of isometries may also be a semidirect product
    (see ``named_product.check_isometries``). A Haar draw is the product of two.

    Args:
        first: H, a group of isometries.
        second: K, a group of isometries, of relabellings, or of both (see ``CoupledGroup``).
    """

    first: Group
    second: Group

    @property
    def order(self) -> int | None:
        orders = self.first.order, self.second.order
        return None if orders[0] is None or orders[1] is None else orders[0] * orders[1]

    @property
    def is_finite(self) -> bool:
        listed = self.first.is_finite and self.second.is_finite
        return listed and self.order is not None and self.order <= LARGEST_LISTED

    @property
    def translates(self) -> bool:
        return self.first.translates or self.second.translates

    @property
    def nodes(self) -> int | None:
        return self.second.nodes

    @property
    def acts_on_space(self) -> bool:
        return self.first.acts_on_space or self.second.acts_on_space

    @property
    def permutes_pixels(self) -> bool:
        return self.first.permutes_pixels and self.second.permutes_pixels

    @property
    def linear_part(self) -> Group:
        if not self.translates:
            return self
        parts = [part for part in (self.first.linear_part, self.second.linear_part) if part.order != 1]
        return product_of(parts) if parts else self.first.linear_part

    @property
    def is_proper(self) -> bool:
        return self.first.is_proper and self.second.is_proper

    def _draw(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Element:
        return compose(self.first._draw(shape, generator), self.second._draw(shape, generator))

    def elements(self) -> Element:
        """All elements, the identity first.

        Raises:
            GroupError: if the group is infinite or too large to list.
        """
        if self.order is None:
            return super().elements()
        first, second = self.first.elements(), self.second.elements()
        if self.order > LARGEST_LISTED:
            raise GroupError(
                f"{self.name} has {self.order_text} elements: too many to list. Draw some with .sample(m)."
            )
        return compose(first.reshape(-1, 1), second.reshape(1, -1)).reshape(self.order)

    def _holds(self, g: Element, tolerance: float) -> Tensor:
        isometry = Element(g.linear, g.translation)
        if isinstance(self.second, PermutationGroup):
            return self.first.contains(isometry, tolerance) & relabels(g, self.second.size)
        # HK = KH, so that g is in it if some element of the finite factor brings it back into the other one
        finite, other = (self.first, self.second) if self.first.is_finite else (self.second, self.first)
        back = inverse(finite.elements().to(g.linear))
        whole = isometry if self.nodes is None else g
        return other.contains(compose(back, whole.reshape(*g.shape, 1)), tolerance).any(-1)


def product_of(factors: Sequence[Group]) -> Group:
    """The product of groups, named after them in their order (see ``named_product.product_of_names``).

    Raises:
        GroupError: they act on different spaces, two permute nodes, or their products are not a group.
    """
    from geoequiv.groups.names import group  # which makes products

    return group(joined_names([factor.name for factor in factors]))


def factors_of(group: Group) -> tuple[Group, ...]:
    """The factors of a product, ``(group,)`` for any other; translations stay with none of them.

    >>> from geoequiv.groups import group
    >>> [str(factor) for factor in factors_of(group("T(3)*C2*SO(2)@y*S(4)"))]
    ['C2', 'SO(2)@y', 'S(4)']
    """
    if isinstance(group, ProductGroup):
        return factors_of(group.first) + factors_of(group.second)
    if isinstance(group, EuclideanGroup) and isinstance(group.linear_part, ProductGroup):
        return factors_of(group.linear_part)
    return (group,)
