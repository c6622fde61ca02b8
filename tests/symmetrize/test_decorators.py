"""Averaging by decoration: classes, instances, functions and methods."""

import copy
import pickle

import pytest
import torch

import geoequiv as ge
from geoequiv.testing import assert_equivariant

from .asymmetric import SIGNATURE, Net, clouds, net


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


def test_decorated_class_with_a_learned_frame():
    """Every instance has a frame of its own, drawn when it is made; checkpoints are those of ``FrameAveraging``."""

    @ge.frame_averaging(SIGNATURE, "E(3)", frame="learned")
    class Learned(Net):
        pass

    torch.manual_seed(0)
    first, second = Learned().double(), Learned().double()
    assert_equivariant(first, clouds(3, 6), SIGNATURE, "E(3)", 1e-8)
    assert not torch.equal(first.frame.first[0].weight, second.frame.first[0].weight)
    wrapped = ge.FrameAveraging(net(), SIGNATURE, "E(3)", "learned").double()
    assert first.state_dict().keys() == wrapped.state_dict().keys()
    wrapped.load_state_dict(first.state_dict())
    assert torch.equal(wrapped(**clouds(2, 4))["pos"], first(**clouds(2, 4))["pos"])
    first(**clouds(2, 4))["pos"].sum().backward()
    assert all(parameter.grad is not None for parameter in first.frame.parameters())
    with pytest.raises(TypeError, match="decorate a module, or use FrameAveraging"):
        ge.frame_averaging(SIGNATURE, "E(3)", frame="learned")(lambda pos, vel: pos)

    @ge.frame_averaging(SIGNATURE, "E(3)", frame="learned")
    class Taken(Net):
        def __init__(self):
            super().__init__()
            self.frame = None

    with pytest.raises(TypeError, match="has an attribute 'frame'"):
        Taken()
