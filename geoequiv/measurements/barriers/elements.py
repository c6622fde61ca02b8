"""Which transformed copies of a network are made: the group elements of an `align:` section."""

import math

import torch

from geoequiv.errors import AlignmentError
from geoequiv.groups import Element, Group, group
from geoequiv.groups.orthogonal import AxialGroup, plane_rotation, rotation_about
from geoequiv.measurements.barriers.settings import AXES, RANDOM, AlignConfig
from geoequiv.metrics.element_text import axis_angle, plane


def elements_of(config: AlignConfig, symmetry: str) -> list[Element]:
    """The elements by which the copies of a network are transformed.

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
        axes = rotation_axes(config, acting, generator)
        found = [Element(rotation_about(axis, angle)) for angle in angles for axis in axes]
    outside = next((each for each in found if not bool(acting.contains(each))), None)
    if outside is not None:
        raise AlignmentError(
            f"{describe_rotation(outside)} is no element of {acting}. Name another axis, or a group that has it, such "
            "as SO(3)."
        )
    return found


def rotation_axes(config: AlignConfig, acting: Group, generator: torch.Generator) -> torch.Tensor:
    """Unit vectors ``[K, 3]``."""
    if config.axis == RANDOM:
        drawn = torch.randn(config.elements, 3, dtype=torch.float64, generator=generator)
        return torch.nn.functional.normalize(drawn, dim=-1)
    if config.axis is None and isinstance(acting, AxialGroup):
        return torch.tensor([acting.axis], dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64)[[AXES[config.axis or "z"]]]


def rotation_angle(element: Element) -> float | None:
    """The angle of a rotation in degrees, 0 to 180; of an improper element of 3-space, the angle of −1 times it.

    None for a reflection of the plane, and in other dimensions.
    """
    linear = element.linear.double()
    sign = float(torch.linalg.det(linear).sign())
    if element.dim == 3:
        return math.degrees(axis_angle(sign * linear)[1])
    if element.dim == 2 and sign > 0:
        return abs(math.degrees(math.atan2(float(linear[1, 0]), float(linear[0, 0]))))
    return None


def describe_rotation(element: Element) -> str:
    """``93.1° about (0.36, 0.48, 0.80)``, ``−1 · 93.1° …`` for an improper element; in the plane, a line."""
    matrix = element.linear.double()
    sign = float(torch.linalg.det(matrix).sign())
    if element.dim == 2:
        angle = math.degrees(math.atan2(float(matrix[1, 0]), float(matrix[0, 0])))
        return f"{round(angle, 1) % 360:.1f}°" if sign > 0 else plane(matrix)
    if element.dim != 3:
        return str(matrix.tolist())
    axis, angle = axis_angle(sign * matrix)
    parts = (axis.round(decimals=2) + 0.0).tolist()
    name = f"{math.degrees(angle):.1f}° about ({', '.join(f'{part:.2f}' for part in parts)})"
    return name if sign > 0 else f"−1 · {name}"
