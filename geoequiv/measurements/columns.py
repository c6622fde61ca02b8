"""The columns that the numbers of some rows fill, in the order of the table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geoequiv.measurements.formats import FORMATS, Format
from geoequiv.measurements.measurement import Measurement
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
