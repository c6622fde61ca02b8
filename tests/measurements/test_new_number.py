"""A new number is one row of the table and its function: runner, records and every format have it."""

import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from geoequiv.bench.measure_again import measure_again
from geoequiv.bench.suite import read_suite
from geoequiv.bench.suite_run import run_suite
from geoequiv.bench.summary import summary
from geoequiv.errors import ConfigError
from geoequiv.measurements import Measured, Measurement, Reading, table
from geoequiv.records import read
from geoequiv.report import render
from geoequiv.session import Session

SUITE = """\
name: small
task: {name: nbody/charged, train: 16, val: 4, test: 8}
train: {epochs: 1, batch_size: 16}
evaluate: {num_items: 4, num_samples: 2, batch_size: 4, repeats: 1}
entries: [{model: linear}]
"""
OWN = '''
"""Measurements of a user."""

import torch

import geoequiv as ge


def drift(model, task):
    """How far predictions are from the input positions."""
    inputs = task.splits["test"].inputs
    with torch.no_grad():
        return (model(**inputs) - inputs["pos"]).square().mean()


def counts(model, task):
    return {"near": 3, "far": 0.25}


def broken(model, task):
    return float("nan")


FLIPS = ge.Measurement("flips", title="Flips <b>", unit="1/ps", better="higher", format="compact",
                       heading="Chemistry", measured_by=lambda model, task: 1234.5)
TAKEN = ge.Measurement("params", measured_by=drift)
EMPTY = ge.Measurement("empty")
'''


def roughness(subject):
    return Measured({"roughness": Reading(0.125, se=0.004)})


@pytest.fixture
def run(tmp_path, monkeypatch, data_dir):
    """Run the suite with some more lines, and return its results folder."""
    monkeypatch.chdir(tmp_path)
    Path("my_numbers.py").write_text(OWN)

    def done(more=""):
        Path("suite.yaml").write_text(SUITE + more)
        suite = read_suite("suite.yaml")
        result = run_suite(suite, tmp_path / "out", session=Session(data_dir=data_dir))
        return suite, result, tmp_path / "out"

    return done


def in_terminal(records):
    console = Console(file=io.StringIO(), width=200)
    console.print(summary(records))
    return console.file.getvalue()


def test_one_row_makes_a_column_in_every_format(run, monkeypatch):
    row = Measurement(
        "roughness", "rough", "How rough it is", heading="Geometry", measured_by=roughness, standard_error=True,
        spread="se", shown=frozenset({"html", "md", "svg", "terminal"}), sparkline=(1e-3,), former="geometry.rough",
    )  # fmt: skip
    monkeypatch.setattr(table, "MEASUREMENTS", (*table.MEASUREMENTS, row))
    monkeypatch.setattr(table, "_looked_up", table._looked_up.__wrapped__)  # rows are remembered otherwise
    _, result, out = run()
    assert result.complete
    (record,) = read(out).records
    assert (record.value("roughness"), record.numbers["roughness"].se) == (0.125, 0.004)
    html = render(out, "html")
    assert 'title="How rough it is">rough</button>' in html
    assert "<span>Geometry</span>" in html
    assert 'data-key="roughness" data-sort="0.125"' in html
    assert "± .0040" in html
    lines = [[cell.strip() for cell in line.split("|")] for line in render(out, "md").splitlines() if line[:1] == "|"]
    cells = dict(zip(lines[0], next(line for line in lines if "**linear**" in line), strict=True))
    assert cells["rough"] == ".12 ± .0040"
    (measured,) = [line for line in csv.DictReader(io.StringIO(render(out, "csv"))) if line["kind"] == "measured"]
    assert (measured["roughness"], measured["roughness:se"]) == ("0.125", "0.004")
    (found,) = json.loads(render(out, "json"))["rows"]
    assert found["numbers"]["roughness"] == {"value": 0.125, "std": None, "n": 1, "se": 0.004, "values": [0.125]}
    assert found["geometry"] == {"rough": 0.125}
    svg = render(out, "svg")
    assert ">rough<" in svg
    assert ">.12 ± .0040<" in svg
    shown = in_terminal([record])
    assert "rough" in shown
    assert ".12 ± .0040" in shown


def test_a_users_own_measurements_are_columns_and_boards_need_not_import_them(run):
    _, result, out = run("measure: [my_numbers:drift, my_numbers:counts, my_numbers:FLIPS]\n")
    assert result.complete
    (record,) = read(out).records
    assert record.value("drift") > 0
    assert (record.value("counts/near"), record.value("counts/far"), record.value("flips")) == (3, 0.25, 1234.5)
    assert record.described["flips"].unit == "1/ps"
    assert record.described["drift"].hint == "How far predictions are from the input positions"
    Path("my_numbers.py").unlink()
    html, md = render(out, "html"), render(out, "md")
    assert 'title="How far predictions are from the input positions">drift</button>' in html
    assert "<span>Chemistry</span>" in html
    assert "Flips &lt;b&gt;" in html
    assert 'data-key="flips" data-first="descending"' in html
    assert "| counts, near |" in md
    assert "| Flips &lt;b&gt; |" in md
    (measured,) = [line for line in csv.DictReader(io.StringIO(render(out, "csv"))) if line["kind"] == "measured"]
    assert (measured["counts/near"], measured["flips"]) == ("3.0", "1234.5")
    (found,) = json.loads(render(out, "json"))["rows"]
    assert found["numbers"]["counts/far"]["value"] == 0.25
    assert ">1234<" in html or ">1235<" in html


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_numbers:TAKEN", "'params' of the measurement 'my_numbers:TAKEN' is taken"),
        ("my_numbers:EMPTY", "no measured_by"),
        ("my_numbers:ge", "is module, not a measurement"),
        ("my_numbers:drifts", "did you mean 'drift'"),
    ],
)
def test_what_is_no_measurement_is_an_error_of_the_suite(run, name, message):
    with pytest.raises(ConfigError) as error:
        run(f"measure: [{name}]\n")
    assert "line 6" in str(error.value)
    assert message.lower() in str(error.value).lower()


def test_a_measurement_that_is_not_finite_fails_the_run_and_keeps_its_training(run):
    suite, result, out = run("measure: [my_numbers:broken]\n")
    assert not result.complete
    ((_, outcome),) = result.outcomes
    assert "returned nan for 'broken'; expected a finite number" in outcome.record.error
    assert (out / suite.runs[0].run_id / "checkpoint.ckpt").exists()


def test_a_finished_run_is_measured_again_from_its_checkpoint(run, data_dir):
    suite, _, out = run()
    (before,) = read(out).records
    directory = out / suite.runs[0].run_id
    same, measured = measure_again(suite.runs[0], directory, Session(data_dir=data_dir))
    timed = {"seconds/inference"}
    assert {k: n for k, n in same.numbers.items() if k not in timed} == {
        k: n for k, n in before.numbers.items() if k not in timed
    }
    assert len(measured.items["metric"]) == 8
    Path("suite.yaml").write_text(
        SUITE.replace("num_items: 4", "num_items: 8").replace("repeats: 1", "repeats: 2, group: SO(3)")
        + "measure: [my_numbers:counts]\n"
    )
    (spec,) = read_suite("suite.yaml").runs
    assert spec.run_id == before.run_id
    other, _ = measure_again(spec, directory, Session(data_dir=data_dir))
    assert other.value("counts/near") == 3
    assert (other.settings["equivariance"]["num_items"], other.settings["equivariance"]["group"]) == (8, "SO(3)")
    assert (other.config["evaluate"], other.config["measure"]) == (spec.config["evaluate"], ["my_numbers:counts"])
    for key in ("metric", "seconds/train", "epochs/run", "lr", "params"):
        assert other.value(key) == before.value(key)
