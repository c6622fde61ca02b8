"""Two results, row by row: which numbers changed, and whether beyond their standard errors."""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from geoequiv.measurements.columns import describe
from geoequiv.measurements.measurement import Measurement
from geoequiv.measurements.statistic import OverSeeds
from geoequiv.measurements.table import RANKING, measurement_of, position
from geoequiv.records import MetricOfRun, Number, Record
from geoequiv.records.index import key as run_key

#: a change beyond so many standard errors of the difference is one beyond them
BEYOND = 2.0
#: numbers that differ from run to run on any machine
TIMES = "seconds"
#: what decides numbers besides the configuration, as an environment has it
VERSIONS = ("geoequiv", "torch", "torch_geometric", "e3nn", "lightning", "numpy", "python")
MACHINE = ("device", "device_name", "precision", "threads", "cpu", "cores", "platform")
Verdict = Literal["equal", "within", "beyond", "unknown"]
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Change:
    """One number of a row in both results.

    Attributes:
        measurement: what it is.
        first, second: what stands for the common seeds.
        error: standard error of the difference; None where neither seeds nor measurements tell one.
        verdict: "equal" to the last digit; "within" two standard errors; "beyond" them; "unknown", where it differs
            and has no standard error. What has none by its nature (a count, a setting) is "beyond" when it differs.
    """

    measurement: Measurement
    first: float
    second: float
    error: float | None
    verdict: Verdict

    @property
    def is_time(self) -> bool:
        """Whether it is a time, which no run repeats."""
        return self.measurement.key.startswith(f"{TIMES}/")


@dataclass(frozen=True)
class RowChange:
    """A row that both results have.

    Attributes:
        seeds: common ones, over which the numbers are compared.
        changes: every number that both have, in the order of the table.
        missing: keys that only the first has, and only the second.
        notes: in what the two differ besides: data, settings of the measuring.
    """

    task: str
    protocol: str
    model: str
    method: str
    seeds: tuple[int, ...]
    changes: tuple[Change, ...]
    missing: tuple[tuple[str, ...], tuple[str, ...]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Two results.

    Attributes:
        rows: those in both.
        only: rows of the first alone, and of the second alone, as text.
        environment: versions and machines in which matched runs differ: name → their values in each.
    """

    rows: tuple[RowChange, ...]
    only: tuple[tuple[str, ...], tuple[str, ...]]
    environment: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]

    @property
    def changed(self) -> bool:
        """Whether a number other than a time changed beyond its standard error or has none, or no row is in both."""
        return not self.rows or any(
            each.verdict in ("beyond", "unknown") and not each.is_time for row in self.rows for each in row.changes
        )


def compare(
    first: Sequence[Record],
    second: Sequence[Record],
    items: tuple[Callable[[Record], Any], Callable[[Record], Any]] | None = None,
) -> Comparison:
    """Match the finished runs of two results by protocol, configuration and seed, and compare their numbers.

    Configurations match whatever is measured on the trained model, and whichever version wrote them. The standard
    error of a difference has both sources that are known: of the seeds (standard deviation over root of their number)
    and of the measurement (finite numbers of items and group elements), in both results. Of the metric, where both keep
    their test items on the same data, the measurement's is that of the paired differences, see `paired_error`.

    Args:
        first: records of the results to start from.
        second: records of the results to compare with them.
        items: what gives the items of a record of each (`Records.items`).
    """
    sides = [_by_row(first), _by_row(second)]
    common = [key for key in sides[0] if key in sides[1] and sides[0][key].keys() & sides[1][key].keys()]
    rows, matched = [], ([], [])  # type: tuple[list[RowChange], tuple[list[Record], list[Record]]]
    for key in common:
        seeds = sorted(sides[0][key].keys() & sides[1][key].keys())
        before, after = ([side[key][seed] for seed in seeds] for side in sides)
        rows.append(_row(before, after, _paired(before, after, items)))
        matched[0].extend(before)
        matched[1].extend(after)
    only = tuple(
        tuple(_named(members, sides[1 - i].get(key, {})) for key, members in side.items() if key not in common)
        for i, side in enumerate(sides)
    )
    return Comparison(tuple(rows), (only[0], only[1]), _environments(*matched))


def _by_row(records: Iterable[Record]) -> dict[Key, dict[int, Record]]:
    """Finished runs by task, protocol and configuration without the seed; then by seed."""
    found: dict[Key, dict[int, Record]] = defaultdict(dict)
    for record in records:
        if record.done:
            config = {name: value for name, value in record.config.items() if name != "seed"}
            found[record.task, record.protocol or "", run_key(config)][record.seed] = record
    return dict(found)


def _paired(before: list[Record], after: list[Record], items: Any) -> float | None:
    """Standard error of the mean difference of the metric over the test items, averaged over seeds."""
    if items is None:
        return None
    from geoequiv.records.items import paired_error  # numpy is imported where it is asked for

    found = []
    for pair in zip(before, after, strict=True):
        cards = {record.task_card.checksum if record.task_card else "" for record in pair}
        kept = [of(record) for of, record in zip(items, pair, strict=True)]
        error = paired_error(*kept) if len(cards) == 1 and all(each and "metric" in each for each in kept) else None
        if error is None:
            return None
        found.append(error)
    return math.hypot(*found) / len(found)


def _row(before: list[Record], after: list[Record], paired: float | None) -> RowChange:
    shown = after[-1]
    keys = [dict.fromkeys(key for record in side for key in record.numbers) for side in (before, after)]
    metric = shown.metric or MetricOfRun(name="metric")
    described = describe(metric, [record.described for record in (*after, *before)], [*keys[0], *keys[1]])
    both = sorted((key for key in keys[0] if key in keys[1]), key=position)
    return RowChange(
        task=shown.task,
        protocol=shown.protocol or "",
        model=shown.model,
        method=shown.method.label,
        seeds=tuple(record.seed for record in after),
        changes=tuple(
            _change(measurement_of(key, described.get(key)), before, after, paired if key == RANKING else None)
            for key in both
        ),
        missing=(tuple(key for key in keys[0] if key not in keys[1]), tuple(k for k in keys[1] if k not in keys[0])),
        notes=tuple(_notes(before, after)),
    )


def _change(measurement: Measurement, before: list[Record], after: list[Record], paired: float | None) -> Change:
    sides = [[each for record in side if (each := record.numbers.get(measurement.key))] for side in (before, after)]
    values = [[number.value for number in side] for side in sides]
    stand = [seen for side in sides if (seen := OverSeeds.of(measurement, side)) is not None]
    assert len(stand) == 2, "both results have the number"
    errors = [standard_error(side) for side in sides]
    known = [each for each in (*errors, paired) if each is not None]
    error = math.hypot(*known) if known else None
    difference = abs(stand[1].value - stand[0].value)
    verdict: Verdict
    if values[0] == values[1]:
        verdict = "equal"
    elif measurement.over_seeds == "first":
        verdict = "beyond"
    elif error is None:
        verdict = "unknown"
    else:
        verdict = "within" if difference <= BEYOND * error else "beyond"
    return Change(measurement, stand[0].value, stand[1].value, error, verdict)


def standard_error(numbers: Sequence[Number]) -> float | None:
    """Of the mean over seeds: from their spread and from the measurement of each; None where neither is known.

    >>> standard_error([Number(value=1.0, se=0.3), Number(value=1.0, se=0.4)])
    0.25
    """
    parts = []
    if len(numbers) > 1:
        parts.append(statistics.stdev(number.value for number in numbers) / math.sqrt(len(numbers)))
    measured = [number.se for number in numbers if number.se is not None]
    if len(measured) == len(numbers):
        parts.append(math.hypot(*measured) / len(numbers))
    return math.hypot(*parts) if parts else None


def _notes(before: list[Record], after: list[Record]) -> Iterable[str]:
    """What the two results of a row differ in, besides their numbers."""
    sums = [{record.task_card.checksum for record in side if record.task_card} for side in (before, after)]
    if sums[0] and sums[1] and sums[0] != sums[1]:
        yield f"other data: checksum {_short(sums[0])} became {_short(sums[1])}"
    settings = [_flat(side[0].settings) for side in (before, after)]
    for name in dict.fromkeys([*settings[0], *settings[1]]):
        if name.startswith(("measured_on", "evaluate.repeats")):
            continue
        values = [side.get(name) for side in settings]
        if values[0] != values[1] and None not in values:
            yield f"measured otherwise: {name} {values[0]} became {values[1]}"


def _environments(before: list[Record], after: list[Record]) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Versions and machines whose values differ."""
    found = {}
    for name in (*VERSIONS, *MACHINE):
        values = [
            tuple(sorted({str(record.environment[name]) for record in side if record.environment.get(name)}))
            for side in (before, after)
        ]
        if values[0] and values[1] and values[0] != values[1]:
            found[name] = (values[0], values[1])
    return found


def _named(members: Mapping[int, Record], others: Mapping[int, Record]) -> str:
    """A row that has no run in common with the other results."""
    record = next(iter(members.values()))
    seeds = ", ".join(map(str, sorted(members)))
    note = f" (there: seeds {', '.join(map(str, sorted(others)))})" if others else ""
    return f"{record.protocol}: {record.model} · {record.method.label} · seeds {seeds}{note}"


def _short(checksums: set[str]) -> str:
    return ", ".join(sorted(each[:12] for each in checksums))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found
