"""Averaging by decoration: classes, instances, functions and methods."""

import copy
import pickle

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.fields import Signature
from geoequiv.testing import assert_equivariant

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


@ge.frame_averaging(SIGNATURE, "SE(3)")
class Decorated(Net):
    """A decorated class keeps its name, its signature and its checkpoint keys."""


class Host:
    @ge.group_averaging("pos: point -> y: vector", "O")
    def method(self, pos, power=3):
        return pos**power * pos.new_tensor([1.0, 2.0, 3.0])


@ge.group_averaging("pos: point -> y: vector", "O")
def function(pos, *, power=3):
    return pos**power * pos.new_tensor([1.0, 2.0, 3.0])


def test_decorated_class():
    torch.manual_seed(0)
    decorated, plain = Decorated().double(), net()
    assert decorated.state_dict().keys() == plain.state_dict().keys()
    assert torch.equal(
        decorated(**clouds(2, 4))["pos"], ge.FrameAveraging(plain, SIGNATURE, "SE(3)")(**clouds(2, 4))["pos"]
    )
    again = pickle.loads(pickle.dumps(copy.deepcopy(decorated)))
    assert torch.equal(again(**clouds(2, 4))["pos"], decorated(**clouds(2, 4))["pos"])
    assert not torch.equal(plain(**clouds(2, 4))["pos"], decorated(**clouds(2, 4))["pos"])


def test_decorated_instance_function_and_method():
    x = {"pos": torch.randn(3, 4, 3).double()}
    signature = "pos: point -> y: vector"
    instance = ge.frame_averaging(SIGNATURE, "E(3)")(net())
    assert_equivariant(instance, clouds(3, 4), SIGNATURE, "E(3)", 1e-8)
    assert_equivariant(function, x, signature, "O")
    assert_equivariant(Host().method, x, signature, "O")
    assert function.__name__ == "function"
    assert torch.allclose(function(x["pos"], power=1), Host().method(x["pos"], power=1))
    assert not torch.allclose(function(x["pos"], power=1), function(x["pos"]))
    with pytest.raises(TypeError, match=r"Only nn\.Module classes"):
        ge.group_averaging(signature, "O")(Host)
