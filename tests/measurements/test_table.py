"""The table of numbers: consistent in itself, light to import, and the only place that a number is declared in."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import geoequiv
from geoequiv.errors import ConfigError
from geoequiv.measurements import MEASUREMENTS, RANKING, Measurement, measurement_of
from geoequiv.measurements.own import function_of
from geoequiv.measurements.table import position

ROOT = Path(geoequiv.__file__).parent


def literals(path):
    return {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}


@pytest.mark.parametrize("row", MEASUREMENTS, ids=lambda row: row.key)
def test_every_row_has_a_function(row):
    assert callable(function_of(row))


def test_keys_are_unique():
    keys = [row.key for row in MEASUREMENTS]
    assert len(keys) == len(set(keys))


def test_titles_of_qualified_keys_follow_from_the_rest():
    assert measurement_of("metric/with/clamp_event").title == "with clamp event"
    assert measurement_of("metric/split/test_rotated").title == "test rotated"
    assert measurement_of("barrier/none/trainings").name == "barrier, another training, unmatched"
    assert measurement_of("own/worst").over_seeds == "max"
    assert not measurement_of("barrier/none/copies/absolute").shown_in("html")
    assert measurement_of("barrier/none/copies").shown_in("html")


def test_a_number_that_nothing_describes_is_shown_under_its_key():
    assert measurement_of("bond_error/C-H").title == "bond error, C-H"
    assert position("bond_error") > position("lr")


def test_what_a_record_says_of_a_number_is_shown():
    said = {"title": "bond error", "unit": "Å", "better": "lower", "format": "fixed", "heading": "Geometry", "hint": ""}
    row = measurement_of("bond_error", said)
    assert (row.title, row.name, row.hint) == ("bond error", "bond error", "bond error")
    assert (row.unit, row.better, row.format, row.heading) == ("Å", "lower", "fixed", "Geometry")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "durations"}, "did you mean 'duration'"),
        ({"better": "lowest"}, "direction"),
        ({"over_seeds": "sum"}, "way over seeds"),
        ({"shown": frozenset({"pdf"})}, "format of boards"),
    ],
)
def test_a_wrong_row_is_an_error(options, message):
    with pytest.raises(ConfigError) as error:
        Measurement("x", **options)
    assert "'x'" in str(error.value)
    assert message.lower() in str(error.value).lower()


def test_a_number_is_declared_in_one_file_and_named_in_the_one_that_measures_it():
    """Beside these two, upgrades of former records name keys, and figures and estimates of chosen numbers."""
    keys = {row.key for row in MEASUREMENTS if "/" in row.key and not row.key.startswith("metric/")}
    measuring = {str(row.measured_by).partition(":")[0].removeprefix("geoequiv.") for row in MEASUREMENTS}
    allowed = {ROOT / f"{name.replace('.', '/')}.py" for name in measuring} | {ROOT / "measurements" / "table.py"}
    allowed |= {
        ROOT / "records" / "upgrade.py",
        ROOT / "bench" / "dry_run.py",
        *(ROOT / "report" / "figures").rglob("*.py"),
    }
    naming = {path: found for path in ROOT.rglob("*.py") if (found := keys & literals(path)) and path not in allowed}
    assert naming == {}


@pytest.mark.parametrize(
    "path",
    [*(ROOT / "report").glob("*.py"), ROOT / "bench" / "runner.py", ROOT / "bench" / "summary.py"],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_neither_renderers_nor_the_runner_name_a_number(path):
    keys = {row.key for row in MEASUREMENTS} - {RANKING}
    assert keys & {each for each in literals(path) if isinstance(each, str)} == set()


def test_the_table_is_imported_without_torch():
    code = "import sys, geoequiv.measurements.columns, geoequiv.measurements.own; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_bench_imports_alignment_only_for_a_suite_that_asks_for_barriers(tmp_path):
    head = "name: small\ntask: nbody/charged\nentries: [{model: linear}]\n"
    (tmp_path / "without.yaml").write_text(head)
    (tmp_path / "with.yaml").write_text(head + "align: {items: 8}\n")
    code = """
import sys
import geoequiv.bench.suite_run, geoequiv.bench.workers, geoequiv.report
from geoequiv.bench.suite import read_suite
for name, loaded in (("without", False), ("with", True)):
    read_suite(f"{name}.yaml")
    assert any(each.startswith("geoequiv.alignment") for each in sys.modules) == loaded, name
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
