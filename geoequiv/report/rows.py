"""Rows of a leaderboard: runs that differ only in their seed, summarised."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geoequiv.measurements.statistic import OverSeeds, Statistic, over_seeds
from geoequiv.measurements.table import RANKING
from geoequiv.methods.families import Family
from geoequiv.records import AlignmentOfRun, Record
from geoequiv.records.variants import settled, variants
from geoequiv.report.families import family_of_record


@dataclass(frozen=True, slots=True)
class Row:
    """One configuration: equal model, method label and configuration without seed.

    Args:
        symmetry: the label of the method.
        variant: the settings that tell it from rows with equal labels.
        numbers: every number over the seeds, by key (see `geoequiv.measurements.table`).
        settings: how it was measured, of the first seed that says so: "equivariance", "own", "before", "timing".
        device: where it was computed; several, where the seeds differ.
    """

    model: str
    symmetry: str
    variant: str
    family: Family
    config: Mapping[str, Any]
    numbers: Mapping[str, OverSeeds]
    settings: Mapping[str, Mapping[str, Any]]
    device: str
    seeds: tuple[int, ...]
    failed_seeds: tuple[int, ...]
    runs: tuple[str, ...]
    alignments: tuple[AlignmentOfRun, ...] = ()

    @property
    def metric(self) -> Statistic:
        """The number that ranks, over the seeds."""
        return self.numbers[RANKING].seeds

    def value(self, key: str) -> float | None:
        """What stands for all seeds of a number; None if it was not measured."""
        found = self.numbers.get(key)
        return found.value if found else None

    def over(self, key: str) -> Statistic | None:
        """A number over the seeds; None if it was not measured."""
        found = self.numbers.get(key)
        return found.seeds if found else None

    def below(self, key: str) -> dict[str, Statistic]:
        """The numbers that a key qualifies, by the rest of their keys: `below("metric/split")`."""
        start = f"{key}/"
        return {name[len(start) :]: each.seeds for name, each in self.numbers.items() if name.startswith(start)}


@dataclass(frozen=True)
class Failure:
    """A run that failed, with its traceback."""

    run_id: str
    path: str
    model: str
    symmetry: str
    variant: str
    family: Family
    seed: int
    error: str
    alone: bool

    @property
    def last_line(self) -> str:
        """The line of the traceback that names the error."""
        lines = [line.strip() for line in self.error.splitlines() if line.strip()]
        return lines[-1] if lines else "no traceback recorded"


def summarise(records: Sequence[Record]) -> tuple[tuple[Row, ...], tuple[Failure, ...]]:
    """Group the records of one protocol into rows, and list the failed runs.

    Args:
        records: records of one task and protocol, one per configuration and seed.

    Returns:
        Rows with at least one finished seed, in the order they first appear, and the failures
        (`alone` where no seed of the configuration finished).
    """
    groups: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[configuration(record)].append(record)
    configs = {key: settled(members[0].config) for key, members in groups.items()}
    differences = variants(configs, {key: key[:2] for key in configs})
    rows: list[Row] = []
    failures: list[Failure] = []
    for key, members in groups.items():
        finished = sorted((r for r in members if r.status == "finished"), key=lambda r: (r.seed, r.path))
        failed = sorted((r for r in members if r.status == "failed"), key=lambda r: (r.seed, r.path))
        if finished:
            rows.append(_row(finished, failed, differences[key]))
        failures.extend(_failure(record, differences[key], not finished) for record in failed)
    return tuple(rows), tuple(failures)


def configuration(record: Record) -> tuple[str, str, str]:
    """What makes two runs the same row: model, method label and the configuration without its seed."""
    return record.model, record.method.label, json.dumps(settled(record.config), sort_keys=True, ensure_ascii=False)


def _row(finished: list[Record], failed: list[Record], variant: str) -> Row:
    first = finished[0]
    settings: dict[str, Mapping[str, Any]] = {}
    for record in finished:
        for name, value in record.settings.items():
            if isinstance(value, Mapping):
                settings.setdefault(name, value)
    return Row(
        model=first.model,
        symmetry=first.method.label,
        variant=variant,
        family=family_of_record(first),
        config={key: value for key, value in first.config.items() if key != "seed"},
        numbers=over_seeds([record.numbers for record in finished]),
        settings=settings,
        device=", ".join(sorted({str(device) for r in finished if (device := r.environment.get("device"))})),
        seeds=tuple(record.seed for record in finished),
        failed_seeds=tuple(record.seed for record in failed),
        runs=tuple(record.run_id for record in finished),
        alignments=tuple(merges for record in finished if (merges := record.merges) is not None),
    )


def _failure(record: Record, variant: str, alone: bool) -> Failure:
    error = record.error or ""
    family = family_of_record(record)
    return Failure(
        record.run_id, record.path, record.model, record.method.label, variant, family, record.seed, error, alone
    )  # fmt: skip
