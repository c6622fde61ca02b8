"""The directory of one run: config.yaml, record.json, log.csv, checkpoint.ckpt, items.npz; one lock, whole files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geoequiv.errors import DataError, RunError
from geoequiv.files import write_file
from geoequiv.records.reading import LeftOut, read_file
from geoequiv.records.schema import Record

CONFIG, RECORD, LOG, CHECKPOINT = "config.yaml", "record.json", "log.csv", "checkpoint.ckpt"
#: the checkpoint before the last one, kept while a run is trained
FORMER = "checkpoint.former.ckpt"
#: numbers per test item; in a results folder, those of all packed runs, under `<run id>/<name>`
ITEMS = "items.npz"


class RunLocked(RunError):
    """Another process is at work on this run."""


@contextmanager
def locked_directory(directory: Path, timeout: float = 3.0) -> Iterator[None]:
    """Hold a run directory for this process alone; it is made if it is not there.

    The lock belongs to the operating system and ends with the process that holds it, however that dies.

    Raises:
        RunLocked: another process holds it.
        DataError: it cannot be written, or is a symbolic link: what a run writes stays in its results folder.
    """
    from filelock import FileLock, Timeout  # loads asyncio

    try:
        directory.mkdir(parents=True, exist_ok=True)
        if directory.is_symlink():
            raise DataError(
                f"The run directory '{directory}' is a symbolic link to '{directory.readlink()}': what a run writes "
                "stays in its results folder. Remove the link; --output puts the whole folder elsewhere."
            )
        lock = FileLock(directory / ".lock", timeout=timeout)
        lock.acquire()
    except Timeout as error:
        raise RunLocked(f"The run in '{directory}' is held by another process.") from error
    except OSError as error:
        raise DataError(f"Cannot write in '{directory}': {error.strerror}.") from error
    try:
        yield
    finally:
        lock.release()


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
