"""What device and precision change in a run, what its record says of them, and that its weights are used alike."""

import pytest
import torch

from geoequiv.bench.align_runs import is_double
from geoequiv.bench.environment import environment
from geoequiv.bench.predict import Predictor
from geoequiv.bench.runner import run
from geoequiv.bench.suite import read_suite
from geoequiv.bench.suite_run import run_suite
from geoequiv.bench.trained import load_trained
from geoequiv.errors import ConfigError
from geoequiv.records.store import Store
from geoequiv.session import Session

PRECISIONS = ("32", "bf16-mixed", "64")


@pytest.fixture
def runs(suite_file, tmp_path, data_dir):
    """Precision → directory and record of a run."""
    path = suite_file("- {model: {name: egnn, width: 8, depth: 1}, symmetry: {augmentation: {group: SO(3)}}}")
    found = {}
    for precision in PRECISIONS:
        (spec,) = read_suite(path, overrides=[f"train.precision={precision}"]).runs
        store = Store(tmp_path / "results")
        found[precision] = store.directory(spec), run(spec, store, Session(data_dir=data_dir)).record
    return found


def test_a_run_is_computed_in_its_precision_and_used_in_it(runs, data_dir):
    for precision, (_, record) in runs.items():
        assert record.done, record.error
        said = record.environment
        assert said["precision"] == precision
        assert said["device"] == "cpu"
        assert said["device_name"] == said["cpu"]
        assert said["threads"] == torch.get_num_threads()
        assert said["tf32"] is False
        assert is_double(record.config) == (precision == "64")
    exact, rough, double = (record.value("metric") for _, record in runs.values())
    assert exact != rough
    assert abs(exact - rough) < 0.2 * exact
    assert exact != double
    errors = [record.value("relative") for _, record in runs.values()]
    assert errors[2] < 1e-13 < errors[0] < 1e-5, errors  # an EGNN is exact, up to round-off of each precision
    for precision, (directory, record) in runs.items():  # and its weights are used alike
        trained = load_trained(directory, Session(data_dir=data_dir))
        dtype = torch.float64 if precision == "64" else torch.float32
        assert {each.dtype for each in trained.model.parameters()} == {dtype}
        split = trained.task.splits["test"]
        assert split.inputs["pos"].dtype == dtype
        found = Predictor(trained).of_fields({name: each.numpy() for name, each in split.inputs.items()})
        error = (torch.from_numpy(found["pos"]) - split.targets["pos"]).square().mean()
        assert float(error) == pytest.approx(record.value("metric"), rel=1e-6)  # also where it is autocast


def test_a_machine_has_so_many_devices(suite_file, tmp_path, data_dir, monkeypatch):
    suite = read_suite(suite_file("- model: {name: gnn, width: 8, depth: 1}"), overrides=["train.devices=3"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"devices: 3\}` needs 3 cuda devices; this machine has 2"):
        run_suite(suite, tmp_path / "results", session=Session(device="cuda", data_dir=data_dir))
    with pytest.raises(ConfigError, match=r"and the device cuda:1 is one: take --device cuda"):
        run_suite(suite, tmp_path / "results", session=Session(device="cuda:1", data_dir=data_dir))
    assert not (tmp_path / "results").exists()


def test_the_environment_without_a_run():
    assert environment()["precision"] == "32"
    assert "compile" not in environment()
    assert environment(compiled=True)["compile"] is True
