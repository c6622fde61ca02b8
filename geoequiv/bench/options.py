"""Options of a named object, read from the signature of its constructor: defaults, types, and what is unknown."""

import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from geoequiv.config import KeyPath, Problems, mismatch
from geoequiv.declared import Declaration
from geoequiv.errors import ConfigError, unknown

PLAIN = (int, float, str, bool, list, tuple, dict, type(None))


@dataclass(frozen=True)
class Options:
    """What the constructor of one object takes.

    Attributes:
        defaults: option → default, of those that have one that YAML can write.
        required: options without a default.
        annotations: option → type, where it is known.
        open: it takes any keyword (`**options`).
    """

    names: tuple[str, ...]
    defaults: Mapping[str, Any]
    required: tuple[str, ...]
    annotations: Mapping[str, Any]
    open: bool


def options_of(declaration: Declaration, reserved: frozenset[str]) -> Options:
    """The options of a class or function, less the parameters that the bench itself fills in (`reserved`)."""
    known = {
        each.name: each
        for each in declaration.parameters
        if each.name not in reserved and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }
    return Options(
        names=tuple(known),
        defaults={n: p.default for n, p in known.items() if p.default is not p.empty and _writable(p.default)},
        required=tuple(name for name, each in known.items() if each.default is each.empty),
        annotations={n: _plain(p.annotation) for n, p in known.items() if p.annotation is not p.empty},
        open=any(each.kind is each.VAR_KEYWORD for each in declaration.parameters),
    )


def expand(
    what: str,
    declaration: Declaration,
    given: Mapping[str, Any],
    reserved: frozenset[str],
    problems: Problems,
    at: KeyPath,
    sweep: bool = True,
) -> list[dict[str, Any]]:
    """Options with defaults filled in, one mapping per combination where a list asks for a sweep.

    A list is a sweep unless the option's own type is a list. Unknown, missing and mistyped options go to `problems`.

    Args:
        what: words for the messages, such as "model 'gnn'".
        declaration: what the class or function that will be called takes.
        given: option → value, or a list of values.
        reserved: parameters that the bench fills in.
        problems: where problems are noted.
        at: key path of `given` in the document.
        sweep: whether lists expand.
    """
    known = options_of(declaration, reserved)
    choices: dict[str, list[Any]] = {}
    for name, value in given.items():
        if name not in known.names and not (known.open and name not in reserved):
            problems.add((*at, name), unknown(f"option of {what}", str(name), known.names))
            continue
        annotation = known.annotations.get(name, Any)
        several = sweep and isinstance(value, list) and why_not(annotation, value, alone=True) is not None
        if several and not value:
            problems.add((*at, name), "an empty list gives no run.")
        choices[name] = []
        for index, each in enumerate(value if several else [value]):
            message = why_not(annotation, each) or (None if _writable(each) else f"cannot use {each!r} here.")
            if message:
                problems.add((*at, name, index) if several else (*at, name), message)
            choices[name].append(_coerced(annotation, each))
    for name in known.required:
        if name not in given:
            problems.add(at, f"{what} needs the option '{name}'.")
    return [{**known.defaults, **dict(zip(choices, combo, strict=True))} for combo in product(*choices.values())]


def as_typed(what: str, declaration: Declaration, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options from the command line, each as its type reads it; the names are left for the target to check.

    Raises:
        ConfigError: a value does not fit its option.
    """
    annotations = options_of(declaration, frozenset()).annotations
    for name, value in given.items():
        if message := why_not(annotations.get(name, Any), value):
            raise ConfigError(f"{what}, option '{name}': {message}")
    return {name: _coerced(annotations.get(name, Any), value) for name, value in given.items()}


def _plain(annotation: Any) -> Any:
    """What of a type YAML can write: `str | Group` becomes `str`, and `Group` becomes `Any`, which is not checked."""
    if annotation is None or annotation in PLAIN or typing.get_origin(annotation) is typing.Literal:
        return annotation
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Annotated:
        return annotation if _plain(arguments[0]) is not Any else Any
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        members = [plain for each in arguments if (plain := _plain(each)) is not Any]
        return typing.Union[tuple(members)] if any(each is not type(None) for each in members) else Any  # noqa: UP007
    if arguments and all(each is Ellipsis or _plain(each) is not Any for each in arguments):
        return annotation
    return Any


def why_not(annotation: Any, value: Any, alone: bool = False) -> str | None:
    """Why a value does not fit the type of an option; None if it does, or where the type is not known.

    Args:
        annotation: the type; `Any` where it is not known.
        value: as YAML has it.
        alone: whether a list is meant as one value of an option, which one of unknown type is not.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f"expected a finite number; got {value}."
    if annotation is Any:
        return "a list is a sweep" if alone else None
    try:
        return mismatch(annotation, value)
    # pydantic has no schema for this annotation, so there is nothing to check against
    except (PydanticUserError, TypeError, NameError):
        return "a list is a sweep" if alone else None


def _coerced(annotation: Any, value: Any) -> Any:
    """The value as its type reads it: 1 as 1.0 where a float is meant, "64" as 64, so that equal runs have equal ids.

    A value that does not fit is left as it is, and so is one that YAML could not have written this way.
    """
    if annotation is Any or isinstance(value, bool):
        return value
    try:
        read = TypeAdapter(annotation).validate_python(value)
    # noted already by `why_not`, or without a schema to check against
    except (ValidationError, PydanticUserError, TypeError, NameError):
        return value
    return read if _writable(read) else value


def _writable(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
