"""Products of named groups: whether the products of their elements form a group, decided without torch."""

import math
from collections.abc import Iterator, Sequence
from functools import cache, reduce

from geoequiv.errors import GroupError
from geoequiv.groups.parsing import GroupName, joined_names
from geoequiv.groups.plain_matrix import (
    IDENTITY,
    Matrix,
    MatrixSet,
    X,
    Z,
    across,
    apply,
    conjugate,
    determinant,
    equal,
    multiply,
    near,
    negative,
    reflection,
    rotation,
    transpose,
)
from geoequiv.groups.point_groups import elements, generator_matrices

LARGEST_LISTED = 1_000_000
#: The linear part of an element (planar ones fix z), and whether it swaps nodes. Translations are left out of account:
#: a group that translates contains all of them.
Member = tuple[Matrix, bool]


def product_of_names(factors: Sequence[GroupName]) -> GroupName:
    """The product, named after its factors in their order.

    Translations times isometries that fix the origin make a euclidean group: ``"T(3)*SO(2)@y"``, what gravity leaves
    of E(3).

    Raises:
        GroupError: they act on different spaces, two permute nodes, or their products are not a group.
    """
    name = joined_names([factor.name for factor in factors])
    spaces = sorted({factor.dim for factor in factors})
    if len(spaces) > 1:
        raise GroupError(f"'{name}': the factors act on different spaces (of dimension {spaces}).")
    permuting = [factor for factor in factors if factor.nodes is not None]
    if len(permuting) > 1:
        raise GroupError(f"'{name}': only one factor can permute the nodes.")
    isometries = [factor for factor in factors if factor.nodes is None]
    translations = [factor for factor in isometries if is_translations(factor)]
    fixing = [factor for factor in isometries if not factor.translates]
    if len(translations) == 1 and len(fixing) == len(isometries) - 1 and fixing:
        linear = fixing[0] if len(fixing) == 1 else product_of_names(fixing)
        whole = joined_names([factor.name for factor in isometries])
        isometries = [GroupName(whole, linear.dim, "euclidean", factors=(linear,))]
    return reduce(lambda a, b: product(a, b, name), [*isometries, *permuting])


def is_translations(group: GroupName) -> bool:
    """Whether it is T(d)."""
    return group.family == "euclidean" and group.factors[0].symbol == "C1"


def product(first: GroupName, second: GroupName, name: str) -> GroupName:
    """The product of two groups under a name, once it is known to be one."""
    if second.family != "permutation":
        check_isometries(first, second, name)
    return GroupName(name, first.dim, "product", factors=(first, second))


def check_isometries(first: GroupName, second: GroupName, name: str) -> None:
    """Raise GroupError unless the products of two groups of isometries form a group, each product once.

    They do if the groups have only the identity in common and one of them is mapped to itself by conjugation with the
    other (C2 about z maps SO(2)@y to itself). One has to be finite; its elements are listed.

    Exactness: decided on generators. Those of a continuous group generate a dense subgroup, and a closed group that
    contains them contains all of it.
    """
    if not (is_finite(first) or is_finite(second)):
        raise GroupError(
            f"'{name}': one of {first} and {second} has to be finite; larger continuous groups have names of their "
            "own, such as SE(3)."
        )
    finite, other = (first, second) if is_finite(first) else (second, first)
    listed = members(finite)
    if any(holds(other, each) for each in listed if not (equal(each[0], IDENTITY) and not each[1])):
        raise GroupError(
            f"'{name}': {first} and {second} share elements besides the identity, so that their products are not all "
            "different."
        )
    if not (normalizes(finite, other) or normalizes(other, finite)):
        raise GroupError(
            f"'{name}' is not a group: {first} and {second} do not commute, nor does one map the other to itself. "
            "Give them the same axis, or axes at right angles."
        )


def normalizes(group: GroupName, other: GroupName) -> bool:
    """Whether conjugation with each element of one group maps the other to itself."""
    return all(holds(other, (conjugate(g, h), swaps)) for g, _ in generating(group) for h, swaps in generating(other))


def is_finite(group: GroupName) -> bool:
    """Whether its elements are listed here."""
    if group.family == "product":
        both = all(is_finite(factor) for factor in group.factors)
        return both and math.prod(len(members(factor)) for factor in group.factors) <= LARGEST_LISTED
    return group.family in ("point", "flip", "coupled")


def members(group: GroupName) -> list[Member]:
    """All elements of a finite group."""
    if group.family == "point":
        return [(each, False) for each in elements(group.symbol, group.dim, group.axis)]
    if group.family == "flip":
        return [(IDENTITY, False), (reflection(X), False)]
    if group.family == "coupled":
        (one, _), (isometry, _) = members(group.factors[0])
        return [(one, False), (isometry, True)]
    first, second = (members(factor) for factor in group.factors)
    return [(multiply(a, b), swap != also) for a, swap in first for b, also in second]


def generating(group: GroupName) -> Iterator[Member]:
    """Elements that generate the group, or a dense subgroup of it."""
    if group.family in ("product", "euclidean"):
        for factor in group.factors:
            yield from generating(factor)
    elif group.family == "orthogonal" and group.dim == 3:
        yield from ((rotation(X, 1.0), False), (rotation(Z, 1.0), False))  # 1 radian is no rational part of a circle
        if not group.proper:
            yield negative(IDENTITY), False
    elif group.family in ("orthogonal", "axial"):
        yield rotation(group.axis, 1.0), False
        if not group.proper:
            yield reflection(across(group.axis)), False
    elif group.family == "point":
        yield from ((each, False) for each in generator_matrices(group.symbol, group.dim, group.axis))
    else:
        yield members(group)[1]


def holds(group: GroupName, member: Member) -> bool:
    """Whether an element belongs to the group."""
    linear, swaps = member
    if group.family == "product":
        # HK = KH, so that g is in it if some element of the finite factor brings it back into the other one
        finite, other = group.factors if is_finite(group.factors[0]) else group.factors[::-1]
        return any(holds(other, (multiply(transpose(each), linear), swaps != also)) for each, also in members(finite))
    if group.family == "coupled":
        return any(equal(linear, each) and swaps == also for each, also in members(group))
    if swaps:
        return False
    if group.family == "euclidean":
        return holds(group.factors[0], member)
    if group.family in ("point", "flip"):
        return linear in matrix_set(group)
    if group.proper and determinant(linear) < 0:
        return False
    if group.family == "orthogonal" and group.dim == 3:
        return True
    return near(apply(linear, group.axis), group.axis)


@cache
def matrix_set(group: GroupName) -> MatrixSet:
    """The linear parts of a finite group, to look one up."""
    return MatrixSet([linear for linear, _ in members(group)])
