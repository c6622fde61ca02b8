"""Clouds that frames are measured on: generic, symmetric, flat, and nearly so; float64."""

import itertools
import math

import torch
from torch import Tensor


def random_cloud(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def polygon(n: int, radius: float = 1.0) -> Tensor:
    angle = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    return radius * torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], -1)


def fullerene() -> Tensor:
    golden = (1 + math.sqrt(5)) / 2
    seeds = [(0, 1, 3 * golden), (1, 2 + golden, 2 * golden), (golden, 2, 2 * golden + 1)]
    points = [
        [sign * value for sign, value in zip(signs, seed[k:] + seed[:k], strict=True)]
        for seed in seeds
        for signs in itertools.product((1, -1), repeat=3)
        for k in range(3)
    ]
    return torch.unique(torch.tensor(points, dtype=torch.float64) + 0.0, dim=0)


def near_tie(gap: float, n: int = 9) -> Tensor:
    """A random cloud whose two larger eigenvalues are a relative gap apart."""
    points = random_cloud(n, 11)
    points = points - points.mean(0)
    values, axes = torch.linalg.eigh(points.mT @ points)
    wanted = torch.tensor([0.3, 1 - gap, 1.0]).double()
    return points @ axes * (wanted / values).sqrt() @ axes.mT


def clouds() -> dict[str, Tensor]:
    """Name → coordinates ``[N, 3]``, float64."""
    cube = torch.tensor(list(itertools.product((1.0, -1.0), repeat=3))).double()
    centre, axes = torch.zeros(1, 3).double(), torch.eye(3).double()
    line = torch.tensor([0.0, 1.0, 3.0]).double()[:, None] * torch.tensor([1.0, 2.0, -1.0]).double()
    return {
        "generic, 21 points": random_cloud(21),
        "planar, 8 points": random_cloud(8) * torch.tensor([1.0, 1.0, 0.0]).double(),
        "water": torch.tensor([[0.0, 0.0, 0.12], [0.76, 0.0, -0.47], [-0.76, 0.0, -0.47]]).double(),
        "methane": torch.cat([centre, 0.63 * cube[cube.prod(1) > 0]]),
        "benzene": torch.cat([polygon(6, 1.39), polygon(6, 2.48)]),
        "cubane": torch.cat([0.78 * cube, 1.42 * cube]),
        "SF6": torch.cat([centre, 1.56 * axes, -1.56 * axes]),
        "C60": fullerene(),
        "regular pentagon": polygon(5),
        "collinear, 3 points": line,
        "two points": torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.3, 0.2]]).double(),
        "coincident, 4 points": torch.ones(4, 3).double(),
        "one point": torch.ones(1, 3).double(),
        "benzene, atoms off by 1e-3": torch.cat([polygon(6, 1.39), polygon(6, 2.48)]) + 1e-3 * random_cloud(12, 9),
        "methane, atoms off by 1e-3": torch.cat([centre, 0.63 * cube[cube.prod(1) > 0]]) + 1e-3 * random_cloud(5, 8),
        "nearly collinear, off by 1e-3": line + 1e-3 * random_cloud(3, 4),
        "generic but for a gap of 1e-3": near_tie(1e-3),
    }


def trajectory(steps: int = 400, n: int = 5, seed: int = 31) -> tuple[Tensor, Tensor, Tensor]:
    """Time ``[T]``, clouds ``[T, N, 3]`` and covariance eigenvalues ``[T, 3]``, of which two cross at time zero."""
    t = torch.linspace(-1, 1, steps, dtype=torch.float64)  # an even number: zero itself is left out
    points = random_cloud(n, seed) + 0.3 * t[:, None, None] * random_cloud(n, seed + 1)
    points = points - points.mean(1, keepdim=True)
    values, vectors = torch.linalg.eigh(points.mT @ points)
    white = points @ (vectors * values.rsqrt().unsqueeze(-2)) @ vectors.mT  # smooth in t, with covariance 1
    scale = torch.stack([torch.full_like(t, 1.45), 1 + 0.2 * t, 1 - 0.2 * t], -1)
    return t, white * scale.unsqueeze(1), scale.square()
