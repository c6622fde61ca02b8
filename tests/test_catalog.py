"""The catalog: every name leads to an object, unknown names are answered with the nearest."""

import subprocess
import sys

import pytest

from geoequiv import catalog
from geoequiv.bench.options import options_of
from geoequiv.bench.spec import RESERVED, RESERVED_OF_TASKS
from geoequiv.declared import inspected
from geoequiv.errors import GeoequivError

NAMED = [(kind, name) for kind in catalog.TABLES for name in catalog.names(kind)]


@pytest.mark.parametrize(("kind", "name"), NAMED)
def test_every_name_is_there_and_described(kind, name):
    assert callable(catalog.load(kind, name))
    assert catalog.describe(kind, name).endswith(".")


@pytest.mark.parametrize(
    ("kind", "name", "nearest"),
    [("model", "gnm", "gnn"), ("task", "nbody/chraged", "nbody/charged")],
)
def test_unknown_names_get_the_nearest(kind, name, nearest):
    with pytest.raises(GeoequivError, match=f"Unknown {kind} '{name}'. Did you mean '{nearest}'"):
        catalog.load(kind, name)


def test_objects_of_the_user_come_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "my_catalog_models.py").write_text("class Mine: pass\nvalue = 3\n", encoding="utf-8")
    (tmp_path / "my_broken_models.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != ""])
    assert catalog.load("model", "my_catalog_models:Mine").__name__ == "Mine"
    with pytest.raises(GeoequivError, match="Did you mean 'Mine'"):
        catalog.load("model", "my_catalog_models:Mime")
    with pytest.raises(GeoequivError, match="must be a class or a function, got int"):
        catalog.load("model", "my_catalog_models:value")
    with pytest.raises(GeoequivError, match="Cannot import the model 'my_broken_models:Mine': ZeroDivisionError"):
        catalog.load("model", "my_broken_models:Mine")
    with pytest.raises(GeoequivError, match="Cannot import the model 'no_such_module:Mine': ModuleNotFoundError"):
        catalog.load("model", "no_such_module:Mine")


def test_a_task_by_name_with_options(tmp_path):
    task = catalog.task("nbody/charged", data_dir=tmp_path, train=3, val=2, test=2)
    assert len(task.splits["train"]) == 3
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]
    with pytest.raises(GeoequivError, match=r"Unknown option of task 'nbody/charged' 'trian'. Did you mean 'train'"):
        catalog.task("nbody/charged", data_dir=tmp_path, trian=3)


def test_what_is_no_task_is_refused(tmp_path):
    for name in ("os:getcwd", "geoequiv.tasks:Task"):
        with pytest.raises(GeoequivError, match=f"'{name}' is no task: a task is a function of data_dir"):
            catalog.task(name, data_dir=tmp_path)


def test_an_option_without_which_a_task_cannot_be_is_asked_for(tmp_path):
    with pytest.raises(GeoequivError, match=r"The task 'files' needs path=… and signature=…"):
        catalog.task("files", data_dir=tmp_path)
    with pytest.raises(GeoequivError, match=r"The task 'files' needs signature=…"):
        catalog.task("files", data_dir=tmp_path, path="mine.npz")


@pytest.mark.parametrize(("kind", "name"), NAMED)
def test_what_is_read_from_source_is_what_an_import_says(kind, name):
    reserved = RESERVED_OF_TASKS if kind == "task" else RESERVED
    imported = inspected(catalog.load(kind, name))
    read = catalog.declaration(kind, name)
    assert repr(options_of(read, reserved)) == repr(options_of(imported, reserved))  # two equal Field() are not ==
    assert read.documentation == imported.documentation
    assert [(each.name, each.kind) for each in read.parameters] == [
        (each.name, each.kind) for each in imported.parameters
    ]


def test_an_object_of_the_user_is_imported_and_inspected(tmp_path, monkeypatch):
    code = 'def made(signature, size: int = 3, *, how: "nowhere.Type" = 2, **more):\n    "Made.\\n\\nBy hand."\n'
    (tmp_path / "my_declared_models.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = catalog.declaration("model", "my_declared_models:made")
    options = options_of(found, RESERVED)
    assert found.summary == "Made."
    assert (options.names, options.defaults, options.open) == (("size", "how"), {"size": 3, "how": 2}, True)
    assert not options.annotations  # one that cannot be resolved leaves all out


def test_declarations_of_built_in_names_do_not_import_torch():
    code = (
        "import sys; from geoequiv import catalog\n"
        "for kind in catalog.TABLES:\n    for name in catalog.names(kind): catalog.declaration(kind, name)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
