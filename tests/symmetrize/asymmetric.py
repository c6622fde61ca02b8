"""A network without any symmetry, and clouds for it: what averaging is tested on."""

import torch
from torch import nn

from geoequiv.fields import Signature

SIGNATURE = Signature.parse(
    "pos: point, vel: vector, charge: scalar -> pos: point, energy: scalar, forces: vector, dipole: vector, spin: "
    "pseudovector, stress: tensor"
)


class Net(nn.Module):
    """As little symmetric as can be: raw coordinates through a perceptron; several outputs per node and per cloud."""

    def __init__(self, width=16):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(7, width), nn.Tanh(), nn.Linear(width, 22), nn.Tanh())

    def forward(self, pos, vel, charge, batch=None, mask=None):
        h = self.layers(torch.cat([pos, vel, charge], -1))
        graph = h[..., 15:]
        if mask is not None:
            graph = graph * mask.unsqueeze(-1)
        if batch is None:
            graph = graph.sum(-2)
        else:
            graph = graph.new_zeros(int(batch.max()) + 1, 7).index_add(0, batch, graph)
        stress = h[..., 6:15].unflatten(-1, (3, 3))
        return {
            "pos": pos + h[..., :3], "energy": graph[..., 0], "forces": h[..., 3:6], "dipole": graph[..., 1:4],
            "spin": graph[..., 4:7], "stress": stress,
        }  # fmt: skip


def clouds(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda k: torch.randn(*shape, k, generator=generator, dtype=torch.float64).to(dtype)  # noqa: E731
    return {"pos": 2 * draw(3) + 5, "vel": draw(3), "charge": draw(1)}


def net(dtype=torch.float64):
    torch.manual_seed(0)
    return Net().to(dtype)
