"""Logs of training: the log.csv of a run directory, or one compressed table of the logs of all packed runs."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from geoequiv.errors import DataError

#: The packed logs of a results folder.
PACKED_LOGS = "logs.csv.gz"
#: The column of the packed table that says whose row it is.
RUN = "run"
Rows = list[dict[str, str]]


def log_rows(run: Path) -> Rows | None:
    """The rows of a run's log, every number as it was written; None where there is no log of it.

    Args:
        run: its run directory, or, packed, where that would be in its results folder; or a log.csv.

    Raises:
        DataError: the log cannot be read.
    """
    path = run / "log.csv" if run.suffix != ".csv" else run
    if path.exists():
        return _read(path)
    packed = run.parent / PACKED_LOGS
    if not packed.exists():
        return None
    return packed_logs(packed).get(run.name)


def packed_logs(path: Path) -> dict[str, Rows]:
    """The logs of a packed table by run id.

    Raises:
        DataError: it cannot be read.
    """
    seen = path.stat()
    return _packed(path, seen.st_mtime_ns, seen.st_size)


def packed_table(logs: Mapping[str, Rows]) -> bytes:
    """Logs by run id as one compressed table: the column `run` and those of every log; equal logs give equal bytes."""
    columns = dict.fromkeys([RUN, *(name for each in sorted(logs) for row in logs[each] for name in row)])
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for run_id in sorted(logs):
        writer.writerows({RUN: run_id, **row} for row in logs[run_id])
    return gzip.compress(text.getvalue().encode("utf-8"), 9, mtime=0)


def _read(path: Path) -> Rows:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return _rows(file)
    except OSError as error:
        raise DataError(f"Cannot read the log '{path}': {error.strerror}.") from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"'{path}' is not the log of a run: {error}.") from error


@lru_cache(maxsize=8)
def _packed(path: Path, changed: int, size: int) -> dict[str, Rows]:
    """By run id, without the columns that a run has not logged; `changed` and `size` tell when the file is another."""
    found: dict[str, Rows] = {}
    try:
        with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
            for row in _rows(file):
                found.setdefault(row.pop(RUN), []).append(row)
        if not found:
            raise EOFError("it holds no row")
    except OSError as error:
        raise DataError(f"Cannot read the packed logs '{path}': {error.strerror or error}.") from error
    except (ValueError, KeyError, EOFError, zlib.error, csv.Error) as error:
        raise DataError(f"'{path}' holds no packed logs, or is damaged or truncated: {error}.") from error
    for run_id, rows in found.items():
        logged = [name for name in rows[0] if any(row[name] for row in rows)]
        found[run_id] = [{name: row[name] for name in logged} for row in rows]
    return found


def _rows(lines: Iterable[str]) -> Rows:
    reader = csv.DictReader(lines, strict=True)
    rows = list(reader)
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("a row has more or fewer cells than the header")
    return rows
