"""Generators of the continuous part of a group: a basis of its Lie algebra, and the exponential map."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geoequiv.groups import Element, Group
from geoequiv.groups.euclidean import EuclideanGroup
from geoequiv.groups.orthogonal import AxialGroup, OrthogonalGroup
from geoequiv.groups.product import ProductGroup

AXES = "xyz"


@dataclass(frozen=True, eq=False)
class Generators:
    r"""A basis of a Lie algebra of isometries.

    .. math:: x \mapsto A x + b, \qquad A^\top = -A

    Args:
        names: such as ``"rotation about z"``, ``"translation along x"``.
        linear: A, ``[k, d, d]`` float64; per radian.
        translation: b, ``[k, d]`` float64; per unit of length.
    """

    names: tuple[str, ...]
    linear: Tensor
    translation: Tensor

    def __len__(self) -> int:
        return len(self.names)

    def velocity(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """A and b of ``Σ_i c_i ξ_i``; coefficients ``[..., k]``."""
        c = coefficients.to(self.linear)
        return torch.einsum("...k,kij->...ij", c, self.linear), torch.einsum("...k,ki->...i", c, self.translation)

    def exp(self, coefficients: Tensor) -> Element:
        r"""The element :math:`x \mapsto e^A x + b`; coefficients ``[..., k]``.

        Exactness: round-off, differentiable. With rotations and translations at once this is the rotation followed by
        the translation: another chart of the group than its exponential, with the same derivative at 0.
        """
        linear, translation = self.velocity(coefficients)
        return Element(torch.linalg.matrix_exp(linear), translation if self.translates else None)

    def first_order(self, index: int, step: Tensor) -> Element:
        """``1 + tξ``: not an isometry, but with the derivative of ``exp(tξ)`` at t = 0, where it is the identity."""
        eye = torch.eye(self.linear.shape[-1], dtype=torch.float64)
        return Element(eye + step * self.linear[index], step * self.translation[index] if self.translates else None)

    @property
    def translates(self) -> bool:
        """Whether one of them is a translation."""
        return bool(self.translation.any())


def generators(group: Group) -> Generators:
    """A basis of the Lie algebra of a group: none for a finite one.

    >>> from geoequiv.groups import group
    >>> generators(group("SE(2)")).names
    ('rotation', 'translation along x', 'translation along y')
    """
    found = basis(group)
    d = group.dim
    names = tuple(name for name, _, _ in found)
    linear = torch.stack([a for _, a, _ in found]) if found else torch.zeros(0, d, d, dtype=torch.float64)
    translation = torch.stack([b for _, _, b in found]) if found else torch.zeros(0, d, dtype=torch.float64)
    return Generators(names, linear, translation)


def basis(group: Group) -> list[tuple[str, Tensor, Tensor]]:
    """Name, A and b of each generator."""
    d = group.dim
    none = torch.zeros(d, dtype=torch.float64)
    if isinstance(group, ProductGroup):
        return basis(group.first) + basis(group.second)
    if isinstance(group, EuclideanGroup):
        directions = torch.eye(d, dtype=torch.float64)
        no_rotation = torch.zeros(d, d, dtype=torch.float64)
        return basis(group.linear_part) + [
            (f"translation along {AXES[i]}", no_rotation, directions[i]) for i in range(d)
        ]
    if isinstance(group, OrthogonalGroup) and d == 2:
        return [("rotation", torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64), none)]
    if isinstance(group, OrthogonalGroup):
        return [(f"rotation about {AXES[i]}", cross_matrix(axis), none)
                for i, axis in enumerate(torch.eye(3, dtype=torch.float64))]  # fmt: skip
    if isinstance(group, AxialGroup):
        written = group.name.partition("@")[2]
        return [(f"rotation about {written}", cross_matrix(torch.tensor(group.axis, dtype=torch.float64)), none)]
    return []


def cross_matrix(axis: Tensor) -> Tensor:
    """``[n]×``, so that ``exp(θ [n]×)`` is the rotation by θ about n."""
    x, y, z = axis.tolist()
    return torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]], dtype=torch.float64)
