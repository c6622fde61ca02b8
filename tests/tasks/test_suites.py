"""The suites of configs/ on real tasks: every entry of each trains a step and predicts, as with ``--limit``."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from geoequiv.bench.runner import build, load_task
from geoequiv.bench.suite import read_suite
from geoequiv.session import Session
from geoequiv.tasks import motion_capture
from geoequiv.tasks.mocap_gait import EDGES, walkers
from geoequiv.tasks.simulation import gait
from geoequiv.tasks.simulation.md17_geometries import starting_geometry
from geoequiv.training import predict

CONFIGS = Path(__file__).parents[2] / "configs"
SUITES = ("md17_dynamics", "md17_forces", "md17_xtb_dynamics", "md17_xtb_forces", "mocap", "mocap_gait")
EVERY_WAY = {"none", "augmentation", "remul", "frame_averaging"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with files in the official layouts, of the official sizes, and with numbers that mean little."""
    folder = tmp_path_factory.mktemp("files")
    for inside in ("md17", "rmd17", "md17-xtb", "mocap/cmu_09"):
        (folder / inside).mkdir(parents=True)
    rng = np.random.default_rng(0)

    def molecule(name, frames):
        charges, pos = starting_geometry(name)
        pos = (pos + 0.05 * rng.normal(size=(frames, *pos.shape))).astype(np.float32)
        return {"z": charges, "R": pos, "E": rng.normal(size=frames), "F": rng.normal(size=pos.shape)}

    np.savez(folder / "md17" / "md17_aspirin.npz", **molecule("aspirin", 28_000))
    np.savez(folder / "md17-xtb" / "md17_xtb_ethanol.npz", **molecule("ethanol", 28_000))
    for part in ("train", "test"):
        np.savez(folder / "rmd17" / f"rmd17_ethanol_{part}_01.npz", **molecule("ethanol", 1000))
    motion = gait.walk(walkers("train", 110, 0), np.arange(120) / 120)
    trials = {f"trial_{k + 1:02d}": trial for k, trial in enumerate(motion)}
    deal = {"train": range(1, 6), "val": range(6, 9), "test": range(9, 12)}
    for split, chosen in deal.items():
        trials[f"split_{split}_trials"] = np.array(chosen)
        trials |= {f"split_{split}_{trial}_starts": rng.permutation(90)[:80] for trial in chosen}
    np.savez(folder / "mocap" / "cmu_09" / "run.npz", **trials, edges=EDGES)
    return folder


@pytest.mark.parametrize("name", SUITES)
def test_every_entry_of_a_suite_can_be_run(name, files):
    suite = read_suite(CONFIGS / f"{name}.yaml", limit=3)
    assert {spec.config["seed"] for spec in suite.runs} == {0, 1, 2}
    specs = [spec for spec in suite.runs if spec.config["seed"] == 0]
    task = load_task(specs[0], Session(data_dir=files))
    assert task.protocol.endswith("/limit3")
    train, test = task.splits["train"], task.splits["test"]
    seen = set()
    for spec in specs:
        torch.manual_seed(0)
        model, objective = build(spec, task)
        loss = objective(train.inputs, train.targets)
        getattr(loss, "total", loss).backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None), spec.title
        assert any(p.grad is not None and p.grad.any() for p in model.parameters()), spec.title
        predictions = predict(model.eval(), task.signature, test.inputs, 3)
        error = task.metric.per_item(predictions, test.targets)
        assert error.shape == (3,), spec.title
        assert torch.isfinite(error).all(), spec.title
        seen.add((spec.part("model")[0], spec.part("symmetry")[0]))
    for network in ("gnn", "transformer"):
        assert EVERY_WAY <= {way for model, way in seen if model == network}
    assert {"egnn", "painn", "segnn"} <= {model for model, _ in seen}


def test_trials_are_turned_about_the_vertical(files):
    """`benchmarks/turned_trials.py`: each item by an angle of its own, its target with it."""
    specification = importlib.util.spec_from_file_location("turned", CONFIGS.parent / "benchmarks/turned_trials.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    turned, recorded = module.turned_run(files), motion_capture.run(files)
    assert turned.protocol == "mocap/run/Δ30/200-240-240/turned/mse"
    assert not turned.references
    for name, split in turned.splits.items():
        before, after = (each.inputs["pos"] for each in (recorded.splits[name], split))
        moves = [each.targets["pos"] - each.inputs["pos"] for each in (recorded.splits[name], split)]
        torch.testing.assert_close(after[..., 1], before[..., 1])
        torch.testing.assert_close(after.norm(dim=-1), before.norm(dim=-1))
        torch.testing.assert_close(moves[1].norm(dim=-1), moves[0].norm(dim=-1), atol=1e-4, rtol=1e-4)
        assert (after - before).abs().amax((1, 2)).min() > 1e-3
