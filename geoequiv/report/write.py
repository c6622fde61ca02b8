"""Render the leaderboards of a results folder, and write them to a file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from geoequiv.errors import ConfigError, DataError, unknown
from geoequiv.files import write_file
from geoequiv.records.reading import folder_of
from geoequiv.report.csv_table import render_csv
from geoequiv.report.html import render_html
from geoequiv.report.json_document import render_json
from geoequiv.report.leaderboard import Leaderboard, leaderboard
from geoequiv.report.markdown import render_markdown
from geoequiv.report.picture import render_picture

_RENDERERS: dict[str, Callable[[Sequence[Leaderboard]], Iterable[str]]] = {
    "html": render_html,
    "md": lambda boards: [render_markdown(boards)],
    "csv": lambda boards: [render_csv(boards)],
    "json": render_json,
    "svg": lambda boards: [render_picture(boards)],
}
FORMATS = tuple(_RENDERERS)


def render(directories: str | Path | Sequence[str | Path], format: str = "html") -> str:
    """The leaderboards of a results folder, or of several as one, as text; equal records give equal bytes.

    Args:
        directories: a results folder as `geoequiv run` writes it, or a sequence of them.
        format: "html", "md", "csv", "json", or "svg" (a picture for a README, of a folder with one protocol).

    Returns:
        One self-contained document with every protocol of the folder in a table of its own.

    Raises:
        ConfigError: the format is unknown.
        DataError: the folder is missing or holds no usable record.
    """
    check_formats([format])
    return "".join(_RENDERERS[format](leaderboard(*several(directories))))


def several(directories: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    """One folder as a sequence of one."""
    return [directories] if isinstance(directories, (str, Path)) else directories


def check_formats(formats: Sequence[str]) -> None:
    """Know all formats.

    Raises:
        ConfigError: one is unknown.
    """
    for each in formats:
        if each not in _RENDERERS:
            raise ConfigError(unknown("format", each, FORMATS))


def write(
    directories: str | Path | Sequence[str | Path], format: str = "html", output: str | Path | None = None
) -> Path:
    """Write the rendered leaderboards in one step: a reader sees the old file or the new one.

    Args:
        directories: as for `render`.
        format: as for `render`.
        output: the file to write; `DIR/leaderboard.<format>` in the first folder if None.

    Returns:
        The path written.

    Raises:
        ConfigError: the format is unknown.
        DataError: no usable record, or the file cannot be written.
    """
    path = Path(output) if output is not None else _beside(directories, format)
    check_formats([format])
    return _write(leaderboard(*several(directories)), format, path)


def write_all(directories: str | Path | Sequence[str | Path], formats: Sequence[str]) -> Iterator[Path]:
    """Write several formats of the leaderboards, `DIR/leaderboard.<format>` each: the records are read once.

    Yields:
        Each path, once it is written.

    Raises:
        ConfigError: a format is unknown; nothing is written then.
        DataError: no usable record, or a file cannot be written.
    """
    check_formats(formats)
    boards = leaderboard(*several(directories))
    for each in formats:
        yield _write(boards, each, _beside(directories, each))


def _beside(directories: str | Path | Sequence[str | Path], format: str) -> Path:
    return folder_of(several(directories)[0]) / f"leaderboard.{format}"


def _write(boards: Sequence[Leaderboard], format: str, path: Path) -> Path:
    if path.is_dir():
        raise DataError(f"Cannot write the leaderboard to '{path}': it is a folder. Give a file name.")
    write_file(path, _RENDERERS[format](boards), "the leaderboard")
    return path
