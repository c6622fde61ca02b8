"""Loading a finished run from its folder: the weights that were measured, and an error for everything else."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from geoequiv.bench.runner import run
from geoequiv.bench.suite import read_suite
from geoequiv.bench.trained import load_trained
from geoequiv.errors import DataError
from geoequiv.measurements import EvaluateConfig
from geoequiv.measurements.measurement import Subject
from geoequiv.measurements.task_metric import task_metric
from geoequiv.records.store import Store
from geoequiv.session import Session

SUITE = """\
name: tiny
task: {name: nbody/charged, train: 32, val: 8, test: 16}
train: {epochs: 3, batch_size: 16, lr: 1e-2, checkpoint_seconds: 0}
evaluate: {num_items: 4, num_samples: 2, batch_size: 8, repeats: 1}
entries:
  - model: {name: gnn, width: 8, depth: 1}
    symmetry: {frame_averaging: {group: E(3), frame: stochastic}}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data_dir):
    folder = tmp_path_factory.mktemp("finished")
    (folder / "suite.yaml").write_text(SUITE)
    (spec,) = read_suite(folder / "suite.yaml").runs
    outcome = run(spec, Store(folder / "out"), Session(data_dir=data_dir))
    assert outcome.status == "finished"
    return folder / "out" / spec.run_id


@pytest.fixture
def copied(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / finished.name))


def test_the_model_is_the_one_that_was_measured(finished, data_dir):
    trained = load_trained(finished, Session(data_dir=data_dir))
    config = EvaluateConfig(**trained.spec.config["evaluate"])
    torch.manual_seed(trained.spec.config["seed"])
    measured = task_metric(Subject(trained.model, trained.task, config))
    assert measured.numbers["metric"].value == pytest.approx(trained.record.value("metric"), rel=1e-5)
    assert trained.spec.run_id == finished.name
    assert not trained.model.training


def test_an_untrained_model_measures_otherwise(finished, data_dir):
    trained = load_trained(finished, Session(data_dir=data_dir))
    for weight in trained.model.parameters():
        torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(0))
    measured = task_metric(Subject(trained.model, trained.task, EvaluateConfig(batch_size=8)))
    assert measured.numbers["metric"].value != pytest.approx(trained.record.value("metric"), rel=1e-2)


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("config.yaml", "is no run directory"),
        ("record.json", "is not finished: it has no record"),
        ("checkpoint.ckpt", "has a record but no checkpoint"),
    ],
)
def test_a_file_that_is_gone(copied, data_dir, gone, message):
    (copied / gone).unlink()
    with pytest.raises(DataError, match=message):
        load_trained(copied, Session(data_dir=data_dir))


def test_damaged_files(copied, data_dir):
    record = json.loads((copied / "record.json").read_text())
    (copied / "checkpoint.ckpt").write_bytes(b"PK")
    with pytest.raises(DataError, match="is damaged"):
        load_trained(copied, Session(data_dir=data_dir))
    (copied / "record.json").write_text(json.dumps({**record, "status": "failed", "checksum": None}))
    with pytest.raises(DataError, match=r"failed, and its record\.json says why"):
        load_trained(copied, Session(data_dir=data_dir))
    (copied / "record.json").write_text("{")
    with pytest.raises(DataError, match=r"Cannot read .*record\.json"):
        load_trained(copied, Session(data_dir=data_dir))
    (copied / "config.yaml").write_text("- 1")
    with pytest.raises(DataError, match="is not the configuration of a run"):
        load_trained(copied, Session(data_dir=data_dir))


def test_weights_of_another_architecture(copied, data_dir):
    config = (copied / "config.yaml").read_text()
    (copied / "config.yaml").write_text(config.replace("width: 8", "width: 16"))
    with pytest.raises(DataError, match=r"config\.yaml and .*record\.json describe different runs"):
        load_trained(copied, Session(data_dir=data_dir))
    record = json.loads((copied / "record.json").read_text())
    record["config"]["model"]["width"] = 16
    (copied / "record.json").write_text(json.dumps({**record, "checksum": None}))
    with pytest.raises(DataError, match="do not fit gnn"):
        load_trained(copied, Session(data_dir=data_dir))
