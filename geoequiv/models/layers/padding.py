"""Ragged clouds side by side in one dense tensor, and back."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Padding:
    """The slot of each node of a ragged batch in ``[clouds, longest]``.

    Args:
        slot: ``[n]``, the index of each node among ``clouds · longest``.
        clouds: number of clouds.
        longest: nodes of the largest one.
    """

    slot: Tensor
    clouds: int
    longest: int

    @classmethod
    def of(cls, batch: Tensor) -> "Padding":
        """Slots for the index vector ``[n]``, in any order."""
        order = batch.argsort(stable=True)
        size = torch.bincount(batch)
        longest = int(size.max()) if len(size) else 0
        cloud = batch[order]
        rank = torch.arange(len(batch), device=batch.device) - (size.cumsum(0) - size)[cloud]
        slot = torch.empty_like(batch).index_copy(0, order, cloud * longest + rank)
        return cls(slot, len(size), longest)

    @property
    def mask(self) -> Tensor:
        """``[clouds, longest]`` bool, True where a slot is taken."""
        taken = torch.zeros(self.clouds * self.longest, dtype=torch.bool, device=self.slot.device)
        return taken.index_fill(0, self.slot, True).unflatten(0, (self.clouds, self.longest))

    def fill(self, values: Tensor) -> Tensor:
        """``[n, ...]`` → ``[clouds, longest, ...]``, 0 at free slots."""
        dense = values.new_zeros(self.clouds * self.longest, *values.shape[1:]).index_copy(0, self.slot, values)
        return dense.unflatten(0, (self.clouds, self.longest))

    def strip(self, values: Tensor) -> Tensor:
        """``[clouds, longest, ...]`` → ``[n, ...]``."""
        return values.flatten(0, 1).index_select(0, self.slot)
