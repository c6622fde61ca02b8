"""Files that a reader sees as they were or as they are, never half written."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from geoequiv.errors import DataError


def replace_file(path: Path, write: Callable[[Any], object], *, alone: bool = False) -> None:
    """Write a file in one step: a temporary neighbour, fsync, rename over the file, fsync of the folder.

    Whenever the machine stops, the file has its former content or the new one. Who may read it is left to the umask.

    Args:
        path: the file; its folder must be there.
        write: puts all of the content into the binary file that it is given.
        alone: nobody else writes this file at the same time. The neighbour then has one name, so that what a kill
            leaves behind is overwritten the next time.

    Raises:
        OSError: it cannot be written; the former file stands. Whatever `write` raises, likewise.
    """
    mark = "" if alone else f"{os.getpid()}-{secrets.token_hex(4)}."
    temporary = path.with_name(f".{path.name}.{mark}tmp")
    try:
        with open(temporary, "wb" if alone else "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    with suppress(OSError):  # systems without it take the rename for final
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file in one step (see `replace_file`); its folder is made, text is UTF-8 with plain line ends.

    Raises:
        DataError: it cannot be written.
    """
    encoded = content.encode("utf-8") if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda file: file.write(encoded))
    except OSError as error:
        raise DataError(f"Cannot write {path}: {error.strerror}.") from error
