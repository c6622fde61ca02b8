"""`geoequiv show`: pictures and films of small trained runs, and what is said where there is nothing to show."""

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geoequiv.bench.trained import load_trained
from geoequiv.cli import main
from geoequiv.cli.show import TASKS_OWN, element
from geoequiv.report.figures.film import film_of
from geoequiv.report.figures.predictions import predictions, rounded

SUITE = """\
name: small
task: {{name: {task}}}
train: {{epochs: 1, batch_size: 16, checkpoint_seconds: 0}}
evaluate: {{num_items: 2, num_samples: 2, batch_size: 16, repeats: 1}}
entries:
  - model: {{name: {model}, width: 8, depth: 1}}
"""
RUNS = {
    "nbody": ("nbody/charged, train: 16, val: 4, test: 12", "gnn"),
    "mocap": ("mocap/run, train: 8, val: 4, test: 6", "egnn"),
    "forces": ("md17/forces, train: 12, val: 4, test: 6", "egnn"),
}


def mocap_file(folder):
    """Six trials of a stick that walks, with the tree of 31 joints."""
    rng = np.random.default_rng(0)
    arrays = {"edges": np.array([(joint, (joint - 1) // 2) for joint in range(1, 31)])}
    rest = rng.normal(size=(31, 3))
    for trial in range(6):
        arrays[f"trial_{trial:02d}"] = rest + np.arange(60)[:, None, None] * np.array([0.1, 0, 0.05]) + trial
    for split, members in {"train": [1, 4], "val": [0, 5], "test": [2, 3]}.items():
        arrays[f"split_{split}_trials"] = np.array(members)
        arrays |= {f"split_{split}_{member}_starts": np.arange(20) + member for member in members}
    np.savez(folder / "run.npz", **arrays)


def forces_files(folder):
    """Revised MD17's layout: ethanol's heavy atoms and a hydrogen."""
    rng = np.random.default_rng(0)
    rest = np.array([[0, 0, 0], [1.5, 0, 0], [2.1, 1.3, 0], [-0.4, 1.0, 0]])
    for part in ("train", "test"):
        np.savez(
            folder / f"rmd17_ethanol_{part}_01.npz", nuclear_charges=np.array([6, 6, 8, 1], dtype=np.uint8),
            coords=rest + 0.05 * rng.normal(size=(20, 4, 3)), energies=rng.normal(size=20),
            forces=20 * rng.normal(size=(20, 4, 3)),
        )  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Name → folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs")
    mocap_file(folder)
    forces_files(folder)
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOEQUIV_DATA", str(folder))
        for name, (task, model) in RUNS.items():
            (folder / f"{name}.yaml").write_text(SUITE.format(task=task, model=model))
            assert main(["run", str(folder / f"{name}.yaml"), "--output", str(folder / name)]) == 0
            (record,) = (folder / name).glob("*/record.json")
            found[name] = record.parent
        yield found


def test_the_best_the_median_and_the_worst_as_svg_and_gif(runs, capsys):
    run = runs["nbody"]
    capsys.readouterr()
    assert main(["show", str(run)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" · ")[0] for line in printed[:3]] == ["best", "median", "worst"]
    assert printed[3:] == [f"Wrote {run / 'pictures' / name}" for name in ("test.svg", "test.gif")]
    first = {path.name: path.read_bytes() for path in (run / "pictures").iterdir()}
    assert first["test.svg"].startswith(b"<?xml")
    assert b"<dc:date>" not in first["test.svg"]
    assert Image.open(io.BytesIO(first["test.gif"])).n_frames > 1
    assert main(["show", str(run), "--no-gif"]) == 0
    assert (run / "pictures" / "test.svg").read_bytes() == first["test.svg"]


def test_the_errors_on_the_picture_are_those_of_the_record(runs):
    trained = load_trained(runs["nbody"])
    scenes = predictions(trained.task, trained.model, items=range(12))
    errors = [np.square(scene.predicted - scene.true).mean() for scene in scenes]
    assert np.mean(errors) == pytest.approx(trained.record.value("metric"), rel=1e-4)
    best, _, worst = predictions(trained.task, trained.model)
    assert best.title == f"best · item {np.argmin(errors)}"
    assert worst.title == f"worst · item {np.argmax(errors)}"
    assert worst.caption.startswith(f"mse {rounded(max(errors))}, off by ")


def test_the_true_path_of_a_simulation_ends_at_the_target(runs):
    trained = load_trained(runs["nbody"])
    for scene in predictions(trained.task, trained.model):
        assert scene.path.shape == (51, 5, 3)
        np.testing.assert_allclose(scene.path[0], scene.start, atol=1e-5)
        np.testing.assert_allclose(scene.path[-1], scene.true, atol=1e-5)
        assert set(scene.signs) <= {-1, 1}


def test_a_skeleton_walks_along_its_recording(runs, tmp_path, capsys):
    trained = load_trained(runs["mocap"])
    (scene,) = predictions(trained.task, trained.model, items=[3])
    assert (scene.kind, scene.up, scene.unit, len(scene.edges)) == ("skeleton", 1, "cm", 30)
    assert scene.path.shape == (31, 31, 3)
    np.testing.assert_allclose(scene.path[0], scene.start, atol=1e-4)
    np.testing.assert_allclose(scene.path[-1], scene.true, atol=1e-4)
    assert Image.open(io.BytesIO(film_of([scene], frames=3))).n_frames == 3
    arguments = ["show", str(runs["mocap"]), "--items", "3", "--transform", "--no-gif", "--format", "png", "svg", "png"]
    assert main([*arguments, "--output", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.png", "test.svg"]
    said = capsys.readouterr().out
    assert "item 3: mse" in said
    assert "cm, equivariance error" in said


def test_forces_are_arrows_on_a_molecule(runs, tmp_path):
    trained = load_trained(runs["forces"])
    (scene,) = predictions(trained.task, trained.model, items=[0])
    assert (scene.kind, scene.quantity, scene.arrow_unit) == ("molecule", "arrows", "kcal/mol/Å")
    assert scene.elements == (6, 6, 8, 1)
    assert scene.edges.tolist() == [[0, 1], [0, 3], [1, 2]]
    np.testing.assert_allclose(scene.true, trained.task.splits["test"].targets["forces"][0])
    assert main(["show", str(runs["forces"]), "--items", "0", "1", "--no-gif", "--output", str(tmp_path)]) == 0


def test_an_element_that_rotates():
    for name, own in ((TASKS_OWN, "E(3)"), ("SO(2)@y", "E(3)"), ("C4", "E(3)")):
        drawn = element(name, own, 0)
        assert drawn.det == 1
        assert drawn.translation is None
        assert not torch.allclose(drawn.linear, torch.eye(3, dtype=drawn.linear.dtype))
    np.testing.assert_allclose(element("SO(2)@y", "E(3)", 0).linear[1], [0, 1, 0], atol=1e-12)
    assert not torch.equal(element(TASKS_OWN, "E(3)", 0).linear, element(TASKS_OWN, "E(3)", 1).linear)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "absent"], "is no run directory"),
        (["show", "RUN", "--items", "0", "12"], "no item 12 in split 'test': it has 12, 0 to 11"),
        (["show", "RUN", "--split", "tests"], "Did you mean 'test'"),
        (["show", "RUN", "--transform", "Cs@x"], "Cs@x has no rotation"),
        (["show", "RUN", "--items", "0", "--no-gif", "--output", "RUN/record.json"], "Cannot write the figure"),
    ],
)
def test_bad_input_is_exit_status_2(runs, capsys, arguments, message):
    assert main([each.replace("RUN", str(runs["nbody"])) for each in arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gone", "message"), [("checkpoint.ckpt", "no checkpoint.ckpt"), ("record.json", "is not finished")]
)
def test_a_run_that_cannot_be_loaded(runs, tmp_path, capsys, gone, message):
    copied = Path(shutil.copytree(runs["nbody"], tmp_path / "run"))
    (copied / gone).unlink()
    assert main(["show", str(copied)]) == 2
    assert message in capsys.readouterr().err


def test_without_matplotlib_the_extra_is_named(runs, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["show", str(runs["nbody"]), "--items", "0"]) == 2
    assert "pip install 'geoequiv[plots]'" in capsys.readouterr().err


def test_a_title_says_what_was_run(runs, tmp_path):
    record = json.loads((runs["forces"] / "record.json").read_text())
    assert main(["show", str(runs["forces"]), "--items", "0", "--no-gif", "--output", str(tmp_path)]) == 0
    text = (tmp_path / "test.svg").read_text()
    assert f"{record['model']}, {record['method']['label']}, seed 0" in text


def test_a_picture_is_of_the_run_s_own_data(runs, tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(1)
    forces_files(tmp_path)
    path = tmp_path / "rmd17_ethanol_test_01.npz"
    arrays = dict(np.load(path))
    np.savez(path, **arrays | {"energies": rng.normal(size=20)})
    monkeypatch.setenv("GEOEQUIV_DATA", str(tmp_path))
    assert main(["show", str(runs["forces"]), "--no-gif", "--output", str(tmp_path)]) == 0
    assert "This is not the data of the run " in capsys.readouterr().err
    with np.load(runs["mocap"].parents[1] / "run.npz") as file:
        np.savez(tmp_path / "run.npz", **{name: file[name] for name in file.files if name != "trial_05"})
    assert main(["show", str(runs["mocap"]), "--no-gif", "--output", str(tmp_path)]) == 2
    assert "run.npz lacks 'trial_05', which its split 'val' names" in capsys.readouterr().err
    copied = tmp_path / "copied"
    shutil.copytree(runs["forces"], copied)
    record = json.loads((copied / "record.json").read_text())
    (copied / "record.json").write_text(json.dumps(record | {"protocol": "md17/forces/other", "checksum": None}))
    assert main(["show", str(copied), "--no-gif"]) == 2
    told = capsys.readouterr().err
    assert "The run is of md17/forces/other, and the data at hand has md17/forces/ethanol/split1/12-4-6" in told
