"""Leaderboards as comma-separated values: one line per row, per published number, per failed configuration."""

import csv
import io
from collections.abc import Sequence

from geoequiv.report.barriers import KINDS
from geoequiv.report.leaderboard import Leaderboard, Reference
from geoequiv.report.rows import Row, Statistic

_LEADING = ("kind", "task", "protocol", "rank", "model", "symmetry", "variant")
_METRIC = ("metric", "unit", "better", "mean", "std", "n", "seeds", "failed_seeds")
_STANDARD_ERRORS = {"E_se": "E", "E_prime_se": "E_prime", "relative_se": "relative"}
_ERROR = ("group", "E", "E_prime", "relative", "worst", *_STANDARD_ERRORS, "own_group", "own_relative")
_COST = ("params", "train_seconds", "inference_seconds", "batch_size", "threads")
_TRAILING = (*_ERROR, *_COST, "source", "state", "note", "checksum", "commit")
Cell = str | int | float | None


def render_csv(boards: Sequence[Leaderboard]) -> str:
    """Full-precision table with a header line; `kind` is measured, published or failed."""
    lines = [line for board in boards for line in _lines(board)]
    wanted = set().union(*lines)
    measured = sorted(wanted - {*_LEADING, *_METRIC, *_TRAILING})
    columns = [*_LEADING, *_METRIC, *measured, *_TRAILING]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in line.items()} for line in lines)
    return buffer.getvalue()


def _lines(board: Leaderboard) -> list[dict[str, Cell]]:
    common: dict[str, Cell] = {
        "task": board.task,
        "protocol": board.protocol,
        "metric": board.metric.name,
        "unit": board.metric.unit,
        "better": board.metric.better,
    }
    ranks = {id(row): rank for rank, row in enumerate(board.rows, 1)}
    lines = []
    for entry in board.ranked():
        if isinstance(entry, Row):
            provenance: dict[str, Cell] = {"checksum": " ".join(board.checksums), "commit": " ".join(board.commits)}
            lines.append({**common, "kind": "measured", "rank": ranks[id(entry)], **_measured(entry), **provenance})
        else:
            lines.append({**common, "kind": "published", **_published(entry)})
    failed: dict[tuple[str, str, str], list[int]] = {}
    for failure in board.failures:
        if failure.alone:
            failed.setdefault((failure.model, failure.symmetry, failure.variant), []).append(failure.seed)
    for (model, symmetry, variant), seeds in failed.items():
        named: dict[str, Cell] = {"model": model, "symmetry": symmetry, "variant": variant}
        lines.append({**common, "kind": "failed", **named, "n": 0, "failed_seeds": _seeds(seeds)})
    return lines


def _measured(row: Row) -> dict[str, Cell]:
    line: dict[str, Cell] = {
        "model": row.model,
        "symmetry": row.symmetry,
        "variant": row.variant,
        "mean": row.metric.mean,
        "std": row.metric.std,
        "n": row.metric.n,
        "seeds": _seeds(row.seeds),
        "failed_seeds": _seeds(row.failed_seeds),
        "params": row.params,
        "train_seconds": row.train_seconds,
        "inference_seconds": row.inference_seconds,
        "batch_size": row.batch_size,
        "threads": row.threads,
    }
    for name, sides in row.marks.items():
        for side, value in sides.items():
            line |= _pair(f"{side}:{name}", value)
    for name, value in row.splits.items():
        line |= _pair(f"split:{name}", value)
    for (name, unit), value in row.further.items():
        line |= _pair(f"{name} [{unit}]", value)
    for method, kind in dict.fromkeys((m, kind) for each in row.alignments for m in each.methods for kind in KINDS):
        if (barrier := row.barrier(method, kind)) is not None:
            line |= _pair(f"barrier:{method}:{kind}", barrier)
    if row.equivariance is not None:
        error = row.equivariance
        line |= {"group": error.group, "E": error.E, "E_prime": error.E_prime}
        line |= {"relative": error.relative, "worst": error.worst}
        line |= {column: error.standard_errors.get(name) for column, name in _STANDARD_ERRORS.items()}
    if row.equivariance_own is not None:
        line |= {"own_group": row.equivariance_own.group, "own_relative": row.equivariance_own.relative}
    return line


def _pair(name: str, value: Statistic) -> dict[str, Cell]:
    return {f"{name}:mean": value.mean, f"{name}:std": value.std}


def _published(reference: Reference) -> dict[str, Cell]:
    return {
        "model": reference.model,
        "symmetry": reference.symmetry,
        "mean": reference.value,
        "source": reference.source,
        "state": reference.state,
        "note": reference.note,
    }


def _seeds(seeds: Sequence[int]) -> str:
    return " ".join(str(seed) for seed in seeds)


def _cell(value: Cell) -> str:
    """Numbers in full; text that a spreadsheet would run as a formula gets a leading apostrophe."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
    return repr(value)
