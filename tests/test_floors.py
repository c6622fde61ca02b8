"""The floors of the house, enforced by reading imports (see DESIGN: import only from strictly lower floors)."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import geoequiv

ROOT = Path(geoequiv.__file__).parent
FLOORS = {
    "errors": 0, "archives": 0, "config": 0, "files": 0, "importing": 0, "ranges": 0, "signals": 0, "text": 0,
    "source": 0, "yaml_loader": 0, "declared": 0, "section_keys": 0, "precision": 0,
    "groups": 1,
    "fields": 2, "sharding": 2,
    "symmetrize": 3, "objectives": 3, "metrics": 3, "models": 3, "alignment": 3,
    "averaged": 4, "tasks": 4, "training": 4, "testing": 4,
    "catalog": 5, "session": 5, "methods": 5, "measurements": 5, "records": 5,
    "bench": 6, "report": 6,
    "ase": 7,
    "cli": 8, "__main__": 9,
}  # fmt: skip
#: siblings that may be imported on their own floor: errors of floor 0, the catalog and the table of numbers of floor 5
LOWEST = {"yaml_loader", "catalog", "errors", "signals", "measurements", "source", "importing", "text"}
ONLY_IMPORTER = {"lightning": "training"}


#: rooms of a floor → what of their own floor they may import, beside themselves; options import nothing of tasks
ROOMS = {
    "tasks/data": (),
    "tasks/simulation": ("tasks/data", "tasks/options"),
}


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the floors"
            found.append(node.module or "")
            if node.module == "geoequiv":
                found += [f"geoequiv.{alias.name}" for alias in node.names if (ROOT / alias.name).exists()]
    return found


FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_imports_only_from_lower_floors(path):
    here = room(path)
    for name in imports(path):
        top, *rest = name.split(".")
        if top == "geoequiv" and rest:
            other = rest[0]
            lower = FLOORS[other] < FLOORS[here] or (FLOORS[other] == FLOORS[here] and other in LOWEST)
            assert other == here or lower, f"{path} on floor {FLOORS[here]} imports {name} on floor {FLOORS[other]}"
        if top in ONLY_IMPORTER:
            assert here == ONLY_IMPORTER[top], f"only {ONLY_IMPORTER[top]}/ imports {top}"


@pytest.mark.parametrize(
    ("inner", "path"),
    [(inner, path) for inner in ROOMS for path in sorted((ROOT / inner).rglob("*.py"))],
    ids=lambda value: value if isinstance(value, str) else str(value.relative_to(ROOT)),
)
def test_what_reads_and_simulates_imports_no_task(inner, path):
    allowed = [f"geoequiv.{each.replace('/', '.')}" for each in (inner, *ROOMS[inner])]
    floor = f"geoequiv.{room(path)}"
    for name in imports(path):
        if name == floor or name.startswith(f"{floor}."):
            assert any(name == each or name.startswith(f"{each}.") for each in allowed), f"{path} imports {name}"


def test_no_room_is_named_for_nothing():
    for path in ROOT.rglob("*.py"):
        assert not {part.removesuffix(".py") for part in path.parts} & {"utils", "util", "helpers", "common", "misc"}


def test_importing_the_package_is_light():
    import subprocess
    import sys

    code = "import sys, geoequiv, geoequiv.cli; assert not {'torch', 'lightning', 'e3nn'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", sorted(geoequiv.PUBLIC))
def test_public_name_exists_and_is_documented(name):
    assert getattr(geoequiv, name).__doc__


def test_unknown_public_name():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        geoequiv.nothing  # noqa: B018


def module_file(name: str) -> Path | None:
    """The file of a module of this package."""
    path = ROOT.parent / name.replace(".", "/")
    return next((each for each in (path.with_suffix(".py"), path / "__init__.py") if each.exists()), None)


def imports_at_import(path: Path) -> set[Path]:
    """Files of this package that a file imports when it is imported: not those of its functions and type checks."""
    found: list[str] = []
    waiting = list(ast.parse(path.read_text()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("geoequiv"):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [each if module_file(each) else str(node.module) for each in inner]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("geoequiv")]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return {file for each in found if (file := module_file(each))} - {path}


def circles(graph: dict[Path, set[Path]]) -> list[list[str]]:
    """Groups of files that import each other."""
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return [[str(path) for path in error.args[1]]]
    return []


def test_no_files_import_each_other_in_a_circle():
    assert circles({path: imports_at_import(path) for path in ROOT.rglob("*.py")}) == []


def test_a_circle_is_found():
    """The tester tested."""
    first, second = Path("first.py"), Path("second.py")
    assert len(circles({first: {second}, second: {first}})) == 1
    assert circles({first: {second}, second: set()}) == []


def test_files_are_short():
    lengths = sorted(len(path.read_text().splitlines()) for path in FILES)
    assert lengths[len(lengths) // 2] <= 120
    assert lengths[-1] <= 400
