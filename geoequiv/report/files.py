"""Files of the reports, in folders that need not be there."""

from pathlib import Path

from geoequiv.files import replace_file


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one step; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, lambda file: file.write(content))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with plain line ends (see `write_bytes`)."""
    write_bytes(path, text.encode("utf-8"))
