"""`geoequiv align`: barriers of a run with its copies, or with another run."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from geoequiv.cli import main
from geoequiv.groups import Element
from geoequiv.measurements import barriers
from geoequiv.measurements.barriers import describe_rotation

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
    reports = json.loads(Path(output).read_text())["copies"]
    assert len(reports) == 2
    assert all(abs(report["barrier"]) < 10 and report["samples"] > 0 for report in reports)


def test_an_equivariant_run_has_no_barrier(runs, tmp_path):
    output = str(tmp_path / "barriers.json")
    assert main(["align", runs["egnn", 0], "--group", "C4", "--json", output, "--matching", "weights"]) == 0
    reports = json.loads(Path(output).read_text())["copies"]
    assert [report["element"] for report in reports] == [
        "90.0° about (0.00, 0.00, 1.00)", "180.0° about (0.00, 0.00, 1.00)", "90.0° about (0.00, 0.00, -1.00)"
    ]  # fmt: skip
    assert all(abs(report["barrier"]) < 1e-3 for report in reports)


def test_angles(runs, tmp_path, capsys):
    output = str(tmp_path / "barriers.json")
    assert main(["align", runs["gnn", 0], "--angles", "0,30", "--json", output]) == 0
    still, moved = json.loads(Path(output).read_text())["copies"]
    assert moved["element"] == "30.0° about (0.00, 0.00, 1.00)"
    assert abs(still["barrier"]) < 1e-6
    assert moved["first"] != moved["second"]
    assert main(["align", runs["gnn", 0], "--angles", "0,thirty"]) == 2
    assert "got '0,thirty'" in capsys.readouterr().err


def test_reports_are_json_in_any_folder_and_drawn_where_numbers_are_not_finite(runs, tmp_path, monkeypatch, capsys):
    measure = barriers.measure_barriers

    def endless(*arguments, **options):
        found = measure(*arguments, **options)
        found["copies"][0]["barrier"] = math.nan
        return found

    monkeypatch.setattr(barriers, "measure_barriers", endless)
    output = tmp_path / "new" / "barriers.json"
    options = ["--angles", "45,90", "--path", "3", "--items", "8"]
    run = str(Path(runs["gnn", 0]).resolve())
    monkeypatch.chdir(tmp_path)
    assert main(["align", run, *options, "--json", str(output), "--plots", "figures"]) == 0
    reports = json.loads(output.read_text(), parse_constant=pytest.fail)["copies"]
    assert reports[0]["barrier"] is None
    assert (tmp_path / "figures" / "barrier-angle.svg").exists()  # in this folder
    (tmp_path / "file").write_text("")
    assert main(["align", run, *options, "--json", "file/barriers.json"]) == 2
    assert "Cannot write the reports to 'file/barriers.json'" in capsys.readouterr().err


def test_two_trainings(runs, tmp_path):
    output = str(tmp_path / "barriers.json")
    assert main(["align", runs["gnn", 0], "--other", runs["gnn", 1], "--json", output]) == 0
    (report,) = json.loads(Path(output).read_text())["trainings"]
    assert report["first"] != report["second"]


def test_figures_of_a_run(runs, tmp_path, capsys):
    options = ["--angles", "45,90", "--path", "3", "--plots", str(tmp_path / "figures")]
    assert main(["align", runs["gnn", 0], *options]) == 0
    written = {path.name for path in (tmp_path / "figures").iterdir()}
    assert written == {"barrier-path.svg", "barrier-angle.svg", "correlation.svg", "cycles.svg"}
    first = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert main(["align", runs["gnn", 0], *options]) == 0
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert "Wrote" in capsys.readouterr().out


def test_a_results_folder(runs, capsys):
    out = str(Path(runs["gnn", 0]).parent)
    options = ["--angles", "90,180", "--items", "32", "--matching", "none,activations"]
    assert main(["align", out, *options, "--plots"]) == 0
    printed = capsys.readouterr().out
    assert "[4/4]" in printed
    assert "activations: transformed copies 0, another training" in printed  # an EGNN
    assert {path.name for path in Path(out).glob("*.svg")} == {"barrier-angle.svg", "barrier-error.svg"}
    assert main(["align", out, *options]) == 0
    assert capsys.readouterr().out.count("(measured before)") == 4
    assert main(["plot", runs["gnn", 0]]) == 0  # from the record
    assert "correlation.svg" in capsys.readouterr().out
    assert main(["plot", out]) == 0
    assert "barrier-error.svg" in capsys.readouterr().out


def test_settings_of_a_suite(runs, tmp_path, capsys):
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE + "align: {group: C4, items: 32}\n")
    assert main(["align", runs["egnn", 0], "--suite", str(suite), "--matching", "weights"]) == 0
    assert capsys.readouterr().out.count("° about (0.00, 0.00, ") == 3
    suite.write_text(SUITE + "align: {items: 32, seed_baseline: false}\n")
    assert main(["align", runs["gnn", 0], "--suite", str(suite), "--other", runs["gnn", 1]]) == 0
    assert f"{runs['gnn', 1].split('/')[-1]}, activations" in capsys.readouterr().out
    suite.write_text(SUITE)
    assert main(["align", runs["egnn", 0], "--suite", str(suite)]) == 2
    assert "has no align: section" in capsys.readouterr().err


def test_bad_input(runs, tmp_path, capsys):
    assert main(["align", str(tmp_path)]) == 2
    assert "holds no finished run" in capsys.readouterr().err
    assert main(["align", str(tmp_path / "absent")]) == 2
    assert "No folder at" in capsys.readouterr().err
    assert main(["align", runs["gnn", 0], "--other", runs["egnn", 0]]) == 2
    assert "architectures differ" in capsys.readouterr().err
    for options, message in (
        (["--matching", "activation"], "Did you mean 'activations'"),
        (["--axis", "y"], "an axis goes with angles"),
        (["--angles", "90", "--group", "SO(2)@y", "--axis", "z"], "is no element of SO(2)@y"),
    ):
        assert main(["align", runs["gnn", 0], *options]) == 2
        assert message in capsys.readouterr().err
    assert main(["align", str(tmp_path), "--other", runs["gnn", 0]]) == 2
    assert "go with the folder of one run" in capsys.readouterr().err


def test_barriers_are_of_the_run_s_own_data(runs, tmp_path, capsys):
    copied = Path(shutil.copytree(runs["egnn", 0], tmp_path / "out" / Path(runs["egnn", 0]).name))
    record = json.loads((copied / "record.json").read_text())
    record.pop("alignment", None)  # of another test
    del record["checksum"]
    card = record["task_card"] | {"checksum": "0" * 64}
    (copied / "record.json").write_text(json.dumps(record | {"task_card": card}))
    options = ["--angles", "90", "--items", "4"]
    assert main(["align", str(copied), *options]) == 0
    assert f"This is not the data of the run {copied.name}: " in capsys.readouterr().err
    (copied / "record.json").write_text(json.dumps(record | {"protocol": "nbody/other"}))
    assert main(["align", str(copied), *options]) == 2
    assert "The run is of nbody/other, and the data at hand has nbody/charged" in capsys.readouterr().err
    assert main(["align", str(copied.parent), *options]) == 1
    assert "no barrier: DataError: The run is of nbody/other" in capsys.readouterr().out
    assert not json.loads((copied / "record.json").read_text())["alignment"].get("methods")


def test_elements_in_words():
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    assert describe_rotation(Element(turn)) == "90.0° about (0.00, 0.00, 1.00)"
    assert describe_rotation(Element(-turn)).startswith("−1 · 90.0°")
