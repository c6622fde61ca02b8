"""Render the leaderboards of a results folder, and write them to a file."""

from collections.abc import Sequence
from pathlib import Path

from geoequiv.errors import ConfigError, DataError, unknown
from geoequiv.records.reading import folder_of
from geoequiv.report.csv_table import render_csv
from geoequiv.report.files import write_text
from geoequiv.report.html import render_html
from geoequiv.report.json_document import render_json
from geoequiv.report.leaderboard import leaderboard
from geoequiv.report.markdown import render_markdown
from geoequiv.report.picture import render_picture

_RENDERERS = {"html": render_html, "md": render_markdown, "csv": render_csv, "json": render_json, "svg": render_picture}
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
    if format not in _RENDERERS:
        raise ConfigError(unknown("format", format, FORMATS))
    return _RENDERERS[format](leaderboard(*several(directories)))


def several(directories: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    """One folder as a sequence of one."""
    return [directories] if isinstance(directories, (str, Path)) else directories


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
    text = render(directories, format)
    path = Path(output) if output is not None else folder_of(several(directories)[0]) / f"leaderboard.{format}"
    if path.is_dir():
        raise DataError(f"Cannot write the leaderboard to '{path}': it is a folder. Give a file name.")
    try:
        write_text(path, text)
    except OSError as error:
        raise DataError(f"Cannot write the leaderboard to '{path}': {error.strerror}.") from error
    return path
