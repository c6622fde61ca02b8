"""Progress of a training: all of its state but the weights and the optimizer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import RunError

Row = dict[str, float | int | None]


@dataclass(frozen=True)
class FitResult:
    """Outcome of a training.

    Attributes:
        best_epoch: epoch of the best validation, counted from 1.
        best_validation: the task's metric on the validation split at that epoch.
        epochs_run: epochs trained in all.
        train_seconds: wall-clock seconds spent in training steps over all restarts (no validation, no writing).
    """

    best_epoch: int
    best_validation: float
    epochs_run: int
    train_seconds: float


@dataclass
class Progress:
    """Position and results of a run; epochs count from 1 in the log (after n passes over the data).

    Attributes:
        epoch: complete epochs.
        batch: steps done in the current epoch.
        steps: optimizer steps done in all.
        losses: scalars that the objective returned, at each step of the current epoch.
        loss_names: their names, `total` first.
        seconds: wall-clock time spent in training steps, over all restarts.
        best_epoch: epoch of the best validation, None before the first.
        best_value: validation metric of that epoch.
        best_weights: the model's state of that epoch (of the averaged weights, if there are).
        rows: the rows of log.csv, one per epoch unless `log_every` is larger.
        finished: whether the training is done.
    """

    epoch: int = 0
    batch: int = 0
    steps: int = 0
    losses: list[Any] = field(default_factory=list)
    loss_names: tuple[str, ...] = ()
    seconds: float = 0.0
    best_epoch: int | None = None
    best_value: float | None = None
    best_weights: dict[str, Any] | None = None
    rows: list[Row] = field(default_factory=list)
    finished: bool = False
    _since: float | None = None

    def start_clock(self) -> None:
        """Start counting time as training."""
        self._since = time.perf_counter()

    def stop_clock(self) -> None:
        """Stop counting time as training (validation, writing)."""
        if self._since is not None:
            self.seconds += time.perf_counter() - self._since
            self._since = None

    def step_done(self, losses: Sequence[Any]) -> None:
        """Record one optimizer step."""
        self.losses.append([value.detach() if isinstance(value, Tensor) else value for value in losses])
        self.batch += 1
        self.steps += 1

    def epoch_done(self, row: Row | None) -> None:
        """Record the end of an epoch and its row of the log, if it has one."""
        if row is not None:
            self.rows.append(row)
        self.epoch += 1
        self.batch = 0
        self.losses = []

    def loss_table(self) -> Tensor:
        """Scalars of the current epoch, float64 [steps, names] on the CPU.

        Raises:
            RunError: one of them is not finite; names epoch and batch.
        """
        width = len(self.loss_names)
        flat = [torch.as_tensor(value, dtype=torch.float64) for step in self.losses for value in step]
        if any(value.device.type != "cpu" for value in flat):  # one transfer for all
            device = next(value.device for value in flat if value.device.type != "cpu")
            flat = list(torch.stack([value.to(device) for value in flat]).cpu())
        table = torch.stack(flat).reshape(-1, width) if flat else torch.zeros(0, width, dtype=torch.float64)
        bad = (~table.isfinite()).nonzero()
        if len(bad):
            step, column = bad[0].tolist()
            raise RunError(
                f"The {self.loss_names[column]} loss is {float(table[step, column])} in epoch {self.epoch + 1}, "
                f"batch {step + 1}. Try a smaller lr, gradient_clip: 1.0 or a few warmup_epochs. If this is the first "
                "batch, look for NaN in the inputs and for a square root, norm or division at 0 in the model."
            )
        return table
