"""The columns that the numbers of some rows fill, in the order of the table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from geoequiv.measurements.formats import FORMATS, Format
from geoequiv.measurements.measurement import DESCRIBED, Measurement
from geoequiv.measurements.numbers import metric_title
from geoequiv.measurements.statistic import OverSeeds
from geoequiv.measurements.table import RANKING, measurement_of, position

Numbers = Mapping[str, OverSeeds]


@dataclass(frozen=True)
class NumberColumn:
    """A column: what it shows, and how its values are written."""

    measurement: Measurement
    format: Format

    @property
    def key(self) -> str:
        """The key of its number."""
        return self.measurement.key

    def value(self, numbers: Numbers) -> float | None:
        """The number of a row; None where the row has none."""
        found = numbers.get(self.key)
        return found.value if found else None

    def text(self, numbers: Numbers) -> str:
        """The number of a row as text, – where the row has none."""
        found = numbers.get(self.key)
        return self.format.value(found.value) if found else "–"

    def spread(self, numbers: Numbers) -> str:
        """What follows ±, as text; empty where there is nothing to say."""
        found = numbers.get(self.key)
        spread = found.spread(self.measurement) if found else None
        if found is None or spread is None or (not spread and self.measurement.spread == "se"):
            return ""
        return self.format.spread(found.value, spread)

    def text_with_spread(self, numbers: Numbers) -> str:
        """``value ± spread``."""
        return " ± ".join(filter(None, (self.text(numbers), self.spread(numbers))))


def columns_of(
    rows: Sequence[Numbers],
    described: Mapping[str, Mapping[str, Any]],
    form: str | None = None,
    beside: Sequence[float] = (),
) -> list[NumberColumn]:
    """The columns of a format.

    Args:
        rows: the numbers of each row.
        described: what the records say of numbers, by key (see `measurement_of`).
        form: "html", "md", "svg", "terminal"; None for every number that a row has.
        beside: further values of the number that ranks, which share its decimals: published ones.
    """
    keys = sorted(dict.fromkeys(key for row in rows for key in row), key=position)
    ranking = [row[RANKING].value for row in rows if RANKING in row] + list(beside)
    columns = []
    for key in keys:
        measurement = measurement_of(key, described.get(key))
        if form is not None and not measurement.shown_in(form):
            continue
        own = [row[key].value for row in rows if key in row]
        values = ranking if measurement.format == "metric" else own
        columns.append(NumberColumn(measurement, FORMATS[measurement.format](values)))
    return columns


class Ranking(Protocol):
    """The number that ranks: a task's metric, as a record names it."""

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def better(self) -> Any: ...


def describe(metric: Ranking, records: Iterable[Mapping[str, Any]], keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What is known of numbers beside the table: the name and unit of the metric, and what records say.

    Args:
        metric: of the board.
        records: `described` of each record, by key; the first that has a key counts.
        keys: of all numbers; the parts of the metric have its unit and direction.
    """
    found: dict[str, dict[str, Any]] = {}
    for described in records:
        for key, about in described.items():
            if key not in found:
                found[key] = {name: getattr(about, name, None) for name in DESCRIBED}
    title = metric_title(metric.name, metric.unit)
    about_metric = {"unit": metric.unit, "better": metric.better}
    for key in keys:
        if key.startswith(f"{RANKING}/") and key not in found:
            found[key] = about_metric
    found[RANKING] = {
        **about_metric, "title": title, "name": f"test {title}",
        "hint": f"Test {title}, mean ± sample standard deviation over seeds; {metric.better} is better",
    }  # fmt: skip
    for key, about in found.items():
        if key.startswith(f"{RANKING}/further/") and about.get("title"):
            about["title"] = metric_title(about["title"], about.get("unit") or "")
    return found
