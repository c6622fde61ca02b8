"""The labels' own symmetry error: nothing for an equivariant simulator, the known value for one that is not."""

import numpy as np
import pytest
import torch

from geoequiv.fields import Signature
from geoequiv.tasks import Metric, Split, Task
from geoequiv.tasks.label_symmetry import estimated_label_symmetry, label_symmetry_error

FORCE = np.array([0.3, 0.0, 0.0])


def clouds(items=400, points=4):
    rng = np.random.default_rng(0)
    return rng.standard_normal((2, items, points, 3))


def drift(pos, vel):
    return pos + 0.5 * vel


def wind(pos, vel):
    return drift(pos, vel) + FORCE


def test_an_equivariant_simulator_has_no_error():
    pos, vel = clouds()
    error = label_symmetry_error(drift, pos, vel, drift(pos, vel))
    assert error["mse"] < 1e-28
    assert error["mse_se"] < 1e-28


def test_a_constant_force_by_hand():
    """‖R⁻¹F − F‖²/3 has the mean 2‖F‖²/3 over O(3), and R⁻¹F·F the variance ‖F‖⁴/3."""
    pos, vel = clouds()
    error = label_symmetry_error(wind, pos, vel, wind(pos, vel))
    square = float(FORCE @ FORCE)
    deviation = 2 * square / 3 / np.sqrt(3)
    assert error["mse_se"] == pytest.approx(deviation / np.sqrt(len(pos)), rel=0.1)
    assert abs(error["mse"] - 2 * square / 3) < 4 * error["mse_se"]
    assert error["floor_se"] == error["mse_se"] / 2
    assert error["num_items"] == len(pos)


def test_one_item_has_no_standard_error():
    pos, vel = clouds(items=1)
    assert "mse_se" not in label_symmetry_error(wind, pos, vel, wind(pos, vel))


def task(label, items=1500, symmetry="E(3)", signature="pos: point, vel: vector -> pos: point"):
    """One particle far from the origin, at a place of its own: only its velocity tells items apart."""
    generator = torch.Generator().manual_seed(0)
    pos = 100 * torch.randn(items, 1, 3, generator=generator)
    vel = torch.randn(items, 1, 3, generator=generator)
    split = Split({"pos": pos, "vel": vel}, {"pos": label(pos, vel)})
    metric = Metric("mse", "", "lower", lambda predictions, targets: predictions["pos"].square().mean((1, 2)))
    return Task(
        name="planted", protocol="planted", description="", signature=Signature.parse(signature), symmetry=symmetry,
        splits={"train": split, "val": split, "test": split}, loss=torch.nn.functional.mse_loss, metric=metric,
        references=(), checksum="", citation="",
    )  # fmt: skip


def test_neighbours_see_a_wind_and_nothing_without():
    calm = estimated_label_symmetry(task(lambda pos, vel: pos + 0.5 * vel))
    assert calm["verdict"] == "respected"
    assert calm["num_pairs"] == 8 * 256
    windy = estimated_label_symmetry(task(lambda pos, vel: pos + 0.5 * vel + torch.tensor([1.0, 0.0, 0.0])))
    assert windy["verdict"] == "broken"
    assert abs(windy["excess"] - 2.0) < 5 * windy["excess_se"] + 0.2  # the mean of ‖R⁻¹F − F‖² over O(3)


def test_a_group_that_the_wind_leaves_alone_is_respected():
    along = task(lambda pos, vel: pos + vel + torch.tensor([0.0, 1.0, 0.0]), symmetry="SO(2)@y")
    assert estimated_label_symmetry(along)["verdict"] == "respected"


def test_where_neighbours_cannot_be_matched_nothing_is_said():
    assert estimated_label_symmetry(task(lambda pos, vel: pos, items=12)) is None
    assert (
        estimated_label_symmetry(task(lambda pos, vel: pos, signature="pos: vector, vel: vector -> pos: vector"))
        is None
    )
    assert estimated_label_symmetry(task(lambda pos, vel: pos, symmetry="T(3)")) is None
