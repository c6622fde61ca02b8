"""YAML files read with the line of every key, and checked against frozen pydantic models."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from geoequiv.errors import ConfigError, unknown
from geoequiv.text import check_size
from geoequiv.yaml_loader import Loader

KeyPath = tuple[str | int, ...]
LARGEST = 16 << 20  # bytes of a YAML file
SectionT = TypeVar("SectionT", bound=BaseModel)


class Section(BaseModel):
    """Base of a configuration section: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


@dataclass(frozen=True)
class Document:
    """A parsed YAML file.

    Attributes:
        data: what it says.
        lines: key path → line, from 1.
        path: the file.
        sources: key path → text of the command line that gave the value there, in place of the file.
    """

    data: Any
    lines: Mapping[KeyPath, int]
    path: Path
    sources: Mapping[KeyPath, str] = field(default_factory=dict)

    def line(self, key_path: KeyPath) -> int:
        """Line of a key path, or of its nearest parent that stands in the file."""
        while key_path and key_path not in self.lines:
            key_path = key_path[:-1]
        return self.lines.get(key_path, 1)

    def where(self, key_path: KeyPath) -> tuple[int, str]:
        """The line of a key path (0 where the command line gave it), and words for it."""
        key = f", key '{dotted(key_path)}'" if key_path else ""
        for length in range(len(key_path), -1, -1):
            if (text := self.sources.get(key_path[:length])) is not None:
                return 0, f"override '{text}'{key}"
        line = self.line(key_path)
        return line, f"{self.path}, line {line}{key}"


@dataclass
class Problems:
    """Collects everything that is wrong with a document, so that one error can list all of it."""

    document: Document
    found: dict[str, int] = field(default_factory=dict)  # message → line

    def add(self, key_path: KeyPath, message: str) -> None:
        """Note one problem; the same one noted twice is listed once."""
        line, where = self.document.where(key_path)
        self.found[f"{where}: {message}"] = line

    def check(
        self, section: type[SectionT], data: Any, locate: KeyPath | Callable[[KeyPath], KeyPath] = ()
    ) -> SectionT | None:
        """Validate data against a pydantic model; note every problem and return None if there is one.

        Args:
            section: the pydantic model.
            data: what the file says, a mapping.
            locate: key path of `data` in the document, or a function from a path in `data` to one in the document.
        """
        place = locate if callable(locate) else lambda inner: (*locate, *inner)
        if not isinstance(data, Mapping):
            self.add(place(()), f"expected a mapping of keys to values, got {_shown(data)}.")
            return None
        before = len(self.found)
        booleans = {inner: value for inner, value in _leaves(data, ()) if isinstance(value, bool)}
        for inner, value in booleans.items():
            owner = _model_at(section, inner[:-1])
            known = owner.model_fields.get(str(inner[-1])) if owner is not None else None
            if known is not None and (message := mismatch(known.annotation, value)):
                self.add(place(inner), message)
        try:
            instance = section.model_validate(dict(data))
        except ValidationError as error:
            found = error.errors(include_url=False)
            for item in found:
                inner = tuple(item["loc"])
                inside = (each for each in found if tuple(each["loc"])[: len(inner)] == inner and each is not item)
                if item["type"] == "too_short" and any(inside):
                    continue  # wrong items are left out before they are counted
                if inner not in booleans or item["type"] == "extra_forbidden":
                    self.add(place(inner), _message(section, inner, item))
            return None
        return instance if len(self.found) == before else None

    def raise_if_any(self) -> None:
        """Raise one `ConfigError` that lists every problem by line, if there is one."""
        if self.found:
            raise ConfigError("\n".join(sorted(self.found, key=self.found.__getitem__)))


def read_yaml(path: str | Path) -> Document:
    """Read a YAML file safely, with a line number for every key path.

    Args:
        path: the file.

    Returns:
        The document. An empty file has `data` None.

    Raises:
        ConfigError: the file cannot be read, is not YAML, repeats a key, or contains itself through an alias.
    """
    path = Path(path)
    try:
        check_size(path, LARGEST)
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else reason
        raise ConfigError(f"Cannot read {path}: {reason}.") from error
    try:
        loader = Loader(text)
        try:
            node = loader.get_single_node()
            lines: dict[KeyPath, int] = {}
            if node is not None:
                _note_lines(node, (), lines, path, ())
            data = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{path}{line}: not valid YAML: {problem}.") from error
    return Document(data, lines, path)


def parse_value(text: str, what: str) -> Any:
    """One value as YAML has it.

    >>> parse_value("[0, 5e-4]", "override")
    [0, 0.0005]

    Raises:
        ConfigError: it is not YAML; the message begins with `what`.
    """
    try:
        return yaml.load(text, Loader)  # noqa: S506  (a subclass of SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{what}: not valid YAML: {getattr(error, 'problem', None) or error}.") from error


def load(section: type[SectionT], path: str | Path) -> SectionT:
    """Read a YAML file and validate all of it against one pydantic model.

    Raises:
        ConfigError: lists every unknown key (with the nearest valid one), wrong type and value out of range.
    """
    document = read_yaml(path)
    problems = Problems(document)
    instance = problems.check(section, {} if document.data is None else document.data)
    problems.raise_if_any()
    assert instance is not None
    return instance


def mismatch(annotation: Any, value: Any) -> str | None:
    """Why a value does not fit a type annotation, or None if it does (booleans are not numbers here).

    >>> mismatch(int, "many")
    "expected a valid integer, unable to parse string as an integer; got 'many'."
    >>> mismatch(float, "5e-4") is None
    True
    """
    try:
        TypeAdapter(annotation).validate_python(value, strict=isinstance(value, bool))
    except ValidationError as error:
        return _plain(error.errors(include_url=False)[0])
    return None


def dotted(key_path: KeyPath) -> str:
    """Write a key path the way people do.

    >>> dotted(("entries", 0, "train", "lr"))
    'entries[0].train.lr'
    """
    text = ""
    for part in key_path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _note_lines(
    node: yaml.Node, key_path: KeyPath, lines: dict[KeyPath, int], path: Path, parents: tuple[int, ...]
) -> None:
    lines.setdefault(key_path, node.start_mark.line + 1)
    if id(node) in parents:
        raise ConfigError(f"{path}, line {node.start_mark.line + 1}: an alias that contains itself.")
    parents = (*parents, id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _note_lines(child, (*key_path, index), lines, path, parents)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, child in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{path}, line {line}: a key must be a plain word.")
            if key.value in seen:
                raise ConfigError(
                    f"{path}, line {line}, key '{dotted((*key_path, key.value))}': "
                    f"given twice, first in line {seen[key.value]}."
                )
            seen[key.value] = line
            lines[(*key_path, key.value)] = line
            _note_lines(child, (*key_path, key.value), lines, path, parents)


def _message(section: type[BaseModel], inner: KeyPath, item: Mapping[str, Any]) -> str:
    owner = _model_at(section, inner[:-1]) if inner else section
    if item["type"] == "extra_forbidden" and owner is not None:
        return unknown("key", str(inner[-1]), owner.model_fields)
    if item["type"] == "missing":
        return f"missing: the key '{inner[-1]}' must be given."
    return _plain(item)


def _plain(item: Mapping[str, Any]) -> str:
    text = item["msg"].removeprefix("Value error, ").rstrip(".")
    if text.startswith("Input should be"):
        text = "expected" + text.removeprefix("Input should be")
    return f"{text}; got {_shown(item['input'])}."


def _model_at(section: type[BaseModel], inner: KeyPath) -> type[BaseModel] | None:
    """The pydantic model that a path inside a section leads to (through lists, tuples and optionals)."""
    current: Any = section
    for part in inner:
        if isinstance(part, int):
            continue
        if not isinstance(current, type) or not issubclass(current, BaseModel) or part not in current.model_fields:
            return None
        current = _first_model(current.model_fields[part].annotation)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _leaves(data: Any, inner: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    pairs = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list) else None
    if pairs is None:
        yield inner, data
    else:
        for part, value in pairs:
            yield from _leaves(value, (*inner, part))


def _first_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _first_model(argument)) is not None:
            return found
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
