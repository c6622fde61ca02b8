"""The columns of a board in one format: its numbers, in the order of the table, and what a row says besides."""

from collections.abc import Callable
from dataclasses import dataclass

from geoequiv.measurements.columns import NumberColumn, columns_of
from geoequiv.report.leaderboard import Leaderboard
from geoequiv.report.rows import Row


@dataclass(frozen=True)
class Column:
    """A column of a board.

    Args:
        key: of the number, or the name of what a row says.
        title: its heading; name: what it is called where no heading of a group stands above it.
        heading: of its group.
        hint: one sentence for the tooltip.
        first: in which direction a first click sorts, "ascending" or "descending".
        sort: what a row sorts by, as text; empty sorts last.
        text: what a row shows; spread: what follows ±; note: a remark.
        number: the number behind it; None where it shows no number.
    """

    key: str
    title: str
    name: str
    heading: str
    hint: str
    first: str
    sort: Callable[[Row], str]
    text: Callable[[Row], str]
    spread: Callable[[Row], str]
    note: Callable[[Row], str]
    number: NumberColumn | None = None

    def text_with_spread(self, row: Row) -> str:
        """``value ± spread``."""
        return " ± ".join(filter(None, (self.text(row), self.spread(row))))


def board_columns(board: Leaderboard, form: str) -> list[Column]:
    """The columns of a board in "html", "md" or "svg"."""
    published = [reference.value for reference in board.references]
    numbers = columns_of([row.numbers for row in board.rows], board.described, form, published)
    return [*map(_of_number, numbers), *(SAID.get(form, ()))]


def _of_number(column: NumberColumn) -> Column:
    measurement = column.measurement

    def sort(row: Row) -> str:
        value = column.value(row.numbers)
        return "" if value is None else repr(value)

    return Column(
        column.key, str(measurement.title), str(measurement.name), measurement.heading, str(measurement.hint),
        "descending" if measurement.better == "higher" else "ascending", sort,
        lambda row: column.text(row.numbers), lambda row: column.spread(row.numbers), _nothing, column,
    )  # fmt: skip


def _nothing(row: Row) -> str:
    return ""


def _failed(row: Row) -> str:
    return f"{len(row.failed_seeds)} failed" if row.failed_seeds else ""


DEVICE = Column(
    "device", "device", "device", "Training", "Where it was trained and measured", "ascending",
    lambda row: row.device, lambda row: row.device or "–", _nothing, _nothing,
)  # fmt: skip
SEEDS = Column(
    "seeds", "seeds", "seeds", "", "Seeds that finished", "descending",
    lambda row: repr(float(row.metric.n)), lambda row: str(row.metric.n), _nothing, _failed,
)  # fmt: skip
#: what a row says besides its numbers, by format
SAID = {"html": (DEVICE, SEEDS), "md": (SEEDS,)}
