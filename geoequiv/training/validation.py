"""Validation of a run: the task's metric on all validation items, E′ on a few, and the best weights so far."""

from contextlib import nullcontext
from typing import Any

import torch

from geoequiv.errors import ModelOutputError
from geoequiv.metrics import equivariance_error
from geoequiv.training.config import TrainConfig
from geoequiv.training.ema import EMA
from geoequiv.training.evaluate import score
from geoequiv.training.progress import Progress, Row
from geoequiv.training.seeding import RandomStreams, derive


class Validator:
    """Evaluates a model between epochs.

    Every validation draws the same random numbers (where a model draws any in evaluation, such as stochastic frames),
    so epochs are compared on equal terms.

    Args:
        model: the model.
        task: gives the validation split, signature, metric and symmetry.
        config: the options.
        seed: seed of the run.
        progress: keeps the best epoch and weights.
        average: averaged weights to validate instead of the model's own.
        streams: random streams to seed.
        device: of the model.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        task: Any,
        config: TrainConfig,
        seed: int,
        progress: Progress,
        average: EMA | None,
        streams: RandomStreams,
        device: torch.device,
    ) -> None:
        self.model, self.task, self.config, self.seed = model, task, config, seed
        self.progress, self.average, self.streams = progress, average, streams
        split = task.splits["val"]
        self.inputs = {name: tensor.to(device) for name, tensor in split.inputs.items()}
        self.targets = {name: tensor.cpu() for name, tensor in split.targets.items()}
        self.few = {name: tensor[: config.equivariance_items] for name, tensor in self.inputs.items()}
        self.metric = f"val_{task.metric.name}"

    def due(self, epoch: int) -> bool:
        """Whether to validate after an epoch (counted from 1)."""
        return epoch % self.config.validate_every == 0 or epoch == self.config.epochs

    def measure(self, epoch: int) -> Row:
        """Validate after an epoch and keep the weights if they are the best so far.

        Returns:
            {"val_<metric>": …} and, every few validations, "val_E_prime".

        Raises:
            ModelOutputError: the outputs are not finite.
        """
        row: Row = {}
        self.streams.seed(derive(self.seed, "validate"))
        with self.average.in_place() if self.average is not None else nullcontext():
            try:
                row[self.metric] = value = score(
                    self.model,
                    self.task,
                    self.inputs,
                    self.targets,
                    self.config.eval_batch_size or self.config.batch_size,
                )
            except ModelOutputError as error:
                raise ModelOutputError(f"Validation after epoch {epoch}: {error}") from error
            if self._is_best(value):
                self.progress.best_epoch, self.progress.best_value = epoch, value
                self.progress.best_weights = {
                    name: tensor.detach().clone() if isinstance(tensor, torch.Tensor) else tensor
                    for name, tensor in self.model.state_dict().items()
                }
            if self._equivariance_due(epoch):
                row["val_E_prime"] = self._equivariance()
        return row

    def exhausted(self, epoch: int) -> bool:
        """Whether this epoch was validated and the best one is at least `patience` epochs ago."""
        patience, best = self.config.patience, self.progress.best_epoch
        return self.due(epoch) and patience is not None and best is not None and epoch - best >= patience

    def _is_best(self, value: float) -> bool:
        best = self.progress.best_value
        if best is None:
            return True
        return value < best if self.task.metric.better == "lower" else value > best

    def _equivariance_due(self, epoch: int) -> bool:
        if self.config.equivariance_items == 0:
            return False
        validation = -(-epoch // self.config.validate_every)  # number of the validation, from 1
        return validation % self.config.equivariance_every == 1 % self.config.equivariance_every or (
            epoch == self.config.epochs
        )

    def _equivariance(self) -> float:
        generator = torch.Generator().manual_seed(derive(self.seed, "equivariance"))
        report = equivariance_error(
            self.model,
            self.few,
            self.task.signature,
            self.task.symmetry,
            num_samples=self.config.equivariance_samples,
            generator=generator,
        )
        return float(report.E_prime)
