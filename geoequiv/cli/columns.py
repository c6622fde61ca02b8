"""Names and texts in two columns, by the standard library alone: rich would cost as much time as all the rest."""

import shutil
import sys
import textwrap
from collections.abc import Iterable

GAP = 2
BOLD, PLAIN = "\033[1m", "\033[0m"


def print_columns(rows: Iterable[tuple[str, str]], below: bool = False) -> None:
    """Print each name and what is said of it, wrapped at the width of the terminal.

    Args:
        rows: name and text; a line break in the text stays one.
        below: the text stands below its name, where names are long.
    """
    rows = list(rows)
    width = shutil.get_terminal_size().columns
    indent = 4 if below else max((len(name) for name, _ in rows), default=0) + GAP
    for name, text in rows:
        lines = [part for line in text.splitlines() for part in _wrapped(line, max(width - indent, 20))]
        if below:
            print(_bold(name))
        else:
            print(_bold(name) + " " * (indent - len(name)) + (lines.pop(0) if lines else ""))
        for line in lines:
            print(" " * indent + line)


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)


def _bold(text: str) -> str:
    return f"{BOLD}{text}{PLAIN}" if sys.stdout.isatty() else text
