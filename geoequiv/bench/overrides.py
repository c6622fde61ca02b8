"""Settings of a suite from the command line, `train.epochs=3`, in place of those in its file."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from typing import Any

from geoequiv.config import Document, KeyPath, parse_value
from geoequiv.errors import ConfigError, unknown

#: Sections that may be a bare name: an option of theirs makes {name: …} of it.
NAMES = ("task", "fallback", "model", "symmetry")


def overridden(document: Document, texts: Iterable[str]) -> Document:
    """The document with other values at some keys; what is wrong with one of them names the override.

    Args:
        document: a suite file.
        texts: "KEY=VALUE" with a dotted key such as "entries.0.model.width", and a value in YAML.

    Raises:
        ConfigError: a text has no equals sign, its value is not YAML, or its key leads into a list or a value.
    """
    data, sources = deepcopy(document.data), dict(document.sources)
    for text in texts:
        dotted, sign, value = text.partition("=")
        if not sign or not dotted:
            raise ConfigError(f"Expected KEY=VALUE, such as train.epochs=3; got '{text}'.")
        data, at = _set(data, dotted.split("."), parse_value(value, f"override '{text}'"), text)
        sources[at] = text
    return replace(document, data=data, sources=sources)


def _set(data: Any, parts: list[str], value: Any, text: str) -> tuple[Any, KeyPath]:
    """The data with the value at a path, and the path as keys and indices."""
    if not parts:
        return value, ()
    if isinstance(data, list):
        index = _index(data, parts[0], text)
        data[index], inner = _set(data[index], parts[1:], value, text)
        return data, (index, *inner)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"override '{text}': there is no '{parts[0]}' in {data!r}, which is a value.")
    key, rest = _key(data, parts)
    former = data.get(key)
    if rest and key in NAMES and isinstance(former, str):
        former = {"name": former}
    data[key], inner = _set(former, rest, value, text)
    return data, (key, *inner)


def _key(data: dict[Any, Any], parts: list[str]) -> tuple[str, list[str]]:
    """The first key of a path; a key that has dots itself (`my.module:METHOD`) where there is one."""
    for count in range(len(parts), 1, -1):
        if (joined := ".".join(parts[:count])) in data:
            return joined, parts[count:]
    return parts[0], parts[1:]


def _index(data: list[Any], part: str, text: str) -> int:
    if part not in map(str, range(len(data))):
        raise ConfigError(f"override '{text}': {unknown('index of a list', part, map(str, range(len(data))))}")
    return int(part)
