"""One step shared by several processes: draws, means and gradients are those of the whole batch, in each of them.

A training on several devices gives every process some of the items of a batch. Whatever draws for the items of a batch,
or takes a mean over them that is more than a loss, asks here, so that N processes compute what one computes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed
from torch import Tensor

from geoequiv.errors import BatchError
from geoequiv.groups import Element

PerItem = TypeVar("PerItem", Tensor, Element)


@dataclass(frozen=True)
class Shard:
    """The items ``start … stop − 1`` of a batch, those of one process.

    Slices of all processes, one behind the other, are the batch; their lengths differ by 1 at most. A process that has
    no item, where the batch has fewer items than there are processes, computes the last one before with weight 0.

    Args:
        rank: number of this process, from 0.
        world: number of processes.
        items: of the whole batch.
        common: stream of the draws that take torch's global one in a single process; ``None`` where the global streams
            of all processes have the same state.

    >>> [(shard.start, shard.stop, shard.weight) for shard in (Shard(rank, 3, 2) for rank in range(3))]
    [(0, 1, 0.0), (0, 1, 0.5), (1, 2, 0.5)]
    """

    rank: int
    world: int
    items: int
    common: torch.Generator | None = None

    @property
    def own(self) -> int:
        """Number of items that count here."""
        return (self.rank + 1) * self.items // self.world - self.rank * self.items // self.world

    @property
    def start(self) -> int:
        """The first item."""
        first = self.rank * self.items // self.world
        return first if self.own else max(0, first - 1)

    @property
    def stop(self) -> int:
        """One past the last item."""
        return self.start + max(1, self.own)

    @property
    def weight(self) -> float:
        """Fraction of the items of the batch that count here: means over them, so weighted, add up to the batch's."""
        return self.own / self.items


# a global, not a ContextVar: torch.compile reads it
_current: Shard | None = None


@contextmanager
def sharded(shard: Shard | None) -> Iterator[None]:
    """While entered, this process computes these items of a batch; ``None``: all that it is given."""
    global _current
    before, _current = _current, shard
    try:
        yield
    finally:
        _current = before


def stream(generator: torch.Generator | None) -> torch.Generator | None:
    """The stream to draw from so that all processes draw the same: a generator itself, or in place of ``None``."""
    shard = _current
    return shard.common if generator is None and shard is not None else generator


def item_draws(draw: Callable[[tuple[int, ...]], PerItem], shape: tuple[int, ...], axis: int = 0) -> PerItem:
    """Draws for the items of a batch: of several processes each takes its own of what one process would draw.

    Args:
        draw: shape → independent draws; from a stream that all processes share (see ``stream``).
        shape: of the draws for the items at hand. ``shape[axis]`` is the number of items, or a multiple of it where
            the batch holds replicas, one behind the other.
        axis: of the items; where ``shape`` has none, the draw is common.

    Raises:
        BatchError: the number of rows is no multiple of the items of this process.
    """
    shard = _current
    if shard is None or axis >= len(shape):
        return draw(shape)
    here = shard.stop - shard.start
    replicas, rest = divmod(shape[axis], here)
    if rest:
        raise BatchError(
            f"Draws for {shape[axis]} rows cannot be shared among processes, of which this one has {here} items of a "
            f"batch of {shard.items}: train this model with devices: 1."
        )
    lead: tuple[int, ...] = shape[:axis]
    trail: tuple[int, ...] = shape[axis + 1 :]
    whole = draw((*lead, replicas * shard.items, *trail)).reshape(*lead, replicas, shard.items, *trail)
    own = whole[(slice(None),) * (axis + 1) + (slice(shard.start, shard.stop),)]
    return own.reshape(*shape)


def batch_mean(mean: Tensor) -> Tensor:
    """The mean over a whole batch, where ``mean`` is that over the items of this process; without gradients then."""
    shard = _current
    if shard is None:
        return mean
    total = mean.detach() * shard.weight
    torch.distributed.all_reduce(total)
    return total
