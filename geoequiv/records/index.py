"""Runs of a results folder by their configuration, for ids that earlier versions made otherwise."""

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from geoequiv.records.former_options import essential
from geoequiv.records.identity import identity
from geoequiv.records.reading import PACKED, LeftOut, packed_lines, read_run
from geoequiv.records.schema import Record


def run_directory(root: Path, config: Mapping[str, Any]) -> Path | None:
    """The directory in a results folder of a run with this task, model, symmetry, training and seed."""
    if not root.is_dir():
        return None
    wanted = key(config)
    found, begun = _directories(root, root.stat().st_mtime_ns)
    if wanted in found:
        return found[wanted]
    for directory in begun:
        with suppress(LookupError):
            if _key_of(directory) == wanted:
                return directory
    return None


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


@lru_cache(maxsize=8)
def _directories(root: Path, changed: int) -> tuple[dict[str, Path], tuple[Path, ...]]:
    """Key → run directory, and the directories without a configuration yet, until one is added or removed.

    A sweep looks up thousands of runs.
    """
    found: dict[str, Path] = {}
    begun: list[Path] = []
    for directory in sorted(each for each in root.iterdir() if each.is_dir()):
        try:
            found.setdefault(_key_of(directory), directory)
        except LookupError:
            begun.append(directory)
    return found, tuple(begun)


@lru_cache(maxsize=100_000)
def _key_of(directory: Path) -> str:
    """The key of a run directory, remembered: its configuration is written once and never changed.

    Raises:
        LookupError: it is no run directory, or not yet.
    """
    record = read_run(directory)
    if record is not None:
        return key(record.config)
    try:
        config = yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
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
