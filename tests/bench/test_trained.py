"""A run loaded again gives the numbers that its record has."""

import pytest

from geoequiv.bench.evaluate import task_metric
from geoequiv.bench.runner import run
from geoequiv.bench.spec import EvaluateConfig
from geoequiv.bench.store import Store
from geoequiv.bench.suite import read_suite
from geoequiv.bench.trained import trained
from geoequiv.errors import DataError


def test_a_run_loaded_again_is_as_good_as_it_was(suite_file, data_dir, tmp_path):
    (spec,) = read_suite(
        suite_file("- {model: {name: gnn, width: 8, depth: 1}, symmetry: {frame_averaging: {group: E(3)}}}")
    ).runs
    store = Store(tmp_path / "out")
    record = run(spec, store, data_dir, progress=False).record
    task, model = trained(store.directory(spec), data_dir)
    assert not model.training
    assert task_metric(model, task, EvaluateConfig(batch_size=8))["value"] == record["metric"]["value"]
    again, _ = trained(store.directory(spec), task=task)
    assert again is task


def test_an_untrained_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"needs config.yaml and checkpoint.ckpt"):
        trained(tmp_path)
