"""`geoequiv align`: barriers of a run with its copies, or with another run."""

import json
from pathlib import Path

import pytest
import torch

from geoequiv.cli import main
from geoequiv.cli.align import describe
from geoequiv.groups import Element

SUITE = """\
name: small
task: {name: nbody/charged, train: 64, val: 4, test: 32}
train: {epochs: 1, batch_size: 32, checkpoint_seconds: 0}
evaluate: {num_items: 4, num_samples: 2, batch_size: 4, repeats: 1}
seeds: [0, 1]
entries:
  - model: {name: gnn, width: 8, depth: 1}
  - model: {name: egnn, width: 8, depth: 1}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    (folder / "suite.yaml").write_text(SUITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOEQUIV_DATA", str(folder / "data"))
        patch.chdir(folder)
        assert main(["run", "suite.yaml", "--output", "out"]) == 0
        found = {}
        for path in sorted(Path("out").glob("*/record.json")):
            record = json.loads(path.read_text())
            found[record["model"], record["seed"]] = str(path.parent)
        yield found


def test_copies(runs, capsys, tmp_path):
    capsys.readouterr()
    output = str(tmp_path / "barriers.json")
    assert main(["align", runs["gnn", 0], "--elements", "2", "--json", output]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("mse (lower is better)")
    assert len(printed) == 4
    reports = json.loads(Path(output).read_text())["barriers"]
    assert len(reports) == 2
    assert all(abs(report["barrier"]) < 10 and report["samples"] > 0 for report in reports.values())


def test_an_equivariant_run_has_no_barrier(runs, tmp_path):
    output = str(tmp_path / "barriers.json")
    assert main(["align", runs["egnn", 0], "--group", "C4", "--json", output, "--matching", "weights"]) == 0
    reports = json.loads(Path(output).read_text())["barriers"]
    assert list(reports) == ["90.0° about (0.00, 0.00, 1.00)", "180.0° about (0.00, 0.00, 1.00)",
                             "90.0° about (0.00, 0.00, -1.00)"]  # fmt: skip
    assert all(abs(report["barrier"]) < 1e-3 for report in reports.values())


def test_angles(runs, tmp_path, capsys):
    output = str(tmp_path / "barriers.json")
    assert main(["align", runs["gnn", 0], "--angles", "0,30", "--json", output]) == 0
    reports = json.loads(Path(output).read_text())["barriers"]
    assert list(reports)[1] == "30.0° about (0.00, 0.00, 1.00)"
    still, moved = reports.values()
    assert abs(still["barrier"]) < 1e-6
    assert moved["first"] != moved["second"]
    assert main(["align", runs["gnn", 0], "--angles", "0,thirty"]) == 2
    assert "got 'thirty'" in capsys.readouterr().err


def test_two_trainings(runs, tmp_path):
    output = str(tmp_path / "barriers.json")
    assert main(["align", runs["gnn", 0], "--other", runs["gnn", 1], "--json", output]) == 0
    (report,) = json.loads(Path(output).read_text())["barriers"].values()
    assert report["first"] != report["second"]


def test_bad_input(runs, tmp_path, capsys):
    assert main(["align", str(tmp_path)]) == 2
    assert "is no folder of a run" in capsys.readouterr().err
    assert main(["align", runs["gnn", 0], "--other", runs["egnn", 0]]) == 2
    assert "architectures differ" in capsys.readouterr().err
    assert main(["align", runs["gnn", 0], "--group", "T(3)"]) == 2
    assert "cannot be folded into the weights of GNN: it translates them" in capsys.readouterr().err


def test_elements_in_words():
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    assert describe(Element(turn)) == "90.0° about (0.00, 0.00, 1.00)"
    assert describe(Element(-turn)).startswith("−1 · 90.0°")
