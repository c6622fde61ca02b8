"""Names of this package, looked up in its source: no module is imported but what is light."""

import ast
import builtins
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
#: modules that are imported, since that is cheap
LIGHT = {"typing", "collections", "collections.abc", "math", "os", "pathlib", "pydantic", "geoequiv.ranges"}


class _UnknownType(type):
    """So that an attribute, an item or a call of what is unknown is unknown too."""

    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return Unknown

    def __getitem__(cls, item: Any) -> type:
        return Unknown

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return Unknown


class Unknown(metaclass=_UnknownType):
    """Stands for a type or a value that cannot be known without importing more."""


@cache
def bindings(module: str) -> Mapping[str, ast.AST]:
    """The statement or expression that each global name of a module of this package is bound to; the last one wins."""
    path = ROOT.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return dict(_bound(ast.parse(file.read_text(encoding="utf-8")).body))


def _bound(body: list[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    for statement in body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            yield statement.name, statement
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                yield alias.asname or alias.name, statement
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                yield from _assigned(target, statement.value)
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            yield statement.target.id, statement.value
        elif isinstance(statement, ast.If):  # if TYPE_CHECKING
            yield from _bound(statement.body)


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for each, part in zip(target.elts, value.elts, strict=True):
            yield from _assigned(each, part)


def find(module: str, name: str) -> tuple[ast.AST | None, str]:
    """What a global name is bound to, and the module where that stands; imports within the package are followed."""
    bound = bindings(module).get(name)
    if isinstance(bound, ast.ImportFrom) and _is_read(bound.module):
        return find(str(bound.module), _original(bound, name))
    if isinstance(bound, ast.Name) and bound.id in bindings(module):
        return find(module, bound.id)
    return bound, module


def _is_read(module: str | None) -> bool:
    return module is not None and module.split(".")[0] == "geoequiv" and module not in LIGHT


def _original(statement: ast.Import | ast.ImportFrom, name: str) -> str:
    return next(alias.name for alias in statement.names if (alias.asname or alias.name) == name)


def evaluate(expression: ast.expr, module: str) -> Any:
    """The value of an expression of this package's source, such as a default or a type.

    ``Unknown`` where it needs more than constants, built-in names and light modules; in a type, each such part is.
    """
    code = compile(ast.Expression(expression), module, "eval")
    names = _Namespace(module)
    try:
        return eval(code, names, names)  # noqa: S307  (our own source, as an import runs it)
    except (TypeError, AttributeError):  # of arithmetic with what is unknown
        return Unknown


class _Namespace(dict[str, Any]):
    """The global names of a module, evaluated when they are asked for."""

    def __init__(self, module: str) -> None:
        super().__init__(__builtins__={})
        self.module = module

    def __missing__(self, name: str) -> Any:
        bound, module = find(self.module, name)
        if isinstance(bound, ast.expr):
            return evaluate(bound, module)
        if isinstance(bound, ast.Import) and name in LIGHT:
            return import_module(name)
        if isinstance(bound, ast.ImportFrom) and bound.module in LIGHT:
            return getattr(import_module(bound.module), _original(bound, name))
        return getattr(builtins, name, Unknown) if bound is None else Unknown
