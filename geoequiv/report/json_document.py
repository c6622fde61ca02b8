"""Leaderboards as strictly valid JSON."""

import json
from collections.abc import Sequence
from typing import Any

from geoequiv.report.barriers import KINDS
from geoequiv.report.leaderboard import STATES, Leaderboard
from geoequiv.report.rows import Row, Statistic, SymmetryError


def render_json(boards: Sequence[Leaderboard]) -> str:
    """One object for one protocol, a list of them for several; unknown numbers are null."""
    documents = [document(board) for board in boards]
    content = documents[0] if len(documents) == 1 else documents
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def document(board: Leaderboard) -> dict[str, Any]:
    """A leaderboard as plain dicts, lists, strings and finite numbers."""
    return {
        "task": board.task,
        "protocol": board.protocol,
        "metric": {"name": board.metric.name, "unit": board.metric.unit, "better": board.metric.better},
        "rows": [_row(board, rank, row) for rank, row in enumerate(board.rows, 1)],
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
    return {
        "rank": rank,
        "model": row.model,
        "symmetry": row.symmetry,
        "family": row.family.name,
        "variant": row.variant,
        "metric": {
            "name": board.metric.name,
            "unit": board.metric.unit,
            "better": board.metric.better,
            **_statistic(row.metric),
            "marks": {
                name: {side: _statistic(value) for side, value in sides.items()} for name, sides in row.marks.items()
            },
            "splits": {name: _statistic(value) for name, value in row.splits.items()},
            "further": [
                {"name": name, "unit": unit, **_statistic(value)} for (name, unit), value in row.further.items()
            ],
        },
        "equivariance": _symmetry_error(row.equivariance),
        "equivariance_own": _symmetry_error(row.equivariance_own),
        "equivariance_before": _symmetry_error(row.equivariance_before),
        **({"barriers": _barriers(row)} if any(each.methods for each in row.alignments) else {}),
        "params": row.params,
        "seconds": {
            "train": row.train_seconds,
            "inference": row.inference_seconds,
            "batch_size": row.batch_size,
            "threads": row.threads,
        },
        "best_epoch": row.best_epoch,
        "seeds": list(row.seeds),
        "failed_seeds": list(row.failed_seeds),
        "runs": list(row.runs),
        "config": finite(row.config),
    }


def _statistic(value: Statistic) -> dict[str, Any]:
    return {"mean": value.mean, "std": value.std, "n": value.n, "values": list(value.values)}


def _barriers(row: Row) -> dict[str, Any]:
    """By method and kind, over the seeds; rows that were not looked into have no such key."""
    methods = dict.fromkeys(method for each in row.alignments for method in each.methods)
    found = {method: {kind: row.barrier(method, kind) for kind in KINDS} for method in methods}
    return {
        method: {kind: _statistic(value) if value else None for kind, value in parts.items()}
        for method, parts in found.items()
    }


def _symmetry_error(error: SymmetryError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {
        "group": error.group,
        "E": error.E,
        "E_prime": error.E_prime,
        "relative": error.relative,
        "worst": error.worst,
        "num_items": error.num_items,
        "num_samples": error.num_samples,
        "dtype": error.dtype,
        "standard_errors": dict(error.standard_errors),
        "seeds": {name: _statistic(value) for name, value in error.seeds.items()},
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
