"""Quadrature over groups: few weighted elements that average band-limited functions exactly."""

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from geoequiv.errors import GroupError
from geoequiv.groups.base import Group
from geoequiv.groups.element import Element
from geoequiv.groups.finite import matrices, rotation_to
from geoequiv.groups.orthogonal import AxialGroup, OrthogonalGroup, plane_rotation

#: Finite rotation groups by the highest degree up to which none of their averages differs from that of SO(3): the
#: first degree above zero in which such a group fixes a spherical harmonic is 1, 2, 3, 4 and 6.
EXACT_TO_DEGREE = {0: "C1", 1: "D2", 2: "T", 3: "O", 5: "I"}
#: Degrees of the Lebedev rules with positive weights (those of 13, 25 and 27 have negative ones).
LEBEDEV_ORDERS = (
    *(3, 5, 7, 9, 11, 15, 17, 19, 21, 23, 29, 31, 35, 41, 47),
    *(53, 59, 65, 71, 77, 83, 89, 95, 101, 107, 113, 119, 125, 131),
)
Z = (0.0, 0.0, 1.0)


def quadrature(group: Group, degree: int) -> tuple[Element, Tensor]:
    r"""Weighted elements whose average is the Haar average for every function of a degree up to ``degree``.

    .. math:: \sum_q w_q \, D^{(l)}_{mn}(g_q) = \int_G D^{(l)}_{mn}(g) \, dg = \delta_{l0},
              \qquad l \le \text{degree}

    A polynomial of degree k in the entries of the rotation matrix has degree k in this sense. In
    ``∫ ρ_out(g) f(ρ_in(g)⁻¹ x) dg`` add the degrees: one for a vector output, two for a rank-2 tensor, l for an irrep;
    and the degree of f as a polynomial in what is rotated (3 for a cubic model of positions).

    ==================  ===================================================================  =========================
    group               rule                                                                 elements for degree L
    ==================  ===================================================================  =========================
    SO(3), L ≤ 5        the point group C1, D2, T, O, I that is just symmetric enough        1, 4, 12, 24, 60, 60
    SO(3), L ≥ 6        the smaller of two: the least Lebedev rule of degree ≥ L (n points)  n (L+1):
                        for the z axis times L+1 equal steps about it; z-y-z Euler angles,   182, 208, 342, 380, 550 …
                        L+1 equal steps in α and in γ, ⌊L/2⌋+1 Gauss–Legendre nodes in cos β or (L+1)² (⌊L/2⌋+1)
    O(3)                the rule of SO(3), and with each element minus it                    twice as many
    SO(2), also @axis   L+1 equal steps                                                      L+1
    O(2), also @axis    the same, and each with a mirror                                     2L+2
    finite groups       all elements, whatever the degree                                    order
    ==================  ===================================================================  =========================

    >>> elements, weights = quadrature(OrthogonalGroup("SO(3)", 3), 3)
    >>> len(elements), round(float(weights.sum()), 12)
    (24, 1.0)

    Args:
        group: a group that fixes the origin. Translations have no uniform average: take ``group.linear_part``.
        degree: L; the largest l (for SO(2) and O(2): the largest frequency) that is averaged exactly.

    Returns:
        Elements ``[Q]`` and positive weights ``[Q]`` that add up to one, float64.

    Raises:
        GroupError: a negative degree, or a group that no rule is known for.

    Exactness: round-off up to ``degree`` (4 is served by the rule of 5), of either parity for groups with improper
    elements. Above it there is an error, which falls fast with the degree for smooth functions.

    Reference: Driscoll & Healy (1994); Lebedev & Laikov, "A quadrature formula for the sphere of the 131st algebraic
    order of accuracy" (1999), as in ``scipy.integrate.lebedev_rule``; for the product rules Gräf & Potts, "Sampling
    sets and quadrature formulae on the rotation group" (2009).
    """
    if isinstance(degree, bool) or not isinstance(degree, int) or degree < 0:
        raise GroupError(f"The degree of a quadrature must be a whole number from 0 on, got {degree!r}.")
    if group.translates:
        raise GroupError(f"{group} translates: a quadrature exists for its linear part, {group.linear_part}, only.")
    if group.is_finite:
        return uniform(group.elements().linear)
    if isinstance(group, OrthogonalGroup) and group.dim == 3:
        linear, weights = rotation_rule(degree)
        if group.is_proper:
            return Element(linear.clone()), weights.clone()
        return Element(torch.cat([linear, -linear])), torch.cat([weights, weights]) / 2
    if isinstance(group, (OrthogonalGroup, AxialGroup)):
        rotations = plane_rotation(equal_steps(degree + 1))
        if not group.is_proper:
            mirror = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
            rotations = torch.cat([rotations, rotations @ mirror])
        return uniform(about_axis(rotations, group.axis) if isinstance(group, AxialGroup) else rotations)
    raise GroupError(f"No quadrature is known over {group}; there is one for SO(3), O(3), SO(2), O(2), finite groups.")


def uniform(linear: Tensor) -> tuple[Element, Tensor]:
    """Elements of equal weight."""
    return Element(linear), torch.full((len(linear),), 1 / len(linear), dtype=torch.float64)


def equal_steps(count: int) -> Tensor:
    """Angles ``2πk / count``, ``[count]``: average every frequency below ``count`` exactly."""
    return torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)


def about_axis(rotations: Tensor, axis: tuple[float, float, float]) -> Tensor:
    """Isometries of the plane ``[Q, 2, 2]`` as isometries of 3-space that fix ``axis``, ``[Q, 3, 3]``."""
    linear = torch.eye(3, dtype=torch.float64).repeat(len(rotations), 1, 1)
    linear[:, :2, :2] = rotations
    if axis == Z:
        return linear
    tilt = rotation_to(axis)
    return tilt @ linear @ tilt.mT


@cache
def rotation_rule(degree: int) -> tuple[Tensor, Tensor]:
    """Rotations ``[Q, 3, 3]`` and weights ``[Q]``: the cheapest available rule for a degree (see ``quadrature``)."""
    enough = [symbol for exact, symbol in EXACT_TO_DEGREE.items() if exact >= degree]
    if enough:
        element, weights = uniform(matrices(enough[0], 3, Z))
        return element.linear, weights
    if degree > LEBEDEV_ORDERS[-1]:
        return product_rule(degree)
    return min(product_rule(degree), lebedev_product_rule(degree), key=lambda rule: len(rule[1]))


def product_rule(degree: int) -> tuple[Tensor, Tensor]:
    """L+1 equal steps in α and γ, Gauss–Legendre nodes in cos β: rotations ``[Q, 3, 3]`` and weights ``[Q]``."""
    nodes, gauss = np.polynomial.legendre.leggauss(degree // 2 + 1)  # exact for polynomials up to 2⌊L/2⌋ + 1 ≥ L
    angles = equal_steps(degree + 1)
    beta = torch.from_numpy(nodes).acos().repeat(degree + 1)
    alpha = angles.repeat_interleave(len(nodes))
    return all_about_z(alpha, beta, torch.from_numpy(gauss).repeat(degree + 1) / 2 / (degree + 1), degree)


def lebedev_product_rule(degree: int) -> tuple[Tensor, Tensor]:
    r"""A Lebedev rule for the direction (β, α) of the z axis, times L+1 equal steps in γ about it.

    The steps remove every :math:`D^{(l)}_{mn}` with 0 < |n| ≤ L; what is left, n = 0, are spherical harmonics.
    Degrees up to ``LEBEDEV_ORDERS[-1]``.
    """
    order = next(order for order in LEBEDEV_ORDERS if order >= degree)
    from scipy.integrate import lebedev_rule  # here: few need it, and scipy.integrate is slow to import

    points, weights = (torch.from_numpy(array) for array in lebedev_rule(order))
    x, y, z = points
    return all_about_z(torch.atan2(y, x), torch.atan2(torch.hypot(x, y), z), weights / weights.sum(), degree)


def all_about_z(alpha: Tensor, beta: Tensor, weights: Tensor, degree: int) -> tuple[Tensor, Tensor]:
    """Rotations R_z(α) R_y(β) R_z(γ) for directions ``[n]`` and L+1 steps of γ, and their weights, ``[n (L+1)]``."""
    cosine, sine = beta.cos(), beta.sin()
    zero, one = torch.zeros_like(cosine), torch.ones_like(cosine)
    about_y = torch.stack([cosine, zero, sine, zero, one, zero, -sine, zero, cosine], -1).unflatten(-1, (3, 3))
    direction = about_axis(plane_rotation(alpha), Z) @ about_y
    linear = direction[:, None] @ about_axis(plane_rotation(equal_steps(degree + 1)), Z)
    return linear.flatten(0, 1), weights.repeat_interleave(degree + 1) / (degree + 1)
