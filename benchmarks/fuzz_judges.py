"""How `fuzz.py` judges what was accepted, and what a kind of input is.

What counts as silent, for an input that is accepted though it is damaged, depends on what its format can tell:

- a file with checksums (archives, packed logs, checkpoints, records): any value that differs from the seed's;
- a text format that counts (frames of .bvh, atoms of .xyz, numbered frames of .amc): another count than the file
  announces, and everywhere a number that is not finite;
- a name or a signature: one that does not print back as itself, or that keeps control characters;
- a command line: exit status 0 with nothing printed.
"""

import math
import random
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        name: on the table.
        seed: what is damaged; made in an empty folder, which has all other files that reading takes.
        damage: the seed and a random generator → the name of the mutation, and what it made.
        read: what it made and the folder → the values that are accepted.
        silent: value read, value of the seed, the mutation → what was accepted in silence, "" if nothing was.
        share: of all inputs, in comparison.
    """

    name: str
    seed: Callable[[Path], Any]
    damage: Callable[[Any, random.Random], tuple[str, Any]]
    read: Callable[[Any, Path], Any]
    silent: Callable[[Any, Any, str], str]
    share: int = 4


def differs(value: Any, whole: Any, mutation: str) -> str:
    """Silent where a checksum should see it."""
    return "" if plain(value) == plain(whole) else "values differ from the seed's"


def altered(value: Any, whole: Any, mutation: str) -> str:
    """Silent where a record differs; that one is missing whole, no line of a packed file can tell."""
    return "" if all(each in plain(whole) for each in plain(value)) else "a record differs from the seed's"


def not_finite(value: Any, whole: Any, mutation: str) -> str:
    """Silent where a number read is not finite."""
    return "" if all(math.isfinite(x) for x in numbers(plain(value))) else "a number is not finite"


def miscounted(value: Any, whole: Any, mutation: str) -> str:
    """Not finite, or lines lost or doubled within what the file counts; what is cut whole at the end none can see."""
    counted = mutation in ("line dropped", "line doubled") and np.shape(value) != np.shape(whole)
    return "another number of frames or atoms" if counted else not_finite(value, whole, mutation)


def not_printed_back(value: Any, whole: Any, mutation: str) -> str:
    """Silent where a parsed name prints as another one, or keeps characters that cannot be seen."""
    text, again = value
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in text):
        return "a control character is kept"
    return "" if text == again else "does not print back"


def nothing_printed(value: Any, whole: Any, mutation: str) -> str:
    """Silent where a command did nothing and said nothing."""
    return "" if value else "exit status 0, nothing printed"


def plain(value: Any) -> Any:
    """Nested plain values of arrays, tensors and mappings; NaN as a text, so that it equals itself."""
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in sorted(value.items(), key=str)}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if hasattr(value, "tolist"):
        return [list(value.shape), str(value.dtype), plain(value.tolist())]
    return float(value) if isinstance(value, np.floating) else value


def numbers(value: Any) -> Any:
    """The numbers in plain values."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from numbers(each)
    elif isinstance(value, float):
        yield value


def in_file(name: str, reader: Callable[[Path], Any]) -> Callable[[Any, Path], Any]:
    """Writes an input to a file of the folder and reads it."""

    def read(content: Any, folder: Path) -> Any:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return reader(path)

    return read
