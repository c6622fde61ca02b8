"""Functions of a distance that end smoothly at a cutoff."""

import math

import torch
from torch import Tensor


def bessel(distances: Tensor, count: int, cutoff: float) -> Tensor:
    r""":math:`\sqrt{2 / r_c}\, \sin(n \pi r / r_c) / r` for n = 1 … count.

    Args:
        distances: ``[..., 1]``, not 0 (take a smooth norm).
        count: number of functions.
        cutoff: :math:`r_c`, in the unit of the distances.

    Returns:
        ``[..., count]``.

    Reference: Gasteiger, Groß & Günnemann 2020, equation 7.
    """
    orders = torch.arange(1, count + 1, dtype=distances.dtype, device=distances.device)
    return math.sqrt(2 / cutoff) * (distances * (orders * (math.pi / cutoff))).sin() / distances


def envelope(distances: Tensor, cutoff: float, power: int = 6) -> Tensor:
    r"""A polynomial that falls from 1 at 0 to 0 at the cutoff, with two continuous derivatives there, and 0 beyond.

    .. math:: 1 - \tfrac{(p+1)(p+2)}{2} x^p + p(p+2)\, x^{p+1} - \tfrac{p(p+1)}{2} x^{p+2}, \qquad x = r / r_c

    Reference: Gasteiger, Groß & Günnemann 2020, equation 8.
    """
    x = (distances / cutoff).clamp(max=1.0)
    first, second, third = (power + 1) * (power + 2) / 2, power * (power + 2), power * (power + 1) / 2
    return 1 - x**power * (first - second * x + third * x.square())
