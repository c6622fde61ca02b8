"""The table at the end of a suite: one line per setting, seeds taken together."""

import json
import statistics
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from geoequiv.measurements.numbers import small


def summary(records: Sequence[dict[str, Any]]) -> Table:
    """Mean ± standard deviation over the seeds of every setting, best first within a protocol, failures last.

    Args:
        records: records of one suite; those that differ by the seed alone share a line.
    """
    table = Table(title="Summary", title_justify="left")
    for name in ("model", "symmetry", "seeds"):
        table.add_column(name, overflow="fold")
    for name in ("test metric", "equivariance error", "parameters", "train s"):
        table.add_column(name, justify="right")
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        setting = {key: value for key, value in record["config"].items() if key != "seed"}
        groups.setdefault(json.dumps(setting, sort_keys=True), []).append(record)
    for group in sorted(groups.values(), key=_order):
        finished = [record for record in group if record["status"] == "finished"]
        first = group[0]
        if not finished:
            table.add_row(first["model"], first["symmetry"], f"0 of {len(group)}", "failed", "", "", "")
            continue
        values = [record["metric"]["value"] for record in finished]
        errors = [record["equivariance"]["relative"] for record in finished]
        spread = f" ± {small(statistics.stdev(values))}" if len(values) > 1 else ""
        seeds = str(len(finished)) if len(finished) == len(group) else f"{len(finished)} of {len(group)}"
        known = [error for error in errors if error is not None]
        table.add_row(
            first["model"],
            finished[0]["symmetry"],
            seeds,
            f"{finished[0]['metric']['name']} {small(statistics.mean(values))}{spread}",
            small(statistics.mean(known) if known else None),
            f"{finished[0]['params']:,}",
            f"{statistics.mean(record['seconds']['train'] for record in finished):.1f}",
        )
    return table


def _order(group: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
    values = [record["metric"]["value"] for record in group if record["status"] == "finished"]
    if not values:
        return (1, "", 0.0)
    finished = next(record for record in group if record["status"] == "finished")
    sign = 1 if finished["metric"]["better"] == "lower" else -1
    return (0, finished["protocol"], sign * statistics.mean(values))
