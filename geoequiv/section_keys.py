"""The keys of a section of a suite in words: type, default, meaning. Listed by the command line and in the docs."""

import inspect
import json
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false", dict: "mapping", type(None): "null"}
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


@dataclass(frozen=True)
class Key:
    """One key of a section.

    Args:
        name: as it is written.
        type: what it takes, in words, such as "whole number ≥ 1, or null".
        default: as YAML writes it; None where the key must be given.
        meaning: one or two sentences.
    """

    name: str
    type: str
    default: str | None
    meaning: str


def keys_of(section: type[BaseModel]) -> tuple[Key, ...]:
    """The keys of a section in their order.

    The meaning is the description of the field or else its line under ``Attributes:`` in the docstring.

    >>> from geoequiv.training.config import TrainConfig
    >>> keys_of(TrainConfig)[0]
    Key(name='epochs', type='whole number ≥ 1', default='100', meaning='Passes over the training items.')
    """
    documented = attributes(inspect.getdoc(section) or "")
    return tuple(
        Key(
            name,
            type_in_words(field.annotation, field.metadata),
            None if field.is_required() else as_yaml(default_of(field)),
            (field.description or documented.get(name, "")).replace("None", "null"),
        )
        for name, field in section.model_fields.items()
    )


def default_of(field: FieldInfo) -> Any:
    """The default of a field, made where it is made anew for each section."""
    return field.get_default(call_default_factory=True, validated_data={})


def as_yaml(value: Any) -> str:
    """A value in YAML's flow style; text stands without quotes.

    >>> as_yaml(None), as_yaml((1, 2)), as_yaml("adam"), as_yaml("")
    ('null', '[1, 2]', 'adam', '""')
    """
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def type_in_words(annotation: Any, constraints: typing.Iterable[Any] = ()) -> str:
    """A type in words.

    >>> from geoequiv.ranges import PositiveInt
    >>> type_in_words(PositiveInt | None), type_in_words(tuple[float, ...]), type_in_words(typing.Literal["a", "b"])
    ('whole number ≥ 1, or null', 'list of numbers', 'a or b')
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_in_words(arguments[0], arguments[1:])
    if origin is typing.Literal:
        return " or ".join(as_yaml(each) for each in arguments)
    if origin in (typing.Union, types.UnionType):
        return ", or ".join(type_in_words(each, constraints) for each in arguments)
    if origin in (tuple, list) or annotation in (tuple, list):
        plain = type_in_words(arguments[0]) if arguments else ""
        return f"list of {plain.replace('number', 'numbers', 1)}" if plain else "list"
    words = WORDS.get(origin or annotation, "")
    return " ".join([words, *bounds(constraints)]) if annotation in (int, float) else words


def bounds(constraints: typing.Iterable[Any]) -> Iterator[str]:
    """Limits of a number, such as "≥ 1"."""
    for constraint in constraints:
        inner = constraint.metadata if isinstance(constraint, FieldInfo) else [constraint]
        for each in inner:
            for name, sign in BOUNDS.items():
                if (limit := getattr(each, name, None)) is not None:
                    yield f"{sign} {limit}"


def attributes(docstring: str) -> dict[str, str]:
    r"""Attribute → what the ``Attributes:`` part of a docstring says of it.

    >>> attributes("One.\n\nAttributes:\n    a: first\n        line.\n    b: second.\n\nRaises:\n    c: no.")
    {'a': 'First line.', 'b': 'Second.'}
    """
    _, _, block = docstring.partition("Attributes:\n")
    found: dict[str, str] = {}
    for line in block.split("\n\n")[0].splitlines():
        if match := re.match(r" {4}(\w+): (.*)", line):
            name, found[match[1]] = match[1], match[2][:1].upper() + match[2][1:]
        elif found:
            found[name] += " " + line.strip()
    return found
