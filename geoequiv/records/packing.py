"""Pack a results folder: all records in one file, logs in one table, items in one archive."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geoequiv.config import read_yaml
from geoequiv.errors import ConfigError, DataError
from geoequiv.files import write_file
from geoequiv.records.identity import identity
from geoequiv.records.items import Items, encoded, packed_items
from geoequiv.records.logs import PACKED_LOGS, Rows, packed_logs, packed_table
from geoequiv.records.reading import PACKED, LeftOut, Records, read
from geoequiv.records.run_directory import CONFIG, ITEMS, LOG, RECORD
from geoequiv.records.schema import Record

#: all that a run directory may hold to be deleted once it is packed
PACKABLE = {CONFIG, RECORD, LOG, ITEMS, ".lock"}


@dataclass(frozen=True)
class Packed:
    """What was packed.

    Attributes:
        files: written, in their order.
        records: how many records.
        logs: how many of their logs.
        items: how many of their items.
        left_out: records that could not be read; their run directories stay.
        unfinished: run directories without a record; they stay.
        deleted: run directories that were deleted.
        kept: packed run directories that hold more than what is packed, such as a checkpoint.
    """

    files: tuple[Path, ...]
    records: int
    logs: int
    items: int
    left_out: tuple[LeftOut, ...]
    unfinished: tuple[str, ...]
    deleted: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()


def pack(directory: Path, output: Path | None = None, delete: bool = False) -> Packed:
    """Write the records, logs and items of a results folder as three files; equal contents give equal bytes.

    What is packed already is packed again with what is new. What was written is read back and compared before
    anything is deleted.

    Args:
        directory: a results folder.
        output: where to; the folder itself if None.
        delete: delete the run directories that hold nothing else.

    Raises:
        DataError: nothing can be packed, a file cannot be read or written, or what was written reads otherwise.
    """
    if not directory.is_dir():
        raise DataError(f"No results folder at '{directory}' to pack.")
    if delete and output is not None and output.resolve() != directory.resolve():
        raise DataError(
            "Run directories are deleted only where their packed files are: leave out --output or --delete."
        )
    found = read(directory)
    output = output or directory
    logs = {each.run_id: rows for each in found.records if (rows := found.log(each))}
    items = {each.run_id: values for each in found.records if (values := found.items(each))}
    files = _write(output, found, logs, items)
    _compare(output, found, logs, items)
    deleted, kept = _delete(found) if delete else ((), ())
    return Packed(
        files, len(found.records), len(logs), len(items), found.left_out, found.unfinished, deleted, kept
    )  # fmt: skip


def _write(output: Path, found: Records, logs: Mapping[str, Rows], items: Mapping[str, Items]) -> tuple[Path, ...]:
    """The records last: until then a reader sees the former ones."""
    contents: list[tuple[str, str | bytes]] = []
    if logs:
        contents.append((PACKED_LOGS, packed_table(logs)))
    if items:
        arrays = {f"{run_id}/{name}": each for run_id, values in items.items() for name, each in values.items()}
        contents.append((ITEMS, encoded(arrays)))
    records = sorted(found.records, key=lambda record: record.run_id)
    contents.append((PACKED, "".join(f"{record.text()}\n" for record in records)))
    for name, content in contents:
        write_file(output / name, content)
    return tuple(output / name for name, _ in contents)


def _compare(output: Path, found: Records, logs: Mapping[str, Rows], items: Mapping[str, Items]) -> None:
    again = {record.run_id: record for record in read(output / PACKED).records}
    table = packed_logs(output / PACKED_LOGS) if logs else {}
    for record in found.records:
        run = record.run_id
        same = _plain(again.get(run)) == _plain(record) and _rows(table.get(run)) == _rows(logs.get(run))
        if not same or not _equal(packed_items(output / ITEMS, run) if items else None, items.get(run)):
            raise DataError(f"What was packed in '{output}' reads otherwise than '{found.directory(record)}' does.")


def _plain(record: Record | None) -> dict[str, Any] | None:
    return record.as_json() if record else None


def _rows(rows: Rows | None) -> list[dict[str, str]] | None:
    """Without empty cells: a column that was never filled is not packed."""
    return [{name: cell for name, cell in row.items() if cell} for row in rows] if rows else None


def _equal(first: Items | None, second: Items | None) -> bool:
    if first is None or second is None:
        return first is second
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def _delete(found: Records) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    deleted, kept = [], []
    for record in found.records:
        run = found.directory(record)
        if not (run / RECORD).exists():  # it was packed before
            continue
        if {each.name for each in run.iterdir()} <= PACKABLE and _configured_as(record, run / CONFIG):
            shutil.rmtree(run)
            deleted.append(run)
        else:
            kept.append(run)
    return tuple(deleted), tuple(kept)


def _configured_as(record: Record, config: Path) -> bool:
    """Whether the run's config.yaml says nothing that its record does not."""
    if not config.exists():
        return True
    try:
        content = read_yaml(config).data
    except ConfigError:
        return False
    return isinstance(content, Mapping) and identity(content) == record.identity
