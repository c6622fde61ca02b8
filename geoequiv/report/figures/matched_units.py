"""Figures of matched hidden units: correlations before and after, and the cycles of the permutations."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from geoequiv.errors import DataError
from geoequiv.records import MergeOfRun
from geoequiv.report.families import colour
from geoequiv.report.figures.style import drawn
from geoequiv.report.figures.subject import Subject, means

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: cycles of this length and longer are drawn as one bar
LONGEST = 13


def correlations(subject: Subject, most: int = 3) -> "Figure":
    """Mean correlation of units at the same index, before and after matching, a row for each layer.

    Hollow points are before, filled ones after; a panel for each angle, and one for another training.

    Raises:
        DataError: no correlation was measured.
        GeoequivError: matplotlib is not installed.
    """
    method = next((each for each in subject.methods if any(m.layers for m in subject.merges("copies", each))), None)
    method = method or next((w for w in subject.methods if any(m.layers for m in subject.merges("trainings", w))), None)
    if method is None:
        raise DataError("No correlations to draw: match units by activations.")
    angles = [angle for angle in subject.angles(method) if angle > 0]
    shown = angles if len(angles) <= most else [angles[round(i * (len(angles) - 1) / (most - 1))] for i in range(most)]
    panels = [(f"copy rotated by {angle:g}°", subject.merges("copies", method, angle), "remul") for angle in shown]
    panels.append(("another training", subject.merges("trainings", method), "frame"))
    known = [(title, [m for m in merges if m.layers], shade) for title, merges, shade in panels]
    known = [panel for panel in known if panel[1]]
    layers = list(dict.fromkeys(name for _, merges, _ in known for merge in merges for name in merge.layers))

    def draw(figure: "Figure") -> None:
        parts = figure.subplots(1, len(known), sharey=True, sharex=True, squeeze=False)[0]
        for axes, (title, merges, shade) in zip(parts, known, strict=True):
            before, after = (
                means({name: values.get(when) for name, values in merge.layers.items()} for merge in merges)
                for when in ("before", "after")
            )
            for row, name in enumerate(layers):
                if name not in after:
                    continue
                start, end = before.get(name, 0.0), after[name]
                axes.plot([start, end], [row, row], color=colour(shade), linewidth=2.2, alpha=0.3)
                axes.plot([start], [row], "o", color=colour(shade), markersize=4.5, markerfacecolor=colour("card"))
                axes.plot([end], [row], "o", color=colour(shade), markersize=5)
            axes.axvline(0, color=colour("muted"), linewidth=0.8, zorder=1)
            axes.set_title(title)
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
        parts[0].set_yticks(range(len(layers)), [short(name) for name in layers])
        parts[0].invert_yaxis()
        parts[0].set_xlim(right=1.02)
        figure.supxlabel(
            "mean correlation of hidden units: ○ before, ● after matching", fontsize=9.5, color=colour("soft")
        )
        figure.suptitle(subject.name, x=0.01, ha="left", fontsize=10.5)

    return drawn(draw, high=1.7 + 0.25 * max(len(layers), 3), wide=1.8 + 2.1 * len(known))


def short(name: str) -> str:
    """A stream's name without the prefix that all share.

    >>> short("blocks.0.perceptron.0"), short("blocks.0.query_key_value[0]#2")
    ('0.perceptron.0', '0.query_key_value[0]#2')
    """
    return name.removeprefix("blocks.").removeprefix("layers.")


def order_of(angle: float) -> int | None:
    """The order of a rotation by this angle in degrees; None if it is over 1000.

    >>> order_of(90.0), order_of(120.0), order_of(180.0), order_of(135.0), order_of(93.1234)
    (4, 3, 2, 8, None)
    """
    for order in range(1, 1001):
        if math.isclose(math.remainder(order * angle, 360.0), 0.0, abs_tol=1e-3):
            return order
    return None


def cycles(subject: Subject, most: int = 4) -> "Figure":
    """Share of units in cycles of each length of the permutations that match a network with its copies.

    A rotation of order n that acts on units by permutations has cycles of lengths that divide n: those are coloured. In
    a random permutation of N units every length has the share 1/N.

    Raises:
        DataError: no permutation was found.
        GeoequivError: matplotlib is not installed.
    """
    method = next((each for each in subject.methods if any(m.cycles for m in subject.merges("copies", each))), None)
    if method is None:
        raise DataError("No permutations to draw: match units by activations or weights.")
    angles = [a for a in subject.angles(method) if any(m.cycles for m in subject.merges("copies", method, a))]
    small = sorted(angles, key=lambda angle: (order_of(angle) or 10**6, angle))[:most]
    panels = [(angle, subject.merges("copies", method, angle)) for angle in sorted(small)]

    def draw(figure: "Figure") -> None:
        parts = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (angle, merges) in zip(parts, panels, strict=True):
            order, shares = order_of(angle), shares_of(merges)
            fits = [order is not None and order % length == 0 for length in range(1, LONGEST)]
            axes.bar(
                range(1, LONGEST + 1), shares, width=0.78,
                color=[colour("remul") if fit else colour("line") for fit in (*fits, False)],
            )  # fmt: skip
            allowed = sum(share for share, fit in zip(shares, fits, strict=False) if fit)
            note = f"{allowed:.0%} of units in cycles that divide {order}" if order else "of no finite order"
            axes.set_title(f"copy rotated by {angle:g}°", pad=22)
            axes.annotate(note, (0, 1), xycoords="axes fraction", xytext=(0, 7), textcoords="offset points",
                          color=colour("remul"), fontsize=8.5)  # fmt: skip
            axes.set_xticks([1, 2, 4, 6, 8, 10, LONGEST], ["1", "2", "4", "6", "8", "10", f"{LONGEST}+"])
            axes.grid(axis="x", visible=False)
            axes.set_xlabel("length of the cycle")
        parts[0].set_ylabel("share of units")
        parts[0].yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        figure.suptitle(subject.name, x=0.01, ha="left", fontsize=10.5)

    return drawn(draw, high=3.1, wide=1.0 + 2.3 * len(panels))


def shares_of(merges: Sequence[MergeOfRun]) -> list[float]:
    """Share of units in cycles of length 1, 2, …, and in longer ones."""
    total: Counter[int] = Counter()
    for merge in merges:
        for length, units in merge.cycles.items():
            total[min(int(length), LONGEST)] += units
    count = max(total.total(), 1)
    return [total[length] / count for length in range(1, LONGEST + 1)]
