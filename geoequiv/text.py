r"""Text of files, of a size that fits into memory, and without characters that steer a terminal or a page."""

import os
import re
import unicodedata
from pathlib import Path

#: they change the direction or the place of text on a terminal or a page
BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SUSPECT = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{''.join(sorted(BIDIRECTIONAL))}]")
UNKNOWN_MEMORY = 8 << 30  # bytes, where the system does not say how much it has
KILOBYTES = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def control_character(text: str) -> str | None:
    r"""The first character that would steer a terminal or a page instead of being shown; None if there is none.

    >>> control_character("β = 1\n"), control_character("a\x1b[2J")
    (None, '\x1b')
    """
    if text.isprintable():  # most are, and this is many times faster
        return None
    found = (each for match in _SUSPECT.finditer(text) if _steers(each := match.group()))
    return next(found, None)


def shown(text: str) -> str:
    r"""A text with the characters that would steer a terminal written as escapes.

    >>> print(shown("pos\x1b[2J\u202e"))
    pos\x1b[2J\u202e
    """
    return _SUSPECT.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def read_text(path: Path, limit: int | None = None) -> str:
    """The text of a file in UTF-8, with or without a byte-order mark; every line end becomes a line feed.

    Args:
        path: the file.
        limit: bytes it may have; None means an eighth of the machine's memory.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger (nothing of it is read then), is not UTF-8, or holds a control character.
    """
    check_size(path, memory() // 8 if limit is None else limit)
    text = path.read_text(encoding="utf-8-sig")
    if (wrong := control_character(text)) is not None:
        raise ValueError(f"it holds the control character U+{ord(wrong):04X}")
    return text


def check_size(path: Path, limit: int) -> None:
    """Raise ValueError for a file of more than so many bytes; OSError if there is none."""
    if (size := path.stat().st_size) > limit:
        raise ValueError(f"it has {readable(size)}, and at most {readable(limit)} are read")


def memory() -> int:
    """Bytes of memory of this machine."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not a POSIX system, or one that does not say
        return UNKNOWN_MEMORY


def readable(size: int) -> str:
    """A number of bytes for readers.

    >>> readable(8 << 30), readable(12)
    ('8.6 GB', '12 bytes')
    """
    power = min((len(str(size)) - 1) // 3, len(KILOBYTES) - 1)
    return f"{size / 1000**power:.1f} {KILOBYTES[power]}" if power else f"{size} bytes"


def _steers(character: str) -> bool:
    return unicodedata.category(character) == "Cc" or character in BIDIRECTIONAL
