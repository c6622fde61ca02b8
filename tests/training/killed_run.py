"""Run by test_resume.py in a subprocess, which it kills: a slow training with dropout and a stochastic objective."""

import sys
import time
from pathlib import Path
from typing import Any

import torch

from geoequiv.training import FitResult, TrainConfig, fit

from .small_task import NoisyObjective, make_task, small_model

OPTIONS = {
    "epochs": 15,
    "batch_size": 16,
    "lr": 1e-2,
    "schedule": "cosine",
    "warmup_epochs": 2,
    "ema": 0.9,
    "gradient_clip": 1.0,
    "checkpoint_seconds": 0,
}


class Slow(NoisyObjective):
    """Slow enough to be killed in the middle."""

    def __call__(self, inputs: Any, targets: Any) -> Any:
        time.sleep(0.01)
        return super().__call__(inputs, targets)


def run(directory: Path, objective: type[NoisyObjective] = NoisyObjective, **options: Any) -> tuple[Any, FitResult]:
    """Train the model of the comparison in a directory."""
    model = small_model()
    config = TrainConfig(**{**OPTIONS, **options})
    return model, fit(model, objective(model), make_task(), config, seed=4, directory=directory, progress=False)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), Slow)
