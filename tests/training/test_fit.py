import csv
import logging
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from geoequiv.errors import DataError, ModelOutputError, RunError
from geoequiv.training import FitResult, TrainConfig, fit, predict, score

from .small_task import NoisyObjective, SmallModel, make_task, plain_objective, small_model


def train(directory: Path, seed: int = 0, model: Any = None, task: Any = None, **options: Any) -> tuple[Any, FitResult]:
    model = model if model is not None else small_model()
    config = TrainConfig(**{"epochs": 6, "batch_size": 16, "lr": 1e-2, **options})
    task = task or make_task()
    return model, fit(model, NoisyObjective(model), task, config, seed=seed, directory=directory, progress=False)


def rows(directory: Path) -> list[dict[str, str]]:
    with (directory / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(model: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_it_learns_and_logs_every_epoch(tmp_path: Path) -> None:
    model, result = train(tmp_path, epochs=12, equivariance_every=4)
    log = rows(tmp_path)
    assert list(log[0]) == ["epoch", "lr", "train_total", "train_task", "train_weight", "val_mse", "val_E_prime"]
    assert [int(row["epoch"]) for row in log] == list(range(1, 13))
    assert float(log[-1]["val_mse"]) < 0.5 * float(log[0]["val_mse"])
    assert [row["epoch"] for row in log if row["val_E_prime"]] == ["1", "5", "9", "12"]
    assert result.epochs_run == 12
    assert result.train_seconds > 0
    assert not model.training


def test_a_machine_with_slurm_is_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: Any) -> None:
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(srun.parent), prepend=os.pathsep)
    model = small_model()
    fit(model, plain_objective(model), make_task(), TrainConfig(epochs=1), seed=0, directory=tmp_path / "run")
    assert not recwarn.list


def test_the_returned_weights_are_those_of_the_best_validation(tmp_path: Path) -> None:
    task = make_task()
    model, result = train(tmp_path, lr=0.3, epochs=10, task=task)  # far too fast: the best is not the last
    values = [float(row["val_mse"]) for row in rows(tmp_path)]
    assert result.best_validation == min(values) < values[-1]
    assert result.best_epoch == 1 + values.index(min(values))
    split = task.splits["val"]
    assert score(model, task, split.inputs, split.targets, 16) == result.best_validation


def test_higher_can_be_better(tmp_path: Path) -> None:
    _, result = train(tmp_path, task=make_task(better="higher"))
    assert result.best_validation == max(float(row["val_mse"]) for row in rows(tmp_path))


def test_same_seed_same_numbers_other_seed_others(tmp_path: Path) -> None:
    torch.manual_seed(11)
    first, _ = train(tmp_path / "a")
    torch.manual_seed(22)
    second, _ = train(tmp_path / "b")
    third, _ = train(tmp_path / "c", seed=1)
    assert torch.equal(weights(first), weights(second))
    assert (tmp_path / "a/log.csv").read_bytes() == (tmp_path / "b/log.csv").read_bytes()
    assert not torch.equal(weights(first), weights(third))


def test_training_leaves_the_callers_random_stream_alone(tmp_path: Path) -> None:
    model = small_model()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train(tmp_path, model=model, epochs=1)
    assert torch.equal(torch.rand(2), expected)


def test_early_stopping(tmp_path: Path) -> None:
    _, result = train(tmp_path, lr=0.3, epochs=60, patience=3)
    assert result.epochs_run == result.best_epoch + 3 < 60
    assert len(rows(tmp_path)) == result.epochs_run


@pytest.mark.parametrize(("every", "patience", "stops"), [(5, 3, 10), (2, 3, 6), (2, 2, 4)])
def test_early_stopping_waits_for_a_validation(tmp_path: Path, every: int, patience: int, stops: int) -> None:
    """A training that gets worse stops at the first validation `patience` epochs after its best, never between two."""
    task, worse = make_task(), iter(range(20))
    metric = replace(task.metric, per_item=lambda _, targets: torch.full((len(targets["pos"]),), float(next(worse))))
    task = replace(task, metric=metric)
    _, result = train(tmp_path, task=task, epochs=20, validate_every=every, patience=patience)
    validated = [int(row["epoch"]) for row in rows(tmp_path) if row["val_mse"]]
    assert validated == list(range(every, stops + 1, every))
    assert (result.best_epoch, result.epochs_run) == (every, stops)


def test_validation_every_few_epochs_and_at_the_last(tmp_path: Path) -> None:
    train(tmp_path, epochs=5, validate_every=2)
    assert [row["epoch"] for row in rows(tmp_path) if row["val_mse"]] == ["2", "4", "5"]


def test_logged_rates_follow_the_schedule_and_the_mean_loss_weighs_items(tmp_path: Path) -> None:
    task = make_task(train=50)  # batches of 16, 16, 16, 2
    model = small_model(dropout=0.0)
    split = task.splits["train"]
    start = nn.functional.mse_loss(model(**split.inputs), split.targets["pos"]).item()
    config = TrainConfig(epochs=2, batch_size=16, lr=1e-30, schedule="cosine")
    fit(model, plain_objective(model), task, config, seed=0, directory=tmp_path, progress=False)
    log = rows(tmp_path)
    assert float(log[0]["train_total"]) == pytest.approx(start, rel=1e-6)
    last = 1e-30 * 0.5 * (1 + 0.38268343236508984)  # step 3 of 8: cos(3π/8)
    assert float(log[0]["lr"]) == pytest.approx(last, rel=1e-12, abs=0)


def test_moving_average_is_validated_and_returned(tmp_path: Path) -> None:
    class Constant(nn.Module):
        """One weight; its loss below has gradient 1, so plain Adam changes it by −lr a step."""

        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.tensor(1.0))

        def forward(self, pos: Tensor, vel: Tensor, charge: Tensor) -> Tensor:
            return pos + self.a * vel

    class Loss(NamedTuple):
        total: Tensor

    model = Constant()
    config = TrainConfig(epochs=1, batch_size=50, lr=0.25, ema=0.5, weight_decay=0.0)
    fit(model, lambda *_: Loss(model.a * 1.0), make_task(), config, seed=0, directory=tmp_path, progress=False)
    assert model.a.item() == pytest.approx(0.5 * 1.0 + 0.5 * 0.75, abs=1e-6)


def test_gradient_clip_bounds_the_whole_gradient(tmp_path: Path) -> None:
    seen = []

    class Watch(NoisyObjective):
        def __call__(self, inputs: Any, targets: Any) -> Any:
            if self.model.net[0].weight.grad is not None:
                seen.append(torch.cat([w.grad.flatten() for w in self.model.parameters()]).norm().item())
            return super().__call__(inputs, targets)

    model = small_model()
    config = TrainConfig(epochs=2, batch_size=16, gradient_clip=0.01)
    fit(model, Watch(model, weight=100.0), make_task(), config, seed=0, directory=tmp_path, progress=False)
    assert seen == pytest.approx([0.01] * len(seen), rel=1e-3)
    assert len(seen) == 2 * 4 - 1


def test_a_learning_objective_is_trained_too(tmp_path: Path) -> None:
    class Loss(NamedTuple):
        total: Tensor

    class Learned(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model
            self.scale = nn.Parameter(torch.tensor(1.0))
            self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

        def forward(self, inputs: dict, targets: dict) -> Loss:
            self.calls += 1
            return Loss(self.scale**2 + nn.functional.mse_loss(self.model(**inputs), targets["pos"]))

    config = TrainConfig(epochs=2, batch_size=16, lr=1e-2)
    model = small_model()
    objective = Learned(model)
    fit(model, objective, make_task(), config, seed=0, directory=tmp_path, progress=False)
    assert objective.calls == 8
    assert objective.scale < 1.0
    again = Learned(small_model())
    fit(again.model, again, make_task(), config, seed=0, directory=tmp_path, progress=False)
    assert again.calls == 8
    assert torch.equal(again.scale, objective.scale)


def test_a_loss_that_is_not_finite_names_epoch_and_batch(tmp_path: Path) -> None:
    class Broken(NoisyObjective):
        calls = 0

        def __call__(self, inputs: Any, targets: Any) -> Any:
            self.calls += 1
            result = super().__call__(inputs, targets)
            return result._replace(total=result.total * float("nan")) if self.calls == 7 else result

    model = small_model()
    config = TrainConfig(epochs=3, batch_size=16, checkpoint_seconds=0)
    with pytest.raises(RunError, match=r"total loss is nan in epoch 2, batch 3\. Try a smaller lr"):
        fit(model, Broken(model), make_task(), config, seed=0, directory=tmp_path, progress=False)
    saved = torch.load(tmp_path / "checkpoint.ckpt", weights_only=True)
    assert all(tensor.isfinite().all() for tensor in saved["model"].values())  # the broken state was not saved


class Wrong(SmallModel):
    def forward(self, pos: Tensor, vel: Tensor, charge: Tensor) -> Tensor:
        return super().forward(pos, vel, charge).mean(1)


class Infinite(SmallModel):
    def forward(self, pos: Tensor, vel: Tensor, charge: Tensor) -> Tensor:
        out = super().forward(pos, vel, charge)
        return out if self.training else out / (pos[..., :1] * 0)


def test_outputs_of_the_wrong_shape_are_named_before_training(tmp_path: Path) -> None:
    with pytest.raises(ModelOutputError) as caught:
        train(tmp_path, model=Wrong())
    assert "'pos'" in str(caught.value)
    assert "[16, 3]" in str(caught.value)


def test_outputs_that_are_not_finite_are_named_with_the_epoch(tmp_path: Path) -> None:
    with pytest.raises(ModelOutputError, match=r"after epoch 1: .*'pos' is not finite for 20 of 20 items"):
        train(tmp_path, model=Infinite())


def test_objectives_that_cannot_train(tmp_path: Path) -> None:
    class Loss(NamedTuple):
        total: Tensor

    def attempt(objective: Any, model: nn.Module | None = None) -> None:
        model = model or small_model()
        fit(model, objective, make_task(), TrainConfig(epochs=1), seed=0, directory=tmp_path, progress=False)

    with pytest.raises(RunError, match="NamedTuple with `total` first; got Tensor"):
        attempt(lambda *_: torch.tensor(1.0))
    with pytest.raises(RunError, match=r"one number; got \[2\]"):
        attempt(lambda *_: Loss(torch.zeros(2)))
    with pytest.raises(RunError, match="no weight that can be trained"):
        attempt(lambda *_: Loss(torch.tensor(1.0)))
    with pytest.raises(RunError, match="SmallModel has no weight to train"):
        attempt(lambda *_: Loss(torch.tensor(1.0)), small_model().requires_grad_(False))


def test_predict_restores_modes_and_cuts_into_batches() -> None:
    model, task = small_model(), make_task()
    model.net[2].eval()
    inputs = task.splits["val"].inputs
    whole = predict(model, task.signature, inputs, 1000)["pos"]
    parts = predict(model, task.signature, inputs, 7)["pos"]
    assert whole.shape == (20, 3, 3)
    assert not whole.requires_grad
    assert torch.allclose(whole, parts, atol=1e-6)
    assert model.training
    assert model.net[0].training
    assert not model.net[2].training


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"Cannot create the folder .*file"):
        train(tmp_path / "file" / "run")
    with pytest.raises(RunError, match=r"Cannot create the folder .*file"):
        train(tmp_path / "file")


def test_splits_must_agree_about_their_size() -> None:
    from geoequiv.training.data import item_count

    with pytest.raises(DataError, match="a: 3, b: 4"):
        item_count({"a": torch.zeros(3)}, {"b": torch.zeros(4)})


def test_the_bar_shows_loss_metric_and_equivariance_and_lightning_is_silent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    model = small_model()
    config = TrainConfig(epochs=3, batch_size=16)
    with caplog.at_level(logging.INFO), warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, NoisyObjective(model), make_task(), config, seed=0, directory=tmp_path)
    out, err = capfd.readouterr()
    assert out == ""
    assert "12/12" in err
    for word in ("test/straight", "epoch=3", "loss=", "val_mse=", "E′="):
        assert word in err
    assert not caplog.records
    assert "GPU" not in err
    assert "max_epochs" not in err


def test_importing_the_package_does_not_import_lightning() -> None:
    code = "import sys, geoequiv, geoequiv.training; sys.exit(any('lightning' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
