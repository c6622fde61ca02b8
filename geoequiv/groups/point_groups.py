"""The finite point groups by their Schoenflies symbols: generators, and the elements in plain Python (without torch).

``finite`` makes tensors of the same generators.
"""

import math
import re
from functools import cache
from typing import NamedTuple

from geoequiv.groups.plain_matrix import (
    IDENTITY,
    Axis,
    Matrix,
    MatrixSet,
    X,
    Y,
    Z,
    conjugate,
    multiply,
    negative,
    reflection,
    rotation,
    rotation_to,
)

DIAGONAL = (1.0, 1.0, 1.0)
GOLDEN = (1 + math.sqrt(5)) / 2
LARGEST_FOLD = 2500  # n of C_n, D_n, S_n; with reflections 4n elements
SYMBOL = re.compile(r"([CDS])([1-9][0-9]*)([hvd]?)|C([is])|(T)([hd]?)|([OI])(h?)")


class Rotation(NamedTuple):
    """By an angle (radians, right-hand rule) about an axis of any length."""

    axis: Axis
    angle: float


class Mirror(NamedTuple):
    """Reflection in the plane through the origin with this normal."""

    normal: Axis


class Inversion(NamedTuple):
    """Minus the identity."""


#: A product of isometries; the last one is applied first.
Generator = tuple[Rotation | Mirror | Inversion, ...]
#: Rotation groups of the polyhedra; vertices of the icosahedron at (0, ±1, ±φ) and cyclic.
POLYHEDRAL: dict[str, list[Generator]] = {
    "T": [(Rotation(Z, math.pi),), (Rotation(DIAGONAL, 2 * math.pi / 3),)],
    "O": [(Rotation(Z, math.pi / 2),), (Rotation(DIAGONAL, 2 * math.pi / 3),)],
    "I": [(Rotation((0.0, 1.0, GOLDEN), 2 * math.pi / 5),), (Rotation(DIAGONAL, 2 * math.pi / 3),)],
}


def parts(symbol: str) -> tuple[str, int, str]:
    """Letter, number (0 for a polyhedral group) and suffix of a symbol; Ci is S2 and Cs is C1h.

    >>> parts("D12h"), parts("Cs"), parts("Td")
    (('D', 12, 'h'), ('C', 1, 'h'), ('T', 0, 'd'))

    Raises:
        KeyError: it is not written as a Schoenflies symbol.
    """
    found = SYMBOL.fullmatch(symbol)
    if found is None:
        raise KeyError(symbol)
    base, number, suffix, special, tetrahedral, of_tetrahedral, polyhedral, inversion = found.groups()
    if special:
        return ("S", 2, "") if special == "i" else ("C", 1, "h")
    if base:
        return base, int(number), suffix
    return tetrahedral or polyhedral, 0, of_tetrahedral or inversion or ""


def generators(symbol: str, dim: int) -> list[Generator]:
    """Generators of a point group of 3-space (principal axis z), or of the plane as isometries of 3-space that fix z.

    Raises:
        KeyError: there is no such group.
    """
    base, n, suffix = parts(symbol)
    if base in POLYHEDRAL:
        extra: dict[str, list[Generator]] = {"": [], "h": [(Inversion(),)]}
        if base == "T":
            extra["d"] = [(Mirror((1.0, 1.0, 0.0)),)]
        return POLYHEDRAL[base] + extra[suffix]
    step = Rotation(Z, 2 * math.pi / n)
    rotations: list[Generator] = [(step,)]
    if dim == 2:
        reflections: dict[str, list[Generator]] = {"C": [], "D": [(Mirror(Y),)]}
        return rotations + reflections[base]
    if base == "D":
        rotations.append((Rotation(X, math.pi),))
    between = (math.sin(math.pi / (2 * n)), -math.cos(math.pi / (2 * n)), 0.0)  # plane that halves two twofold axes
    extras: dict[tuple[str, str], list[Generator]] = {
        ("C", ""): [],
        ("D", ""): [],
        ("C", "h"): [(Mirror(Z),)],
        ("C", "v"): [(Mirror(Y),)],
        ("D", "h"): [(Mirror(Z),)],
        ("D", "d"): [(Mirror(between),)],
    }
    if (base, suffix) == ("S", ""):  # rotation-reflection by 2π/n
        return [(Mirror(Z), step)]
    return rotations + extras[base, suffix]


def generator_matrices(symbol: str, dim: int, axis: Axis = Z) -> list[Matrix]:
    """Matrices of ``generators``, the principal axis rotated to the unit vector ``axis``."""
    tilt = IDENTITY if axis == Z else rotation_to(axis)
    return [conjugate(tilt, matrix(each)) for each in generators(symbol, dim)]


@cache
def elements(symbol: str, dim: int, axis: Axis = Z) -> tuple[Matrix, ...]:
    """All elements of a point group, the identity first.

    >>> len(elements("Oh", 3)), len(elements("D4", 2)), len(elements("S3", 3))
    (48, 8, 6)
    """
    return closure(generator_matrices(symbol, dim, axis))


def closure(generators: list[Matrix]) -> tuple[Matrix, ...]:
    """All products of the generators, the identity first."""
    known, listed = MatrixSet([IDENTITY]), [IDENTITY]
    for element in listed:  # it grows meanwhile
        for generator in generators:
            product = multiply(element, generator)
            if product not in known:
                known.add(product)
                listed.append(product)
        assert len(listed) <= 4 * LARGEST_FOLD, "generators do not close"
    return tuple(listed)


def matrix(generator: Generator) -> Matrix:
    """The matrix of a product of rotations and reflections."""
    found = IDENTITY
    for step in generator:
        if isinstance(step, Rotation):
            found = multiply(found, rotation(step.axis, step.angle))
        elif isinstance(step, Mirror):
            found = multiply(found, reflection(step.normal))
        else:
            found = negative(found)
    return found
