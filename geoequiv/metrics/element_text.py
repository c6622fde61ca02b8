"""Group elements and errors as text, for messages and certificates."""

import math

import torch
from torch import Tensor

from geoequiv.groups import Element


def first_line(error: BaseException) -> str:
    r"""The type of an error and the first line of its message, if there is one.

    >>> first_line(ValueError("no\nor yes")), first_line(RuntimeError())
    ('ValueError: no', 'RuntimeError')
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def describe_element(g: Element) -> str:
    """One group element in words: rotation by axis and angle, reflection, translation, permutation.

    >>> quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    >>> describe_element(Element(quarter))
    'rotation by 90.0° about (0, 0, 1)'
    """
    linear = g.linear.detach().double().cpu()
    parts = [(plane if g.dim == 2 else space)(linear)]
    if g.translation is not None and float(g.translation.norm()) > 0:
        t = g.translation.detach().double().cpu()
        parts.append(f"translation by {vector(t)} (length {float(t.norm()):.3g})")
    if g.permutation is not None:
        parts.append(cycles(g.permutation.tolist()))
    parts = [part for part in parts if part]
    return ", then ".join(parts) if parts else "identity"


def space(linear: Tensor) -> str:
    """An orthogonal matrix of 3-space; empty for the identity."""
    improper = bool(torch.linalg.det(linear) < 0)
    axis, angle = axis_angle(-linear if improper else linear)
    rotation = "" if angle < 1e-9 else f"rotation by {math.degrees(angle):.1f}° about {vector(axis)}"
    if not improper:
        return rotation
    if not rotation:
        return "inversion x ↦ −x"
    if math.pi - angle < 1e-6:
        return f"reflection in the plane across {vector(axis)}"
    return f"{rotation} and inversion"


def plane(linear: Tensor) -> str:
    """An orthogonal matrix of the plane; empty for the identity."""
    angle = math.degrees(math.atan2(float(linear[1, 0]), float(linear[0, 0])))
    if torch.linalg.det(linear) < 0:
        return f"reflection in the line at {angle / 2:.1f}°"
    return "" if abs(angle) < 1e-7 else f"rotation by {angle:.1f}°"


def axis_angle(rotation: Tensor) -> tuple[Tensor, float]:
    """Unit axis ``[3]`` and angle in [0, π] of a proper rotation ``[3, 3]``; the axis of the identity is z."""
    skew = torch.stack(
        [rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]]
    )
    angle = math.atan2(float(skew.norm()) / 2, (float(rotation.trace()) - 1) / 2)
    if angle < 1e-12:
        return torch.tensor([0.0, 0.0, 1.0], dtype=rotation.dtype), 0.0
    if math.pi - angle > 1e-4:
        return skew / skew.norm(), angle
    symmetric = (rotation + rotation.mT) / 2  # close to 180°: 2 n nᵀ − 1
    axis = torch.linalg.eigh(symmetric).eigenvectors[:, -1]
    side = skew @ axis if math.pi - angle > 1e-9 else axis[axis.abs().argmax()]  # at 180° both directions serve
    return (axis if float(side) >= 0 else -axis), angle


def vector(values: Tensor) -> str:
    """``(0, 0.6, 0.8)``."""
    return "(" + ", ".join(f"{value:.3g}" for value in (values + 0.0).round(decimals=6).add(0.0).tolist()) + ")"


def cycles(permutation: list[int]) -> str:
    """``relabelling 0→2→1→0``; empty for the identity."""
    left = {i for i, image in enumerate(permutation) if image != i}
    found = []
    while left:
        chain = [min(left)]
        while (after := permutation[chain[-1]]) != chain[0]:
            chain.append(after)
        left -= set(chain)
        found.append("→".join(map(str, [*chain, chain[0]])))
    return f"relabelling of nodes {' '.join(found)}" if found else ""


def element_dict(g: Element) -> dict[str, object]:
    """``words``, ``linear``, ``translation``, ``permutation`` of one element, for JSON."""
    return {
        "words": describe_element(g),
        "linear": g.linear.detach().tolist(),
        "translation": None if g.translation is None else g.translation.detach().tolist(),
        "permutation": None if g.permutation is None else g.permutation.tolist(),
    }
