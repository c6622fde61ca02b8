"""Simulated data on disk: named by its parameters, checksummed, written atomically, rebuilt when damaged.

A file holds one npz archive: the arrays, and under `HEADER` a JSON text with task, parameters and checksum. Its name is
the task and a hash of everything that determines the content, so two different data sets never share a file. Several
processes may build the same file at once: each writes its own temporary file and renames it, and the last rename wins
with the same content.
"""

import hashlib
import json
import os
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoequiv.archives import read_arrays
from geoequiv.errors import DataError
from geoequiv.files import replace_file

Arrays = dict[str, NDArray[Any]]

FORMAT = 1  # raise when the layout of the file changes
HEADER = "header"
OURS = re.compile(r"-[0-9a-f]{12}\.npz$")  # how the files of `cache_path` end
OWN = "none is needed: simulated on your machine"  # what the card of simulated data says of its licence
# what numpy, zipfile and json raise on a truncated, overwritten or foreign file
_ARCHIVE = (OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error, struct.error)
UNREADABLE = (*_ARCHIVE, ValueError, LookupError, TypeError, AttributeError)


class Cached(NamedTuple):
    """Arrays by name, their sha256, and the file they are stored in."""

    arrays: Arrays
    checksum: str
    path: Path


class Entry(NamedTuple):
    """One file of a data directory; `status` is "ok" or "damaged: <reason>"."""

    task: str
    path: Path
    bytes: int
    status: str


def data_directory(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The argument, else $GEOEQUIV_DATA, else ~/.cache/geoequiv."""
    chosen = data_dir or os.environ.get("GEOEQUIV_DATA") or Path.home() / ".cache" / "geoequiv"
    return Path(chosen).expanduser()


def cache_path(task: str, parameters: Mapping[str, Any], data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where data of this task with these parameters (JSON values, among them a simulator version) belongs."""
    identity = canonical_json({"format": FORMAT, "task": task, "parameters": dict(parameters)})
    digest = hashlib.sha256(identity.encode()).hexdigest()
    return data_directory(data_dir) / f"{task.replace('/', '-')}-{digest[:12]}.npz"


def load_or_build(
    task: str,
    parameters: Mapping[str, Any],
    build: Callable[[], Arrays],
    data_dir: str | os.PathLike[str] | None = None,
) -> Cached:
    """The stored arrays of a task, built and stored first if they are absent or damaged.

    Args:
        task: name of the task.
        parameters: everything that determines the arrays, as JSON values, including the version of the simulator.
        build: makes the arrays; called only if needed.
        data_dir: see `data_directory`.

    Raises:
        DataError: the directory or file cannot be written; names the path and what to do.

    A damaged file is named in a warning and kept beside the new one with the ending ".damaged".
    """
    path = cache_path(task, parameters, data_dir)
    if os.path.exists(path):
        try:
            header, arrays = _read(path)
            if header["task"] == task and header["parameters"] == json.loads(canonical_json(dict(parameters))):
                return Cached(arrays, header["checksum"], path)
            raise DataError(f"{path} belongs to other parameters: {canonical_json(header)}.")
        except DataError as error:
            set_aside(path, str(error))
    _prepare(path)
    arrays = {name: np.ascontiguousarray(array) for name, array in build().items()}
    header = {"format": FORMAT, "task": task, "parameters": dict(parameters), "checksum": checksum(arrays)}
    content: dict[str, Any] = {HEADER: np.array(canonical_json(header)), **arrays}
    write_atomically(path, lambda file: np.savez(file, **content))
    return Cached(arrays, header["checksum"], path)


def load_or_compute(path: Path, key: str, compute: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Numbers derived from a data file, kept in the JSON file `path`; recomputed if that belongs to another `key`.

    The numbers are returned even if the file cannot be written (a read-only data directory): then a warning says so.
    """
    if os.path.exists(path):
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["key"] == key and "checksum" in stored:  # former versions wrote none
                if stored["checksum"] != _sum_of(stored):
                    raise ValueError("its checksum does not match")
                return {name: float(value) for name, value in stored["values"].items()}
        except UNREADABLE as error:
            set_aside(path, f"{path} cannot be read ({type(error).__name__}: {error}).")
    values = compute()
    content: dict[str, Any] = {"key": key, "values": values}
    text = json.dumps({**content, "checksum": _sum_of(content)}, indent=1, allow_nan=False)
    try:
        write_atomically(path, lambda file: file.write(text.encode()))
    except DataError as error:
        warnings.warn(f"Computed but not kept. {error}", stacklevel=2)
    return values


def list_cached(data_dir: str | os.PathLike[str] | None = None) -> list[Entry]:
    """Every simulated data file of a directory, verified, sorted by path; empty if the directory does not exist.

    They are recognised by their names (see `cache_path`): other .npz files are a user's own.
    """
    return [
        Entry(_task_of(path), path, path.stat().st_size, verify(path))
        for path in sorted(data_directory(data_dir).glob("*.npz"))
        if OURS.search(path.name)
    ]


def verify(path: str | os.PathLike[str]) -> str:
    """Give "ok" if the file reads and its arrays match its checksum, else "damaged: <reason>"."""
    try:
        _read(Path(path))
    except DataError as error:
        return f"damaged: {error}"
    return "ok"


def checksum(arrays: Mapping[str, NDArray[Any]]) -> str:
    """sha256 over name, dtype, shape and bytes of each array, in the order of names; little-endian."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def write_atomically(path: Path, write: Callable[[Any], Any]) -> None:
    """Write a file so that readers see all of it or nothing (see `replace_file`).

    Raises:
        DataError: it cannot be written; names the path and what to do.
    """
    try:
        replace_file(path, write)
    except OSError as error:
        raise _unwritable(path, error) from error


def set_aside(path: Path, reason: str) -> None:
    """Rename a damaged file to *.damaged and warn with its path."""
    aside = path.with_name(path.name + ".damaged")
    try:
        os.replace(path, aside)
    except FileNotFoundError:
        return  # another process has set it aside already
    except OSError as error:
        raise _unwritable(path, error) from error
    warnings.warn(f"Damaged data file: {reason} It is kept as {aside} and rebuilt.", stacklevel=3)


def _read(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Header and arrays of a file that matches its checksum; DataError otherwise."""
    try:
        arrays = read_arrays(path)
        header = json.loads(str(arrays.pop(HEADER)))
        expected = header["checksum"], header["task"], header["parameters"]
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error}).") from error
    if checksum(arrays) != expected[0]:
        raise DataError(f"{path} does not match its checksum.")
    return header, arrays


def _sum_of(content: Mapping[str, Any]) -> str:
    """sha256 of derived numbers with their key."""
    return hashlib.sha256(canonical_json({name: content[name] for name in ("key", "values")}).encode()).hexdigest()


def _task_of(path: Path) -> str:
    """Task name in a file's header; from the file name if the header cannot be read."""
    try:
        return str(json.loads(str(read_arrays(path, lambda name: name == HEADER)[HEADER]))["task"])
    except UNREADABLE:
        return path.stem.rpartition("-")[0].replace("-", "/", 1)


def _prepare(path: Path) -> None:
    """Make sure that the directory can be written before minutes of simulation are spent."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _unwritable(path, PermissionError("permission denied"))


def _unwritable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"Cannot write data file {path} ({error.strerror or error}). "
        "Free it, or name another folder: data_dir=… or the environment variable GEOEQUIV_DATA."
    )
