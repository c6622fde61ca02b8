"""How the values of one column are written: a table of names, each with a value and a spread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from geoequiv.measurements.numbers import compact, count, decimals_for, deviation, duration, fixed, small


@dataclass(frozen=True)
class Format:
    """Writes the values of one column.

    Args:
        value: a value as text.
        spread: (value, what follows ±) as text.
    """

    value: Callable[[float], str]
    spread: Callable[[float, float], str]


def _decimals(values: Sequence[float]) -> Format:
    """The same number of decimals in all of the column."""
    places = decimals_for(values)
    return Format(lambda value: fixed(value, places), lambda mean, std: deviation(mean, std, places))


def _alone(write: Callable[[float], str]) -> Callable[[Sequence[float]], Format]:
    """Each value by itself."""
    return lambda values: Format(write, lambda mean, spread: write(spread))


#: name → what makes a format for the values of a column
FORMATS: dict[str, Callable[[Sequence[float]], Format]] = {
    "metric": _decimals,  # with the decimals of the number that ranks
    "fixed": _decimals,
    "small": _alone(small),
    "count": _alone(count),
    "duration": _alone(duration),
    "compact": _alone(compact),
    "whole": _alone(lambda value: f"{value:,.0f}"),
}
