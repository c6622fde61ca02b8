"""Sparklines: where a value lies within its column, as a dot on a short line."""

import math
from collections.abc import Sequence

from geoequiv.report.figures.inline.svg import number


def sparkline(
    value: float, std: float | None, values: Sequence[float], colour: str, hollow: bool = False, wide: int = 52
) -> str:
    """Inline SVG of the value, its deviation as a whisker; logarithmic if all values are positive.

    Args:
        value: where the dot is.
        std: half the length of the whisker, none if None.
        values: the whole column; its extremes are the ends of the line.
        colour: name of a CSS variable.
        hollow: draw a ring, for published numbers.
        wide: width in pixels.
    """
    logarithmic = min(values) > 0
    low, high = min(values), max(values)

    def at(place: float) -> float:
        held = min(max(place, low), high)
        if high == low:
            return wide / 2
        if logarithmic:
            return 4 + (wide - 8) * (math.log(held) - math.log(low)) / (math.log(high) - math.log(low))
        return 4 + (wide - 8) * (held - low) / (high - low)

    line = "stroke-linecap:round"
    parts = [f'<line x1="2" x2="{wide - 2}" y1="6" y2="6" style="stroke:var(--line);stroke-width:2;{line}"/>']
    if std:
        left, right = number(at(value - std)), number(at(value + std))
        whisker = f"stroke:var(--{colour});stroke-width:3;opacity:.4;{line}"
        parts.append(f'<line x1="{left}" x2="{right}" y1="6" y2="6" style="{whisker}"/>')
    fill = "var(--card)" if hollow else f"var(--{colour})"
    dot = f"fill:{fill};stroke:var(--{colour});stroke-width:1.2"
    parts.append(f'<circle cx="{number(at(value))}" cy="6" r="3" style="{dot}"/>')
    head = f'<svg class="sparkline" width="{wide}" height="12" viewBox="0 0 {wide} 12" aria-hidden="true">'
    return f"{head}{''.join(parts)}</svg>"
