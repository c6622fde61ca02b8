"""Lightning callbacks of a run, in this order: validation and log, checkpoints and interruption, progress bar."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from tqdm import tqdm

from geoequiv.training.history import History
from geoequiv.training.interrupt import Interrupted, Interrupts
from geoequiv.training.module import TrainingModule
from geoequiv.training.progress import Row
from geoequiv.training.validation import Validator


class EpochEnd(pl.Callback):
    """Ends an epoch: mean losses, validation, best weights, early stopping, a row of log.csv (see `log_every`).

    Args:
        validator: measures the model.
        path: of log.csv.
    """

    def __init__(self, validator: Validator, path: Path) -> None:
        self.validator, self.path = validator, path
        self.history: History | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Start the clock."""
        module.progress.start_clock()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Validate and log."""
        progress, config = module.progress, module.config
        progress.stop_clock()
        epoch = progress.epoch + 1
        row: Row = {"epoch": epoch, "lr": module.rate(progress.steps - 1), **mean_losses(module)}
        if self.validator.due(epoch):
            row |= self.validator.measure(epoch)
        if self.history is None:
            columns = ["epoch", "lr", *(f"train_{name}" for name in progress.loss_names), self.validator.metric]
            if config.equivariance_items:
                columns.append("val_E_prime")
            self.history = History(self.path, columns, progress.rows)
        logged = epoch % config.log_every == 0 or self.validator.metric in row
        if logged:
            self.history.append(row)
        progress.epoch_done(row if logged else None)
        stop = self.validator.exhausted(epoch)
        trainer.should_stop = trainer.should_stop or stop
        progress.finished = stop or epoch == config.epochs

    def close(self) -> None:
        """Close log.csv."""
        if self.history is not None:
            self.history.close()


class Checkpoints(pl.Callback):
    """Saves the run every few seconds and at its end, and stops it after a signal where it can be resumed.

    Args:
        save: writes the checkpoint.
        seconds: time between two checkpoints.
        interrupts: has the signal that was received, if any.
    """

    def __init__(self, save: Callable[[], None], seconds: float, interrupts: Interrupts) -> None:
        self.save, self.seconds, self.interrupts = save, seconds, interrupts
        self.next = time.monotonic() + seconds

    def on_train_start(self, trainer: pl.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Handle signals alone: on SIGTERM Lightning would end the training before it is saved."""
        self.interrupts.install()

    def on_train_batch_end(self, trainer: pl.Trainer, module: TrainingModule, *_: Any) -> None:  # type: ignore[override]
        """Save within an epoch, except after its last batch: the end of the epoch does it then."""
        signum = self.interrupts.signum
        if (signum is not None or time.monotonic() >= self.next) and module.progress.batch < module.data.batches.count:
            module.progress.stop_clock()
            self._save(signum)
            module.progress.start_clock()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Save between two epochs."""
        signum = self.interrupts.signum
        if signum is not None or module.progress.finished or time.monotonic() >= self.next:
            self._save(signum)

    def _save(self, signum: int | None) -> None:
        self.save()
        self.next = time.monotonic() + self.seconds
        if signum is not None:
            raise Interrupted(signum, saved=True)


class ProgressBar(pl.Callback):
    """One bar for the whole run: steps, and the last epoch's loss, validation metric and E′.

    Args:
        title: left of the bar.
        validator: has the name of the metric.
    """

    def __init__(self, title: str, validator: Validator) -> None:
        self.title, self.metric = title, validator.metric
        self.bar: Any = None
        self.shown: dict[str, str] = {}

    def on_train_start(self, trainer: pl.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Open the bar at the current step."""
        self.bar = tqdm(
            total=module.config.epochs * module.data.batches.count,
            initial=module.progress.steps,
            desc=self.title,
            unit="step",
            dynamic_ncols=True,
            mininterval=0.1 if sys.stderr.isatty() else 10.0,  # fewer lines in a log file
        )
        if module.progress.rows:
            self._show(module.progress.rows)

    def on_train_batch_end(self, trainer: pl.Trainer, module: TrainingModule, *_: Any) -> None:  # type: ignore[override]
        """Advance the bar."""
        self.bar.update(module.progress.steps - self.bar.n)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Show the epoch's numbers."""
        self._show(module.progress.rows[-1:])

    def on_train_end(self, *_: Any) -> None:
        """Leave the bar as it is."""
        self.bar.close()

    def on_exception(self, *_: Any) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()

    def _show(self, rows: list[Row]) -> None:
        names = {"train_total": "loss", self.metric: self.metric, "val_E_prime": "E′"}
        for row in rows:
            self.shown["epoch"] = str(row["epoch"])
            self.shown |= {names[n]: f"{value:.4g}" for n, value in row.items() if n in names and value is not None}
        self.bar.set_postfix(self.shown, refresh=False)


def mean_losses(module: TrainingModule) -> Row:
    """Mean over the items of an epoch of each scalar that the objective returned."""
    progress, batches = module.progress, module.data.batches
    table = progress.loss_table()
    sizes = table.new_full((len(table),), batches.batch_size)
    sizes[-1] = batches.size - batches.batch_size * (batches.count - 1)
    means = (sizes @ table / sizes.sum()).tolist()
    return {f"train_{name}": mean for name, mean in zip(progress.loss_names, means, strict=True)}
