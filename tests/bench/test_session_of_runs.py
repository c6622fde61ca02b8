"""What a session changes in a run, and what its record says of it."""

import torch

from geoequiv.bench.runner import run
from geoequiv.bench.suite import read_suite
from geoequiv.records.store import Store
from geoequiv.session import Session


def test_the_record_says_where_it_ran(suite_file, tmp_path, data_dir):
    (spec,) = read_suite(suite_file("- model: {name: gnn, width: 8, depth: 1}")).runs
    records = {
        precision: run(spec, Store(tmp_path / precision), Session(precision=precision, data_dir=data_dir)).record
        for precision in ("32", "bf16-mixed")
    }
    for precision, record in records.items():
        assert record.done, record.error
        environment = record.environment
        assert environment["precision"] == precision
        assert environment["device"] == "cpu"
        assert environment["device_name"] == environment["cpu"]
        assert environment["threads"] == torch.get_num_threads()
    exact, rough = (record.value("metric") for record in records.values())
    assert exact != rough
    assert abs(exact - rough) < 0.2 * exact
