"""A results folder as leaderboards: one per task and protocol, never mixed."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geoequiv.measurements.columns import describe
from geoequiv.records import LeftOut, MetricOfRun, Record, read
from geoequiv.report.rows import Failure, Row, configuration, summarise

STATES = {
    "P": "read in the primary source",
    "S": "transcribed by a third party",
    "M": "from memory, not verified",
}
NO_PROTOCOL = "protocol unknown"


@dataclass(frozen=True)
class MetricInfo:
    """Which number ranks the rows, and in which direction."""

    name: str
    unit: str
    better: str


@dataclass(frozen=True)
class Reference:
    """A published number, never measured here: shown among the rows, always marked."""

    model: str
    value: float
    source: str
    state: str
    symmetry: str | None
    note: str


@dataclass(frozen=True)
class Leaderboard:
    """Rows and published numbers of one protocol, best first, with what a reader must know of them.

    `described` says of numbers what the table of measurements cannot know, by key: the name and unit of the metric, and
    all of a user's own measurements.
    """

    task: str
    protocol: str
    metric: MetricInfo
    described: Mapping[str, Mapping[str, Any]]
    rows: tuple[Row, ...]
    references: tuple[Reference, ...]
    failures: tuple[Failure, ...]
    left_out: tuple[LeftOut, ...]
    unfinished: tuple[str, ...]
    notices: tuple[str, ...]
    description: str
    signature: str
    symmetry: str
    symmetry_error: Mapping[str, Any] | None
    citation: str
    checksums: tuple[str, ...]
    suites: tuple[str, ...]
    versions: Mapping[str, tuple[str, ...]]
    commits: tuple[str, ...]
    hardware: tuple[str, ...]
    num_runs: int

    @property
    def floor(self) -> float | None:
        """Smallest error an exactly equivariant predictor can reach, the labels being what they are.

        Labels that break the symmetry by a mean squared deviation d leave it an MSE of about d/2.
        """
        error = self.symmetry_error or {}
        for name in ("floor", "irreducible"):
            if isinstance(error.get(name), int | float):
                return float(error[name])
        if self.metric.name.lower() == "mse":
            for name in ("mse", "mean", "mean_squared_deviation", "mean_squared"):
                if isinstance(error.get(name), int | float):
                    return float(error[name]) / 2
        return None

    def ranked(self) -> tuple[Row | Reference, ...]:
        """Rows and published numbers in one order, best first; of equals the measured one leads."""
        both: list[Row | Reference] = [*self.rows, *self.references]
        return tuple(sorted(both, key=self._key))

    def _key(self, entry: Row | Reference) -> float:
        value = entry.metric.mean if isinstance(entry, Row) else entry.value
        return value if self.metric.better == "lower" else -value


def leaderboard(*directories: str | Path) -> list[Leaderboard]:
    """Leaderboards of one or more results folders, one per (task, protocol), ordered by these names.

    Mean and sample standard deviation run over the seeds of records that are otherwise equal.

    Args:
        directories: results folders or packed files; several are read as one (see `geoequiv.records.read`).

    Returns:
        One leaderboard per protocol; failed runs are listed, unreadable records named in `left_out`.

    Raises:
        DataError: a folder is missing or holds no usable record.
    """
    store = read(directories)
    without_protocol = [record for record in store.records if not record.protocol]
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in store.records:
        if record.protocol:
            groups[record.task, record.protocol].append(record)
    tasks = {key: {_options_of_task(record) for record in members} for key, members in groups.items()}
    for record in without_protocol:
        groups[_group_of(record, tasks)].append(record)
    boards = []
    for (task, protocol), members in sorted(groups.items()):
        board = _board(task, protocol, sorted(members, key=lambda record: record.path))
        boards.append(replace(board, left_out=store.left_out + board.left_out, unfinished=store.unfinished))
    return boards


def _group_of(record: Record, tasks: Mapping[tuple[str, str], Collection[str]]) -> tuple[str, str]:
    """The group of a run that failed before its protocol was known: that of the same task and options."""
    known = [key for key in tasks if key[0] == record.task]
    alike = [key for key in known if _options_of_task(record) in tasks[key]]
    for candidates in (alike, known):
        if len(candidates) == 1:
            return candidates[0]
    return record.task, NO_PROTOCOL


def _options_of_task(record: Record) -> str:
    return json.dumps(record.config.get("task"), sort_keys=True)


def _board(task: str, protocol: str, records: list[Record]) -> Leaderboard:
    metric = _metric(records)
    records, left_out = _consistent(records, metric)
    keys = dict.fromkeys(key for record in records for key in record.numbers)
    described = describe(metric, [record.described for record in records], keys)
    rows, failures = summarise(records)
    notices = []
    cards = [record.task_card for record in records if record.task_card is not None]
    card = cards[0] if cards else None
    checksums = _distinct(c.checksum for c in cards)
    if len(checksums) > 1:
        notices.append("These runs saw different data: their checksums differ, so compare the rows with care.")
    if any(c.registered_checksum not in (None, c.checksum) for c in cards):
        notices.append(
            "The register of protocols has another checksum for the data of this protocol: these runs saw other files, "
            "or a simulation that differs in the last digits. Compare with published numbers with care."
        )
    groups = _distinct(str(row.settings["equivariance"]["group"]) for row in rows if "equivariance" in row.settings)
    if len(groups) > 1:
        notices.append(f"The equivariance error is measured over different groups: {', '.join(groups)}.")
    references = dict.fromkeys(
        Reference(r.model, r.value, r.source, r.state, r.symmetry, r.note or "") for c in cards for r in c.references
    )
    board = Leaderboard(
        task=task,
        protocol=protocol,
        metric=metric,
        described=described,
        rows=(),
        references=(),
        failures=failures,
        left_out=tuple(left_out),
        unfinished=(),
        notices=tuple(notices),
        description=card.description if card else "",
        signature=card.signature if card else "",
        symmetry=card.symmetry if card else "",
        symmetry_error=next((c.symmetry_error for c in cards if c.symmetry_error), None),
        citation=card.citation if card else "",
        checksums=checksums,
        suites=_distinct(record.suite for record in records),
        versions=_versions(records),
        commits=_distinct(_commit(record) for record in records),
        hardware=_distinct(_hardware(record) for record in records),
        num_runs=len(records),
    )
    by_name = sorted(rows, key=lambda row: (row.model, row.symmetry, row.variant))
    named = sorted(references, key=lambda reference: (reference.model, reference.source))
    return replace(
        board,
        rows=tuple(sorted(by_name, key=board._key)),
        references=tuple(sorted(named, key=board._key)),
    )


def _metric(records: Sequence[Record]) -> MetricInfo:
    found = Counter(MetricInfo(r.metric.name, r.metric.unit, r.metric.better) for r in records if r.metric)
    if found:
        return found.most_common(1)[0][0]
    for record in records:
        if record.task_card is not None and record.task_card.metric.get("name"):
            card = record.task_card.metric
            better = "higher" if card.get("better") == "higher" else "lower"
            return MetricInfo(str(card["name"]), str(card.get("unit") or ""), better)
    return MetricInfo("metric", "", "lower")


def _consistent(records: list[Record], metric: MetricInfo) -> tuple[list[Record], list[LeftOut]]:
    """Leave out records with another metric, and all but the newest of equal configuration and seed."""
    kept: dict[tuple[str, str, str, int], Record] = {}
    left_out: list[LeftOut] = []
    for record in records:
        if record.metric is not None and not _same_metric(record.metric, metric):
            left_out.append(LeftOut(record.path, f"its metric is {record.metric.name}, not {metric.name}"))
            continue
        key = (*configuration(record), record.seed)
        other = kept.get(key)
        if other is None:
            kept[key] = record
            continue
        older, newer = sorted((other, record), key=lambda r: (r.status == "finished", r.finished or "", r.path))
        kept[key] = newer
        left_out.append(LeftOut(older.path, f"same configuration and seed as {newer.path}, counted once"))
    return sorted(kept.values(), key=lambda r: r.path), left_out


def _same_metric(found: MetricOfRun, metric: MetricInfo) -> bool:
    return (found.name, found.unit, found.better) == (metric.name, metric.unit, metric.better)


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))


def _commit(record: Record) -> str:
    commit = record.environment.get("git_commit")
    return f"{commit}{' (with local changes)' if record.environment.get('git_dirty') else ''}" if commit else ""


def _hardware(record: Record) -> str:
    environment = record.environment
    cores = f"{environment['cores']} cores" if environment.get("cores") else ""
    device = environment.get("device") or ""
    shown = (environment.get("cpu"), cores, f"run on {device}" if device else "", environment.get("platform"))
    return ", ".join(str(part) for part in shown if part)


def _versions(records: Sequence[Record]) -> dict[str, tuple[str, ...]]:
    names = ("geoequiv", "torch", "torch_geometric", "e3nn", "numpy", "python")
    found = {name: _distinct(str(r.environment.get(name) or "") for r in records) for name in names}
    return {name: versions for name, versions in found.items() if versions}
