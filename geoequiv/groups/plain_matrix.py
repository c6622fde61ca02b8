"""3 × 3 matrices in plain Python: what checking a group's name needs of them, without torch."""

import math
from bisect import bisect_left, insort

Axis = tuple[float, float, float]
Matrix = tuple[Axis, Axis, Axis]  # rows

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
IDENTITY: Matrix = (X, Y, Z)
TOLERANCE = 1e-6  # largest difference of an entry of equal matrices


def dot(a: Axis, b: Axis) -> float:
    """Inner product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def apply(a: Matrix, vector: Axis) -> Axis:
    """The matrix times a column."""
    return dot(a[0], vector), dot(a[1], vector), dot(a[2], vector)


def transpose(a: Matrix) -> Matrix:
    """The transpose; of an orthogonal matrix, its inverse."""
    (p, q, r), (s, t, u), (v, w, x) = a
    return (p, s, v), (q, t, w), (r, u, x)


def multiply(a: Matrix, b: Matrix) -> Matrix:
    """The product a b."""
    columns = transpose(b)
    return apply(columns, a[0]), apply(columns, a[1]), apply(columns, a[2])


def conjugate(a: Matrix, b: Matrix) -> Matrix:
    """A b a⁻¹, for an orthogonal a."""
    return multiply(multiply(a, b), transpose(a))


def negative(a: Matrix) -> Matrix:
    """−a."""
    (p, q, r), (s, t, u), (v, w, x) = a
    return (-p, -q, -r), (-s, -t, -u), (-v, -w, -x)


def determinant(a: Matrix) -> float:
    """The determinant."""
    (p, q, r), (s, t, u), (v, w, x) = a
    return p * (t * x - u * w) - q * (s * x - u * v) + r * (s * w - t * v)


def rotation(axis: Axis, angle: float) -> Matrix:
    """Rotation by an angle (radians, right-hand rule) about an axis of any length: Rodrigues' formula."""
    length = math.hypot(*axis)
    x, y, z = (part / length for part in axis)
    c, s = math.cos(angle), math.sin(angle)
    t = 1 - c
    return (
        (c + t * x * x, t * x * y - s * z, t * x * z + s * y),
        (t * x * y + s * z, c + t * y * y, t * y * z - s * x),
        (t * x * z - s * y, t * y * z + s * x, c + t * z * z),
    )


def reflection(normal: Axis) -> Matrix:
    """Reflection in the plane through the origin with this normal."""
    return negative(rotation(normal, math.pi))


def rotation_to(axis: Axis) -> Matrix:
    """A rotation that takes z to the unit vector ``axis`` (by the shortest way; about x where they are opposite)."""
    return rotation(across(axis), math.atan2(math.hypot(axis[0], axis[1]), axis[2]))


def across(axis: Axis) -> Axis:
    """A vector at right angles to ``axis`` and to z; x where the axis is z."""
    x, y, _ = axis
    return (-y, x, 0.0) if math.hypot(x, y) > 1e-12 else X


def equal(a: Matrix, b: Matrix) -> bool:
    """Whether no entry differs by more than ``TOLERANCE``."""
    return all(map(near, a, b))


def near(a: Axis, b: Axis) -> bool:
    """Whether no component differs by more than ``TOLERANCE``."""
    return all(abs(x - y) <= TOLERANCE for x, y in zip(a, b, strict=True))


class MatrixSet:
    """Matrices that are looked up within ``TOLERANCE``, sorted by a number that few of them share."""

    WEIGHTS: Matrix = (
        (math.sqrt(2), math.sqrt(3), math.sqrt(5)),
        (math.sqrt(7), math.sqrt(11), math.sqrt(13)),
        (math.sqrt(17), math.sqrt(19), math.sqrt(23)),
    )
    REACH = TOLERANCE * sum(map(sum, WEIGHTS))

    def __init__(self, members: list[Matrix]) -> None:
        self._sorted = sorted((self._number(member), member) for member in members)

    def add(self, member: Matrix) -> None:
        """Add a matrix."""
        insort(self._sorted, (self._number(member), member))

    def __contains__(self, member: Matrix) -> bool:
        number = self._number(member)
        index = bisect_left(self._sorted, number - self.REACH, key=lambda each: each[0])
        while index < len(self._sorted) and self._sorted[index][0] <= number + self.REACH:
            if equal(self._sorted[index][1], member):
                return True
            index += 1
        return False

    def _number(self, member: Matrix) -> float:
        return sum(map(dot, self.WEIGHTS, member))
