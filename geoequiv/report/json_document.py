"""Leaderboards as strictly valid JSON."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from geoequiv.measurements import table
from geoequiv.measurements.statistic import Statistic
from geoequiv.measurements.table import BARRIER_KEY, ERRORS, MERGED_WITH, RANKING, position
from geoequiv.report.leaderboard import STATES, Leaderboard
from geoequiv.report.rows import Row

#: (name in a row's JSON, setting of the records, prefix of the keys) of the equivariance errors
_ERRORS = (
    ("equivariance", "equivariance", ""),
    ("equivariance_own", "own", "own/"),
    ("equivariance_before", "before", "before/"),
)
_HOW = ("group", "num_items", "num_samples", "dtype")
_TIMING = ("batch_size", "threads")


def render_json(boards: Sequence[Leaderboard]) -> Iterator[str]:
    """One object for one protocol, a list of them for several, in pieces; unknown numbers are null.

    A row takes a line, and is put together when its turn comes: as one value a large board would not fit in memory.
    """
    several = len(boards) != 1
    yield "[\n" if several else ""
    for index, board in enumerate(boards):
        yield ",\n" if index else ""
        head, tail = _text(document(board, rows=()), indent=2).split('"rows": []', 1)
        yield f'{head}"rows": ['
        for rank, row in enumerate(board.rows, 1):
            yield f"{',' if rank > 1 else ''}\n    {_text(_row(board, rank, row))}"
        yield f"{chr(10) + '  ' if board.rows else ''}]{tail}"
    yield "\n]\n" if several else "\n"


def _text(content: Any, indent: int | None = None) -> str:
    return json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False)


def document(board: Leaderboard, rows: Sequence[Row]) -> dict[str, Any]:
    """A leaderboard with these of its rows as plain dicts, lists, strings and finite numbers."""
    return {
        "task": board.task,
        "protocol": board.protocol,
        "metric": {"name": board.metric.name, "unit": board.metric.unit, "better": board.metric.better},
        "rows": [_row(board, rank, row) for rank, row in enumerate(rows, 1)],
        "references": [
            {
                "model": reference.model,
                "value": reference.value,
                "source": reference.source,
                "state": reference.state,
                "state_meaning": STATES[reference.state],
                "symmetry": reference.symmetry,
                "note": reference.note,
            }
            for reference in board.references
        ],
        "failures": [
            {
                "run_id": failure.run_id,
                "path": failure.path,
                "model": failure.model,
                "symmetry": failure.symmetry,
                "variant": failure.variant,
                "seed": failure.seed,
                "error": failure.error,
            }
            for failure in board.failures
        ],
        "left_out": [{"path": item.path, "reason": item.reason} for item in board.left_out],
        "unfinished": list(board.unfinished),
        "notices": list(board.notices),
        "task_card": {
            "description": board.description,
            "signature": board.signature,
            "symmetry": board.symmetry,
            "symmetry_error": finite(board.symmetry_error),
            "irreducible_error": board.floor,
            "checksums": list(board.checksums),
            "citation": board.citation,
        },
        "provenance": {
            "runs": board.num_runs,
            "suites": list(board.suites),
            "versions": {name: list(found) for name, found in board.versions.items()},
            "commits": list(board.commits),
            "hardware": list(board.hardware),
        },
    }


def _row(board: Leaderboard, rank: int, row: Row) -> dict[str, Any]:
    former: dict[str, Any] = {"seconds": {name: row.settings.get("timing", {}).get(name) for name in _TIMING}}
    for measurement in table.MEASUREMENTS:
        if measurement.former:
            *groups, name = measurement.former.split(".")
            into = former
            for group in groups:
                into = into.setdefault(group, {})
            into[name] = row.value(measurement.key)
    return {
        "rank": rank,
        "model": row.model,
        "symmetry": row.symmetry,
        "family": row.family.name,
        "variant": row.variant,
        "device": row.device,
        "metric": _metric(board, row),
        **{name: _equivariance(row, setting, prefix) for name, setting, prefix in _ERRORS},
        **({"barriers": _barriers(row)} if row.below(BARRIER_KEY) else {}),
        **former,
        "numbers": {
            key: {"value": each.value, "std": each.seeds.std, "n": each.seeds.n, "se": each.se,
                  "values": list(each.seeds.values)}
            for key, each in sorted(row.numbers.items(), key=lambda item: position(item[0]))
        },
        "seeds": list(row.seeds),
        "failed_seeds": list(row.failed_seeds),
        "runs": list(row.runs),
        "config": finite(row.config),
    }  # fmt: skip


def _metric(board: Leaderboard, row: Row) -> dict[str, Any]:
    marks: dict[str, dict[str, Any]] = {}
    for side in ("with", "without"):
        for mark, value in row.below(f"{RANKING}/{side}").items():
            marks.setdefault(mark, {})[side] = _statistic(value)
    units = {name: board.described[f"{RANKING}/further/{name}"].get("unit") or "" for name in _further(row)}
    return {
        "name": board.metric.name,
        "unit": board.metric.unit,
        "better": board.metric.better,
        **_statistic(row.metric),
        "marks": marks,
        "splits": {name: _statistic(value) for name, value in row.below(f"{RANKING}/split").items()},
        "further": [
            {"name": name.removesuffix(f" [{units[name]}]"), "unit": units[name], **_statistic(value)}
            for name, value in _further(row).items()
        ],
    }


def _further(row: Row) -> dict[str, Statistic]:
    return row.below(f"{RANKING}/further")


def _statistic(value: Statistic) -> dict[str, Any]:
    return {"mean": value.mean, "std": value.std, "n": value.n, "values": list(value.values)}


def _barriers(row: Row) -> dict[str, Any]:
    """By method and by what the network is merged with, over the seeds."""
    found: dict[str, dict[str, Any]] = {}
    for rest, value in row.below(BARRIER_KEY).items():
        method, kind, *part = rest.split("/")
        if not part:
            found.setdefault(method, dict.fromkeys(MERGED_WITH))[kind] = _statistic(value)
    return found


def _equivariance(row: Row, setting: str, prefix: str) -> dict[str, Any] | None:
    """The errors over one group with how they were measured; None where they were not."""
    how = row.settings.get(setting)
    if how is None:
        return None
    numbers = {error.key: row.numbers.get(f"{prefix}{error.key}") for error in ERRORS}
    means = {error.key for error in ERRORS if error.over_seeds == "mean"}
    return {
        **{name: how.get(name) for name in _HOW},
        **{key: each.value if each else None for key, each in numbers.items()},
        "standard_errors": {key: each.se for key, each in numbers.items() if each and each.se is not None},
        "seeds": {key: _statistic(each.seeds) for key, each in numbers.items() if each and key in means},
    }


def finite(value: Any) -> Any:
    """A value with None in the place of NaN and infinity, which JSON cannot write; tuples become lists."""
    if isinstance(value, float) and value - value != 0:
        return None
    if hasattr(value, "items"):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
