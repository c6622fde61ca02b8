"""Radial functions of a distance, with or without a cutoff."""

import math

import torch
from torch import Tensor, nn


class RadialBasis(nn.Module):
    r"""Functions of a distance that filters are made of, and an envelope as the last of them.

    .. math::
        b_n(d) = \tfrac{1}{d} \sin\!\big(\tfrac{n \pi d}{c}\big)\, e(d), \quad
        e(d) = \tfrac12 \big(1 + \cos \tfrac{\pi d}{c}\big)\,[d < c]

    with a cutoff c; without one, Gaussians in :math:`e^{-d}` with centres evenly from 0 to 1 and the envelope 1.

    Args:
        functions: their number, without the envelope.
        cutoff: c, or 0 for none.

    Reference: Schütt et al. 2021, equations 13 and 14 (after Gasteiger et al. 2020); without a cutoff Unke & Meuwly
    2019 (PhysNet), equation 7.
    """

    def __init__(self, functions: int, cutoff: float = 0.0) -> None:
        super().__init__()
        self.cutoff = cutoff
        if cutoff:
            places = torch.arange(1, functions + 1) * (math.pi / cutoff)
        else:
            places = torch.linspace(0.0, 1.0, functions)
        self.register_buffer("places", places)

    def forward(self, distance: Tensor) -> Tensor:
        """``[..., 1]``, positive → ``[..., functions + 1]``."""
        if not self.cutoff:
            width = 2.0 / len(self.places)
            waves = (-((distance.neg().exp() - self.places) / width).square()).exp()
            return torch.cat([waves, torch.ones_like(distance)], dim=-1)
        envelope = 0.5 * (1 + (distance.clamp(max=self.cutoff) * (math.pi / self.cutoff)).cos())
        return torch.cat([(distance * self.places).sin() / distance * envelope, envelope], dim=-1)
