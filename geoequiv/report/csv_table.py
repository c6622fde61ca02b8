"""Leaderboards as comma-separated values: one line per row, per published number, per failed configuration."""

import csv
import io
from collections.abc import Sequence

from geoequiv.measurements.table import RANKING, measurement_of, position
from geoequiv.report.leaderboard import Leaderboard, Reference
from geoequiv.report.rows import Row

_LEADING = ("kind", "task", "protocol", "rank", "model", "symmetry", "variant")
_METRIC = ("metric", "unit", "better", "mean", "std", "n", "seeds", "failed_seeds")
#: (column, setting of the records, name in it)
_SETTINGS = (
    ("group", "equivariance", "group"),
    ("own_group", "own", "group"),
    ("batch_size", "timing", "batch_size"),
    ("threads", "timing", "threads"),
)
_TRAILING = (*(column for column, *_ in _SETTINGS), "device", "source", "state", "note", "checksum", "commit")
Cell = str | int | float | None

#: what a spreadsheet takes for the beginning of a formula, also after spaces and in full width
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def render_csv(boards: Sequence[Leaderboard]) -> str:
    """Full-precision table with a header line; `kind` is measured, published or failed.

    Every number has a column named by its key, with its standard deviation over seeds in `key:std` and the standard
    error of its measurement in `key:se`, where there are any.
    """
    lines = [line for board in boards for line in _lines(board)]
    keys = {key for board in boards for row in board.rows for key in row.numbers} - {RANKING}
    numbers = [
        f"{key}{part}" for key in sorted(keys, key=lambda key: (position(key), key)) for part in ("", ":std", ":se")
    ]
    wanted = set().union(*lines)
    columns = [*_LEADING, *_METRIC, *(name for name in numbers if name in wanted), *_TRAILING]
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
        "device": row.device,
    }
    for column, setting, name in _SETTINGS:
        line[column] = row.settings.get(setting, {}).get(name)
    for key, number in row.numbers.items():
        if key == RANKING:  # it is the mean and std above, which published numbers have as well
            continue
        line[key] = number.value
        if number.seeds.std is not None and measurement_of(key).over_seeds != "first":
            line[f"{key}:std"] = number.seeds.std
        if number.se is not None:
            line[f"{key}:se"] = number.se
    return line


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
        return f"'{value}" if value.lstrip().startswith(FORMULA) or value.startswith(("\t", "\r")) else value
    return repr(value)
