"""Groups by name: where a name becomes a group."""

from collections.abc import Iterable

from geoequiv.groups.base import Group
from geoequiv.groups.coupled import CoupledGroup
from geoequiv.groups.euclidean import EuclideanGroup
from geoequiv.groups.finite import FiniteGroup
from geoequiv.groups.flips import FlipGroup
from geoequiv.groups.orthogonal import AxialGroup, OrthogonalGroup
from geoequiv.groups.parsing import GroupName, parse_name
from geoequiv.groups.permutation import PermutationGroup
from geoequiv.groups.product import ProductGroup


def group(name: str | Group, *, dim: int | None = None, axis: str | Iterable[float] | None = None) -> Group:
    """The group of a name.

    >>> group("SO(3)").name, group("Oh").order, group("SO(2)@y").dim
    ('SO(3)', 48, 3)

    Args:
        name: such as ``"SE(3)"``, ``"O"``, ``"C4v"``, ``"SO(2)@y"``, ``"S(5)"``, ``"SO(3)*S(5)"``; a ``Group`` passes
            through. In a product, factors whose names do not tell the space take that of the others.
        dim: 2 for ``"C4"`` or ``"D4"`` of the plane (the same as ``"C4@plane"``) and for ``"S(5)"`` on nodes in the
            plane; else the name tells, and finite groups act on 3-space.
        axis: of SO(2), O(2) or of a finite group's principal axis, in 3-space: ``"y"`` or a vector (numbers, an
            array or a tensor) of any length. Same as ``@y``.

    Raises:
        GroupError: for an unknown name (the nearest one is named), an axis that does not fit, or factors whose
            products are not a group.
    """
    return name if isinstance(name, Group) else build(parse_name(name, dim=dim, axis=axis))


def build(parsed: GroupName) -> Group:
    """The group of a parsed name."""
    name, dim = parsed.name, parsed.dim
    factors = [build(factor) for factor in parsed.factors]
    match parsed.family:
        case "orthogonal":
            return OrthogonalGroup(name, dim, proper=parsed.proper)
        case "axial":
            return AxialGroup(name, dim, proper=parsed.proper, axis=parsed.axis)
        case "euclidean":
            return EuclideanGroup(name, dim, linear=factors[0])
        case "point":
            return FiniteGroup(name, dim, symbol=parsed.symbol, axis=parsed.axis)
        case "flip":
            return FlipGroup(name, dim)
        case "product":
            return ProductGroup(name, dim, *factors)
    assert parsed.size is not None
    if parsed.family == "permutation":
        return PermutationGroup(name, dim, size=parsed.size)
    return CoupledGroup(name, dim, factors[0], parsed.swaps, parsed.size)
