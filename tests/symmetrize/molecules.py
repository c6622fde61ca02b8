"""Symmetric and flat clouds, float64, centred at will by the tests."""

import itertools
import math

import torch


def ring(n, radius=1.0, z=0.0, angle0=0.0):
    angle = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n + angle0
    return torch.stack([radius * angle.cos(), radius * angle.sin(), torch.full_like(angle, z)], -1)


def methane():
    h = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]]).double()
    return torch.cat([torch.zeros(1, 3).double(), 0.63 * h])


def benzene():
    return torch.cat([ring(6, 1.39), ring(6, 2.48)])


def cubane():
    corners = torch.tensor(list(itertools.product((1.0, -1.0), repeat=3))).double()
    return torch.cat([0.78 * corners, 1.42 * corners])


def sf6():
    return torch.cat([torch.zeros(1, 3).double(), 1.56 * torch.eye(3).double(), -1.56 * torch.eye(3).double()])


def c60():
    phi = (1 + math.sqrt(5)) / 2
    seeds = [(0, 1, 3 * phi), (1, 2 + phi, 2 * phi), (phi, 2, 2 * phi + 1)]
    points = {
        tuple(round(s * v, 12) + 0.0 for s, v in zip(signs, seed[k:] + seed[:k], strict=True))
        for seed in seeds for signs in itertools.product((1, -1), repeat=3) for k in range(3)
    }  # fmt: skip
    exact = [  # the rounding above only finds copies
        [s * v for s, v in zip(signs, seed[k:] + seed[:k], strict=True)]
        for seed in seeds for signs in itertools.product((1, -1), repeat=3) for k in range(3)
    ]  # fmt: skip
    cloud = torch.unique(torch.tensor(exact, dtype=torch.float64) + 0.0, dim=0)
    assert len(points) == len(cloud) == 60
    return cloud


def random(n, seed=0):
    return torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def collinear():
    return torch.tensor([0.0, 1.0, 3.0]).double()[:, None] * torch.tensor([1.0, 2.0, -1.0]).double()


def water():
    return torch.tensor([[0.0, 0.0, 0.12], [0.76, 0.0, -0.47], [-0.76, 0.0, -0.47]], dtype=torch.float64)


def inverted():
    return torch.cat([random(4), -random(4)])


def twofold():
    """Only the three twofold axes of D2: a twisted box."""
    one = torch.tensor([1.0, 0.6, 0.3], dtype=torch.float64)
    signs = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    return torch.cat([signs * one, signs * torch.tensor([0.3, -0.9, 0.5], dtype=torch.float64)])


#: clouds without ties: sizes of the minimal frame under O(3) and SO(3)
SIGNED = {
    "random": (random(6), 1, 1),
    "flat": (random(6) * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64), 2, 1),
    "water": (water(), 4, 2),
    "inverted": (inverted(), 2, 1),
    "twofold": (twofold(), 4, 4),
}

#: cloud, size of the PCA frame under O(3) and SO(3)
CLOUDS = {
    "generic": (random(6), 8, 4),
    "methane": (methane(), 24, 12),
    "benzene": (benzene(), 24, 12),
    "cubane": (cubane(), 48, 24),
    "SF6": (sf6(), 48, 24),
    "C60": (c60(), 120, 60),
    "regular pentagon": (ring(5), 20, 10),
    "helium trimer": (ring(3), 12, 6),
    "rotor": (torch.cat([ring(3, 1.0), ring(3, 0.6, 0.4, 0.3), ring(3, 0.5, -0.9, 0.8)]), 3, 3),
    "planar": (random(6) * torch.tensor([1.0, 1.0, 0.0]).double(), 8, 4),
    "collinear": (collinear(), 12, 6),
    "two points": (torch.tensor([[0.0, 0, 0], [1.0, 0.3, 0.2]]).double(), 24, 12),
    "coincident": (torch.ones(4, 3).double(), 120, 60),
    "one point": (torch.ones(1, 3).double(), 120, 60),
}


def near_degeneracy(gap, n=9):
    """A generic cloud but for two eigenvalues a relative gap apart."""
    points = random(n, 11)
    points = points - points.mean(0)
    values, axes = torch.linalg.eigh(points.mT @ points)
    wanted = torch.tensor([0.3, 1 - gap, 1.0]).double()
    return points @ axes * (wanted / values).sqrt() @ axes.mT


#: clouds with a nearly degenerate spectrum, around the default threshold
NEAR = {
    "benzene off by 1e-3": benzene() + 1e-3 * random(12, 9),
    "methane off by 1e-3": methane() + 1e-3 * random(5, 8),
    "methane off by 1e-6": methane() + 1e-6 * random(5, 8),
    "line off by 1e-3": collinear() + 1e-3 * random(3, 4),
    "line off by 1e-5": collinear() + 1e-5 * random(3, 4),
    "long line off by 3e-3": 2 * torch.arange(8).double()[:, None] * torch.ones(3).double() + 3e-3 * random(8, 6),
    "gap of 1e-2": near_degeneracy(1e-2),
    "gap of 1e-3": near_degeneracy(1e-3),
    "gap of 1e-5": near_degeneracy(1e-5),
    "gap of 1e-7": near_degeneracy(1e-7),
}
