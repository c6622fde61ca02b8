import math

import pytest

from geoequiv import ranges
from geoequiv.config import mismatch

LOWEST = {  # type → the smallest value inside, one just outside
    "PositiveInt": (1, 0),
    "NonNegativeInt": (0, -1),
    "PositiveFloat": (1e-300, 0.0),
    "NonNegativeFloat": (0.0, -1e-9),
    "FiniteFloat": (-1e300, None),
    "Probability": (0.0, -1e-9),
    "ProperFraction": (0.0, -1e-9),
}


def test_every_range_is_tested():
    assert set(LOWEST) == {name for name, value in vars(ranges).items() if hasattr(value, "__metadata__")}


@pytest.mark.parametrize("name", LOWEST)
def test_ends_of_a_range(name):
    inside, outside = LOWEST[name]
    assert mismatch(getattr(ranges, name), inside) is None
    if outside is not None:
        assert "expected" in mismatch(getattr(ranges, name), outside)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", LOWEST)
def test_nothing_holds_what_is_not_finite(name, value):
    assert mismatch(getattr(ranges, name), value) is not None


def test_upper_ends():
    assert mismatch(ranges.Probability, 1.0) is None
    assert mismatch(ranges.Probability, 1.0001) is not None
    assert mismatch(ranges.ProperFraction, 1.0) is not None
