"""Every number that an objective takes states its range in the signature, and the constructor keeps to it."""

import inspect

import pytest
import torch

import geoequiv as ge
from geoequiv.errors import ConfigError
from geoequiv.ranges import has_range


@pytest.mark.parametrize(
    "objective", [ge.REMUL, ge.Augmentation, ge.InvarianceLoss, ge.LatentEquivariance], ids=lambda each: each.__name__
)
def test_numbers_state_their_range(objective):
    parameters = inspect.signature(objective).parameters.values()
    assert [each.name for each in parameters if each.annotation in (int, float, int | None, float | None)] == []
    ranged = [each.name for each in parameters if has_range(each.annotation)]
    assert ranged
    given = torch.nn.Linear(3, 3), "pos: vector -> pos: vector", "SO(3)", torch.nn.functional.mse_loss
    for name in ranged:
        for wrong in (-1, float("nan"), "8", True):
            with pytest.raises(ConfigError, match=f"^{objective.__name__}: {name} must be "):
                objective(*given, **{name: wrong})
