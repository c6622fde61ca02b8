"""Run directories named by their content, records written atomically and last, one lock per run."""

import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout

from geoequiv.bench.spec import RunSpec
from geoequiv.errors import DataError, RunError
from geoequiv.files import replace_file
from geoequiv.training.checkpoint import load_checkpoint

#: Files of one attempt at a run; a failed attempt's are set aside before the next one.
ATTEMPT = ("record.json", "log.csv", "checkpoint.ckpt")
FAILED = re.compile(r"failed-\d+").fullmatch


class RunLocked(RunError):
    """Another process is training this run."""


@dataclass(frozen=True)
class Store:
    """The output folder of suites: `root/<run id>/{config.yaml, record.json, log.csv, checkpoint.ckpt}`."""

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

    def directory(self, spec: RunSpec) -> Path:
        """The run's directory, whether or not it is there yet."""
        return self.root / spec.run_id

    def record(self, spec: RunSpec) -> dict[str, Any] | None:
        """The run's record, or None if it has not come to its end.

        Raises:
            DataError: there is a record, but it cannot be read.
        """
        directory = self.directory(spec)
        return read_record(directory) if (directory / "record.json").exists() else None

    def state(self, spec: RunSpec) -> str:
        """One of "new", "half-finished", "finished", "failed"."""
        record = self.record(spec)
        if record is not None:
            return "finished" if record.get("status") == "finished" else "failed"
        return "half-finished" if (self.directory(spec) / "checkpoint.ckpt").exists() else "new"

    @contextmanager
    def locked(self, spec: RunSpec, timeout: float = 3.0) -> Iterator[Path]:
        """Hold the run's directory, with its config.yaml in it, for this process alone.

        The lock belongs to the operating system and ends with the process that holds it, however that dies.

        Raises:
            RunLocked: another process holds it.
            DataError: the directory cannot be written.
        """
        directory = self.directory(spec)
        with locked_folder(directory, timeout):
            config = directory / "config.yaml"
            if not config.exists():
                write_atomically(config, yaml.safe_dump(spec.config, sort_keys=False, allow_unicode=True))
            yield directory

    def set_aside(self, spec: RunSpec) -> None:
        """Move a failed attempt into `failed-<k>/`, so that the next one starts anew and nothing is overwritten.

        A training that had come to its end stays, with its log: only the record is moved.
        """
        directory = self.directory(spec)
        moved = ("record.json",) if trained_to_the_end(directory / "checkpoint.ckpt") else ATTEMPT
        present = [directory / name for name in moved if (directory / name).exists()]
        if not present:
            return
        numbers = [int(each.name.removeprefix("failed-")) for each in directory.glob("failed-*") if FAILED(each.name)]
        aside = directory / f"failed-{1 + max(numbers, default=0)}"
        aside.mkdir()
        for path in sorted(present, key=lambda each: each.name == "record.json"):
            os.replace(path, aside / path.name)

    def write_record(self, spec: RunSpec, record: dict[str, Any]) -> None:
        """Write record.json: atomically, and as the last thing a run does."""
        write_record(self.directory(spec), record)


def trained_to_the_end(checkpoint: Path) -> bool:
    """Whether there is a checkpoint after whose training only the measuring is left; a damaged one is none."""
    if not checkpoint.exists():
        return False
    try:
        content = load_checkpoint(checkpoint, torch.device("cpu"))
    except DataError:
        return False
    return bool(content["progress"]["finished"])


@contextmanager
def locked_folder(directory: Path, timeout: float = 3.0) -> Iterator[None]:
    """Hold a run's folder for this process alone; it is made if it is not there.

    Raises:
        RunLocked: another process holds it.
        DataError: it cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
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


def read_record(directory: Path) -> dict[str, Any]:
    """The record in a run's folder.

    Raises:
        DataError: it cannot be read.
    """
    path = directory / "record.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read {path}: {error}. Delete its folder to have the run done again.") from error
    return record


def write_record(directory: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a run's folder in one step: a reader sees the former one or this one."""
    text = json.dumps(_finite(record), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(directory / "record.json", text + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that, whenever the machine stops, either none or all of it is there.

    Raises:
        DataError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda file: file.write(text.encode("utf-8")))
    except OSError as error:
        raise DataError(f"Cannot write {path}: {error.strerror}.") from error


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
