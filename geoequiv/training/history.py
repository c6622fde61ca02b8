"""log.csv: one row per epoch, the same with and without an interruption (hence without timings)."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from geoequiv.errors import RunError
from geoequiv.training.files import replace_file
from geoequiv.training.progress import Row


class History:
    """Writes rows to a CSV file as they come.

    Args:
        path: the file.
        columns: names of all columns, in order; a row that lacks one leaves it empty.
        rows: of the checkpoint: they replace the content of the file.

    Raises:
        RunError: the file cannot be written.
    """

    def __init__(self, path: Path, columns: Sequence[str], rows: Iterable[Row] = ()) -> None:
        self.columns = tuple(columns)
        text = ",".join(self.columns) + "\n" + "".join(map(self._line, rows))
        replace_file(path, text.encode())
        self._file = path.open("a", encoding="utf-8", newline="")

    def append(self, row: Row) -> None:
        """Add one row; it is flushed when the call returns."""
        try:
            self._file.write(self._line(row))
            self._file.flush()
        except OSError as error:
            raise RunError(f"Cannot write {self._file.name}: {error.strerror or error}.") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _line(self, row: Row) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(
            ["" if row.get(name) is None else repr(row[name]) for name in self.columns]
        )
        return text.getvalue()
