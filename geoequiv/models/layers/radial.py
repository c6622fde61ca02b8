"""Radial functions of a distance, with or without a cutoff."""

import math

import torch
from torch import Tensor, nn

from geoequiv.models.layers.radial_basis import bessel


class RadialBasis(nn.Module):
    r"""Functions of a distance that filters are made of, and an envelope as the last of them.

    .. math::
        b_n(d) = \sqrt{\tfrac{2}{c}}\, \tfrac{1}{d} \sin\!\big(\tfrac{n \pi d}{c}\big)\, e(d), \quad
        e(d) = \tfrac12 \big(1 + \cos \tfrac{\pi d}{c}\big)\,[d < c]

    with a cutoff c; without one, Gaussians in :math:`e^{-d}` with centres evenly from 0 to 1 and the envelope 1.

    Args:
        functions: their number, without the envelope.
        cutoff: c, or 0 for none.

    Reference: Schütt et al. 2021, equations 13 and 14 (after Gasteiger et al. 2020); without a cutoff Unke & Meuwly
    2019 (PhysNet), equation 7.
    """

    centres: Tensor

    def __init__(self, functions: int, cutoff: float = 0.0) -> None:
        super().__init__()
        self.functions, self.cutoff = functions, cutoff
        self.register_buffer("centres", torch.linspace(0.0, 1.0, functions), persistent=False)

    def forward(self, distance: Tensor) -> Tensor:
        """``[..., 1]``, positive → ``[..., functions + 1]``."""
        if not self.cutoff:
            width = 2.0 / self.functions
            waves = (-((distance.neg().exp() - self.centres) / width).square()).exp()
            return torch.cat([waves, torch.ones_like(distance)], dim=-1)
        ends = 0.5 * (1 + (distance.clamp(max=self.cutoff) * (math.pi / self.cutoff)).cos())
        return torch.cat([bessel(distance, self.functions, self.cutoff) * ends, ends], dim=-1)
