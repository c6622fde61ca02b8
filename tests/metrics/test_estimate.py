"""Standard errors: by hand, and against repeated draws."""

import math

import pytest
import torch

import geoequiv as ge
from geoequiv.metrics.estimate import estimate, jackknife

from . import planted_faults as models
from .planted_faults import SIGNATURE, clouds


def test_by_hand():
    """Means of the items are 2 and 3, of the elements 1.5 and 3.5."""
    found = estimate(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), all_elements=False)
    assert found.value == 2.5
    assert found.items == pytest.approx(0.5)
    assert found.elements == pytest.approx(1.0)
    assert found.se == pytest.approx(math.hypot(0.5, 1.0))
    assert str(found) == "2.50e+00 ± 1e+00"


def test_one_item_or_one_draw_has_no_spread():
    alone = estimate(torch.tensor([[1.0]]), all_elements=False)
    assert (alone.items, alone.elements, alone.se) == (None, None, None)
    assert str(alone) == "1.00e+00"
    assert estimate(torch.ones(3, 1), all_elements=True).elements == 0.0


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = torch.tensor([1.0, 2.0, 4.0, 9.0])
    without = (values.sum() - values) / 3
    found = jackknife(values.mean().expand(2), without[:, None].expand(4, 2), all_elements=False)
    assert found.elements == pytest.approx(float(values.std()) / 2)
    assert found.items == 0.0


@pytest.mark.parametrize("name", ["E", "E_prime", "relative", "to_average"])
def test_the_error_from_drawing_is_that_of_repeated_draws(name):
    """Spread over 40 sets of draws on the same items, against the standard error that each set states."""
    x, model = clouds(6, dtype=torch.float64), models.Falls().double()
    reports = [
        ge.equivariance_error(model, x, SIGNATURE, "SO(3)", 16, torch.Generator().manual_seed(seed))
        for seed in range(40)
    ]
    spread = torch.tensor([getattr(report, name) for report in reports]).std()
    stated = torch.tensor([report.standard_errors[name].elements for report in reports]).mean()
    assert 0.6 < float(stated / spread) < 1.7


def test_a_whole_finite_group_leaves_no_error_from_drawing():
    report = ge.equivariance_error(models.Falls(), clouds(6), SIGNATURE, "O")
    assert {error.elements for error in report.standard_errors.values()} == {0.0}
    assert all(error.items > 0 for error in report.standard_errors.values())
    assert report.as_dict()["standard_errors"]["E"]["se_elements"] == 0.0
