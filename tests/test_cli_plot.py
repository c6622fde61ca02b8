"""`geoequiv plot`: a run gives its training, a results folder its trade-off."""

import json

import pytest

from geoequiv.cli import main


def record(beta):
    return {
        "schema": 1, "run_id": f"run{beta}", "status": "finished", "task": "t", "protocol": "p", "model": "gnn",
        "symmetry": f"REMUL β={beta} SO(3)", "seed": 0, "config": {"symmetry": {"name": "remul", "beta": beta}},
        "metric": {"name": "mse", "value": 0.1}, "equivariance": {"group": "SO(3)", "E_prime": 0.3 / (1 + beta)},
    }  # fmt: skip


@pytest.fixture
def store(tmp_path):
    for beta in (1.0, 10.0):
        folder = tmp_path / "store" / f"run{beta}"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(record(beta)))
        (folder / "log.csv").write_text("epoch,lr,train_total,val_mse\n1,0.1,3.0,2.0\n2,0.1,2.0,1.0\n")
    return tmp_path / "store"


def test_a_run_gives_its_training(store, capsys):
    assert main(["plot", str(store / "run1.0")]) == 0
    assert f"Wrote {store / 'run1.0' / 'training.svg'}" in capsys.readouterr().out
    assert (store / "run1.0" / "training.svg").read_text().startswith("<?xml")
    assert main(["plot", str(store / "run1.0"), "--output", str(store / "other.png")]) == 0
    assert (store / "other.png").read_bytes().startswith(b"\x89PNG")


def test_a_results_folder_gives_its_trade_off(store):
    assert main(["plot", str(store)]) == 0
    assert (store / "trade-off.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plot", "absent"], "No folder at 'absent'"),
        (["plot", "STORE", "--output", "figure.pdf"], "Unknown format of a figure 'pdf'"),
        (["plot", "STORE/run1.0", "--output", "STORE/run1.0/log.csv/figure.svg"], "Cannot write the figure"),
    ],
)
def test_bad_input_is_exit_status_2(store, capsys, arguments, message):
    assert main([each.replace("STORE", str(store)) for each in arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_a_sweep_says_what_it_takes(store, capsys):
    (store / "run10.0" / "record.json").unlink()
    assert main(["plot", str(store)]) == 2
    assert "two or more values of β" in capsys.readouterr().err
