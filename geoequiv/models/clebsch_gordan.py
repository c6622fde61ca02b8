"""Constants of O(3): coupling coefficients, spherical harmonics and the parts of a matrix, in e3nn's conventions.

e3nn is where the numbers come from; they are kept in float64 and handed out in the dtype that is asked for, so that a
model cast to float64 after it was built loses nothing.
"""

import math
from functools import cache, lru_cache

import torch
from torch import Tensor

#: degrees (l1, l2, l3) of a coupling: l1 of the features, l2 of the harmonics, l3 of the result
Triple = tuple[int, int, int]


@cache
def coupling(l1: int, l2: int, l3: int) -> Tensor:
    r"""Clebsch–Gordan coefficients :math:`\sqrt{2 l_3 + 1}\, w_{l_1 l_2 l_3}` of e3nn's Wigner 3j symbols.

    Returns:
        ``[2l1+1, 2l2+1, 2l3+1]`` float64. Components of variance 1 couple to components of variance 1.
    """
    from e3nn.o3 import wigner_3j

    with torch.inference_mode(False):
        return math.sqrt(2 * l3 + 1) * wigner_3j(l1, l2, l3, dtype=torch.float64)


@lru_cache(maxsize=256)
def kernel_matrix(triples: tuple[Triple, ...], l_max: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The linear map from harmonics up to ``l_max`` to the kernels of these triples, side by side.

    Returns:
        ``[(l_max + 1)², Σ (2l3+1)(2l1+1)]``: each block flattened from ``[2l3+1, 2l1+1]``.
    """
    with torch.inference_mode(False):
        blocks = []
        for l1, l2, l3 in triples:
            block = torch.zeros((l_max + 1) ** 2, (2 * l3 + 1) * (2 * l1 + 1), dtype=torch.float64)
            block[l2**2 : (l2 + 1) ** 2] = coupling(l1, l2, l3).permute(1, 2, 0).flatten(1)
            blocks.append(block)
        return torch.cat(blocks, dim=1).to(dtype=dtype, device=device)


@lru_cache(maxsize=64)
def recursion(degree: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The linear map from Y_{l−1} ⊗ u to Y_l: ``[(2l − 1)·3, 2l + 1]``."""
    from e3nn.o3 import spherical_harmonics

    with torch.inference_mode(False):
        probe = torch.tensor([0.36, -0.48, 0.8], dtype=torch.float64)
        below, wanted = (
            spherical_harmonics(each, probe, normalize=False, normalization="component")
            for each in (degree - 1, degree)
        )
        matrix = coupling(degree - 1, 1, degree).flatten(0, 1)
        found = torch.outer(below, probe).flatten() @ matrix
        return (matrix * ((wanted @ found) / (found @ found))).to(dtype=dtype, device=device)


def harmonics(directions: Tensor, l_max: int) -> Tensor:
    r"""Real spherical harmonics up to degree l_max as polynomials of u, :math:`\|Y_l(u)\|^2 = (2l+1) \|u\|^{2l}`.

    Args:
        directions: u ``[..., 3]``; unit vectors give e3nn's harmonics with ``normalization="component"``.
        l_max: highest degree.

    Returns:
        ``[..., (l_max + 1)²]``, degrees side by side. Exactness: round-off, with derivatives of every order.
    """
    degrees = [torch.ones_like(directions[..., :1])]
    for degree in range(1, l_max + 1):
        outer = (degrees[-1].unsqueeze(-1) * directions.unsqueeze(-2)).flatten(-2)
        degrees.append(outer @ recursion(degree, directions.dtype, directions.device))
    return torch.cat(degrees, dim=-1)


def smooth_direction(vectors: Tensor, tiny: float = 1e-8) -> Tensor:
    r""":math:`v / \sqrt{\|v\|^2 + \epsilon}`: a unit vector but for the shortest, 0 at 0 and differentiable there."""
    return vectors * (vectors.square().sum(-1, keepdim=True) + tiny).rsqrt()


@lru_cache(maxsize=32)
def matrix_parts(degree: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Orthonormal map between 3 × 3 matrices and their part of degree 0, 1 or 2: ``[9, 2l + 1]``."""
    with torch.inference_mode(False):
        return coupling(1, 1, degree).flatten(0, 1).to(dtype=dtype, device=device)
