"""How often a step of a wrapped model waits for the host: none gets more."""

import pytest
import torch

from tests.device.pretend import NAME, Pretend
from tests.device.test_wrappers import METHODS, Net

#: method → transfers and waits of one forward and backward pass on two fields: whether all is finite; whether a
#: spectrum is degenerate; whether moments leave one frame; the draw
MOST = {"none": 0, "group": 1, "pca": 2, "stochastic": 3, "minimal": 3}


@pytest.mark.parametrize("name", MOST)
def test_round_trips_of_a_step(name):
    torch.manual_seed(0)
    fields = {field: torch.randn(8, 5, 3) for field in ("pos", "vel")}
    with Pretend() as device:
        model = METHODS.get(name, lambda net: net)(Net()).to(NAME)
        there = {field: value.to(NAME) for field, value in fields.items()}

        def step() -> None:
            model(**there).square().sum().backward()

        step()
        before = device.round_trips
        step()
        assert device.round_trips - before <= MOST[name]
