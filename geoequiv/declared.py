"""What a constructor takes, read from its source: listing models does not import torch.

Only this package's own files are read this way; an object of a user is imported and inspected, see
``catalog.declaration``. Both give the same value, and a test compares them for every name of the catalog.
"""

import ast
import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from inspect import Parameter
from typing import Any

from geoequiv.errors import GeoequivError
from geoequiv.source import Unknown, evaluate, find


@dataclass(frozen=True)
class Declaration:
    """What a class or function takes.

    Args:
        parameters: in their order, without ``self``. Annotations are types; ``Unknown`` where the type, or a part of
            it, is neither plain nor from ``typing``, ``collections.abc`` or ``geoequiv.ranges``. So is a default that
            is no constant.
        documentation: the docstring, indentation removed; "" where there is none.
    """

    parameters: tuple[Parameter, ...]
    documentation: str

    @property
    def summary(self) -> str:
        """First paragraph of the docstring, on one line."""
        return self.documentation.strip().split("\n\n")[0].replace("\n", " ").replace("``", "")


def inspected(target: Callable[..., Any]) -> Declaration:
    """The declaration of an imported object.

    Annotations that cannot be resolved are left out: their values are then not checked.

    Raises:
        GeoequivError: Python does not know its parameters.
    """
    try:
        hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError):
        hints = {}
    try:
        parameters = inspect.signature(target).parameters.values()
    except (ValueError, TypeError) as error:  # some built-in types have no signature
        raise GeoequivError(
            f"{target!r} does not say which arguments it takes. Write a class or a function around it."
        ) from error
    return Declaration(
        tuple(each.replace(annotation=hints.get(each.name, Parameter.empty)) for each in parameters),
        inspect.getdoc(target) or "",
    )


@cache
def read(path: str) -> Declaration:
    """The declaration of ``geoequiv.module:object``, without importing it."""
    module, _, name = path.partition(":")
    found, where = find(module, name)
    assert isinstance(found, ast.ClassDef | ast.FunctionDef), f"{path} is neither a class nor a function"
    documentation = ast.get_docstring(found) or ""
    if isinstance(found, ast.FunctionDef):
        return Declaration(tuple(_arguments(found, where)), documentation)
    return Declaration(tuple(_constructor(found, where)), documentation)


def _constructor(cls: ast.ClassDef, module: str) -> list[Parameter]:
    """What the first ``__init__`` along the bases takes; a dataclass has one of its own."""
    if _is_dataclass(cls):
        fields = {each.name: each for each in _fields(cls, module)}
        return sorted(fields.values(), key=lambda each: each.kind)
    for statement in cls.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return list(_arguments(statement, module))[1:]
    for base, where in _bases(cls, module):
        return _constructor(base, where)
    if all(isinstance(base, ast.Name) and base.id == "ABC" for base in cls.bases):
        return []
    return [Parameter("args", Parameter.VAR_POSITIONAL), Parameter("kwargs", Parameter.VAR_KEYWORD)]  # of elsewhere


def _bases(cls: ast.ClassDef, module: str) -> Iterator[tuple[ast.ClassDef, str]]:
    """The bases of a class that are defined in this package."""
    for base in cls.bases:
        if isinstance(base, ast.Name):
            found, where = find(module, base.id)
            if isinstance(found, ast.ClassDef):
                yield found, where


def _is_dataclass(cls: ast.ClassDef) -> bool:
    names = (each.func if isinstance(each, ast.Call) else each for each in cls.decorator_list)
    return any(isinstance(each, ast.Name) and each.id == "dataclass" for each in names)


def _fields(cls: ast.ClassDef, module: str) -> Iterator[Parameter]:
    """The fields of a dataclass that its constructor takes, those of its bases first."""
    for base, where in reversed(list(_bases(cls, module))):
        if _is_dataclass(base):
            yield from _fields(base, where)
    keyword_only = False
    for statement in cls.body:
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        written = ast.unparse(statement.annotation).strip("'\"")
        if written == "KW_ONLY":
            keyword_only = True
        elif not written.startswith("ClassVar"):
            taken, default = _field_default(statement.value, module)
            if taken:
                kind = Parameter.KEYWORD_ONLY if keyword_only else Parameter.POSITIONAL_OR_KEYWORD
                annotation = _type(statement.annotation, module)
                yield Parameter(statement.target.id, kind, default=default, annotation=annotation)


def _field_default(value: ast.expr | None, module: str) -> tuple[bool, Any]:
    """Whether the constructor takes a field, and its default."""
    if value is None:
        return True, Parameter.empty
    if not (isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "field"):
        return True, evaluate(value, module)
    given = {keyword.arg: keyword.value for keyword in value.keywords}
    taken = "init" not in given or bool(evaluate(given["init"], module))
    if "default" in given:
        return taken, evaluate(given["default"], module)
    return taken, Unknown if "default_factory" in given else Parameter.empty


def _type(annotation: ast.expr, module: str) -> Any:
    """The type that an annotation writes, in quotes or not."""
    found = evaluate(annotation, module)
    return evaluate(ast.parse(found, mode="eval").body, module) if isinstance(found, str) else found


def _arguments(function: ast.FunctionDef, module: str) -> Iterator[Parameter]:
    """The parameters of a function."""

    def parameter(argument: ast.arg, kind: Any, default: ast.expr | None = None) -> Parameter:
        return Parameter(
            argument.arg,
            kind,
            default=Parameter.empty if default is None else evaluate(default, module),
            annotation=Parameter.empty if argument.annotation is None else _type(argument.annotation, module),
        )

    written = function.args
    positional = [*written.posonlyargs, *written.args]
    required: list[ast.expr | None] = [None] * (len(positional) - len(written.defaults))
    for argument, default in zip(positional, [*required, *written.defaults], strict=True):
        only = argument in written.posonlyargs
        yield parameter(argument, Parameter.POSITIONAL_ONLY if only else Parameter.POSITIONAL_OR_KEYWORD, default)
    if written.vararg:
        yield parameter(written.vararg, Parameter.VAR_POSITIONAL)
    for argument, default in zip(written.kwonlyargs, written.kw_defaults, strict=True):
        yield parameter(argument, Parameter.KEYWORD_ONLY, default)
    if written.kwarg:
        yield parameter(written.kwarg, Parameter.VAR_KEYWORD)
