"""The columns of the web table: what each shows, sorts by and means."""

from collections.abc import Callable
from dataclasses import dataclass

from geoequiv.measurements.numbers import count, decimals_for, duration, fixed, small, words
from geoequiv.report import barriers
from geoequiv.report.facts import labelled, metric_label
from geoequiv.report.leaderboard import Leaderboard
from geoequiv.report.rows import Row, Statistic


@dataclass(frozen=True)
class Column:
    """A sortable column of numbers: its key, heading, group, and an explanation for the tooltip."""

    key: str
    title: str
    group: str
    hint: str
    value: Callable[[Row], float | None]
    shown: Callable[[Row], str]
    first: str = "ascending"


def columns_of(board: Leaderboard) -> list[Column]:
    """The columns that the rows fill: metric, its parts by mark and by split, symmetry error, barriers, cost, seeds."""
    decimals = decimals_of(board)
    metric = metric_label(board)
    first = "ascending" if board.metric.better == "lower" else "descending"
    columns = [
        Column(
            "metric",
            metric,
            "Test accuracy",
            f"Test {metric}, mean ± sample standard deviation over seeds; {board.metric.better} is better",
            lambda row: row.metric.mean,
            lambda row: fixed(row.metric.mean, decimals),
            first,
        )
    ]
    sides = dict.fromkeys((name, side) for row in board.rows for name, both in row.marks.items() for side in both)
    for name, side in sides:
        pick = _mark(name, side)
        hint = f"Test {metric} of the items {side} {words(name)}"
        columns.append(_statistic_column(f"{side}:{name}", f"{side} {words(name)}", hint, pick, decimals, first))
    for name in dict.fromkeys(name for row in board.rows for name in row.splits):
        hint = f"{metric} on the split {words(name)}"
        columns.append(_statistic_column(f"split:{name}", words(name), hint, _split(name), decimals, first))
    for name in dict.fromkeys(name for row in board.rows for name in row.further):
        title, values = labelled(*name), [row.further[name].mean for row in board.rows if name in row.further]
        places = decimals_for(values)
        columns.append(_statistic_column(f"further:{title}", title, f"Test {title}", _further(name), places, first))
    errors = (
        ("relative", "relative", "‖f(gx) − gf(x)‖ / (½‖f(gx)‖ + ½‖gf(x)‖), mean over seeds"),
        ("worst", "worst", "The largest relative error over items, group elements and seeds"),
        ("E_prime", "E′", "E′ of the REMUL paper, mean over seeds ± standard error of the measurement"),
        ("E", "E", "E of the REMUL paper, mean over seeds ± standard error of the measurement"),
    )
    for key, title, hint in errors:
        error = error_of(key)
        columns.append(Column(key, title, "Symmetry error", hint, error, _through(small, error)))
        if key == "relative" and any(row.equivariance_own for row in board.rows):
            columns.append(
                Column(
                    "own",
                    "own group",
                    "Symmetry error",
                    "The relative error over the group in the row's own badge, for which it is exact by construction",
                    _own_relative,
                    _own_shown,
                )
            )
    for method, kind in barriers.measured(board):
        columns.append(_barrier_column(board, method, kind))
    costs: tuple[tuple[str, str, str, Callable[[float | None], str]], ...] = (
        ("params", "params", "Trainable parameters", count),
        ("train_seconds", "training", "Seconds of the whole training, mean over seeds", duration),
        ("inference_seconds", "inference", "Seconds per sample at inference, mean over seeds", duration),
    )
    for key, title, hint, shown in costs:
        cost = _attribute(key)
        columns.append(Column(key, title, "Cost", hint, cost, _through(shown, cost)))
    columns.append(
        Column("seeds", "seeds", "", "Seeds that finished", _seeds, lambda row: str(row.metric.n), "descending")
    )
    return columns


def _statistic_column(
    key: str, title: str, hint: str, pick: Callable[[Row], Statistic | None], decimals: int, first: str
) -> Column:
    def value(row: Row) -> float | None:
        found = pick(row)
        return found.mean if found else None

    def shown(row: Row) -> str:
        found = pick(row)
        return fixed(found.mean, decimals) if found else "–"

    return Column(key, title, "Test accuracy", hint, value, shown, first)


def _barrier_column(board: Leaderboard, method: str, kind: str) -> Column:
    def value(row: Row) -> float | None:
        found = row.barrier(method, kind)
        return found.mean if found else None

    title, hint = barriers.title(method, kind, board), barriers.hint(method, kind)
    return Column(f"barrier:{method}:{kind}", title, "Barrier", hint, value, _through(small, value))


def _mark(name: str, side: str) -> Callable[[Row], Statistic | None]:
    return lambda row: row.marks.get(name, {}).get(side)


def _split(name: str) -> Callable[[Row], Statistic | None]:
    return lambda row: row.splits.get(name)


def _further(name: tuple[str, str]) -> Callable[[Row], Statistic | None]:
    return lambda row: row.further.get(name)


def error_of(name: str) -> Callable[[Row], float | None]:
    """Picks a part of a row's symmetry error: "relative", "worst", "E" or "E_prime"."""
    return lambda row: getattr(row.equivariance, name) if row.equivariance else None


def _own_relative(row: Row) -> float | None:
    return row.equivariance_own.relative if row.equivariance_own else None


def _own_shown(row: Row) -> str:
    return small(_own_relative(row)) if row.equivariance_own else "–"


def _seeds(row: Row) -> float:
    return float(row.metric.n)


def _attribute(name: str) -> Callable[[Row], float | None]:
    return lambda row: getattr(row, name)


def _through(show: Callable[[float | None], str], pick: Callable[[Row], float | None]) -> Callable[[Row], str]:
    return lambda row: show(pick(row))


def decimals_of(board: Leaderboard) -> int:
    """Decimals of the metric, the same for all measured and published numbers."""
    return decimals_for([row.metric.mean for row in board.rows] + [r.value for r in board.references])
