"""Files that a reader sees as they were or as they are, never half written."""

import os
import secrets
from collections.abc import Callable, Iterable
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
            leaves behind is removed the next time.

    A symbolic link in the place of the file or of its neighbour is replaced; what it points to is left alone.

    Raises:
        OSError: it cannot be written; the former file stands. Whatever `write` raises, likewise.
    """
    mark = "" if alone else f"{os.getpid()}-{secrets.token_hex(4)}."
    temporary = path.with_name(f".{path.name}.{mark}tmp")
    try:
        if alone:
            temporary.unlink(missing_ok=True)
        with open(temporary, "xb") as file:  # an error, and not a way out of the folder, if there is a link
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


def write_file(path: Path, content: str | bytes | Iterable[str], what: str = "") -> None:
    """Write a file in one step (see `replace_file`); its folder is made, text is UTF-8 with plain line ends.

    Args:
        path: the file.
        content: bytes, text, or text in pieces.
        what: what the error calls the content, such as "the figure".

    Raises:
        DataError: it cannot be written.
    """
    pieces = [content] if isinstance(content, (str, bytes)) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda file: file.writelines(map(_encoded, pieces)))
    except OSError as error:
        raise DataError(f"Cannot write {what}{' to ' if what else ''}'{path}': {error.strerror}.") from error


def _encoded(piece: str | bytes) -> bytes:
    return piece.encode("utf-8") if isinstance(piece, str) else piece
