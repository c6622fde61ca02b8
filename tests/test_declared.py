"""Constructors read from source: inheritance, dataclasses, constants, types, and what cannot be known."""

from inspect import Parameter
from typing import Any, Literal

import pytest

from geoequiv import declared, source
from geoequiv.declared import inspected, read
from geoequiv.ranges import PositiveInt
from geoequiv.source import Unknown

CODE = {
    "base": '''
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from geoequiv.ranges import PositiveInt

if TYPE_CHECKING:
    from geoequiv.made.other import Far

COUNT = len([each for each in range(4) if isinstance(each, int)])
SIZES, SCALE = {"small": 2, "large": COUNT * 4}, -0.5
Kind = Literal["a", "b"]

class Base:
    """Base.

    More.
    """

    def __init__(self, first, /, width: PositiveInt = SIZES["large"], *rest, kind: "Kind" = "a", **more) -> None: ...

@dataclass(frozen=True)
class Row:
    """A row
    of two lines."""

    shared: ClassVar[int] = 1
    name: str
    scale: float = SCALE
    parts: list = field(default_factory=list)
    hidden: int = field(default=0, init=False)
    _: KW_ONLY
    limit: "int | None" = None

def made(data_dir=None, *, seed: int, other: "Far | str | None" = None, far=unknown.thing): ...

class Plain: ...

class Outside(unknown.Module): ...
''',
    "derived": '''
from geoequiv.made.base import Base as Root, Row, dataclass

class Derived(Root):
    pass

class Deeper(Derived):
    """Deeper."""

    depth = 3

@dataclass
class Longer(Row):
    scale: float = 2.0
    extra: tuple[int, ...] = (1, 2)
''',
    "other": "class Far: ...\n",
    "__init__": "from geoequiv.made.derived import Deeper, Longer as Long\n",
}  # fmt: skip


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """A package ``geoequiv.made`` of the code above."""
    (tmp_path / "made").mkdir()
    for name, code in CODE.items():
        (tmp_path / "made" / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(source, "ROOT", tmp_path)
    for cached in (source.bindings, declared.read):
        cached.cache_clear()
    yield
    for cached in (source.bindings, declared.read):
        cached.cache_clear()


def described(path: str) -> dict[str, tuple[Any, ...]]:
    return {each.name: (each.kind.name, each.default, each.annotation) for each in read(path).parameters}


def test_constructor_with_constants_and_types():
    assert described("geoequiv.made.base:Base") == {
        "first": ("POSITIONAL_ONLY", Parameter.empty, Parameter.empty),
        "width": ("POSITIONAL_OR_KEYWORD", 16, PositiveInt),
        "rest": ("VAR_POSITIONAL", Parameter.empty, Parameter.empty),
        "kind": ("KEYWORD_ONLY", "a", Literal["a", "b"]),
        "more": ("VAR_KEYWORD", Parameter.empty, Parameter.empty),
    }
    assert read("geoequiv.made.base:Base").summary == "Base."


@pytest.mark.parametrize("path", ["geoequiv.made.derived:Derived", "geoequiv.made:Deeper"])
def test_inherited_constructor(path):
    assert described(path) == described("geoequiv.made.base:Base")


def test_fields_of_a_dataclass():
    found = described("geoequiv.made.base:Row")
    assert list(found) == ["name", "scale", "parts", "limit"]
    assert found["name"] == ("POSITIONAL_OR_KEYWORD", Parameter.empty, str)
    assert found["scale"] == ("POSITIONAL_OR_KEYWORD", -0.5, float)
    assert found["parts"] == ("POSITIONAL_OR_KEYWORD", Unknown, list)
    assert found["limit"] == ("KEYWORD_ONLY", None, int | None)
    assert read("geoequiv.made.base:Row").summary == "A row of two lines."


def test_fields_of_a_derived_dataclass():
    found = described("geoequiv.made:Long")
    assert list(found) == ["name", "scale", "parts", "extra", "limit"]
    assert found["scale"][1] == 2.0
    assert found["extra"][1:] == ((1, 2), tuple[int, ...])


def test_function_with_what_cannot_be_known():
    found = described("geoequiv.made.base:made")
    assert found["seed"] == ("KEYWORD_ONLY", Parameter.empty, int)
    assert found["other"][2] == Unknown | str | None
    assert found["far"][1] is Unknown


def test_class_without_a_constructor():
    class Plain: ...

    assert described("geoequiv.made.base:Plain") == {}
    assert inspected(Plain).parameters == ()
    assert [kind for kind, *_ in described("geoequiv.made.base:Outside").values()] == ["VAR_POSITIONAL", "VAR_KEYWORD"]
