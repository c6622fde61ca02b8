"""The `align:` section of a suite: which copies of a trained network it is merged with, and how."""

import math
from typing import Any

import torch
from pydantic import Field, field_validator, model_validator

from geoequiv.alignment.activations import TAPS
from geoequiv.alignment.barrier import METHODS
from geoequiv.config import Section
from geoequiv.errors import AlignmentError, unknown
from geoequiv.groups import Element, Group, group
from geoequiv.groups.orthogonal import AxialGroup, plane_rotation, rotation_about
from geoequiv.metrics.element_text import axis_angle, plane

#: the coordinate axes of 3-space, by the names that a suite gives them
AXES = {"x": 0, "y": 1, "z": 2}
DRAWN = "random"


class AlignConfig(Section):
    """How barriers are measured after training; no part of a run's id, since it changes nothing in the run.

    Attributes:
        group: whose elements make the copies; None means the task's own, without its translations.
        elements: draws of an infinite group (of a finite one: all elements but the identity), or, with `angles` about
            random axes, how many axes.
        angles: degrees; given, the copies are rotated by them instead. The rotations must belong to the group.
        axis: of these rotations: "x", "y", "z" or "random"; None means the group's own, or else z.
        method: one or several ways to match units, see `alignment.barrier.METHODS`; "none" leaves them as they stand.
        taps: where activations are looked at, "last" or "all" places at which units can be seen whole.
        repair: whether the merged networks are also measured after REPAIR.
        items: of the training data, to match and repair with, and of the test data, to measure on.
        yardstick: whether each run is also merged with the next seed of the same entry.
        path: points at which the metric is measured along the line between two networks; 0 for none.
        seed: of the draws.
    """

    group: str | None = None
    elements: int = Field(4, ge=1)
    angles: tuple[float, ...] = ()
    axis: str | None = None
    method: tuple[str, ...] = Field(("activations",), min_length=1)
    taps: str = "last"
    repair: bool = True
    items: int = Field(500, ge=2)
    yardstick: bool = True
    path: int = Field(0, ge=0)
    seed: int = 0

    @field_validator("method", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("method")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if each not in METHODS:
                raise ValueError(unknown("matching", each, METHODS))
        return tuple(dict.fromkeys(value))

    @field_validator("taps")
    @classmethod
    def _seen(cls, value: str) -> str:
        if value not in TAPS:
            raise ValueError(unknown("choice of taps", value, TAPS))
        return value

    @field_validator("axis")
    @classmethod
    def _an_axis(cls, value: str | None) -> str | None:
        if value is not None and value not in (*AXES, DRAWN):
            raise ValueError(unknown("axis", value, (*AXES, DRAWN)))
        return value

    @model_validator(mode="after")
    def _axis_of_angles(self) -> "AlignConfig":
        if self.axis is not None and not self.angles:
            raise ValueError("an axis goes with angles: give them, or leave the axis to the draws")
        return self


def copies_of(config: AlignConfig, symmetry: str) -> list[Element]:
    """The elements whose copies a network is merged with.

    Args:
        config: what the section says.
        symmetry: the task's group.

    Raises:
        AlignmentError: rotations by these angles about this axis are no elements of the group.
    """
    acting = group(config.group) if config.group else group(symmetry).linear_part
    generator = torch.Generator().manual_seed(config.seed)
    if config.angles:
        return rotations(config, acting, generator)
    if acting.is_finite:
        every = acting.elements()
        return [every[i] for i in range(1, len(every))]
    drawn = acting.sample(config.elements, generator=generator)
    return [drawn[i] for i in range(config.elements)]


def rotations(config: AlignConfig, acting: Group, generator: torch.Generator) -> list[Element]:
    """Rotations by the angles of the section, each about all of its axes."""
    angles = torch.tensor([math.radians(angle) for angle in config.angles], dtype=torch.float64)
    if acting.dim == 2:
        if config.axis is not None:
            raise AlignmentError(f"{acting} acts on the plane, where rotations have no axis; got axis {config.axis}.")
        found = [Element(matrix) for matrix in plane_rotation(angles)]
    else:
        axes = axes_of(config, acting, generator)
        found = [Element(rotation_about(axis, angle)) for angle in angles for axis in axes]
    strange = next((each for each in found if not bool(acting.contains(each))), None)
    if strange is not None:
        raise AlignmentError(
            f"{describe(strange)} is no element of {acting}. Name another axis, or the group to ask for, such as SO(3)."
        )
    return found


def axes_of(config: AlignConfig, acting: Group, generator: torch.Generator) -> torch.Tensor:
    """Unit vectors ``[K, 3]``."""
    if config.axis == DRAWN:
        drawn = torch.randn(config.elements, 3, dtype=torch.float64, generator=generator)
        return torch.nn.functional.normalize(drawn, dim=-1)
    if config.axis is None and isinstance(acting, AxialGroup):
        return torch.tensor([acting.axis], dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64)[[AXES[config.axis or "z"]]]


def angle_of(element: Element) -> float | None:
    """Degrees by which an element turns, 0 to 180: of an improper one of space, those of −1 times it.

    None where nothing is left of it without its reflection (a mirror of the plane), or in other dimensions.
    """
    linear = element.linear.double()
    sign = float(torch.linalg.det(linear).sign())
    if element.dim == 3:
        return math.degrees(axis_angle(sign * linear)[1])
    if element.dim == 2 and sign > 0:
        return abs(math.degrees(math.atan2(float(linear[1, 0]), float(linear[0, 0]))))
    return None


def describe(element: Element) -> str:
    """``93.1° about (0.36, 0.48, 0.80)``, ``−1 · 93.1° …`` for an improper element; in the plane, a line."""
    matrix = element.linear.double()
    sign = float(torch.linalg.det(matrix).sign())
    if element.dim == 2:
        turn = math.degrees(math.atan2(float(matrix[1, 0]), float(matrix[0, 0])))
        return f"{round(turn, 1) % 360:.1f}°" if sign > 0 else plane(matrix)
    if element.dim != 3:
        return str(matrix.tolist())
    axis, angle = axis_angle(sign * matrix)
    parts = (axis.round(decimals=2) + 0.0).tolist()
    name = f"{math.degrees(angle):.1f}° about ({', '.join(f'{part:.2f}' for part in parts)})"
    return name if sign > 0 else f"−1 · {name}"
