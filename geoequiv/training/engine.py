"""One training with Lightning's trainer: builds the parts, restores a checkpoint, runs, returns the best weights."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn

from geoequiv.precision import MIXED
from geoequiv.training.callbacks import Checkpoints, EpochEnd, ProgressBar
from geoequiv.training.checkpoint import FORMER, check_identity, resumable_checkpoint, save_checkpoint
from geoequiv.training.config import TrainConfig
from geoequiv.training.data import TaskData
from geoequiv.training.interrupt import Interrupts
from geoequiv.training.module import TrainingModule
from geoequiv.training.progress import FitResult, Progress
from geoequiv.training.state import capture, restore
from geoequiv.training.validation import Validator

LOG, CHECKPOINT = "log.csv", "checkpoint.ckpt"
# Options that may change between two calls of one run: they do not change its weights.
FREE_OPTIONS = frozenset({"checkpoint_seconds", "log_every", "devices"})
# Options that came after checkpoints were written, with what was done before.
LATER_OPTIONS = {"precision": "32", "compile": False}


def train(
    model: nn.Module,
    objective: Callable[..., Any],
    task: Any,
    config: TrainConfig,
    seed: int,
    directory: Path,
    device: torch.device,
    bar: bool,
    interrupts: Interrupts,
) -> FitResult:
    """`fit`, once its arguments are checked and the signal handlers are installed."""
    progress = Progress()
    data = TaskData(task.splits["train"], config.batch_size, seed, progress, device)
    module = TrainingModule(model, objective, data, config, seed, progress, device)
    validator = Validator(model, task, config, seed, progress, module.average, module.streams, device)
    identity = {
        "task": task.name,
        "protocol": getattr(task, "protocol", None),
        "data": getattr(task, "checksum", None),
        "seed": seed,
        **{
            name: value
            for name, value in config.model_dump(mode="json").items()
            if name not in FREE_OPTIONS and value != LATER_OPTIONS.get(name)
        },
    }
    path = directory / CHECKPOINT
    state = resumable_checkpoint(path, device)
    if state is not None:
        check_identity(path, state["identity"], identity)
        restore(module, state, path)
    if not progress.finished:
        ends = EpochEnd(validator, directory / LOG)
        saves = Checkpoints(
            lambda: save_checkpoint(path, {"identity": identity, **capture(module)}),
            config.checkpoint_seconds,
            interrupts,
        )
        callbacks: list[pl.Callback] = [ends, saves]
        if bar:
            callbacks.append(ProgressBar(task.name, validator))
        try:
            with module.streams.borrowed(), _quiet():
                module.train()
                _trainer(config, progress.epoch, device, module.scaler, callbacks).fit(module, datamodule=data)
        finally:
            ends.close()
    path.with_name(FORMER).unlink(missing_ok=True)
    assert progress.best_epoch is not None
    assert progress.best_value is not None
    assert progress.best_weights is not None
    model.to(device)  # Lightning leaves it on the CPU
    model.load_state_dict(progress.best_weights)
    model.eval()
    return FitResult(progress.best_epoch, progress.best_value, progress.epoch, progress.seconds)


def _trainer(
    config: TrainConfig, done: int, device: torch.device, scaler: torch.amp.GradScaler, callbacks: list[pl.Callback]
) -> pl.Trainer:
    """A trainer that only loops: all other features of Lightning are off, or done by our callbacks."""
    plugins: list[Any] = [LightningEnvironment()]  # leave SLURM's signals and requeueing alone
    if config.precision in MIXED:
        plugins.append(MixedPrecision(config.precision, device.type, scaler if scaler.is_enabled() else None))  # type: ignore[arg-type]  # a str
    one = [device.index or 0] if device.type == "cuda" else 1
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else device.type,
        devices=one if config.devices == 1 else config.devices,
        plugins=plugins,
        max_epochs=config.epochs - done,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's notices (hardware, tips, "max_epochs reached") and warnings that concern Lightning alone."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Lightning 2.6 builds a LeafSpec, which torch 2.13 deprecates.
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            # Hints about the machine: `srun` is installed, a GPU is there and not used.
            warnings.filterwarnings("ignore", category=PossibleUserWarning)
            yield
    finally:
        logger.setLevel(level)
