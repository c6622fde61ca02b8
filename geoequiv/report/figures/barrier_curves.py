"""Figures of barriers: along the interpolation, by the angle of the copy, against the equivariance error."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from geoequiv.errors import DataError
from geoequiv.measurements.numbers import metric_title
from geoequiv.measurements.statistic import Statistic
from geoequiv.measurements.table import matching
from geoequiv.records import MergeOfRun
from geoequiv.report.families import colour
from geoequiv.report.figures.style import MARKERS, drawn, logarithmic
from geoequiv.report.figures.subject import Subject
from geoequiv.report.figures.ticks import tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: barriers below this are drawn on a linear scale, which passes through 0
LINEAR = 0.1
FAMILY_MARKS = {"none": "ring", "augmentation": "triangle", "remul": "diamond", "frame": "square", "group": "hexagon"}
#: matching → colour and dashes along a path
LOOKS = {
    "none": ("none", (0, (4, 2))), "activations": ("remul", "-"), "rotations": ("frame", "-"),
    "weights": ("augmentation", "-"),
}  # fmt: skip


def merge_paths(subject: Subject, most: int = 4) -> "Figure":
    """The metric along the interpolation from a network to its copies, a panel for each angle, and to another training.

    Thin lines are single copies, thick ones their mean; without matching they are dashed. Where the metric was not
    finite there is a gap.

    Args:
        subject: with paths.
        most: angles shown, spread over those measured.

    Raises:
        DataError: no path was measured.
        GeoequivError: matplotlib is not installed.
    """
    angles = sorted({a for method in subject.methods for a in subject.angles(method) if a > 0})
    shown = angles if len(angles) <= most else [angles[round(i * (len(angles) - 1) / (most - 1))] for i in range(most)]
    panels = [(f"copy rotated by {angle:g}°", [m for w in subject.methods for m in subject.merges("copies", w, angle)])
              for angle in shown]  # fmt: skip
    panels.append(("another training", [m for w in subject.methods for m in subject.merges("trainings", w)]))
    panels = [(title, [m for m in merges if m.path]) for title, merges in panels]
    panels = [(title, merges) for title, merges in panels if merges]
    if not panels:
        raise DataError(
            "No interpolation between two networks was measured: ask for it by --path 21, or path: 21 in a suite."
        )

    def draw(figure: "Figure") -> None:
        parts = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (title, merges) in zip(parts, panels, strict=True):
            _paths(axes, merges)
            axes.set(title=title, xlim=(0, 1), xlabel="λ")
            axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        values = [v for _, merges in panels for m in merges for key in ("metric", "as_they_stand")
                  for v in (m.path or {}).get(key, ()) if v is not None]  # fmt: skip
        logarithmic(parts[0].yaxis, values)
        metric = subject.alignments[0].metric
        parts[0].set_ylabel(f"test {metric_title(metric.get('name', 'metric'), metric.get('unit', ''))}")
        parts[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        figure.suptitle(subject.name, x=0.01, ha="left", fontsize=10.5)

    return drawn(draw, high=3.2, wide=2.0 + 2.0 * len(panels))


def _paths(axes: "Axes", merges: Sequence[MergeOfRun]) -> None:
    curves: dict[str, list[tuple[Any, Any]]] = {}
    for merge in merges:
        assert merge.path is not None
        at = merge.path["at"]
        if merge.method != "none":
            curves.setdefault(merge.method, []).append((at, merge.path["metric"]))
        curves.setdefault("none", []).append((at, merge.path["as_they_stand"]))
    for method, lines in sorted(curves.items(), key=lambda item: item[0] != "none"):
        shade, dashes = LOOKS.get(method, ("builtin", "-"))
        if len(lines) > 1:
            for at, values in lines:
                each = [mean([value]) for value in values]
                axes.plot(at, each, color=colour(shade), linestyle=dashes, linewidth=0.6, alpha=0.4)
        middle = [mean(values) for values in zip(*(values for _, values in lines), strict=True)]
        axes.plot(lines[0][0], middle, color=colour(shade), linestyle=dashes, linewidth=1.8, label=matching(method))


def mean(values: Sequence[float | None]) -> float:
    """The mean of the known values; NaN (a gap in a curve) where there is none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan


def barrier_by_angle(subjects: Sequence[Subject], title: str = "") -> "Figure":
    """Relative barrier after REPAIR (if it was done) against the angle of the copy, a panel for each matching.

    Points are means over seeds (each the mean over its axes), whiskers their standard deviation. At the right edge is
    the seed-to-seed baseline: the same network merged with another training.

    Raises:
        DataError: no copy was rotated.
        GeoequivError: matplotlib is not installed.
    """
    methods = list(dict.fromkeys(method for each in subjects for method in each.methods if each.angles(method)))
    if not methods:
        raise DataError("No barrier by angle was measured: ask for it by --angles 45,90,180, or angles: in a suite.")
    angles = sorted({angle for each in subjects for method in methods for angle in each.angles(method)})
    baseline = any(each.merges("trainings", method) for each in subjects for method in methods)
    beside = angles[-1] + max(0.16 * angles[-1], 10)

    def draw(figure: "Figure") -> None:
        parts = figure.subplots(1, len(methods), sharey=True, squeeze=False)[0]
        for axes, method in zip(parts, methods, strict=True):
            for number, subject in enumerate(subjects):
                _curve(axes, subject, method, angles, beside + (number - (len(subjects) - 1) / 2) * 2.2)
            _symmetric(axes)
            axes.set(title=matching(method), xlabel="rotation of the copy")
            marks = [angle for angle in angles if angle % 45 == 0] or angles
            ticks = dict(zip(marks, (f"{angle:g}°" for angle in marks), strict=True))
            ticks |= {beside: "other\nseed"} if baseline else {}
            axes.set_xticks(list(ticks), list(ticks.values()))
        parts[0].set_ylabel("barrier")
        if len(subjects) > 1:
            parts[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=1.6)
        above = title if len(subjects) > 1 else subjects[0].name
        figure.suptitle(above, x=0.01, ha="left", fontsize=9, color=colour("muted"))

    return drawn(draw, high=3.7, wide=(3.0 if len(subjects) > 1 else 0.8) + 3.2 * len(methods))


def _curve(axes: "Axes", subject: Subject, method: str, angles: Sequence[float], beside: float) -> None:
    known = [(angle, subject.over_seeds("copies", method, angle)) for angle in angles]
    points = [(angle, value) for angle, value in known if value is not None]
    mark = MARKERS[FAMILY_MARKS.get(subject.family, "disc")]
    look: dict[str, Any] = {"color": subject.shade, "marker": mark, "markersize": 4.5, "capsize": 2, "elinewidth": 0.9}
    if points:
        values = [value for _, value in points]
        axes.errorbar([angle for angle, _ in points], [v.mean for v in values], yerr=[v.std or 0.0 for v in values],
                      label=subject.name, **look)  # fmt: skip
    other = subject.over_seeds("trainings", method)
    if other is not None:
        axes.errorbar([beside], [other.mean], yerr=[other.std or 0.0], markerfacecolor=colour("card"), **look)


def _symmetric(axes: "Axes") -> None:
    """A y axis through 0: linear near it, logarithmic beyond."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_yscale("symlog", linthresh=LINEAR, linscale=0.5)
    decades = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000]
    axes.yaxis.set_major_locator(FixedLocator([-1, -0.1, 0, *decades]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value) if value > 0 else f"{value:g}"))
    axes.axhline(0, color=colour("muted"), linewidth=0.8, zorder=1)


def barrier_by_error(subjects: Sequence[Subject], title: str = "", least: float = 90.0) -> "Figure":
    """Relative barrier against E′, a panel for each matching: is approximate equivariance layerwise?

    Filled points are means over copies rotated by at least 90° (copies by small rotations are close anyway), over all
    copies where there is none; hollow ones the same network merged with another training. Whiskers are standard
    deviations over seeds. A line joins the values of β.

    Raises:
        DataError: no barrier, or no E′, was measured.
        GeoequivError: matplotlib is not installed.
    """
    known = [each for each in subjects if each.error is not None and each.methods]
    if not known:
        raise DataError("No barriers to draw against E′: run `geoequiv align` on the folder first.")
    methods = list(dict.fromkeys(method for each in known for method in each.methods))
    largest = max(each.error.mean for each in known if each.error)
    near = [each for each in known if each.error and each.error.mean > largest / 1e3]

    def draw(figure: "Figure") -> None:
        parts = figure.subplots(1, len(methods), sharey=True, squeeze=False)[0]
        for axes, method in zip(parts, methods, strict=True):
            swept = []
            for subject in near:
                value = far_copies(subject, method, least)
                if value is not None and subject.beta is not None and subject.error is not None:
                    swept.append((subject.error.mean, value.mean, subject.beta))
                _against(axes, subject, value, subject.over_seeds("trainings", method))
            if len(swept) > 1:
                xs, ys, _ = zip(*sorted(swept, key=lambda point: point[2]), strict=True)
                axes.plot(xs, ys, color=colour("remul"), linewidth=1, alpha=0.7, zorder=1)
            _symmetric(axes)
            axes.set(title=matching(method), xlabel="E′ (unit of the outputs)")
            logarithmic(axes.xaxis, axes.dataLim.intervalx)
            axes.margins(x=0.08)
        parts[0].set_ylabel(f"barrier, copies rotated by {least:g}° or more")
        handles, labels = parts[-1].get_legend_handles_labels()
        hollow = parts[-1].errorbar(
            [], [], fmt="o", color=colour("muted"), markerfacecolor=colour("card"), markersize=4.5
        )
        parts[-1].legend([*handles, hollow], [*labels, "hollow: with another training"], loc="upper left",
                         bbox_to_anchor=(1.0, 1.0))  # fmt: skip
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=9, color=colour("muted"))

    return drawn(draw, high=3.7, wide=3.0 + 3.2 * len(methods))


def far_copies(subject: Subject, method: str, least: float) -> Statistic | None:
    """The barrier over copies rotated by at least this many degrees (over all if there is none), over seeds."""
    values = []
    for each in subject.alignments:
        merges = [merge for merge in each.copies if merge.method == method]
        far = [merge for merge in merges if merge.angle is not None and merge.angle >= least - 1e-6]
        known = Statistic.of(merge.barrier for merge in (far or merges))
        values.append(known.mean if known else None)
    return Statistic.of(values)


def _against(axes: "Axes", subject: Subject, copies: Statistic | None, other: Statistic | None) -> None:
    assert subject.error is not None
    look: dict[str, Any] = {"fmt": MARKERS[FAMILY_MARKS.get(subject.family, "disc")], "color": subject.shade,
                            "markersize": 5, "elinewidth": 0.8}  # fmt: skip
    spread = subject.error.std or 0.0
    for value, inside, label in ((copies, None, subject.name), (other, colour("card"), None)):
        if value is not None:
            axes.errorbar(subject.error.mean, value.mean, xerr=spread, yerr=value.std or 0.0, label=label,
                          markerfacecolor=inside, zorder=3, **look)  # fmt: skip
