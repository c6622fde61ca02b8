"""A finished run, loaded again: its task, and its model with the weights of its best validation."""

from pathlib import Path

import torch
import yaml
from torch import nn

from geoequiv.bench.runner import build, load_task
from geoequiv.bench.spec import RunSpec
from geoequiv.errors import DataError
from geoequiv.tasks import Task
from geoequiv.training.checkpoint import load_checkpoint


def trained(run: str | Path, data_dir: Path | None = None, task: Task | None = None) -> tuple[Task, nn.Module]:
    """The task of a run, and its model as it was measured: symmetrized, if the run's symmetry is a wrapper.

    Args:
        run: the run's folder, with its config.yaml and checkpoint.ckpt.
        data_dir: the data cache of the tasks.
        task: the task, if another run of the same one has loaded it already.

    Returns:
        Task and model, the model in evaluation mode.

    Raises:
        DataError: no trained run in the folder, or one that was stopped before its first validation.
    """
    run = Path(run)
    config, checkpoint = run / "config.yaml", run / "checkpoint.ckpt"
    if not config.exists() or not checkpoint.exists():
        raise DataError(f"'{run}' is no folder of a trained run: it needs config.yaml and checkpoint.ckpt.")
    spec = RunSpec.of(run.absolute().parent.name, yaml.safe_load(config.read_text(encoding="utf-8")))
    task = task or load_task(spec, data_dir)
    model, _ = build(spec, task)
    weights = load_checkpoint(checkpoint, torch.device("cpu"))["progress"]["best_weights"]
    if weights is None:
        raise DataError(f"The run in '{run}' was stopped before its first validation: train it on first.")
    model.load_state_dict(weights)
    return task, model.eval()
