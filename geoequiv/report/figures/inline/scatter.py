"""Scatter plots of a leaderboard: accuracy against equivariance error, and against inference time."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from geoequiv.measurements.numbers import duration, fixed, plus_minus, small
from geoequiv.methods.families import FAMILIES
from geoequiv.report.facts import metric_label
from geoequiv.report.figures.inline.axes import Axis, axis_for, power_of_ten
from geoequiv.report.figures.inline.labels import Box, place
from geoequiv.report.figures.inline.svg import FONT, marker, number, text, width
from geoequiv.report.leaderboard import Leaderboard
from geoequiv.report.rows import Row

Scheme = Literal["auto", "light", "dark"]
EXACT = 1e-5
_SMALLEST = 1e-9
_LONGEST = 34
#: with more points than this, those that would cover each other are drawn once
MANY = 400
_NEAR = 6.0
PLOT_STYLE = (
    ".plot text{font-family:" + FONT + ";fill:var(--soft);font-variant-numeric:tabular-nums}"
    ".plot .grid{stroke:var(--line);stroke-width:1}"
    ".plot .front{fill:none;stroke:var(--muted);stroke-width:1.25;stroke-dasharray:.5 4;stroke-linecap:round}"
    ".plot .floor{stroke:var(--muted);stroke-width:1;stroke-dasharray:5 4}"
    ".plot .leader{stroke:var(--muted);stroke-width:.75;opacity:.6}"
    ".plot .label{paint-order:stroke;stroke:var(--card);stroke-width:3px;stroke-linejoin:round}"
    ".plot .exact{fill:var(--wash)}"
    ".plot .published{stroke:var(--muted);stroke-width:1.5}"
    ".plot .hint{fill:var(--muted)}"
)


@dataclass(frozen=True)
class Point:
    """A row in a plot: its pixel position, its label and its tooltip."""

    row: Row
    x: float
    y: float
    label: str
    tooltip: str = ""


def accuracy_against_equivariance_error(board: Leaderboard, wide: int = 640, high: int = 400) -> str:
    """Test metric over the relative equivariance error, both logarithmic; "" if nothing was measured.

    Rows that are exact in float32 lie in the shaded band on the left; an error of 0 is drawn at its left end. The
    dotted stairs are the Pareto front.
    """
    return _scatter(
        board,
        x_of=lambda row: row.value("relative"),
        title="Accuracy against equivariance error",
        x_title="relative equivariance error",
        x_text=power_of_ten,
        value_text=small,
        exact=True,
        wide=wide,
        high=high,
    )


def accuracy_against_inference_time(board: Leaderboard, wide: int = 640, high: int = 400) -> str:
    """Test metric over inference seconds per sample, both logarithmic; "" if nothing was measured."""
    return _scatter(
        board,
        x_of=lambda row: row.value("seconds/inference"),
        title="Accuracy against inference time",
        x_title="inference time per sample",
        x_text=duration,
        value_text=duration,
        exact=False,
        wide=wide,
        high=high,
    )


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other point beats or equals in both coordinates (smaller is better), by x.

    >>> pareto([(1, 3), (2, 2), (3, 2), (4, 1)])
    [(1, 3), (2, 2), (4, 1)]
    """
    front: list[tuple[float, float]] = []
    for point in sorted(set(points)):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def short_labels(rows: Sequence[Row]) -> list[str]:
    """Labels of the points: the model, and of its method only what colour and marker do not show."""
    alike: dict[tuple[str, str], list[set[str]]] = defaultdict(list)
    for row in rows:
        alike[row.model, row.family.key].append(set(_wording(row)))
    names = []
    for row in rows:
        common = set.intersection(*alike[row.model, row.family.key])
        name = " ".join([row.model, *(word for word in _wording(row) if word not in common)])
        names.append(name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…")
    return names


def _wording(row: Row) -> list[str]:
    return f"{row.symmetry} {row.variant}".split()


def _scatter(
    board: Leaderboard,
    x_of: Callable[[Row], float | None],
    title: str,
    x_title: str,
    x_text: Callable[[float], str],
    value_text: Callable[[float | None], str],
    exact: bool,
    wide: int,
    high: int,
) -> str:
    rows = [row for row in board.rows if x_of(row) is not None]
    if not rows:
        return ""
    small_screen = wide < 480
    size = 11.0 if small_screen else 11.5
    area = Box(46 if small_screen else 56, 52 if exact else 34, wide - 14, high - 48)
    xs = [max(x_of(row) or 0.0, _SMALLEST) for row in rows]
    ys = [row.metric.mean for row in rows]
    shown = ys + ([board.floor] if board.floor and board.metric.better == "lower" and exact else [])
    shown += [r.value for r in board.references if min(ys) / 4 <= r.value <= max(ys) * 4]
    x_axis = axis_for([*xs, EXACT, 1e-1] if exact else xs, area.left, area.right, pad=0.06)
    y_axis = axis_for(shown, area.bottom, area.top, pad=0.08)
    down = 1 if board.metric.better == "lower" else -1
    points = [
        Point(row, x_axis(x), y_axis(row.metric.mean), label)
        for row, x, label in zip(rows, xs, short_labels(rows), strict=True)
    ]
    drawn = [replace(p, tooltip=_tooltip(board, p.row, value_text(x_of(p.row)), x_title)) for p in _distinct(points)]
    parts = _grid(x_axis, y_axis, area, x_text, size, exact)
    parts += _published(board, y_axis, area)
    if exact:
        parts += _floor(board, y_axis, area, size)
    parts += _front(points, area, down, x_axis(EXACT) if exact else area.left)
    parts += _marks(drawn, y_axis, area, size)
    arrow = "↓" if board.metric.better == "lower" else "↑"
    y_title = f"test {metric_label(board)} {arrow} better"
    parts.append(f'<text x="2" y="16" style="font-size:{size}px">{text(y_title)}</text>')
    parts.append(
        f'<text x="{number(area.right)}" y="{high - 10}" text-anchor="end" '
        f'style="font-size:{size}px">{text(x_title)} ← better</text>'
    )
    legend = ", ".join(f.name for f in FAMILIES if any(row.family is f for row in rows))
    return (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" '
        f'height="{high}" role="img" aria-label="{text(f"{title} of {board.task}: {len(rows)} rows ({legend})")}">'
        f"<title>{text(title)}</title>{''.join(parts)}</svg>"
    )


def _distinct(points: Sequence[Point]) -> Sequence[Point]:
    """Of many points, the best of each family in each cell of a few pixels: the others would lie under it."""
    if len(points) <= MANY:
        return points
    seen = {(round(p.x / _NEAR), round(p.y / _NEAR), p.row.family.key): p for p in reversed(points)}
    return [seen[key] for key in reversed(seen)]


def _tooltip(board: Leaderboard, row: Row, x_shown: str, x_title: str) -> str:
    value = plus_minus(row.metric.mean, row.metric.std, 4 if row.metric.mean < 1 else 2)
    variant = f" ({row.variant})" if row.variant else ""
    return f"{row.model}{variant} · {row.symmetry}\n{metric_label(board)} {value}\n{x_title} {x_shown}"


def _grid(x_axis: Axis, y_axis: Axis, area: Box, x_text: Callable[[float], str], size: float, exact: bool) -> list[str]:
    parts = []
    left, right, top, bottom = (number(v) for v in (area.left, area.right, area.top, area.bottom))
    if exact:
        edge = x_axis(EXACT)
        parts.append(
            f'<rect class="exact" x="{left}" y="{top}" width="{number(edge - area.left)}" '
            f'height="{number(area.bottom - area.top)}" rx="3"/>'
            f'<text class="hint" x="{left}" y="{number(area.top - 7)}" '
            f'style="font-size:{size - 0.5}px">exact up to rounding</text>'
        )
    ticks = y_axis.ticks(7)
    for tick in ticks:
        y = number(y_axis(tick))
        parts.append(
            f'<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
            f'<text x="{number(area.left - 8)}" y="{number(y_axis(tick) + 4)}" text-anchor="end" '
            f'style="font-size:{size}px">{text(tick_text(tick))}</text>'
        )
    for tick in x_axis.ticks(6 if area.right - area.left < 400 else 9):
        x = number(x_axis(tick))
        parts.append(
            f'<line class="grid" x1="{x}" x2="{x}" y1="{bottom}" y2="{number(area.bottom + 5)}"/>'
            f'<text x="{x}" y="{number(area.bottom + 19)}" text-anchor="middle" '
            f'style="font-size:{size}px">{text(x_text(tick))}</text>'
        )
    return parts


def tick_text(value: float) -> str:
    """A tick of the metric's axis.

    >>> [tick_text(value) for value in (0.0, 0.05, -0.5, 20.0, -2000.0, 1e-7)]
    ['0', '.05', '-.5', '20', '-2000', '1e-07']
    """
    shown = fixed(value, 6)
    return shown.rstrip("0").rstrip(".") if abs(value) < 1 and "." in shown and "e" not in shown else f"{value:g}"


def _published(board: Leaderboard, y_axis: Axis, area: Box) -> list[str]:
    return [
        f'<line class="published" x1="{number(area.right - 9)}" x2="{number(area.right)}" '
        f'y1="{number(y_axis(r.value))}" y2="{number(y_axis(r.value))}">'
        f"<title>{text(f'{r.model}: {r.value:g}, published in {r.source} [{r.state}]')}</title></line>"
        for r in board.references
        if y_axis.low <= r.value <= y_axis.high
    ]


def _floor(board: Leaderboard, y_axis: Axis, area: Box, size: float) -> list[str]:
    if not board.floor or not y_axis.low <= board.floor <= y_axis.high:
        return []
    y = y_axis(board.floor)
    return [
        f'<line class="floor" x1="{number(area.left)}" x2="{number(area.right)}" y1="{number(y)}" y2="{number(y)}"/>'
        f'<text class="hint" x="{number(area.right - 12)}" y="{number(y - 6)}" text-anchor="end" '
        f'style="font-size:{size - 0.5}px">floor of exact models, {text(small(board.floor))}</text>'
    ]


def _front(points: Sequence[Point], area: Box, down: int, tied: float) -> list[str]:
    """The Pareto front as stairs; rows left of pixel `tied` differ by rounding only and count as equal."""
    front = pareto([(max(p.x, tied), -down * p.y) for p in points])
    start = area.top if down == 1 else area.bottom
    corners = [f"M{number(front[0][0])} {number(start)}V{number(-down * front[0][1])}"]
    corners += [f"H{number(x)}V{number(-down * y)}" for x, y in front[1:]]
    return [f'<path class="front" d="{"".join(corners)}H{number(area.right)}"><title>Pareto front</title></path>']


def _marks(points: Sequence[Point], y_axis: Axis, area: Box, size: float) -> list[str]:
    boxes = place([(p.x, p.y) for p in points], [p.label for p in points], area, size)
    leaders, marks, names = [], [], []
    for point, box in zip(points, boxes, strict=True):
        colour = f"var(--{point.row.family.key})"
        whisker = ""
        if point.row.metric.std:
            mean, std = point.row.metric.mean, point.row.metric.std
            ends = (number(y_axis(mean - std)), number(y_axis(mean + std)))
            whisker = (
                f'<line x1="{number(point.x)}" x2="{number(point.x)}" y1="{ends[0]}" y2="{ends[1]}" '
                f'style="stroke:{colour};stroke-width:1.5;opacity:.55"/>'
            )
        marks.append(
            f"<g><title>{text(point.tooltip)}</title>{whisker}"
            f"{marker(point.row.family.marker, point.x, point.y, colour)}</g>"
        )
        if box is None:
            continue
        nearest = (min(max(point.x, box.left), box.right), min(max(point.y, box.top), box.bottom))
        if abs(nearest[0] - point.x) + abs(nearest[1] - point.y) > 14:
            leaders.append(
                f'<line class="leader" x1="{number(point.x)}" y1="{number(point.y)}" '
                f'x2="{number(nearest[0])}" y2="{number(nearest[1])}"/>'
            )
        slack = (box.right - box.left - width(point.label, size)) / 2
        towards = box.left + slack if box.left >= point.x else box.right - slack if box.right <= point.x else None
        anchor = "middle" if towards is None else "start" if box.left >= point.x else "end"
        at = (box.left + box.right) / 2 if towards is None else towards
        names.append(
            f'<text class="label" x="{number(at)}" y="{number((box.top + box.bottom) / 2 + size * 0.34)}" '
            f'text-anchor="{anchor}" style="font-size:{size}px;fill:{colour}">{text(point.label)}</text>'
        )
    return leaders + marks + names
