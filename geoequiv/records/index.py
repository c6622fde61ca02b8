"""Runs of a results folder by their configuration, for ids that earlier versions made otherwise."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from geoequiv.config import read_yaml
from geoequiv.errors import ConfigError
from geoequiv.records.former_options import essential
from geoequiv.records.identity import identity
from geoequiv.records.reading import PACKED, LeftOut, packed_lines, read_run
from geoequiv.records.schema import Record

#: nanoseconds in which a folder may change again without another date
RECENT = 2_000_000_000


def run_directory(root: Path, config: Mapping[str, Any]) -> Path | None:
    """The directory in a results folder of a run with this task, model, symmetry, training and seed."""
    if not root.is_dir():
        return None
    return _directories(root.resolve(), root.stat().st_ino).find(key(config))


def packed_record(root: Path, config: Mapping[str, Any]) -> Record | None:
    """The packed record of such a run.

    Raises:
        DataError: the packed file cannot be read.
    """
    path = root / PACKED
    if not path.is_file():
        return None
    seen = path.stat()
    return _packed(path, seen.st_mtime_ns, seen.st_size).get(key(config))


def key(config: Mapping[str, Any]) -> str:
    """What two configurations of one run have in common, whichever version wrote them."""
    return identity(essential(config))


class RunDirectories:
    """The run directories of a results folder by the key of their run: each is read once, listed when some are new."""

    def __init__(self, root: Path) -> None:
        """Nothing is read yet."""
        self._root = root
        self._listed = 0
        self._keys: dict[str, str] = {}  # of a directory's name; a configuration is written once and never changed
        self._names: dict[str, list[str]] = {}
        self._unread: set[str] = set()  # directories without a configuration, as yet

    def find(self, wanted: str) -> Path | None:
        """The directory of a run; the first by name, where several are."""
        self._list()
        for name in sorted(self._unread):
            with suppress(LookupError):
                self._keys[name] = found = _key_of(self._root / name)
                self._names[found] = sorted([*self._names.get(found, ()), name])
                self._unread.remove(name)
        present = (self._root / name for name in self._names.get(wanted, ()))
        return next((each for each in present if each.is_dir()), None)

    def _list(self) -> None:
        """Look for new names, if the folder has changed; what changes soon after it was listed has no new date."""
        changed = self._root.stat().st_mtime_ns
        if changed == self._listed:
            return
        with os.scandir(self._root) as entries:
            self._unread |= {each.name for each in entries if each.name not in self._keys and each.is_dir()}
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
