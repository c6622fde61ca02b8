"""What a suite would do: states, steps and cost of its runs, with nothing done and torch not imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from geoequiv.bench.dry_run import plan, plan_lines, training_items
from geoequiv.bench.runner import run
from geoequiv.bench.state import STANDS
from geoequiv.bench.suite import read_suite
from geoequiv.cli import main
from geoequiv.records.store import Store
from geoequiv.session import Session

HEAD = """\
name: tiny
task: {name: nbody/charged, train: 32, val: 8, test: 16}
train: {epochs: 2, batch_size: 10, lr: 1e-3}
evaluate: {num_items: 4, num_samples: 2, batch_size: 8, repeats: 1}
"""
ENTRIES = "- {model: {name: gnn, width: 4, depth: 1}, seeds: [0, 1]}\n- model: my_models:Shift"


@pytest.fixture
def begun(suite_file, data_dir):
    """A suite of three runs of which one has finished and one has begun."""
    path = suite_file(ENTRIES, HEAD)
    first, second, _ = read_suite(path).runs
    assert run(first, Store(Path("out")), Session(data_dir=data_dir)).status == "finished"
    (Path("out") / second.run_id).mkdir()
    (Path("out") / second.run_id / "checkpoint.ckpt").write_bytes(b"not read")
    return path


def states(path, *overrides, **options):
    return [each.state for each in plan(read_suite(path, overrides=overrides), Path("out"), **options)]


def test_states(begun):
    assert states(begun) == ["finished", "to continue", "to do"]
    assert states(begun, "train.epochs=3") == ["to do"] * 3
    assert states(begun, "evaluate.num_items=5") == ["to measure again", "to continue", "to do"]
    first = read_suite(begun).runs[0]
    (Path("out") / first.run_id / "checkpoint.ckpt").unlink()
    assert states(begun, "evaluate.num_items=5")[0] == STANDS
    record = Path("out") / first.run_id / "record.json"
    content = json.loads(record.read_text())
    del content["checksum"]  # it is edited below
    failed = {**content, "status": "failed", "error": "stop", "metric": None, "numbers": {}, "protocol": None}
    record.write_text(json.dumps(failed))
    assert states(begun)[0] == "failed"
    assert states(begun, resume=True)[0] == "failed, to do again"


def test_cost_by_finished_runs_scaled_by_epochs(begun):
    first = read_suite(begun).runs[0]
    record = json.loads((Path("out") / first.run_id / "record.json").read_text())
    seconds = record["numbers"]["seconds/train"]["value"]
    planned = plan(read_suite(begun, overrides=["train.epochs=20"]), Path("out"))
    assert [each.steps for each in planned] == [20 * 4] * 3
    assert planned[0].seconds == planned[1].seconds == pytest.approx(10 * seconds)
    assert planned[2].seconds is None  # no run of this model has finished


def test_it_is_told_and_nothing_is_done(begun, capsys):
    before = sorted(Path("out").rglob("*"))
    assert main(["run", str(begun), "--output", "out", "--dry-run", "--jobs", "2", "train.epochs=3", "seeds=7"]) == 0
    text = capsys.readouterr().out
    assert "Suite tiny: 3 runs (3 to do) → out" in text
    assert "Training: about 1 s with 2 jobs for 2 of 3 runs, by finished runs in out." in text
    assert "Unknown for 1: out has no finished run of the same model, method and task." in text
    assert "gnn · none · seed 7" not in text  # the entry has seeds of its own
    assert "my_models:Shift · none · seed 7" in text
    assert sorted(Path("out").rglob("*")) == before


def test_a_folder_without_results(suite_file):
    suite = read_suite(suite_file("- model: egnn", HEAD))
    lines = plan_lines(suite, plan(suite, Path("nowhere")), Path("nowhere"), Session())
    assert any("Unknown for 1: nowhere has no finished run" in line for line in lines)
    assert not Path("nowhere").exists()


@pytest.mark.parametrize(
    ("task", "items"),
    [
        ({"name": "nbody/charged", "train": 500}, 500),
        ({"name": "nbody/charged", "train": 500, "limit": 3}, 3),
        ({"name": "images/cifar10"}, 45000),
        ({"name": "files", "path": "x.npz"}, None),
    ],
)
def test_training_items_where_task_or_register_tell(task, items):
    assert training_items(task) == items


def test_it_does_not_import_torch(suite_file):
    path = suite_file("- model: [gnn, egnn]", HEAD)
    code = "import sys; from geoequiv.cli import main; main(sys.argv[1:]); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code, "run", str(path), "--dry-run", "train.lr=1"]).returncode == 0


def test_overrides_and_options_in_any_order(suite_file, capsys):
    path = str(suite_file("- model: egnn", HEAD))
    for line in (
        ["run", path, "name=a", "--dry-run", "seeds=[0,1]"],
        ["run", path, "--dry-run", "name=a", "seeds=[0,1]"],
        ["run", "--dry-run", path, "name=a", "seeds=[0,1]"],
    ):
        assert main(line) == 0
        assert "Suite a: 2 runs (2 to do) → results/a" in capsys.readouterr().out
    assert main(["run", path, "--dry-run", "train.epohcs=3"]) == 2
    assert "override 'train.epohcs=3', key 'train.epohcs': Unknown key" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["run", path, "--dry-run", "nonsense", "--unknown"])
