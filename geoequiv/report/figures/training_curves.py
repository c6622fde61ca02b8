"""The training curves of one run: losses, equivariance error and the two weights, from its log.csv."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoequiv.errors import DataError
from geoequiv.measurements.numbers import words
from geoequiv.records.logs import log_rows
from geoequiv.report.families import colour
from geoequiv.report.figures.style import drawn, floor_line, logarithmic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Log = Mapping[str, Sequence[float | None]]
ERRORS = {"E_prime": "E′", "relative": "relative error"}
WEIGHTS = {"train_beta": ("β (equivariance)", "remul"), "train_alpha": ("α (task)", "frame")}
LOSSES = {"train_objective": ("training, task", "frame"), "train_equivariance": ("training, equivariance", "remul")}


@dataclass(frozen=True)
class Bound:
    """Which error the constrained form of a run bounds, "relative" or "E_prime", and the bound."""

    name: str
    epsilon: float

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Bound | None":
        """From the configuration of a run; None where nothing is bounded."""
        symmetry = config.get("symmetry")
        if not isinstance(symmetry, Mapping) or symmetry.get("weighting") != "constrained":
            return None
        return cls(symmetry.get("bound") or "relative", float(symmetry["epsilon"]))


def read_log(run: str | Path) -> Log:
    """The columns of a run's log; None where nothing was measured in an epoch.

    Args:
        run: its run directory (or, packed, where that would be), or a log.csv.

    Raises:
        DataError: there is no such log, or it is not one.
    """
    path = Path(run) / "log.csv" if Path(run).is_dir() else Path(run)
    rows = log_rows(Path(run))
    if rows is None:
        raise DataError(f"Cannot read the log '{path}': there is none.")
    try:
        log = {name: [float(row[name]) if row[name] else None for row in rows] for name in (rows[0] if rows else ())}
    except (ValueError, KeyError) as error:
        raise DataError(f"'{path}' is not the log of a run: {error}.") from error
    if "epoch" not in log:
        raise DataError(f"'{path}' has no finished epoch: expected a column 'epoch' and at least one row.")
    return log


def training_curves(log: Log, title: str = "", bound: Bound | None = None) -> "Figure":
    """Losses and validation metric, E′, and the weights α and β over the epochs; panels only for what was logged.

    Args:
        log: columns of a log.csv, see ``read_log``.
        title: of the figure.
        bound: of a constrained run, whose equivariance term is this error of its batches and no loss.

    Raises:
        GeoequivError: matplotlib is not installed.
    """
    metrics = [name for name in log if name.startswith("val_") and name != "val_E_prime"]
    losses = {name: look for name, look in LOSSES.items() if name in log}
    if bound:
        losses.pop("train_equivariance", None)
    if "train_objective" not in losses and "train_total" in log:  # the task alone: its loss is the total
        losses = {"train_total": ("training loss", "frame")}
    errors: dict[str, dict[str, tuple[str, str]]] = {"E_prime": {}, "relative": {}}
    if any(value is not None for value in log.get("val_E_prime", ())):
        errors["E_prime"]["val_E_prime"] = ("validation items", "remul")
    if bound and "train_equivariance" in log:
        errors[bound.name]["train_equivariance"] = ("training batches", "frame")
    panels = [("loss", losses | {name: (f"validation {words(name[4:])}", "builtin") for name in metrics})]
    panels += [(label, errors[name]) for name, label in ERRORS.items() if errors[name]]
    if weights := {name: look for name, look in WEIGHTS.items() if name in log}:
        panels.append(("weight", weights))

    def draw(figure: "Figure") -> None:
        parts = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (label, shown) in zip(parts, panels, strict=True):
            for name, look in shown.items():
                _curve(axes, log, name, *look)
            axes.set_ylabel(label)
            values = [value for name in shown for value in log[name] if value is not None]
            if bound and label == ERRORS[bound.name]:
                floor_line(axes, bound.epsilon, f"ε = {bound.epsilon:g}")
                values.append(bound.epsilon)
            logarithmic(axes.yaxis, values)
            if len(shown) > 1 or label in ERRORS.values():
                axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)
        parts[0].set_title(title)
        parts[-1].set_xlabel("epoch")
        figure.align_ylabels()

    return drawn(draw, high=1.0 + 1.7 * len(panels))


def _curve(axes: "Axes", log: Log, name: str, label: str, shade: str) -> None:
    known = [(epoch, value) for epoch, value in zip(log["epoch"], log[name], strict=True) if value is not None]
    marked = len(known) < 40
    axes.plot(
        *zip(*known, strict=True) if known else ((), ()), label=label, color=colour(shade),
        marker="o" if marked else None, markersize=3, linestyle=(0, (4, 2)) if name == "train_alpha" else "-",
    )  # fmt: skip
