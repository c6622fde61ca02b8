"""The trade-off of learned symmetry: E′ and the test metric against the weight β."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geoequiv.errors import DataError
from geoequiv.measurements.numbers import words
from geoequiv.measurements.statistic import Statistic
from geoequiv.records.former_options import essential
from geoequiv.report.facts import metric_label
from geoequiv.report.families import colour
from geoequiv.report.figures.style import MARKERS, drawn, logarithmic
from geoequiv.report.leaderboard import Leaderboard
from geoequiv.report.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAR = 30  # a row whose E′ is smaller than those of the sweep by this factor is drawn as a line, not as a point
FIXED = ("constant", None)  # weightings under which β is the value of the suite


@dataclass(frozen=True)
class Sweep:
    """The rows of one model that differ in β alone, by ascending β, and a name that identifies them."""

    name: str
    model: str
    betas: tuple[float, ...]
    rows: tuple[Row, ...]


def sweeps_of(board: Leaderboard) -> list[Sweep]:
    """Rows of REMUL with constant β and measured E′ that are equal otherwise, for two or more values of β."""
    found: dict[str, list[tuple[float, Row]]] = {}
    for row in board.rows:
        beta = beta_of(row)
        if beta is not None and error_of(row):
            others = {name: value for name, value in row.config["symmetry"].items() if name != "beta"}
            alike = json.dumps({**essential(row.config), "model": row.model, "symmetry": others}, sort_keys=True)
            found.setdefault(alike, []).append((beta, row))
    sweeps = []
    for members in found.values():
        members.sort(key=lambda member: member[0])
        betas, rows = zip(*members, strict=True)
        if len(betas) > 1:
            name = f"{rows[0].model}, {rows[0].symmetry.replace(f'β={betas[0]:g} ', '')}"
            sweeps.append(Sweep(name, rows[0].model, betas, rows))
    return sorted(sweeps, key=lambda sweep: sweep.name)


def beta_of(row: Row) -> float | None:
    """β of a row of REMUL with constant weights; None for any other."""
    symmetry = row.config.get("symmetry")
    if row.family.key != "remul" or not isinstance(symmetry, dict) or symmetry.get("weighting") not in FIXED:
        return None
    beta = symmetry.get("beta")
    return float(beta) if isinstance(beta, int | float) and beta > 0 else None


def trade_off(board: Leaderboard) -> "Figure":
    """E′ over β, the test metric over β in and out of distribution, and the metric against E′ of every row.

    Points are means over seeds, whiskers their sample standard deviation; dotted lines are the same model trained
    without a symmetry term and with augmentation, where the board has them.

    Args:
        board: with REMUL rows of at least one model at two values of β or more.

    Raises:
        DataError: there is no such sweep.
        GeoequivError: matplotlib is not installed.
    """
    sweeps = sweeps_of(board)
    if not sweeps:
        raise DataError(
            f"No trade-off to draw for {board.protocol}: it takes REMUL runs of one model with two or more values of β."
            " A run directory gives the curves of its training."
        )

    def draw(figure: "Figure") -> None:
        error, metric, both = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
        for sweep, line in zip(sweeps, LINES * len(sweeps), strict=False):
            named = f" ({sweep.name})" if len(sweeps) > 1 else ""
            curve(error, sweep.betas, [error_of(row) for row in sweep.rows], "remul", line, f"REMUL{named}")
            curve(metric, sweep.betas, [row.metric for row in sweep.rows], "remul", line, f"test{named}")
            for split, shade in zip(sweep.rows[0].below("metric/split"), OTHER_SPLITS * 9, strict=False):
                values = [row.over(f"metric/split/{split}") for row in sweep.rows]
                curve(metric, sweep.betas, values, shade, line, words(split) + named)
        for row in baselines(board, sweeps):
            for axes, value in ((error, error_of(row)), (metric, row.metric)):
                if value:
                    level(axes, value.mean, row)
        against(both, board, sweeps)
        for axes, label in ((error, "E′ (unit of the outputs)"), (metric, metric_label(board))):
            logarithmic(axes.xaxis, [beta for sweep in sweeps for beta in sweep.betas])
            logarithmic(axes.yaxis, axes.dataLim.intervaly)
            axes.set(xlabel="β", ylabel=label)
        error.set_title("Equivariance error over β")
        metric.set_title("Test error over β" if board.metric.better == "lower" else "Test metric over β")
        if len(metric.get_legend_handles_labels()[0]) > 1:
            metric.legend(loc="best", handlelength=1.4)

    return drawn(draw, high=3.3, wide=10.2)


LINES = ["-", (0, (5, 2)), (0, (2, 2)), (0, (6, 2, 1, 2))]
OTHER_SPLITS = ("frame", "group", "augmentation")


def error_of(row: Row) -> Statistic | None:
    """E′ over the seeds of a row."""
    return row.over("E_prime")


def baselines(board: Leaderboard, sweeps: Sequence[Sweep]) -> list[Row]:
    """Rows of the swept models without a symmetry, or with augmentation."""
    models = {sweep.model for sweep in sweeps}
    return [row for row in board.rows if row.model in models and row.family.key in ("none", "augmentation")]


def curve(
    axes: "Axes", betas: Sequence[float], values: Sequence[Statistic | None], shade: str, line: object, label: str
) -> None:
    """Means over β with whiskers; missing values leave a gap."""
    points = [(beta, value) for beta, value in zip(betas, values, strict=True) if value is not None]
    if not points:
        return
    means, stds = [value.mean for _, value in points], [value.std or 0.0 for _, value in points]
    look: dict[str, Any] = {
        "color": colour(shade), "linestyle": line, "marker": "D" if shade == "remul" else "o", "markersize": 4
    }  # fmt: skip
    axes.errorbar([beta for beta, _ in points], means, yerr=stds, **look, capsize=2.5, elinewidth=1, label=label)


def level(axes: "Axes", value: float, row: Row) -> None:
    """A dotted line at the value of a row that has no x coordinate."""
    axes.axhline(value, color=colour(row.family.key), linestyle=(0, (1, 2)), linewidth=1.2)
    axes.annotate(
        row.symmetry, (1, value), xycoords=axes.get_yaxis_transform(), xytext=(-2, 2), textcoords="offset points",
        ha="right", fontsize=7.5, color=colour(row.family.key),
    )  # fmt: skip


def against(axes: "Axes", board: Leaderboard, sweeps: Sequence[Sweep]) -> None:
    """The metric against E′: the sweep as a line with its values of β, other rows as markers, exact ones as lines."""
    swept = {id(row) for sweep in sweeps for row in sweep.rows}
    smallest = min(error.mean for sweep in sweeps for row in sweep.rows if (error := error_of(row)))
    for sweep, line in zip(sweeps, LINES * len(sweeps), strict=False):
        xs = [error.mean for row in sweep.rows if (error := error_of(row))]
        ys = [row.metric.mean for row in sweep.rows]
        axes.plot(xs, ys, color=colour("remul"), linestyle=line, linewidth=1, zorder=2)
        for x, y, beta in zip(xs, ys, sweep.betas, strict=True):
            beside = x > min(xs)  # left of its point; the leftmost has no room there
            axes.annotate(
                f"β={beta:g}", (x, y), xytext=(-6, -3) if beside else (0, 7), textcoords="offset points", fontsize=7.5,
                ha="right" if beside else "center",
                color=colour("remul"), bbox={"fc": colour("card"), "ec": "none", "alpha": 0.7, "pad": 0.6}, zorder=2.5,
            )  # fmt: skip
    named: set[str] = set()
    for row in board.rows:
        error, family = error_of(row), row.family
        if error is None:
            continue
        if error.mean < smallest / FAR:
            level(axes, row.metric.mean, row)
            continue
        hollow = family.marker == "ring" or (family.key == "remul" and id(row) not in swept)
        name = "REMUL, β adapted" if family.key == "remul" and hollow else family.name
        axes.errorbar(
            error.mean, row.metric.mean, xerr=error.std or 0.0, yerr=row.metric.std or 0.0, fmt=MARKERS[family.marker],
            color=colour(family.key), markersize=5, elinewidth=0.8, zorder=3, label=None if name in named else name,
            markerfacecolor=colour("card") if hollow else None,
        )  # fmt: skip
        named.add(name)
    axes.set(xlabel="E′ (unit of the outputs)", ylabel=metric_label(board), title="One against the other")
    logarithmic(axes.xaxis, axes.dataLim.intervalx)
    logarithmic(axes.yaxis, axes.dataLim.intervaly)
    axes.margins(x=0.24)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.3)
