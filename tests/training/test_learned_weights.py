"""Objectives that learn weights or follow a schedule: logged in every row, and bit for bit the same after a crash."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

import geoequiv as ge
from geoequiv.training import TrainConfig, fit
from geoequiv.training.data import Batches

from .small_task import SIGNATURE, make_task, small_model

WAYS: list[dict[str, Any]] = [
    {"weighting": "linear"},
    {"weighting": "gradnorm"},
    {"weighting": "uncertainty"},
    {"weighting": "constrained", "epsilon": 0.1},
    {"sampling": "small-angle"},
    {"sampling": "adversarial", "num_samples": 2},
]


class Crash(Exception):
    pass


def run(directory: Path, crash_at: int | None = None, **options: Any) -> tuple[Any, list[dict[str, str]]]:
    model = small_model()
    objective: Any = ge.REMUL(model, SIGNATURE, "SO(3)", torch.nn.functional.mse_loss, **options)
    if crash_at is not None:
        weigh, calls = objective.weighting.weigh, iter(range(crash_at))

        def crashing(*args: Any) -> Any:
            if next(calls, None) is None:
                raise Crash
            return weigh(*args)

        objective.weighting.weigh = crashing
    config = TrainConfig(epochs=6, batch_size=16, lr=1e-2, checkpoint_seconds=0, validate_every=2)
    fit(model, objective, make_task(), config, seed=4, directory=directory, progress=False)
    with (directory / "log.csv").open() as log:
        return model, list(csv.DictReader(log))


@pytest.mark.parametrize("options", WAYS, ids=lambda options: "-".join(map(str, options.values())))
def test_a_crash_and_resume_changes_no_bit(tmp_path: Path, options: dict[str, Any], monkeypatch: Any) -> None:
    monkeypatch.setattr(Batches, "PACE", 0.0)  # a checkpoint after every single step
    whole, log = run(tmp_path / "whole", **options)
    with pytest.raises(Crash):
        run(tmp_path / "crashed", crash_at=10, **options)
    resumed, same_log = run(tmp_path / "crashed", **options)
    assert log == same_log
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name
    saved = [torch.load(tmp_path / each / "checkpoint.ckpt", weights_only=True) for each in ("whole", "crashed")]
    assert str(saved[0]["objective"]) == str(saved[1]["objective"])
    assert saved[0]["objective"]["step"] == 24
    assert len(log) == 6
    for row in log:
        assert all(row[f"train_{name}"] for name in ("total", "objective", "equivariance", "alpha", "beta"))
    changes = len({row["train_beta"] for row in log}) == 6
    assert changes == ("weighting" in options), "β is logged as it changes"


def test_a_schedule_ends_with_the_training(tmp_path: Path) -> None:
    _, log = run(tmp_path, weighting="linear", beta=2.0)
    per_epoch = [sum(2.0 * (4 * epoch + batch) / 24 * size for batch, size in enumerate((16, 16, 16, 2))) / 50
                 for epoch in range(6)]  # fmt: skip
    assert [float(row["train_beta"]) for row in log] == pytest.approx(per_epoch)


def test_another_weighting_does_not_go_on_with_a_checkpoint(tmp_path: Path) -> None:
    run(tmp_path, weighting="gradnorm")
    with pytest.raises(ge.GeoequivError, match="the weighting's state is"):
        run(tmp_path, weighting="uncertainty")


@pytest.mark.parametrize(("log_every", "epochs"), [(1, [1, 2, 3, 4, 5, 6, 7]), (3, [3, 4, 6, 7]), (9, [4, 7])])
def test_rows_of_the_log_can_be_fewer(tmp_path: Path, log_every: int, epochs: list[int]) -> None:
    """Every validation has its row; the weights do not depend on it."""
    results = []
    for every in (log_every, 1):
        model = small_model()
        objective = ge.Augmentation(model, SIGNATURE, "SO(3)", torch.nn.functional.mse_loss)
        config = TrainConfig(epochs=7, batch_size=25, validate_every=4, log_every=every)
        directory = tmp_path / str(every)
        fit(model, objective, make_task(), config, seed=4, directory=directory, progress=False)
        with (directory / "log.csv").open() as log:
            results.append((model.state_dict(), list(csv.DictReader(log))))
    (weights, rows), (all_weights, all_rows) = results
    assert [int(row["epoch"]) for row in rows] == epochs
    assert rows == [row for row in all_rows if int(row["epoch"]) in epochs]
    assert all(torch.equal(weights[name], all_weights[name]) for name in weights)
