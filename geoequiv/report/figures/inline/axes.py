"""Axes of the inline plots: scales, logarithmic or linear, and their ticks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from geoequiv.report.figures.ticks import tick


@dataclass(frozen=True)
class Axis:
    """Maps values between `low` and `high` to pixels between `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool

    def __call__(self, value: float) -> float:
        """Pixel of a value; values beyond the ends are clamped to them."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int = 8) -> list[float]:
        """Round values inside the axis: decades, or 1-2-5 steps where they span less than two."""
        if not self.logarithmic:
            return self._linear_ticks(most)
        lower, upper = math.log10(self.low), math.log10(self.high)
        decades = range(math.ceil(lower - 1e-9), math.floor(upper + 1e-9) + 1)
        for factors in ((1, 2, 5), (1, 3), (1,)):
            around = range(math.floor(lower), math.ceil(upper) + 1)
            values = [f * 10.0**d for d in around for f in factors]
            inside = [v for v in values if self.low * (1 - 1e-9) <= v <= self.high * (1 + 1e-9)]
            if len(inside) <= most and (upper - lower < 3.2 or factors == (1,)):
                return inside
        step = math.ceil(len(decades) / most)
        return [10.0**d for d in decades if d % step == 0]

    def _linear_ticks(self, most: int) -> list[float]:
        raw = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(f * power for f in (1, 2, 5, 10) if f * power >= raw * (1 - 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def axis_for(values: Iterable[float], start: float, end: float, pad: float = 0.07, whole: bool = False) -> Axis:
    """An axis around the values: logarithmic if all are positive, with a margin of `pad` on both sides.

    Args:
        values: finite numbers, at least one.
        start: pixel of the low end.
        end: pixel of the high end.
        pad: margin as a share of the span.
        whole: widen a logarithmic axis to whole decades.
    """
    found = list(values)
    low, high = min(found), max(found)
    if low > 0:
        first, last = math.log10(low), math.log10(high)
        if whole:
            first, last = math.floor(first), math.ceil(last)
        margin = max(pad * (last - first), 0.1 if last - first < 0.2 else 0.0)
        return Axis(10 ** (first - margin), 10 ** (last + margin), start, end, True)
    margin = pad * (high - low) or 0.5
    return Axis(low - margin, high + margin, start, end, False)


def power_of_ten(value: float) -> str:
    """A decade as 10⁻⁷, other values with their factor.

    >>> power_of_ten(1e-7), power_of_ten(2e-3), power_of_ten(0.1), power_of_ten(1.0)
    ('10⁻⁷', '2×10⁻³', '.1', '1')
    """
    return tick(value, 0.1, 100.0).replace("0.", ".", 1)
