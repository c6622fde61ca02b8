"""The table at the end of a suite: one line per setting, seeds taken together."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from geoequiv.measurements.columns import NumberColumn, columns_of, describe
from geoequiv.measurements.statistic import OverSeeds, over_seeds
from geoequiv.measurements.table import RANKING
from geoequiv.records import Record

#: parts of a configuration that do not tell lines apart
BESIDES = ("seed", "measure", "align")


@dataclass(frozen=True)
class Line:
    """The runs of one setting: how many there are, which have finished, and their numbers."""

    runs: int
    finished: Sequence[Record]
    numbers: Mapping[str, OverSeeds]


def summary(records: Sequence[Record]) -> Table:
    """The numbers of every setting over its seeds, best first within a protocol, failures last.

    Args:
        records: records of one suite; those that differ by the seed alone share a line.
    """
    settings: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        setting = {key: value for key, value in record.config.items() if key not in BESIDES}
        settings[json.dumps(setting, sort_keys=True)].append(record)
    protocols: dict[str, list[list[Record]]] = defaultdict(list)
    failed: list[list[Record]] = []
    for runs in settings.values():
        protocol = next((record.protocol for record in runs if record.done), None)
        (failed if protocol is None else protocols[protocol]).append(runs)
    parts = [_lines(protocols[protocol]) for protocol in sorted(protocols)]
    table = Table(title="Summary", title_justify="left")
    for name in ("model", "symmetry", "seeds"):
        table.add_column(name, overflow="fold")
    keys = dict.fromkeys(column.key for columns, _ in parts for column in columns)
    heads = {column.key: str(column.measurement.name) for columns, _ in parts for column in columns}
    for key in keys:
        table.add_column("test metric" if key == RANKING else heads[key], justify="right")
    for columns, lines in parts:
        shown = {column.key: column for column in columns}
        for line in lines:
            first = line.finished[0]
            seeds = str(line.runs) if len(line.finished) == line.runs else f"{len(line.finished)} of {line.runs}"
            cells = (_cell(shown.get(key), line) for key in keys)
            table.add_row(first.model, first.method.label, seeds, *cells)
    for runs in failed:
        table.add_row(runs[0].model, runs[0].method.label, f"0 of {len(runs)}", "failed")
    return table


def _lines(settings: Sequence[Sequence[Record]]) -> tuple[list[NumberColumn], list[Line]]:
    """The columns and lines of one protocol, best first."""
    finished = [[record for record in runs if record.done] for runs in settings]
    every = [record for group in finished for record in group]
    metric = next(record.metric for record in every if record.metric is not None)
    keys = dict.fromkeys(key for record in every for key in record.numbers)
    described = describe(metric, [record.described for record in every], keys)
    lines = [
        Line(len(runs), group, over_seeds([record.numbers for record in group]))
        for runs, group in zip(settings, finished, strict=True)
    ]
    sign = -1 if metric.better == "higher" else 1
    lines.sort(key=lambda line: sign * line.numbers[RANKING].value)
    return columns_of([line.numbers for line in lines], described, "terminal"), lines


def _cell(column: NumberColumn | None, line: Line) -> str:
    if column is None:  # a number of another protocol
        return "–"
    name = f"{column.measurement.title} " if column.key == RANKING else ""
    return f"{name}{column.text_with_spread(line.numbers)}"


def headline(record: Record) -> str:
    """The numbers that a terminal shows, of one finished run, in a line."""
    columns, (line,) = _lines([[record]])
    named = (f"{column.measurement.title if column.key == RANKING else column.measurement.name} " for column in columns)
    return ", ".join(f"{name}{column.text(line.numbers)}" for name, column in zip(named, columns, strict=True))
