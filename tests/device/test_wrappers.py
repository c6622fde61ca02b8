"""Wrapped models take a step on the pretend device: no tensor of another device, and the gradients of the CPU."""

import pytest
import torch
from torch import Tensor, nn

import geoequiv as ge
from tests.device.pretend import NAME, Pretend

SIGNATURE = "pos: point, vel: vector -> pos: point"


class Net(nn.Module):
    """A network that is not equivariant."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.SiLU(), nn.Linear(16, 3))

    def forward(self, pos: Tensor, vel: Tensor) -> Tensor:
        return pos + self.net(torch.cat([pos, vel], dim=-1))  # type: ignore[no-any-return]


METHODS = {
    "pca": lambda net: ge.FrameAveraging(net, SIGNATURE, group="E(3)"),
    "minimal": lambda net: ge.FrameAveraging(net, SIGNATURE, group="E(3)", frame="minimal"),
    "stochastic": lambda net: ge.FrameAveraging(net, SIGNATURE, group="E(3)", frame="stochastic"),
    "group": lambda net: ge.GroupAveraging(net, SIGNATURE, "O"),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_that_of_the_cpu(method: str) -> None:
    def gradients(device: str) -> list[Tensor]:
        torch.manual_seed(0)
        model = METHODS[method](Net()).to(device)
        inputs = {name: torch.randn(8, 5, 3).to(device) for name in ("pos", "vel")}
        model(**inputs).square().mean().backward()
        return [each.grad.cpu() for each in model.parameters()]

    with Pretend():
        there = gradients(NAME)
    for one, other in zip(there, gradients("cpu"), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
