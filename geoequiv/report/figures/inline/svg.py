"""SVG as text: escaping, text widths, markers."""

import math
import re
from html import escape

FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_NARROW = frozenset("iIl|!.,:;'()[]{}fjtr ")
_FORBIDDEN = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WIDE = frozenset("mwMW@%—±×→")


def text(value: object) -> str:
    """A value as XML text or attribute: markup escaped, characters that XML forbids replaced."""
    return escape(_FORBIDDEN.sub("\ufffd", str(value)), quote=True)


def width(value: str, size: float) -> float:
    """A generous estimate of the width of a line of sans-serif text, in the units of its size."""
    units = sum(0.38 if c in _NARROW else 0.95 if c in _WIDE else 0.72 if c.isupper() else 0.625 for c in value)
    return units * size


def clipped(value: str, size: float, room: float) -> str:
    """The text, or as much of it as fits with an ellipsis."""
    if width(value, size) <= room:
        return value
    while value and width(value + "…", size) > room:
        value = value[:-1]
    return value.rstrip() + "…"


def number(value: float) -> str:
    """A coordinate to a tenth, without a trailing zero."""
    shown = f"{value:.1f}".removesuffix(".0")
    return "0" if shown == "-0" else shown


def marker(shape: str, x: float, y: float, colour: str, size: float = 5.0) -> str:
    """A marker of a family at (x, y); `colour` is a CSS value."""
    if shape in ("disc", "ring"):
        radius = number(size if shape == "disc" else size - 0.8)
        fill = colour if shape == "disc" else "var(--card)"
        outline = "var(--card)" if shape == "disc" else colour
        stroke = "1" if shape == "disc" else "2"
        return (
            f'<circle cx="{number(x)}" cy="{number(y)}" r="{radius}" '
            f'style="fill:{fill};stroke:{outline};stroke-width:{stroke}"/>'
        )
    if shape in ("cross", "plus"):
        arm = 2 * size
        if shape == "cross":
            d = f"M{number(x - size)} {number(y - size)}l{arm:g} {arm:g}m0 {-arm:g}l{-arm:g} {arm:g}"
        else:
            d = f"M{number(x - size)} {number(y)}h{arm:g}M{number(x)} {number(y - size)}v{arm:g}"
        return f'<path d="{d}" style="fill:none;stroke:{colour};stroke-width:2"/>'
    corners, start, scale = {
        "triangle": (3, -90.0, 1.3),
        "wedge": (3, 90.0, 1.3),
        "pentagon": (5, -90.0, 1.2),
        "diamond": (4, -90.0, 1.3),
        "square": (4, -45.0, 1.25),
        "hexagon": (6, -90.0, 1.15),
    }[shape]
    angles = (math.radians(start + 360 * i / corners) for i in range(corners))
    points = " ".join(
        f"{number(x + scale * size * math.cos(a))},{number(y + scale * size * math.sin(a))}" for a in angles
    )
    return f'<polygon points="{points}" style="fill:{colour};stroke:var(--card);stroke-width:1"/>'
