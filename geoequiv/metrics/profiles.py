"""The error against the angle and the axis of a rotation, and against the length of a translation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import GroupError
from geoequiv.fields import Signature, read_inputs
from geoequiv.groups import Element
from geoequiv.groups.orthogonal import plane_rotation, rotation_about
from geoequiv.metrics.estimate import Estimate, as_plain, estimate
from geoequiv.metrics.measure import Model, measure

ANGLES = tuple(math.pi * k / 6 for k in range(1, 7))
LENGTHS = (0.1, 1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Profile:
    """Mean relative error along one coordinate of a group.

    Args:
        coordinate: ``"angle"`` (radians), ``"axis"`` (unit vectors) or ``"length"`` (of a translation, in the unit of
            the coordinates).
        at: the coordinates.
        errors: the mean relative error at each of them, over items and over what was averaged over.
        over: what each value averages over besides the items, in words.
    """

    coordinate: str
    at: tuple[Any, ...]
    errors: tuple[Estimate, ...]
    over: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON: ``coordinate``, ``at``, ``errors`` (each with ``value`` and its standard errors), ``over``."""
        return {
            "coordinate": self.coordinate, "at": as_plain(self.at), "errors": as_plain(self.errors), "over": self.over
        }  # fmt: skip

    @property
    def values(self) -> tuple[float, ...]:
        """The errors without their standard errors."""
        return tuple(error.value for error in self.errors)


def angle_profile(
    model: Model,
    inputs: Any,
    signature: str | Signature,
    angles: Sequence[float] = ANGLES,
    axis: Sequence[float] | None = None,
    num_axes: int = 4,
    dim: int = 3,
) -> Profile:
    """Relative error against the angle of a rotation.

    Args:
        angles: radians.
        axis: the axis, in 3-space; ``None`` averages over ``num_axes`` axes spread over the sphere.
        dim: 2 for rotations of the plane.

    Exactness: exact for the stated axes; standard errors for the items, and for the axes as if they were drawn.
    """
    inputs, signature = read_inputs(inputs, signature, model)
    radians = torch.tensor(list(angles), dtype=torch.float64)
    if dim == 2:
        elements, averaged = Element(plane_rotation(radians)[:, None]), "nothing"
    else:
        axes = spread_axes(num_axes) if axis is None else unit(axis)
        elements = Element(rotation_about(axes[None], radians[:, None].expand(-1, len(axes))))
        averaged = f"{len(axes)} axes" if axis is None else f"the axis {tuple(axis)}"
    return read(model, inputs, signature, elements, "angle", tuple(radians.tolist()), averaged)


def axis_profile(
    model: Model,
    inputs: Any,
    signature: str | Signature,
    axes: Tensor | int = 24,
    angles: Sequence[float] = (math.pi / 3, math.pi),
) -> Profile:
    """Relative error against the axis of a rotation: small about the axis that a broken symmetry has left.

    Args:
        axes: ``[k, 3]``, or how many to spread evenly over the half sphere (an axis and its opposite are one for the
            mean over all angles); x, y and z come first.
        angles: radians; each value is the mean over them.
    """
    inputs, signature = read_inputs(inputs, signature, model)
    if isinstance(axes, Tensor):
        around = axes.double() / axes.double().norm(dim=-1, keepdim=True)
    else:
        around = torch.cat([torch.eye(3, dtype=torch.float64), spread_axes(axes)])
    radians = torch.tensor(list(angles), dtype=torch.float64)
    elements = Element(rotation_about(around[:, None].expand(-1, len(radians), 3), radians.expand(len(around), -1)))
    degrees = ", ".join(f"{math.degrees(angle):.0f}°" for angle in angles)
    return read(model, inputs, signature, elements, "axis", tuple(map(tuple, around.tolist())), f"angles {degrees}")


def translation_profile(
    model: Model,
    inputs: Any,
    signature: str | Signature,
    lengths: Sequence[float] = LENGTHS,
    num_directions: int = 2,
    dim: int = 3,
) -> Profile:
    """Relative error against the length of a translation (in the unit of the coordinates), over a few directions.

    In float32 round-off grows with the length, as coordinates far from the origin have fewer digits to spare.
    """
    inputs, signature = read_inputs(inputs, signature, model)
    if dim == 3:
        directions = spread_axes(num_directions)
    else:
        radians = torch.arange(num_directions, dtype=torch.float64) * math.pi / num_directions + 0.3
        directions = torch.stack([radians.cos(), radians.sin()], -1)
    sizes = torch.tensor(list(lengths), dtype=torch.float64)
    translation = sizes[:, None, None] * directions
    eye = torch.eye(dim, dtype=torch.float64).expand(*translation.shape[:-1], dim, dim)
    return read(model, inputs, signature, Element(eye, translation), "length", tuple(sizes.tolist()),
                f"{num_directions} directions")  # fmt: skip


def read(
    model: Model, inputs: Any, signature: Signature, elements: Element, coordinate: str, at: tuple, averaged: str
) -> Profile:
    """Measure with elements ``[coordinates, k]`` and average over k."""
    count, each = elements.shape
    relative = measure(model, inputs, signature, elements.reshape(count * each)).relative
    rows = relative.reshape(count, each, -1)
    return Profile(coordinate, at, tuple(estimate(row, all_elements=each == 1) for row in rows), averaged)


def spread_axes(count: int) -> Tensor:
    """Directions spread evenly over the upper half sphere (a Fibonacci spiral), ``[count, 3]``."""
    if count < 1:
        raise GroupError(f"A profile needs at least one axis, got {count}.")
    k = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1 - k / count
    longitude = math.pi * (3 - math.sqrt(5)) * k
    flat = (1 - z * z).sqrt()
    return torch.stack([flat * longitude.cos(), flat * longitude.sin(), z], -1)


def unit(axis: Sequence[float]) -> Tensor:
    """One axis as a unit vector ``[1, 3]``."""
    vector = torch.tensor([list(axis)], dtype=torch.float64)
    if vector.shape != (1, 3) or not float(vector.norm()) > 0:
        raise GroupError(f"An axis is three numbers, not all zero; got {tuple(axis)}.")
    return vector / vector.norm()
