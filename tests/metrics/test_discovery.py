"""Discovery of symmetry, in models and in data: exact, broken, planted axes, honest doubt."""

import math

import pytest
import torch

import geoequiv as ge
from geoequiv.errors import BatchError, GeoequivError

from . import planted_faults as models
from .planted_faults import SIGNATURE, clouds

VECTOR = "x: vector -> y: vector"
X = torch.randn(1500, 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_an_exact_model_settles_all_candidates_at_once():
    found = ge.discover_symmetry(models.Exact(), clouds(4), SIGNATURE)
    assert found.largest == ("E(3)",)
    assert found.best_axis is None
    assert all(candidate.respected for candidate in found.candidates)
    assert found["SO(2)@y"].within == "E(3)"
    assert found["SO(2)@y"].error is None


def test_a_planted_axis_is_found_by_optimisation():
    model = models.Falls().double()
    model.axis = (3 / 7, -2 / 7, 6 / 7)
    found = ge.discover_symmetry(model, clouds(4, dtype=torch.float64), SIGNATURE)
    assert found.largest == ("T(3)",)
    assert found.best_axis.respected
    assert found.best_axis.axis == pytest.approx(model.axis, abs=1e-9)
    assert found.best_axis.local < 1e-7


def test_a_coordinate_axis_and_its_mirrors():
    found = ge.discover_symmetry(models.Falls(), clouds(4), SIGNATURE)
    assert found.largest == ("T(3)", "O(2)@z")
    assert found["SO(3)"].respected is False
    assert found["SO(3)"].worst > 0.1
    assert found["Cs@x"].within == "O(2)@z"
    assert found["Cs@z"].respected is False


def test_handedness_and_finite_groups():
    assert ge.discover_symmetry(models.Handed(), clouds(4), SIGNATURE).largest == ("SE(3)",)
    cubic = ge.discover_symmetry(lambda x: x**3, {"x": X[:8]}, VECTOR)
    assert cubic.largest == ("Oh",)
    assert not cubic.best_axis.respected
    plane = ge.discover_symmetry(lambda x: x**3, {"x": X[:8, :, :2]}, VECTOR, dim=2)
    assert plane.largest == ("D4@plane",)


def test_a_model_with_none_and_a_threshold():
    squash = lambda x: x * x.new_tensor([1.0, 1.1, 1.2]) + x.new_tensor([0.1, 0.2, 0.3])  # noqa: E731
    none = ge.discover_symmetry(squash, {"x": X[:8]}, VECTOR)
    assert none.largest == ()
    assert ge.discover_symmetry(squash, {"x": X[:8]}, VECTOR, threshold=2.0).largest == ("O(3)",)
    with pytest.raises(GeoequivError, match="no candidate"):
        ge.discover_symmetry(squash, {"x": X[:8]}, "x: node -> y: node")


DATA = {
    "isotropic": (X * X.norm(dim=-1, keepdim=True), ("O(3)",)),
    "gravity": (X + torch.tensor([0.0, 0.0, 1.0]).double(), ("SO(2)@z",)),
    "squashed": (X * torch.tensor([1.0, 2.0, 3.0]).double(), ("Ci",)),
}


@pytest.mark.parametrize("name", DATA)
def test_data_by_matched_neighbours(name):
    labels, largest = DATA[name]
    found = ge.discover_symmetry({"y": labels}, {"x": X}, VECTOR, ["O(3)", "SO(3)", "SO(2)@x", "SO(2)@z", "Ci"])
    assert found.of == "data"
    assert found.largest == largest


def test_neighbours_give_the_size_of_the_violation():
    """y = e_z: ‖g y − y_j‖² averages to 2 over SO(3), the floor is 0: excess 2 … and no spread to compare with."""
    noise = 0.3 * torch.randn(X.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = X + torch.tensor([0.0, 0.0, 1.0]).double() + noise
    found = ge.data_symmetry_error({"x": X}, {"y": labels}, VECTOR, "SO(3)", num_samples=64)
    assert found.verdict == "broken"
    assert found.excess.value == pytest.approx(2.0, abs=4 * found.excess.se)
    assert found.floor > 2 * 3 * 0.3**2 * 0.8  # twice the variance of the noise, in 3 components
    fine = ge.data_symmetry_error({"x": X}, {"y": X + noise}, VECTOR, "SO(3)", num_samples=64)
    assert fine.verdict == "respected"
    assert abs(fine.excess.value) < 4 * fine.excess.se


def test_data_that_cannot_tell_says_so():
    far = torch.randn(200, 12, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    labels = torch.sin(5 * far)
    assert ge.data_symmetry_error({"x": far}, {"y": labels}, VECTOR, "SO(3)").verdict == "undecided"
    found = ge.discover_symmetry({"y": labels}, {"x": far}, VECTOR, ["SO(3)"])
    assert found["SO(3)"].respected is None
    assert found.largest == ()


def test_data_labelled_anew_by_hand():
    """y = e_z under rotations by 180° about x: 0 for the identity, ‖2 e_z‖ / 1 for the rotation; mean 1."""
    up = torch.tensor([0.0, 0.0, 1.0]).double()
    relabel = lambda g, transformed: {"y": up.expand_as(transformed["x"])}  # noqa: E731
    labels = {"y": up.expand_as(X)}
    found = ge.data_symmetry_error({"x": X}, labels, VECTOR, "C2@x", relabel)
    assert found.method == "relabelled"
    assert found.relative.value == pytest.approx(1.0)
    assert found.verdict == "broken"
    assert ge.data_symmetry_error({"x": X}, labels, VECTOR, "SO(2)@z", relabel).verdict == "respected"
    discovered = ge.discover_symmetry(labels, {"x": X}, VECTOR, relabel=relabel, threshold=1e-9)
    assert discovered.largest == ("O(2)@z",)


def test_a_simulator_is_given_one_element():
    shapes = set()

    def relabel(g, transformed):
        shapes.add(tuple(g.shape))
        return {"y": transformed["x"]}

    assert ge.data_symmetry_error({"x": X[:4]}, {"y": X[:4]}, VECTOR, "O", relabel).verdict == "respected"
    assert shapes == {()}


def test_neighbours_want_enough_dense_items():
    with pytest.raises(BatchError, match="at least 16"):
        ge.data_symmetry_error({"x": X[:8]}, {"y": X[:8]}, VECTOR, "SO(3)")


def test_for_json():
    import json

    found = ge.data_symmetry_error({"x": X[:64]}, {"y": X[:64]}, VECTOR, "C4")
    assert math.isfinite(json.loads(json.dumps(found.as_dict(), allow_nan=False))["resolution"])
    json.dumps(ge.discover_symmetry(models.Falls(), clouds(2), SIGNATURE).as_dict(), allow_nan=False)
