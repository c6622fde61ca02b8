"""Rows of a leaderboard: runs that differ only in their seed, summarised."""

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geoequiv.report.families import Family, family_of
from geoequiv.report.records import AlignmentOfRun, Measured, Record, SymmetryErrorOfRun


@dataclass(frozen=True)
class Statistic:
    """Mean and sample standard deviation (None for one seed) of n values, and the values themselves."""

    mean: float
    std: float | None
    n: int
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Statistic | None":
        """Summary of the values that are there, None if there is none.

        >>> Statistic.of([1.0, 2.0, 3.0, None]).std
        1.0
        """
        present = tuple(value for value in values if value is not None)
        if not present:
            return None
        deviation = statistics.stdev(present) if len(present) > 1 else None
        return cls(math.fsum(present) / len(present), deviation, len(present), present)


@dataclass(frozen=True)
class SymmetryError:
    """E, E′ and the relative error averaged over seeds, and the worst case over all of them.

    Args:
        seeds: "E", "E_prime", "relative" → the values of all seeds, with their sample standard deviation.
        standard_errors: the same names → standard error of the measurement on one trained model (from the finite
            numbers of items and group elements), averaged over seeds; a name is missing where no record states it.
    """

    group: str
    E: float | None
    E_prime: float | None
    relative: float | None
    worst: float | None
    num_items: int | None
    num_samples: int | None
    dtype: str | None
    seeds: Mapping[str, Statistic]
    standard_errors: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """One configuration: equal model label, symmetry label and config without seed."""

    model: str
    symmetry: str
    variant: str
    config: Mapping[str, Any]
    metric: Statistic
    marks: Mapping[str, Mapping[str, Statistic]]
    splits: Mapping[str, Statistic]
    further: Mapping[tuple[str, str], Statistic]
    equivariance: SymmetryError | None
    equivariance_own: SymmetryError | None
    equivariance_before: SymmetryError | None
    params: int | None
    train_seconds: float | None
    inference_seconds: float | None
    batch_size: int | None
    threads: int | None
    best_epoch: float | None
    seeds: tuple[int, ...]
    failed_seeds: tuple[int, ...]
    runs: tuple[str, ...]
    alignments: tuple[AlignmentOfRun, ...] = ()

    @property
    def family(self) -> Family:
        """The way this row gets its symmetry."""
        return family_of(self.symmetry)

    def barrier(self, method: str, kind: str, name: str = "barrier") -> Statistic | None:
        """A barrier over the seeds: with the "copies" or with other "trainings"; None if it was not measured."""
        parts = (each.methods.get(method, {}).get(kind) for each in self.alignments)
        return Statistic.of(getattr(part, name) for part in parts if part is not None)


@dataclass(frozen=True)
class Failure:
    """A run that failed, with its traceback."""

    run_id: str
    path: str
    model: str
    symmetry: str
    variant: str
    seed: int
    error: str
    alone: bool

    @property
    def family(self) -> Family:
        """The way the failed model was to get its symmetry."""
        return family_of(self.symmetry)

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
    variants = _variants({key: members[0].config for key, members in groups.items()})
    rows: list[Row] = []
    failures: list[Failure] = []
    for key, members in groups.items():
        finished = sorted((r for r in members if r.status == "finished"), key=lambda r: (r.seed, r.path))
        failed = sorted((r for r in members if r.status == "failed"), key=lambda r: (r.seed, r.path))
        if finished:
            rows.append(_row(finished, failed, variants[key]))
        failures.extend(_failure(record, variants[key], not finished) for record in failed)
    return tuple(rows), tuple(failures)


def configuration(record: Record) -> tuple[str, str, str]:
    """What makes two runs the same row: model label, symmetry label and the config without its seed."""
    without_seed = {key: value for key, value in record.config.items() if key != "seed"}
    return record.model, record.symmetry, json.dumps(without_seed, sort_keys=True, ensure_ascii=False)


def _row(finished: list[Record], failed: list[Record], variant: str) -> Row:
    first = finished[0]
    metrics = [record.metric for record in finished if record.metric is not None]
    seconds = [record.seconds for record in finished if record.seconds is not None]
    mark_names = dict.fromkeys(name for metric in metrics for name in metric.marks)
    split_names = dict.fromkeys(name for metric in metrics for name in metric.splits)
    metric = Statistic.of(m.value for m in metrics)
    assert metric is not None, "a finished record has a finite value"
    sides = {
        name: {side: _over(m.marks.get(name, {}).get(side) for m in metrics) for side in ("with", "without")}
        for name in mark_names
    }
    splits = {name: _over(m.splits.get(name) for m in metrics) for name in split_names}
    others = [{(each.name, each.unit): each for each in m.further} for m in metrics]
    further = {name: _over(each.get(name) for each in others) for name in dict.fromkeys(n for o in others for n in o)}
    train = Statistic.of(s.train for s in seconds)
    inference = Statistic.of(s.inference for s in seconds)
    epochs = Statistic.of((record.validation or {}).get("best_epoch") for record in finished)
    return Row(
        model=first.model,
        symmetry=first.symmetry,
        variant=variant,
        config={key: value for key, value in first.config.items() if key != "seed"},
        metric=metric,
        marks={name: {s: v for s, v in both.items() if v} for name, both in sides.items() if any(both.values())},
        splits={name: value for name, value in splits.items() if value},
        further={name: value for name, value in further.items() if value},
        equivariance=_symmetry_error([r.equivariance for r in finished]),
        equivariance_own=_symmetry_error([r.equivariance_own for r in finished]),
        equivariance_before=_symmetry_error([r.equivariance_before for r in finished]),
        params=next((r.params for r in finished if r.params is not None), None),
        train_seconds=train.mean if train else None,
        inference_seconds=inference.mean if inference else None,
        batch_size=next((s.batch_size for s in seconds if s.batch_size is not None), None),
        threads=next((s.threads for s in seconds if s.threads is not None), None),
        best_epoch=epochs.mean if epochs else None,
        seeds=tuple(record.seed for record in finished),
        failed_seeds=tuple(record.seed for record in failed),
        runs=tuple(record.run_id for record in finished),
        alignments=tuple(record.alignment for record in finished if record.alignment is not None),
    )


def _over(measured: Iterable[Measured | None]) -> Statistic | None:
    return Statistic.of(item.value for item in measured if item is not None)


def _symmetry_error(parts: list[SymmetryErrorOfRun | None]) -> SymmetryError | None:
    present = [part for part in parts if part is not None]
    if not present:
        return None

    seeds = {name: Statistic.of(getattr(part, name) for part in present) for name in ("E", "E_prime", "relative")}
    stated = {
        name: [part.standard_errors[name].se for part in present if name in part.standard_errors] for name in seeds
    }
    known = {name: Statistic.of(values) for name, values in stated.items()}
    worst = [part.worst for part in present if part.worst is not None]
    first = present[0]
    return SymmetryError(
        group=first.group,
        **{name: summary.mean if summary else None for name, summary in seeds.items()},
        worst=max(worst) if worst else None,
        num_items=first.num_items,
        num_samples=first.num_samples,
        dtype=first.dtype,
        seeds={name: summary for name, summary in seeds.items() if summary},
        standard_errors={name: summary.mean for name, summary in known.items() if summary},
    )


def _failure(record: Record, variant: str, alone: bool) -> Failure:
    error = record.error or ""
    return Failure(record.run_id, record.path, record.model, record.symmetry, variant, record.seed, error, alone)


def _variants(configs: Mapping[tuple[str, str, str], Mapping[str, Any]]) -> dict[tuple[str, str, str], str]:
    """What tells configurations with equal labels apart: the settings in which they differ."""
    namesakes: dict[tuple[str, str], list[tuple[str, str, str]]] = defaultdict(list)
    for key in configs:
        namesakes[key[:2]].append(key)
    variants = {}
    for keys in namesakes.values():
        flat = {key: _flat({k: v for k, v in configs[key].items() if k != "seed"}) for key in keys}
        names = sorted({name for settings in flat.values() for name in settings})
        differing = [name for name in names if len({flat[key].get(name) for key in keys}) > 1]
        for key in keys:
            variants[key] = ", ".join(f"{name}={flat[key][name]}" for name in differing if name in flat[key])
    return variants


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, Mapping) and value:
        parts = (_flat(item, f"{prefix}.{name}" if prefix else str(name)) for name, item in value.items())
        return {name: text for part in parts for name, text in part.items()}
    return {prefix: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}
