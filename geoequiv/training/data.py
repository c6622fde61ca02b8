"""The training items on the device, and the batches of an epoch as index vectors."""

from collections.abc import Iterator, Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from geoequiv.errors import DataError
from geoequiv.training.progress import Progress
from geoequiv.training.seeding import derive, permutation


class TaskData(pl.LightningDataModule):
    """All training items of a task as tensors on one device, read by index: no workers, no collation.

    Args:
        split: training split with mappings `inputs` and `targets` of tensors [n, ...]; where it has `redraw`, these are
            drawn anew in every epoch, as a pure function of (seed, epoch).
        batch_size: items a step.
        seed: seed of the run; the order of epoch e is a pure function of (seed, e).
        progress: position of the run; iteration starts there.
        device: for the tensors.
    """

    def __init__(self, split: Any, batch_size: int, seed: int, progress: Progress, device: torch.device) -> None:
        super().__init__()
        self.size = item_count(split.inputs, split.targets)
        self.seed, self.progress, self.device = seed, progress, device
        self.redraw, self.drawn = getattr(split, "redraw", None), -1
        self._keep(split.inputs, split.targets)
        self.batches = Batches(self.size, batch_size, seed, progress, device)

    def train_dataloader(self) -> "Batches":
        """The index vectors of the current epoch."""
        return self.batches

    def select(self, index: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Inputs and targets of the items in an index vector [b], of the current epoch."""
        if self.redraw is not None and self.drawn != self.progress.epoch:
            self.drawn = self.progress.epoch
            self._keep(*self.redraw(torch.Generator().manual_seed(derive(self.seed, "draw", self.drawn))))
        return (
            {name: tensor.index_select(0, index) for name, tensor in self.inputs.items()},
            {name: tensor.index_select(0, index) for name, tensor in self.targets.items()},
        )

    def _keep(self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
        """Put the items on the device."""
        self.inputs = {name: tensor.to(self.device) for name, tensor in inputs.items()}
        self.targets = {name: tensor.to(self.device) for name, tensor in targets.items()}


class Batches:
    """Index vectors of the current epoch, from the current batch on, several batches at a time.

    Lightning spends 0.2 to 0.3 ms on every item that its loader yields, so an item is as many batches as take about
    `PACE` seconds: one for a large model, dozens for a small one. The bundling does not change results.

    There is no `__len__`: an epoch that is resumed is shorter than the others, and Lightning reads the length once.
    """

    PACE = 0.05

    def __init__(self, size: int, batch_size: int, seed: int, progress: Progress, device: torch.device) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.progress, self.device = progress, device
        self.count = -(-size // batch_size)
        self.bundle = 1

    def __iter__(self) -> Iterator[Tensor]:
        order = permutation(self.seed, self.progress.epoch, self.size).to(self.device)
        start = self.progress.batch * self.batch_size
        while start < self.size:
            stop = start + self.bundle * self.batch_size
            yield order[start:stop]
            start = stop

    def took(self, batches: int, seconds: float) -> None:
        """Choose the size of the next bundle from the time of the last one."""
        self.bundle = max(1, min(256, int(self.PACE * batches / max(seconds, 1e-6))))


def item_count(inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> int:
    """Number of items of a split.

    Raises:
        DataError: there are none, or the fields disagree about the number.
    """
    sizes = {name: len(tensor) for fields in (inputs, targets) for name, tensor in fields.items()}
    if len(set(sizes.values())) != 1 or 0 in sizes.values():
        found = ", ".join(f"{name}: {size}" for name, size in sizes.items()) or "no field at all"
        raise DataError(f"All fields of a split need the same number of items, at least one; got {found}.")
    return next(iter(sizes.values()))
