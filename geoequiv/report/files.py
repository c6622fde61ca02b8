"""Files of the reports, in folders that need not be there."""

from collections.abc import Iterable
from pathlib import Path

from geoequiv.files import replace_file


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one step; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, lambda file: file.write(content))


def write_pieces(path: Path, pieces: Iterable[str]) -> None:
    """Write UTF-8 text that comes in pieces in one step; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, lambda file: file.writelines(piece.encode("utf-8") for piece in pieces))
