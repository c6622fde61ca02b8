"""Products of groups: isometries of one space together, and isometries with relabellings."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from geoequiv.errors import GroupError
from geoequiv.groups.element import Element, compose, inverse
from geoequiv.groups.euclidean import EuclideanGroup
from geoequiv.groups.group import Group
from geoequiv.groups.permutation import PermutationGroup, relabels

LARGEST_LISTED = 1_000_000


@dataclass(frozen=True)
class ProductGroup(Group):
    r"""All products of an element of one group with one of another.

    .. math:: G = H K = \{ h k : h \in H, k \in K \}, \qquad H \cap K = \{1\}

    Direct for isometries with relabellings, which commute; two groups of isometries may also be a semidirect product
    (see ``check_isometries``). A Haar draw is the product of two.

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
    def moves_pixels(self) -> bool:
        return self.first.moves_pixels and self.second.moves_pixels

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
            raise GroupError(f"{self.name} has {self.order} elements: too many to list. Draw some with .sample(m).")
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
    """The product of groups, named after them in their order.

    Translations times isometries that fix the origin make a ``EuclideanGroup``: ``"T(3)*SO(2)@y"``, what gravity leaves
    of E(3).

    Raises:
        GroupError: if they act on different spaces, if two relabel nodes, or if their products are not a group.
    """
    name = product_name(factors)
    spaces = sorted({factor.dim for factor in factors})
    if len(spaces) > 1:
        raise GroupError(f"'{name}': the factors act on different spaces (of dimension {spaces}).")
    relabelling = [factor for factor in factors if factor.nodes is not None]
    if len(relabelling) > 1:
        raise GroupError(f"'{name}': only one factor can relabel the nodes.")
    isometries = [factor for factor in factors if factor.nodes is None]
    shifts = [factor for factor in isometries if is_translations(factor)]
    fixing = [factor for factor in isometries if not factor.translates]
    if len(shifts) == 1 and len(fixing) == len(isometries) - 1 and fixing:
        linear = fixing[0] if len(fixing) == 1 else product_of(fixing)
        whole = name if not relabelling else product_name([f for f in factors if f.nodes is None])
        isometries = [EuclideanGroup(whole, linear.dim, linear=linear)]
    return reduce(lambda a, b: joined(a, b, name), isometries + relabelling)


def is_translations(group: Group) -> bool:
    """Whether it is T(d)."""
    return isinstance(group, EuclideanGroup) and group.linear_part.order == 1


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


def joined(first: Group, second: Group, name: str) -> ProductGroup:
    """The product of two groups under a name, once it is known to be one."""
    if not isinstance(second, PermutationGroup):
        check_isometries(first, second, name)
    return ProductGroup(name, first.dim, first, second)


def product_name(factors: Sequence[Group]) -> str:
    """Names joined by ``*``; ``@plane`` stands only where no factor tells by its name that it acts on the plane."""
    names = [factor.name for factor in factors]
    short = [name.replace("@plane", "") for name in names]
    return "*".join([names[0], *short[1:]] if all("@plane" in name for name in names) else short)


def check_isometries(first: Group, second: Group, name: str) -> None:
    """Raise GroupError unless the products of two groups of isometries form a group, each product once.

    They do if the factors commute, or at least if one of them is mapped to itself by conjugation with the other
    (C2 about z turns SO(2)@y into itself). Decided on all elements of a finite factor and on 16 draws of a continuous
    one, of which at least one has to be finite.
    """
    if not (first.is_finite or second.is_finite):
        raise GroupError(
            f"'{name}': one of {first} and {second} has to be finite; larger continuous groups have names of their "
            "own, such as SE(3)."
        )
    finite, other = (first, second) if first.is_finite else (second, first)
    e = finite.elements()
    if bool(other.contains(e[1:]).any()):
        raise GroupError(
            f"'{name}': {first} and {second} share elements besides the identity, so that their products are not all "
            "different."
        )
    k = other.elements() if other.is_finite else other.sample(16, generator=torch.Generator().manual_seed(0))
    e, k = e.reshape(-1, 1), k.reshape(1, -1)
    turned = other.contains(compose(compose(e, k), inverse(e))).all()
    if not bool(turned | finite.contains(compose(compose(k, e), inverse(k))).all()):
        raise GroupError(
            f"'{name}' is not a group: {first} and {second} do not commute, nor does one map the other to itself. "
            "Give them the same axis, or axes at right angles."
        )
