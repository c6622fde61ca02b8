"""Constants of O(3): coupling coefficients, spherical harmonics and the parts of a matrix, in e3nn's conventions.

e3nn is where the numbers come from. They are kept in float64 and cast to what they are used with, so that a model that
is cast to float64 after it was built loses nothing; they are part of no state dict.
"""

import math
from functools import cache

import torch
from torch import Tensor

#: degrees (l1, l2, l3) of a coupling: l1 of the features, l2 of the harmonics, l3 of the result
Triple = tuple[int, int, int]


class Constant:
    """A tensor that follows the dtype and device of what it meets.

    Args:
        value: float64, on the CPU.
    """

    def __init__(self, value: Tensor) -> None:
        self.value = self.cast = value

    def like(self, other: Tensor) -> Tensor:
        """The tensor in the dtype and on the device of ``other``; the last cast is kept."""
        if self.cast.dtype != other.dtype or self.cast.device != other.device:
            with torch.inference_mode(False):  # what is kept must stay usable where gradients are taken
                self.cast = self.value.to(dtype=other.dtype, device=other.device)
        return self.cast


@cache
def coupling(l1: int, l2: int, l3: int) -> Tensor:
    r"""Clebsch–Gordan coefficients :math:`\sqrt{2 l_3 + 1}\, w_{l_1 l_2 l_3}` of e3nn's Wigner 3j symbols.

    Returns:
        ``[2l1+1, 2l2+1, 2l3+1]`` float64. Components of variance 1 couple to components of variance 1; couplings with
        degree 0 are plain products, :math:`C_{m_1 0 m_3} = \delta_{m_1 m_3}`.
    """
    from e3nn.o3 import wigner_3j

    with torch.inference_mode(False):
        return math.sqrt(2 * l3 + 1) * wigner_3j(l1, l2, l3, dtype=torch.float64)


class Couplings:
    r"""The linear map from harmonics to kernels, :math:`K[m_3, m_1] = \sum_{m_2} C_{m_1 m_2 m_3} Y_{l_2 m_2}`.

    Args:
        triples: degrees of the kernels.
        l_max: of the harmonics.
    """

    def __init__(self, triples: tuple[Triple, ...], l_max: int) -> None:
        self.triples = triples
        blocks = []
        for l1, l2, l3 in triples:
            block = torch.zeros((l_max + 1) ** 2, (2 * l3 + 1) * (2 * l1 + 1), dtype=torch.float64)
            block[l2**2 : (l2 + 1) ** 2] = coupling(l1, l2, l3).permute(1, 2, 0).flatten(1)
            blocks.append(block)
        self.sizes = [block.shape[1] for block in blocks]
        self.matrix = Constant(torch.cat([torch.zeros((l_max + 1) ** 2, 0, dtype=torch.float64), *blocks], dim=1))

    def __call__(self, harmonics: Tensor) -> dict[Triple, Tensor]:
        """``[..., (l_max + 1)²]`` → kernels ``[..., 2l3+1, 2l1+1]`` by degrees."""
        blocks = (harmonics @ self.matrix.like(harmonics)).split(self.sizes, dim=-1)
        return {
            triple: block.unflatten(-1, (2 * triple[2] + 1, 2 * triple[0] + 1))
            for triple, block in zip(self.triples, blocks, strict=True)
        }


class Harmonics:
    r"""Real spherical harmonics up to degree l_max as polynomials of u, :math:`\|Y_l(u)\|^2 = (2l+1) \|u\|^{2l}`.

    Each degree is the coupling of the one below with u, scaled to e3nn's ``normalization="component"``.

    Args:
        l_max: highest degree.

    Exactness: round-off, with derivatives of every order.
    """

    def __init__(self, l_max: int) -> None:
        self.steps = [Constant(recursion(degree)) for degree in range(1, l_max + 1)]

    def __call__(self, directions: Tensor) -> Tensor:
        """U ``[..., 3]`` → ``[..., (l_max + 1)²]``, degrees side by side."""
        degrees = [torch.ones_like(directions[..., :1])]
        for step in self.steps:
            outer = (degrees[-1].unsqueeze(-1) * directions.unsqueeze(-2)).flatten(-2)
            degrees.append(outer @ step.like(outer))
        return torch.cat(degrees, dim=-1)


@cache
def recursion(degree: int) -> Tensor:
    """The linear map from Y_{l−1} ⊗ u to Y_l: ``[(2l − 1)·3, 2l + 1]``; its scale from one direction."""
    from e3nn.o3 import spherical_harmonics

    with torch.inference_mode(False):
        probe = torch.tensor([0.36, -0.48, 0.8], dtype=torch.float64)
        below, wanted = (
            spherical_harmonics(each, probe, normalize=False, normalization="component")
            for each in (degree - 1, degree)
        )
        matrix = coupling(degree - 1, 1, degree).flatten(0, 1)
        found = torch.outer(below, probe).flatten() @ matrix
        return matrix * ((wanted @ found) / (found @ found))


def smooth_direction(vectors: Tensor, tiny: float = 1e-8) -> Tensor:
    r""":math:`v / \sqrt{\|v\|^2 + \epsilon}`: a unit vector but for the shortest, 0 at 0 and differentiable there."""
    return vectors * (vectors.square().sum(-1, keepdim=True) + tiny).rsqrt()


def matrix_part(degree: int) -> Constant:
    """Orthonormal map between 3 × 3 matrices and their part of degree 0, 1 or 2: ``[9, 2l + 1]``."""
    return Constant(coupling(1, 1, degree).flatten(0, 1))
