"""A results folder: run directories found by id or by configuration, written atomically, one lock per run."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from geoequiv.errors import DataError
from geoequiv.files import write_file
from geoequiv.records.index import Run, packed_record, run_directory
from geoequiv.records.locking import locked_directory
from geoequiv.records.run_directory import (
    CHECKPOINT,
    CONFIG,
    FORMER,
    ITEMS,
    LOG,
    RECORD,
    read_record,
    write_record,
)
from geoequiv.records.schema import Record

#: Files of one attempt at a run; those of a failed one are set aside before the next.
ATTEMPT = (RECORD, LOG, CHECKPOINT, FORMER, ITEMS)
FAILED = re.compile(r"failed-\d+").fullmatch


@dataclass(frozen=True)
class Store:
    """The output folder of suites: `root/<run id>/{config.yaml, record.json, log.csv, checkpoint.ckpt, items.npz}`.

    Packed records in it count as well; a run directory counts before the packed record of its run.
    """

    root: Path

    def prepare(self) -> None:
        """Make the folder, and prove that files can be written in it.

        Raises:
            DataError: they cannot.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.root, prefix=".probe-"):
                pass
        except OSError as error:
            reason = f"{error.strerror}. Choose another --output."
            raise DataError(f"Cannot write results to '{self.root}': {reason}") from error

    def directory(self, run: Run) -> Path:
        """The run's directory: the one that is there, under whichever id it was made, else that of its `run_id`."""
        return run_directory(self.root, run) or self.root / run.run_id

    def record(self, run: Run) -> Record | None:
        """The run's record, or None if it has neither finished nor failed.

        Raises:
            DataError: there is a record, but it cannot be read.
        """
        return self._record(run, run_directory(self.root, run))

    def _record(self, run: Run, directory: Path | None) -> Record | None:
        if directory is not None and (directory / RECORD).exists():
            return read_record(directory)
        return packed_record(self.root, run)

    def state(self, run: Run) -> str:
        """One of "new", "interrupted", "finished", "failed"."""
        directory = run_directory(self.root, run)
        record = self._record(run, directory)
        if record is not None:
            return record.status
        return "interrupted" if directory is not None and (directory / CHECKPOINT).exists() else "new"

    @contextmanager
    def locked(self, run: Run, timeout: float = 3.0) -> Iterator[Path]:
        """Hold the run's directory, with its config.yaml in it, for this process alone.

        Raises:
            RunLocked: another process holds it.
            DataError: the directory cannot be written.
        """
        directory = self.directory(run)
        with locked_directory(directory, timeout):
            if not (directory / CONFIG).exists():
                write_file(directory / CONFIG, yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True))
            yield directory

    def set_aside(self, run: Run) -> None:
        """Put a failed attempt into `failed-<k>/`: the next one starts anew, and nothing is overwritten.

        A finished training stays, with its log: then only the record is put there.
        """
        directory = self.directory(run)
        names = (RECORD,) if trained_to_the_end(directory / CHECKPOINT) else ATTEMPT
        present = [directory / name for name in names if (directory / name).exists()]
        if not present:
            return
        numbers = [int(each.name.removeprefix("failed-")) for each in directory.glob("failed-*") if FAILED(each.name)]
        aside = directory / f"failed-{1 + max(numbers, default=0)}"
        aside.mkdir()
        for path in sorted(present, key=lambda each: each.name == RECORD):
            os.replace(path, aside / path.name)

    def write_record(self, run: Run, record: Record) -> None:
        """Write record.json: atomically, and as the last thing a run does."""
        write_record(self.directory(run), record)


def trained_to_the_end(checkpoint: Path) -> bool:
    """Whether there is a checkpoint after whose training only the measuring is left; a damaged one is none."""
    if not checkpoint.exists():
        return False
    import torch  # records are read without it

    from geoequiv.training.checkpoint import load_checkpoint

    try:
        content: Mapping[str, Any] = load_checkpoint(checkpoint, torch.device("cpu"))
    except DataError:
        return False
    return bool(content["progress"]["finished"])
