"""Runs of a results folder by their configuration, for ids that earlier versions made otherwise."""

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from geoequiv.config import read_yaml
from geoequiv.errors import ConfigError
from geoequiv.records.former_options import essential
from geoequiv.records.identity import identity
from geoequiv.records.reading import PACKED, LeftOut, packed_lines, read_run
from geoequiv.records.schema import Record

#: nanoseconds in which a folder may change again without another date
RECENT = 2_000_000_000


class Run(Protocol):
    """What is needed to know of a run (the bench's RunSpec has it)."""

    @property
    def run_id(self) -> str:
        """The directory's name, where the run is new."""

    @property
    def former_id(self) -> str:
        """The name that schema 1 gave it."""

    @property
    def key(self) -> str:
        """What its configuration has in common with those of all versions (see `key`)."""

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration."""


def run_directory(root: Path, run: Run) -> Path | None:
    """The directory of a run in a results folder, under whichever id it was made; None where there is none."""
    try:
        status = os.stat(root)
    except OSError:
        return None
    return _directories(root.absolute(), status.st_ino).find(run, status.st_mtime_ns)


def packed_record(root: Path, run: Run) -> Record | None:
    """The packed record of a run.

    Raises:
        DataError: the packed file cannot be read.
    """
    path = root / PACKED
    if not path.is_file():
        return None
    seen = path.stat()
    return _packed(path, seen.st_mtime_ns, seen.st_size).get(run.key)


def key(config: Mapping[str, Any]) -> str:
    """What two configurations of one run have in common, whichever version wrote them."""
    return identity(essential(config))


class RunDirectories:
    """The run directories of a results folder by the key of their run: each is read once, listed when some are new."""

    def __init__(self, root: Path) -> None:
        """Nothing is read yet."""
        self._root = root
        self._listed = 0
        self._present: set[str] = set()
        self._keys: dict[str, str] = {}  # of a directory's name; a configuration is written once and never changed
        self._names: dict[str, list[str]] = {}
        self._unread: dict[str, int] = {}  # directories without a configuration as yet → their date when looked at

    def find(self, run: Run, changed: int) -> Path | None:
        """The directory of a run; the first by name, where several are. `changed` is the date of the folder.

        What needs the run's configuration is asked last: a sweep of many new runs looks up their ids, and no more.
        """
        self._list(changed)
        if not self._present:
            return None
        if (found := self._one_of((run.run_id,))) is not None:
            return found
        self._read()
        names = self._names.get(run.key, ())
        return self._one_of((run.former_id, *names)) if names else None

    def _one_of(self, names: Iterable[str]) -> Path | None:
        present = (self._root / name for name in names if name in self._present)
        return next((each for each in present if each.is_dir()), None)

    def _read(self) -> None:
        """Look into the directories that have changed since they had no configuration."""
        for name in sorted(self._unread):
            with suppress(OSError):
                changed = os.stat(self._root / name).st_mtime_ns
                if changed != self._unread[name]:
                    self._unread[name] = changed if time.time_ns() - changed > RECENT else 0
                    with suppress(LookupError):
                        self._keys[name] = found = _key_of(self._root / name)
                        self._names[found] = sorted([*self._names.get(found, ()), name])
                        del self._unread[name]

    def _list(self, changed: int) -> None:
        """Look for new names, if the folder has changed; what changes soon after it was listed has no new date."""
        if changed == self._listed:
            return
        with os.scandir(self._root) as entries:
            self._present = {each.name for each in entries if each.is_dir()}
        self._unread |= dict.fromkeys(self._present - self._keys.keys() - self._unread.keys(), 0)
        self._listed = changed if time.time_ns() - changed > RECENT else 0


@lru_cache(maxsize=64)
def _directories(root: Path, inode: int) -> RunDirectories:
    """Those of a folder; `inode` tells when it is another of that name."""
    return RunDirectories(root)


def _key_of(directory: Path) -> str:
    """The key of a run directory.

    Raises:
        LookupError: it is no run directory, or not yet.
    """
    record = read_run(directory)
    if record is not None:
        return key(record.config)
    try:
        config = read_yaml(directory / "config.yaml").data
    except ConfigError as error:
        raise LookupError(directory) from error
    if not isinstance(config, Mapping):
        raise LookupError(directory)
    return key(config)


@lru_cache(maxsize=8)
def _packed(path: Path, changed: int, size: int) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for _, outcome in packed_lines(path):
        if not isinstance(outcome, LeftOut):
            found.setdefault(key(outcome.config), outcome)
    return found
