"""Files of a run directory, and the error if they cannot be written."""

from pathlib import Path

from geoequiv import files
from geoequiv.errors import RunError


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file in one step (see `geoequiv.files`); one process trains a run, so no other one writes its files.

    Raises:
        RunError: the file cannot be written; names the path and the reason.
    """
    try:
        files.replace_file(path, lambda file: file.write(content), alone=True)
    except OSError as error:
        raise RunError(f"Cannot write {path}: {error.strerror or error}.") from error


def make_folder(path: Path) -> None:
    """Create a folder with its parents.

    Raises:
        RunError: it cannot be created, or it is not a folder.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"Cannot create the folder {path}: {error.strerror or error}.") from error
