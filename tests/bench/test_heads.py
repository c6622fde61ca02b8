"""Tasks with a head, a loss for each output and several metrics, and quick looks, run from a suite to a leaderboard."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from geoequiv.bench.suite import read_suite
from geoequiv.bench.suite_run import run_suite
from geoequiv.errors import ConfigError
from geoequiv.report import render
from geoequiv.session import Session

HEAD = """\
name: forces
task: {name: md17/forces, molecule: ethanol, train: 8, val: 4, test: 6%s}
train: {epochs: 2, batch_size: 4, lr: 1e-3, equivariance_items: 2, checkpoint_seconds: 0}
evaluate: {num_items: 2, num_samples: 2, batch_size: 4, repeats: 1}
"""
WAYS = """\
- model: {name: gnn, width: 4, depth: 1}
  symmetry:
    - none
    - augmentation: {group: O(3)}
    - remul: {group: O(3), beta: 1}
    - frame_averaging: {group: E(3)}
- model: {name: egnn, width: 4, depth: 1}
"""


@pytest.fixture
def molecules(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, frames in (("train", 20), ("test", 10)):
        pos = rng.normal(size=(frames, 5, 3))
        energies = -500.0 + 3 * rng.normal(size=frames)
        forces = 20 * rng.normal(size=pos.shape)
        charges = np.array([6, 6, 8, 1, 1], dtype=np.uint8)
        np.savez(
            folder / f"rmd17_ethanol_{part}_01.npz",
            nuclear_charges=charges, coords=pos, energies=energies, forces=forces,
        )  # fmt: skip
    return folder


def done(path, output, data_dir, **options):
    console = Console(file=io.StringIO(), width=200)
    result = run_suite(read_suite(path, **options), Path(output), session=Session(data_dir=data_dir, console=console))
    assert result.complete, console.file.getvalue()
    return [outcome.record for _, outcome in result.outcomes]


@pytest.mark.parametrize("mode", ["gradient", "direct"])
def test_every_way_of_getting_symmetry_gives_forces(suite_file, molecules, mode):
    path = suite_file(WAYS, HEAD % f", forces: {mode}")
    records = done(path, "out", molecules)
    for record in records:
        assert record.protocol == "md17/forces/ethanol/split1/8-4-6/force_mae"
        metric = record.numbers["metric"]
        assert (record.metric.name, record.metric.unit, metric.n) == ("force_mae", "meV/Å", 6)
        further = {(each.title, each.unit): record.value(key) for key, each in record.described.items()}
        assert further["force_mae", "kcal/mol/Å"] * 43.364 == pytest.approx(metric.value)
        assert further["energy_mae", "kcal/mol"] * 43.364 == pytest.approx(further["energy_mae", "meV"])
    relative = {record.method.label: record.value("relative") for record in records}
    assert relative["frame averaging E(3) (pca)"] < 1e-4
    assert relative["built-in E(3)"] < 1e-4
    assert relative["none"] > 1e-3
    board = json.loads(render("out", "json"))
    names = {(each["name"], each["unit"]) for each in board["rows"][0]["metric"]["further"]}
    assert names == {("energy_mae", "meV"), ("force_mae", "kcal/mol/Å"), ("energy_mae", "kcal/mol")}
    markdown = render("out", "md")
    assert "test force MAE (meV/Å) | energy MAE (meV) | force MAE (kcal/mol/Å)" in markdown
    columns = render("out", "csv").splitlines()[0].split(",")
    assert {"metric/further/energy_mae", "metric/further/energy_mae [kcal/mol]"} <= set(columns)
    assert "energy MAE (meV)" in render("out", "html")


def test_scales_are_part_of_the_checkpoint(suite_file, molecules):
    import torch

    path = suite_file("- model: {name: gnn, width: 4, depth: 1}\n", HEAD % "")
    (record,) = done(path, "out", molecules)
    state = torch.load(Path("out") / record.run_id / "checkpoint.ckpt", weights_only=True)
    found = str(sorted(state["best_weights"] if "best_weights" in state else state["progress"]["best_weights"]))
    assert "output_scale_energy" in found
    assert "zero_energy" in found


def test_quick_looks_stand_on_a_leaderboard_of_their_own(suite_file, molecules):
    path = suite_file("- model: {name: egnn, width: 4, depth: 1}\n", HEAD % "")
    whole = done(path, "out", molecules)
    short = done(path, "out", molecules, limit=3)
    inside = done(suite_file("- model: {name: egnn, width: 4, depth: 1}\n", HEAD % ", limit: 3"), "out", molecules)
    assert short[0].run_id == inside[0].run_id != whole[0].run_id
    assert short[0].numbers["metric"].n == 3
    boards = json.loads(render("out", "json"))
    assert [board["protocol"] for board in boards] == [
        "md17/forces/ethanol/split1/8-4-6/force_mae", "md17/forces/ethanol/split1/8-4-6/force_mae/limit3",
    ]  # fmt: skip
    assert [len(board["rows"]) for board in boards] == [1, 1]


def test_a_bad_limit_is_named_with_its_line(suite_file):
    for limit in ("0", "many"):
        path = suite_file("- model: egnn\n", HEAD % f", limit: {limit}")
        with pytest.raises(ConfigError, match=r"line 2, key 'task\.limit'"):
            read_suite(path)
