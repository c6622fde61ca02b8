"""A group's name becomes a plain value: checked and written in one way, without torch."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from geoequiv.errors import GroupError, unknown
from geoequiv.groups.plain_matrix import Axis, X, Y, Z
from geoequiv.groups.point_groups import LARGEST_FOLD, SYMBOL, generators
from geoequiv.groups.point_groups import elements as point_group_elements

AXES = {"x": X, "y": Y, "z": Z}
#: Shown by ``geoequiv list groups`` and in error messages; n is any positive number.
EXAMPLES = {
    "SO(2)": "rotations of the plane; SO(2)@y: rotations of 3-space about the y axis",
    "O(2)": "with reflections; O(2)@y: also reflections in planes through the y axis",
    "SO(3)": "rotations",
    "O(3)": "rotations and reflections",
    "T(3)": "translations; T(2) in the plane",
    "SE(3)": "rotations and translations; SE(2) in the plane",
    "E(3)": "all isometries; E(2) in the plane",
    "C4": "n-fold rotations about z, also of images (C4@y: about y; C4@plane: of the plane); C4h, C4v with "
    "reflections; S4 rotation-reflections; Ci, Cs",
    "D4": "with twofold axes across (D4@plane: with reflections); D4h, D4d with reflections",
    "T": "rotations of the tetrahedron (12); Td, Th with reflections (24)",
    "O": "rotations of the cube (24); Oh with reflections (48)",
    "I": "rotations of the icosahedron (60); Ih with reflections (120)",
    "flip": "the reflection x ↦ −x of the plane; left–right flip of images",
    "S(5)": "permutations of 5 nodes",
    "Cs@x&(0 1)(2 3)/5": "1 and one reflection (C2@y&…: rotation by 180°) that swaps nodes 0 and 1, 2 and 3 of 5",
    "SO(3)*S(5)": "products: both at once; C2*SO(2)@y: of isometries whose products are a group",
}
CONTINUOUS = re.compile(r"(SO|O|SE|E|T)\(([23])\)")
SYMMETRIC = re.compile(r"S\(([1-9][0-9]{0,8})\)")
SWAPS = re.compile(r"((?:\([0-9]{1,9} [0-9]{1,9}\))+)/([0-9]{1,9})")

Family = Literal["orthogonal", "axial", "euclidean", "point", "flip", "permutation", "coupled", "product"]


@dataclass(frozen=True)
class GroupName:
    """A group by its name, parsed.

    Args:
        name: the canonical one; parsing it gives an equal value.
        dim: dimension of the space acted on.
        family: which of the following fields have a meaning.
        proper: of SO(d) and O(d), also about an axis.
        symbol: Schoenflies symbol of a point group.
        axis: unit vector; of an axial group, or the principal axis of a point group.
        size: number of nodes that are permuted.
        swaps: pairs of nodes that a coupled group swaps.
        factors: the two of a product; the one group of the linear parts of a euclidean group; the one group of the
            isometries of a coupled group.
    """

    name: str
    dim: int
    family: Family
    proper: bool = True
    symbol: str = ""
    axis: Axis = Z
    size: int | None = None
    swaps: tuple[tuple[int, int], ...] = ()
    factors: tuple["GroupName", ...] = ()

    @property
    def translates(self) -> bool:
        """Whether the group contains all translations."""
        return self.family == "euclidean" or any(factor.translates for factor in self.factors)

    @property
    def nodes(self) -> int | None:
        """Number of nodes that are permuted; ``None`` where none are."""
        return self.size if self.family != "product" else self.factors[1].nodes

    def __str__(self) -> str:
        return self.name


def parse_name(name: str, *, dim: int | None = None, axis: str | Iterable[float] | None = None) -> GroupName:
    """``groups.group`` without the group: its name, checked.

    >>> parse_name(" SO(2) @ y ").name, parse_name("E(3)").translates, parse_name("C4*S(5)", dim=2).name
    ('SO(2)@y', True, 'C4@plane*S(5)')

    Args, Raises: those of ``group``.
    """
    if not isinstance(name, str):
        raise GroupError(f"A group is given by its name, such as 'SO(3)'; got {type(name).__name__}.")
    if "*" not in name:
        return parse_factor(name, dim, axis)
    if axis is not None:
        raise GroupError(f"'{name}': write the axis behind the factor that it belongs to, such as 'Ci*SO(2)@y'.")
    from geoequiv.groups.named_product import product_of_names

    written = [factor.strip() for factor in name.split("*")]
    space = dim or next((told for told in map(written_space, written) if told), None)
    return product_of_names([parse_factor(factor, space, None) for factor in written])


def written_space(name: str) -> int | None:
    """Dimension of space, where a name tells it."""
    symbol, axis = split(name.partition("&")[0])
    if axis or symbol == "flip":
        return 2 if axis in ("", "plane") else 3
    match = CONTINUOUS.fullmatch(symbol)
    return int(match[2]) if match else None


def parse_factor(name: str, dim: int | None, axis: str | Iterable[float] | None) -> GroupName:
    """``parse_name`` for a name that is no product."""
    if "&" in name:
        isometry, _, swaps = name.partition("&")
        return coupled(parse_factor(isometry, dim, axis), swaps, name)
    symbol, written_axis = split(name)
    if written_axis == "plane" and not CONTINUOUS.fullmatch(symbol):
        if dim not in (None, 2):
            raise GroupError(f"'{name}' acts on 2-space, not on {dim}-space.")
        written_axis, dim = "", 2
    if written_axis and axis is not None and unit_axis(axis, name) != unit_axis(written_axis, name):
        raise GroupError(f"'{name}' names an axis, and axis={axis!r} is another one: give one of them.")
    chosen = written_axis or axis
    direction = None if chosen is None else unit_axis(chosen, name)
    if match := CONTINUOUS.fullmatch(symbol):
        return continuous(name, match[1], int(match[2]), dim, direction)
    if symbol == "flip":
        if dim not in (None, 2) or direction:
            raise GroupError(f"'{name}': the flip acts on the plane; in 3-space the mirror x ↦ −x is 'Cs@x'.")
        return GroupName(symbol, 2, "flip")
    space = dim or 3
    if space not in (2, 3):
        raise GroupError(f"{symbol}: groups act on 2-space or 3-space, not on {dim}-space.")
    label = f"{symbol}@{axis_label(direction)}" if direction else symbol
    label += "@plane" if space == 2 else ""
    if match := SYMMETRIC.fullmatch(symbol):
        if direction:
            raise GroupError(f"'{name}': permutations have no axis.")
        return GroupName(label, space, "permutation", size=int(match[1]))
    if not SYMBOL.fullmatch(symbol):
        raise not_a_group(name)
    if space == 2 and (direction or not re.fullmatch(r"[CD][0-9]+", symbol)):
        raise GroupError(f"'{name}' is not a group of the plane; there are C1, C2, … and D1, D2, ….")
    if len(digits := re.sub(r"\D", "", symbol)) > 9 or int(digits or 0) > LARGEST_FOLD:
        raise GroupError(f"'{name}': axes up to {LARGEST_FOLD}-fold are listed; SO(2) and O(2) are their limit.")
    try:
        generators(symbol, space)
    except KeyError:
        raise not_a_group(name) from None
    return GroupName(label, space, "point", symbol=symbol, axis=direction or Z)


def continuous(name: str, family: str, d: int, dim: int | None, direction: Axis | None) -> GroupName:
    """SO(d), O(d), also about an axis of 3-space; T(d), SE(d), E(d)."""
    symbol = f"{family}({d})"
    if dim not in (None, d) and not (direction and d == 2 and dim == 3):
        raise GroupError(f"{symbol} acts on {d}-space, not on {dim}-space.")
    if direction:
        if family not in ("SO", "O") or d != 2:
            raise GroupError(f"'{name}': only SO(2), O(2) and finite groups rotate about an axis, not {symbol}.")
        return GroupName(f"{symbol}@{axis_label(direction)}", 3, "axial", proper=family == "SO", axis=direction)
    if family in ("SO", "O"):
        return GroupName(symbol, d, "orthogonal", proper=family == "SO")
    if family == "T":
        linear = GroupName("C1", d, "point", symbol="C1")
    else:
        linear = GroupName(f"{'S' if family == 'SE' else ''}O({d})", d, "orthogonal", proper=family == "SE")
    return GroupName(symbol, d, "euclidean", factors=(linear,))


def coupled(isometry: GroupName, swaps: str, name: str) -> GroupName:
    """The group of a name such as ``"Cs@x&(0 1)(2 3)/5"``, whose part behind the ``&`` is ``swaps``.

    Raises:
        GroupError: the isometries are not two, or the swaps cannot be read or name a node twice or one too many.
    """
    written = " ".join(swaps.split()).replace(") (", ")(").replace(" /", "/").replace("/ ", "/")
    match = SWAPS.fullmatch(written)
    if match is None:
        raise GroupError(
            f"'{name}': behind the & stand the pairs of nodes that are swapped, and the number of nodes, as in "
            f"'Cs@x&(0 1)(2 3)/5'; got '{swaps}'."
        )
    two = isometry.family == "flip" or (
        isometry.family == "point" and len(point_group_elements(isometry.symbol, isometry.dim)) == 2
    )
    if not two:
        raise GroupError(f"'{name}': swaps go with a group of two isometries, such as Cs@x, not {isometry}.")
    pairs = tuple((int(a), int(b)) for a, b in re.findall(r"\((\d+) (\d+)\)", match[1]))
    size, used = int(match[2]), [node for pair in pairs for node in pair]
    if len(set(used)) < len(used) or max(used) >= size:
        raise GroupError(f"'{name}': each of the nodes 0 to {size - 1} may stand in one pair.")
    return GroupName(f"{isometry}&{written}", isometry.dim, "coupled", size=size, swaps=pairs, factors=(isometry,))


def split(name: str) -> tuple[str, str]:
    """Symbol and axis of a name that is no product; ``T_h`` and ``C_4`` are Th and C4 (S_5 could be S5 or S(5))."""
    symbol, _, axis = (part.strip() for part in name.partition("@"))
    return re.sub(r"(?<=[CDTOI])_", "", symbol), axis


def not_a_group(name: str) -> GroupError:
    """The error for an unknown name: the nearest one is the same in other letters, or like one of the examples."""
    written = split(name)[0].capitalize()
    meant = [written] if SYMBOL.fullmatch(written) and written != split(name)[0] else []
    return GroupError(unknown("group", name, [*EXAMPLES, *meant]))


def unit_axis(axis: str | Iterable[float], name: str) -> Axis:
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


def axis_label(axis: Axis) -> str:
    """How an axis is written behind the ``@`` of a name, so that the name can be read back."""
    named = {vector: letter for letter, vector in AXES.items()}
    return named.get(axis) or "(" + ",".join(repr(part) for part in axis) + ")"


def joined_names(names: Sequence[str]) -> str:
    """Names joined by ``*``; ``@plane`` stands only where no factor tells by its name that it acts on the plane."""
    short = [name.replace("@plane", "") for name in names]
    return "*".join([names[0], *short[1:]] if all("@plane" in name for name in names) else short)
