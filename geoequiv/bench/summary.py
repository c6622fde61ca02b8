"""The table at the end of a suite: one line per setting, seeds taken together."""

import json
import statistics
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from geoequiv.measurements.numbers import small
from geoequiv.records import Record


def summary(records: Sequence[Record]) -> Table:
    """Mean ± standard deviation over the seeds of every setting, best first within a protocol, failures last.

    Args:
        records: records of one suite; those that differ by the seed alone share a line.
    """
    table = Table(title="Summary", title_justify="left")
    for name in ("model", "symmetry", "seeds"):
        table.add_column(name, overflow="fold")
    for name in ("test metric", "equivariance error", "parameters", "train s"):
        table.add_column(name, justify="right")
    groups: dict[str, list[Record]] = {}
    for record in records:
        setting = {key: value for key, value in record.config.items() if key != "seed"}
        groups.setdefault(json.dumps(setting, sort_keys=True), []).append(record)
    for group in sorted(groups.values(), key=_order):
        finished = [record for record in group if record.done]
        first = finished[0] if finished else group[0]
        if not finished or first.metric is None:
            table.add_row(first.model, first.method.label, f"0 of {len(group)}", "failed", "", "", "")
            continue
        values = known("metric", finished)
        spread = f" ± {small(statistics.stdev(values))}" if len(values) > 1 else ""
        seeds = str(len(finished)) if len(finished) == len(group) else f"{len(finished)} of {len(group)}"
        table.add_row(
            first.model,
            first.method.label,
            seeds,
            f"{first.metric.name} {small(mean('metric', finished))}{spread}",
            small(mean("relative", finished)),
            f"{first.value('params') or 0:,}",
            f"{mean('seconds/train', finished) or 0:.1f}",
        )
    return table


def known(key: str, records: Sequence[Record]) -> list[float]:
    """The values of a number in the records that have it."""
    return [value for record in records if (value := record.value(key)) is not None]


def mean(key: str, records: Sequence[Record]) -> float | None:
    """Their mean; None where no record has one."""
    values = known(key, records)
    return statistics.mean(values) if values else None


def _order(group: Sequence[Record]) -> tuple[Any, ...]:
    finished = [record for record in group if record.done]
    value = mean("metric", finished)
    if value is None:
        return (1, "", 0.0)
    sign = -1 if finished[0].metric and finished[0].metric.better == "higher" else 1
    return (0, finished[0].protocol, sign * value)
