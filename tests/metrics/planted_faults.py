"""Models with planted faults, exact ones beside them, and clouds to try them on."""

import torch
from torch import nn

from geoequiv.models import EGNN

SIGNATURE = "pos: point, vel: vector, charge: scalar -> pos: point"


def clouds(items=24, nodes=5, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(items, nodes, k, generator=generator, dtype=torch.float64).to(dtype)
        for name, k in (("pos", 3), ("vel", 3), ("charge", 1))
    }


class Exact(nn.Module):
    """EGNN, to be spoilt."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = EGNN(SIGNATURE, 16, 2)

    def forward(self, pos, vel, charge):
        return self.net(pos=pos, vel=vel, charge=charge)


class ForgottenCentroid(Exact):
    """Takes the centre off and never puts it back."""

    def forward(self, pos, vel, charge):
        return super().forward(pos - pos.mean(-2, keepdim=True), vel, charge)


class Handed(Exact):
    """Adds a cross product, a pseudovector, to a point."""

    def forward(self, pos, vel, charge):
        transformed = super().forward(pos, vel, charge)
        return transformed + 0.1 * torch.linalg.cross(vel, transformed - pos)


class Layer(nn.Module):
    """Messages from distances; with ``reads`` it also looks at where a node is."""

    def __init__(self, reads):
        super().__init__()
        self.mix, self.look, self.reads = nn.Linear(8, 8), nn.Linear(3, 8), reads

    def forward(self, features, position):
        difference = position.unsqueeze(-2) - position.unsqueeze(-3)
        near = 1 / (1 + difference.square().sum(-1, keepdim=True))
        if self.reads:
            features = features + self.look(position)
        features = torch.tanh(self.mix(features) + (features.unsqueeze(-3) * near).mean(-2))
        return features, position + features.mean(-1, keepdim=True) * (difference * near).mean(-2)


class ReadsCoordinates(nn.Module):
    """Three equivariant layers, of which one may read absolute coordinates."""

    def __init__(self, layer=None):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Linear(1, 8)
        self.layers = nn.ModuleList(Layer(k == layer) for k in range(3))

    def forward(self, pos, vel, charge):
        features = self.embed(charge)
        for layer in self.layers:
            features, pos = layer(features, pos)
        return pos


def as_tf32(values):
    """float32 with the 10 bits of mantissa that TF32 keeps; other dtypes as they are."""
    if values.dtype != torch.float32:
        return values
    return (values.view(torch.int32) & ~0x1FFF).view(torch.float32)


class Truncated(nn.Module):
    """Matrix products in TF32, as tensor cores make them."""

    def forward(self, pos, vel, charge):
        centre = pos.mean(-2, keepdim=True)
        away = as_tf32(pos - centre)
        return centre + as_tf32(away @ away.mT) @ away / 10


class Halved(nn.Module):
    """Matrix products in float16."""

    def forward(self, pos, vel, charge):
        centre = pos.mean(-2, keepdim=True)
        away = (pos - centre).half()
        return centre + ((away @ away.mT) @ away).to(pos) / 10


class Leaks(Exact):
    """Depends on the index of a node."""

    def forward(self, pos, vel, charge):
        return super().forward(pos, vel, charge + 0.1 * torch.arange(pos.shape[-2]).to(charge).unsqueeze(-1))


class Drops(Exact):
    """Draws random numbers in training."""

    def __init__(self):
        super().__init__()
        self.noise = nn.Dropout(0.3)

    def forward(self, pos, vel, charge):
        return super().forward(pos, vel, self.noise(charge))


class Noisy(Exact):
    """Draws random numbers at any time."""

    def forward(self, pos, vel, charge):
        return super().forward(pos, vel, charge + 0.1 * torch.randn_like(charge))


class Falls(Exact):
    """Pulls everything along an axis."""

    axis = (0.0, 0.0, 1.0)

    def forward(self, pos, vel, charge):
        return super().forward(pos, vel, charge) + 0.3 * pos.new_tensor(self.axis)
