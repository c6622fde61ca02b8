import inspect
import math

import numpy as np
import pytest

from geoequiv import ranges
from geoequiv.config import mismatch
from geoequiv.errors import ConfigError

LOWEST = {  # type → the smallest value inside, one just outside
    "PositiveInt": (1, 0),
    "NonNegativeInt": (0, -1),
    "PositiveFloat": (1e-300, 0.0),
    "NonNegativeFloat": (0.0, -1e-9),
    "FiniteFloat": (-1e300, None),
    "Probability": (0.0, -1e-9),
    "ProperFraction": (0.0, -1e-9),
    "PositiveFraction": (1e-300, 0.0),
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
    assert mismatch(ranges.PositiveFraction, 1.0) is None
    assert mismatch(ranges.PositiveFraction, 1.0001) is not None


@ranges.check_ranges
class Ring:
    def __init__(self, name: str, width: ranges.PositiveInt = 3, *, share: ranges.ProperFraction | None = None) -> None:
        self.given = name, width, share


class WideRing(Ring):
    """Inherits the constructor."""


@pytest.mark.parametrize("width", [1, np.int64(7)])
@pytest.mark.parametrize("share", [None, 0, 0.5, np.float32(0.25)])
def test_a_constructor_takes_what_is_in_its_ranges(width, share):
    assert Ring("a", width, share=share).given == ("a", width, share)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, r"WideRing: width must be greater than or equal to 1, got 0\."),
        ({"width": True}, "width must be a valid integer, got True"),
        ({"width": 2.0}, r"width must be a valid integer, got 2\.0"),
        ({"width": "3"}, "width must be a valid integer, got '3'"),
        ({"width": None}, "width must be a valid integer, got None"),
        ({"share": math.nan}, "share must be a finite number, got nan"),
        ({"share": 1}, "share must be less than 1, got 1"),
    ],
)
def test_a_constructor_raises_for_what_is_not(options, message):
    with pytest.raises(ConfigError, match=message):
        WideRing("a", **options)


def test_a_constructor_keeps_its_signature_and_pythons_own_errors():
    assert list(inspect.signature(Ring).parameters) == ["name", "width", "share"]
    with pytest.raises(TypeError, match="unexpected keyword argument 'witdh'"):
        Ring("a", witdh=3)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        Ring()
