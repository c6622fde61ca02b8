"""A finished run whose suite asks for other measurements is measured from its checkpoint; nothing is trained."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from geoequiv.bench.suite import read_suite
from geoequiv.bench.suite_run import run_suite
from geoequiv.records import read
from geoequiv.session import Session

ENTRY = "- {model: {name: gnn, width: 4, depth: 1}, seeds: [0, 1]}\n"
MEASURES = '''
def weights(model, task):
    """Number of weights."""
    return sum(each.numel() for each in model.parameters())


def broken(model, task):
    raise RuntimeError("no number today")
'''


@pytest.fixture
def go(suite_file, data_dir, monkeypatch):
    path = suite_file(ENTRY)
    Path("my_numbers.py").write_text(MEASURES)

    def run(*overrides, jobs=1, **options):
        console = Console(file=io.StringIO(), width=200)
        suite = read_suite(path, overrides=overrides)
        session = Session(data_dir=data_dir, console=console, jobs=jobs)
        return run_suite(suite, Path("out"), session=session, **options), console.file.getvalue()

    def never(*_, **__):
        raise AssertionError("something is trained")

    assert run()[0].complete
    monkeypatch.setattr("geoequiv.bench.runner.fit", never)
    return run


def test_other_settings_are_measured_and_nothing_is_trained(go):
    before = read("out").records
    result, text = go("evaluate.num_items=6", "measure=my_numbers:weights")
    assert result.complete
    assert [outcome.status for _, outcome in result.outcomes] == ["measured", "measured"]
    assert "2 runs: 2 to measure again" in text
    after = read("out").records
    assert [record.run_id for record in after] == [record.run_id for record in before]
    for former, record in zip(before, after, strict=True):
        assert record.settings["equivariance"]["num_items"] == 6
        assert record.value("weights") == record.value("params")
        assert record.value("metric") == former.value("metric")
        assert record.value("seconds/train") == former.value("seconds/train")
        assert record.value("relative") != former.value("relative")
    result, text = go("evaluate.num_items=6", "measure=my_numbers:weights")
    assert [outcome.status for _, outcome in result.outcomes] == ["skipped", "skipped"]
    assert "2 finished before" in text


def test_a_measurement_that_fails_leaves_the_record_as_it_was(go):
    before = [path.read_bytes() for path in sorted(Path("out").glob("*/record.json"))]
    result, text = go("measure=my_numbers:broken")
    assert not result.complete
    assert [outcome.status for _, outcome in result.outcomes] == ["unmeasured"] * 2
    assert "not measured again: RuntimeError: no number today (its record stands)" in text
    assert [path.read_bytes() for path in sorted(Path("out").glob("*/record.json"))] == before


def test_without_weights_the_record_stands_and_a_line_says_so(go):
    for path in Path("out").glob("*/checkpoint.ckpt"):
        path.unlink()
    result, text = go("evaluate.num_items=6")
    assert result.complete
    assert "2 measured by former settings, whose weights are not there to measure again" in text
    for path in Path("out").glob("*/record.json"):
        assert json.loads(path.read_text())["settings"]["equivariance"]["num_items"] == 4


def test_workers_measure_again_as_well(go):
    result, _ = go("evaluate.num_samples=3", jobs=2)
    assert [outcome.status for _, outcome in result.outcomes] == ["measured", "measured"]
