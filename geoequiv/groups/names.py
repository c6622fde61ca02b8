"""Groups by name: the one place where a name becomes a group."""

import math
import re
from collections.abc import Sequence
from typing import Any

from geoequiv.errors import GroupError, unknown
from geoequiv.groups.coupled import coupled
from geoequiv.groups.euclidean import EuclideanGroup
from geoequiv.groups.finite import LARGEST_FOLD, FiniteGroup
from geoequiv.groups.flips import FlipGroup
from geoequiv.groups.group import Group
from geoequiv.groups.orthogonal import AxialGroup, OrthogonalGroup
from geoequiv.groups.permutation import PermutationGroup
from geoequiv.groups.product import product_of

AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
#: Shown by ``geoequiv list groups`` and in error messages; n is any positive number.
EXAMPLES = {
    "SO(2)": "rotations of the plane; SO(2)@y: rotations of 3-space about the y axis",
    "O(2)": "with mirrors; O(2)@y: also mirrors in planes through the y axis",
    "SO(3)": "rotations",
    "O(3)": "rotations and reflections",
    "T(3)": "translations; T(2) in the plane",
    "SE(3)": "rotations and translations; SE(2) in the plane",
    "E(3)": "all isometries; E(2) in the plane",
    "C4": "n-fold rotations about z, also of images (C4@y: about y; C4@plane: of the plane); C4h, C4v with mirrors; "
    "S4 rotation-reflections; Ci, Cs",
    "D4": "with twofold axes across (D4@plane: with mirrors); D4h, D4d with mirrors",
    "T": "rotations of the tetrahedron (12); Td, Th with reflections (24)",
    "O": "rotations of the cube (24); Oh with reflections (48)",
    "I": "rotations of the icosahedron (60); Ih with reflections (120)",
    "flip": "the mirror x ↦ −x of the plane; left–right flip of images",
    "S(5)": "relabellings of 5 nodes",
    "Cs@x&(0 1)(2 3)/5": "1 and one mirror (C2@y&…: half turn) that exchanges nodes 0 and 1, 2 and 3 of 5",
    "SO(3)*S(5)": "products: both at once; C2*SO(2)@y: of isometries whose products are a group",
}
CONTINUOUS = re.compile(r"(SO|O|SE|E|T)\(([23])\)")
SYMMETRIC = re.compile(r"S\(([1-9]\d*)\)")
FINITE = re.compile(r"[CDS][1-9]\d*[hvd]?|C[is]|T[hd]?|[OI]h?")


def group(name: str | Group, *, dim: int | None = None, axis: str | Sequence[float] | None = None) -> Group:
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
    if isinstance(name, Group):
        return name
    if not isinstance(name, str):
        raise GroupError(f"A group is given by its name, such as 'SO(3)'; got {type(name).__name__}.")
    if "*" in name:
        if axis is not None:
            raise GroupError(f"'{name}': write the axis behind the factor that it belongs to, such as 'Ci*SO(2)@y'.")
        factors = [factor.strip() for factor in name.split("*")]
        space = dim or next((told for told in map(written_space, factors) if told), None)
        return product_of([single(factor, space, None) for factor in factors])
    return single(name, dim, axis)


def written_space(name: str) -> int | None:
    """Dimension of space, where a name tells it."""
    symbol, axis = split(name.partition("&")[0])
    if axis or symbol == "flip":
        return 2 if axis in ("", "plane") else 3
    match = CONTINUOUS.fullmatch(symbol)
    return int(match[2]) if match else None


def single(name: str, dim: int | None, axis: str | Sequence[float] | None) -> Group:
    """``group`` for a name that is no product."""
    if "&" in name:
        isometry, _, exchange = name.partition("&")
        return coupled(single(isometry, dim, axis), exchange, name)
    symbol, written_axis = split(name)
    if written_axis == "plane" and not CONTINUOUS.fullmatch(symbol):
        if dim not in (None, 2):
            raise GroupError(f"'{name}' acts on 2-space, not on {dim}-space.")
        written_axis, dim = "", 2
    if written_axis and axis is not None and unit_axis(axis, name) != unit_axis(written_axis, name):
        raise GroupError(f"'{name}' names an axis, and axis={axis!r} is another one: give one of them.")
    chosen = written_axis or axis
    direction = None if chosen is None else unit_axis(chosen, name)
    label = f"{symbol}@{axis_label(direction)}" if direction else symbol

    if match := CONTINUOUS.fullmatch(symbol):
        family, d = match[1], int(match[2])
        if dim not in (None, d) and not (direction and d == 2 and dim == 3):
            raise GroupError(f"{symbol} acts on {d}-space, not on {dim}-space.")
        if direction:
            if family not in ("SO", "O") or d != 2:
                raise GroupError(f"'{name}': only SO(2), O(2) and finite groups turn about an axis, not {symbol}.")
            return AxialGroup(label, 3, proper=family == "SO", axis=direction)
        if family in ("SO", "O"):
            return OrthogonalGroup(symbol, d, proper=family == "SO")
        linear: Group = (
            FiniteGroup("C1", d, symbol="C1")
            if family == "T"
            else OrthogonalGroup(f"{'S' if family == 'SE' else ''}O({d})", d, proper=family == "SE")
        )
        return EuclideanGroup(symbol, d, linear=linear)
    if symbol == "flip":
        if dim not in (None, 2) or direction:
            raise GroupError(f"'{name}': the flip acts on the plane; in 3-space the mirror x ↦ −x is 'Cs@x'.")
        return FlipGroup(symbol, 2)
    space = dim or 3
    if space not in (2, 3):
        raise GroupError(f"{symbol}: groups act on 2-space or 3-space, not on {dim}-space.")
    if space == 2:
        label += "@plane"
    if match := SYMMETRIC.fullmatch(symbol):
        if direction:
            raise GroupError(f"'{name}': relabellings have no axis.")
        return PermutationGroup(label, space, size=int(match[1]))
    if FINITE.fullmatch(symbol):
        if space == 2 and (direction or not re.fullmatch(r"[CD]\d+", symbol)):
            raise GroupError(f"'{name}' is not a group of the plane; there are C1, C2, … and D1, D2, ….")
        if int(re.sub(r"\D", "", symbol) or 0) > LARGEST_FOLD:
            raise GroupError(f"'{name}': turns up to {LARGEST_FOLD}-fold are listed; SO(2) and O(2) are their limit.")
        try:
            found = FiniteGroup(label, space, symbol=symbol, axis=direction or AXES["z"])
            found.order  # noqa: B018  (closes the generators, so that an impossible symbol fails here)
        except KeyError:
            raise not_a_group(name) from None
        return found
    raise not_a_group(name)


def split(name: str) -> tuple[str, str]:
    """Symbol and axis of a name that is no product; ``T_h`` and ``C_4`` are Th and C4 (S_5 could be S5 or S(5))."""
    symbol, _, axis = (part.strip() for part in name.partition("@"))
    return re.sub(r"(?<=[CDTOI])_", "", symbol), axis


def not_a_group(name: str) -> GroupError:
    """The error for an unknown name: the nearest one is the same in other letters, or like one of the examples."""
    written = split(name)[0].capitalize()
    meant = [written] if FINITE.fullmatch(written) and written != split(name)[0] else []
    return GroupError(unknown("group", name, [*EXAMPLES, *meant]))


def unit_axis(axis: str | Sequence[float], name: str) -> tuple[float, float, float]:
    """Unit vector of ``"y"``, ``"(0, 1, 1)"`` or a triple of numbers."""
    if isinstance(axis, str):
        if axis in AXES:
            return AXES[axis]
        parts: tuple[Any, ...] = tuple(axis.strip("()").split(","))
    else:
        parts = tuple(axis)
    try:
        vector = [float(part) for part in parts]
    except (TypeError, ValueError):
        vector = []
    length = math.hypot(*vector)
    if len(vector) != 3 or not 0 < length < math.inf:
        raise GroupError(
            f"'{name}': an axis is x, y, z or three numbers such as (0, 1, 1), not all zero; got {axis!r}."
            f"{' Where gravity points along −y, up is y: @y.' if axis == 'up' else ''}"
        )
    x, y, z = vector if abs(length - 1) < 1e-14 else (part / length for part in vector)
    return x, y, z


def axis_label(axis: tuple[float, float, float]) -> str:
    """How an axis is written behind the ``@`` of a name, so that the name can be read back."""
    named = {vector: letter for letter, vector in AXES.items()}
    return named.get(axis) or "(" + ",".join(repr(part) for part in axis) + ")"
