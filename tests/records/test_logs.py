"""Logs of run directories and packed ones."""

import pytest

from geoequiv.errors import DataError
from geoequiv.records.logs import PACKED_LOGS, log_rows, packed_table

LOGS = {
    "b": [
        {"epoch": "1", "val_mse": "0.1", "val_E_prime": ""},
        {"epoch": "2", "val_mse": "0.05", "val_E_prime": "3e-7"},
    ],
    "a": [{"epoch": "10", "lr": "0.0009973154059957161", "val_accuracy": "0.5"}],
}


def test_packed_logs_are_those_of_the_runs(tmp_path):
    (tmp_path / PACKED_LOGS).write_bytes(packed_table(LOGS))
    assert log_rows(tmp_path / "a") == LOGS["a"]
    assert log_rows(tmp_path / "b") == LOGS["b"]
    assert log_rows(tmp_path / "c") is None
    assert packed_table(LOGS) == packed_table(dict(reversed(LOGS.items())))


def test_the_log_of_a_run_directory_counts_before_the_packed_one(tmp_path):
    (tmp_path / PACKED_LOGS).write_bytes(packed_table(LOGS))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "log.csv").write_text("epoch,lr\n1,0.5\n")
    assert log_rows(tmp_path / "a") == [{"epoch": "1", "lr": "0.5"}]
    assert log_rows(tmp_path / "a" / "log.csv") == log_rows(tmp_path / "a")


@pytest.mark.parametrize("cut", [0, 10, 60, -1])
def test_damaged_packed_logs_are_named(tmp_path, cut):
    (tmp_path / PACKED_LOGS).write_bytes(packed_table(LOGS)[:cut])
    with pytest.raises(DataError, match=r"logs\.csv\.gz"):
        log_rows(tmp_path / "a")


def test_a_row_that_is_cut_is_an_error(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,lr\n1,0.5\n2")
    with pytest.raises(DataError, match="fewer cells"):
        log_rows(tmp_path)
