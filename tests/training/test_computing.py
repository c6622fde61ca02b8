"""Trainings in other precisions and through torch.compile; float16, which needs a GPU, runs on the CPU for its test."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from geoequiv.errors import ConfigError
from geoequiv.training import TrainConfig, fit
from geoequiv.training.checkpoint import load_checkpoint

from .small_task import NoisyObjective, make_task, small_model


def train(directory: Path, stop_at: int = 0, weight: float = 1.0, **options: Any) -> nn.Module:
    """Train; with `stop_at`, only up to that step, which raises."""
    model = small_model(dropout=0.0)
    objective = NoisyObjective(model, weight)
    steps = [0]

    def counted(inputs: Any, targets: Any) -> Any:
        steps[0] += 1
        if steps[0] == stop_at:
            raise InterruptedError
        return objective(inputs, targets)

    counted.generator = objective.generator  # type: ignore[attr-defined]
    config = TrainConfig(**{"epochs": 3, "batch_size": 16, "lr": 1e-2, "checkpoint_seconds": 0, **options})
    fit(model, counted, make_task(), config, seed=0, directory=directory, progress=False)
    return model


def weights(model: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def scale_of(directory: Path) -> float:
    return float(load_checkpoint(directory / "checkpoint.ckpt", torch.device("cpu"))["scaler"]["scale"])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """Weights of the training in float32."""
    return weights(train(tmp_path_factory.mktemp("plain")))


def test_float64(tmp_path: Path, plain: Tensor) -> None:
    found = weights(train(tmp_path, precision="64"))
    assert found.dtype == torch.float64
    assert torch.get_default_dtype() == torch.float32
    assert not torch.equal(found.float(), plain)  # other draws, too: the streams of float64 are others


def test_bfloat16_is_near(tmp_path: Path, plain: Tensor) -> None:
    found = weights(train(tmp_path, precision="bf16-mixed"))
    assert found.dtype == torch.float32
    assert 0 < (found - plain).abs().max() < 0.05


def test_float16_needs_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="16-mixed needs a GPU"):
        train(tmp_path, precision="16-mixed")


def test_float16_scales_its_loss_and_resumes_bit_for_bit(
    tmp_path: Path, plain: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geoequiv.precision.check_precision", lambda *_: None)
    options: dict[str, Any] = {"precision": "16-mixed", "gradient_clip": 10.0, "ema": 0.5}
    whole = train(tmp_path / "whole", **options)
    assert scale_of(tmp_path / "whole") <= 65536
    with pytest.raises(InterruptedError):
        train(tmp_path / "parts", stop_at=7, **options)
    resumed = train(tmp_path / "parts", **options)
    assert torch.equal(weights(whole), weights(resumed))
    near = weights(train(tmp_path / "near", precision="16-mixed"))
    assert 0 < (near - plain).abs().max() < 0.05


def test_float16_takes_no_step_whose_gradients_overflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geoequiv.precision.check_precision", lambda *_: None)
    found = weights(train(tmp_path, weight=1e5, precision="16-mixed"))
    assert scale_of(tmp_path) < 65536  # halved at each overflow
    assert found.isfinite().all()


def test_compile_goes_through_the_compiler_and_leaves_the_model_as_it_was(
    tmp_path: Path, plain: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled, compile_ = [], nn.Module.compile

    def traced(module: nn.Module) -> None:  # Dynamo traces; no C++ compiler is asked for
        compiled.append(module)
        compile_(module, backend="eager")

    monkeypatch.setattr(nn.Module, "compile", traced)
    model = train(tmp_path, compile=True)
    assert compiled == [model]
    assert model._compiled_call_impl is None
    torch.testing.assert_close(weights(model), plain)


def test_a_checkpoint_of_another_precision_is_not_continued(tmp_path: Path) -> None:
    train(tmp_path)
    for other in ({"precision": "64"}, {"compile": True}):
        with pytest.raises(Exception, match=r"belongs to another run: (precision was None, now '64'|compile was None)"):
            train(tmp_path, **other)
    train(tmp_path, devices=1)
