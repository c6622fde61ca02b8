"""The directory of one run: config.yaml, record.json, log.csv, checkpoint.ckpt, items.npz; whole files."""

from pathlib import Path

from geoequiv.errors import DataError
from geoequiv.files import write_file
from geoequiv.records.reading import LeftOut, read_file
from geoequiv.records.schema import Record

CONFIG, RECORD, LOG, CHECKPOINT = "config.yaml", "record.json", "log.csv", "checkpoint.ckpt"
#: the checkpoint before the last one, kept while a run is trained
FORMER = "checkpoint.former.ckpt"
#: numbers per test item; in a results folder, those of all packed runs, under `<run id>/<name>`
ITEMS = "items.npz"


def read_record(directory: Path) -> Record:
    """The record in a run directory, of whichever schema.

    Raises:
        DataError: it cannot be read.
    """
    path = directory / RECORD
    outcome = read_file(path, f"{directory.name}/{RECORD}")
    if isinstance(outcome, LeftOut):
        reason = outcome.reason
        raise DataError(f"Cannot read {path}: {reason}. Delete its run directory to have the run done again.")
    return outcome


def write_record(directory: Path, record: Record) -> None:
    """Write the record of a run directory in one step: a reader sees the former one or this one.

    Raises:
        DataError: it cannot be written.
    """
    write_file(directory / RECORD, record.text(indent=1) + "\n")
