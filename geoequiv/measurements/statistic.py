"""Numbers over several seeds."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from geoequiv.measurements.measurement import Measurement
from geoequiv.measurements.table import measurement_of


class Read(Protocol):
    """A number of one run with its standard error, as a record or a measurement has it."""

    @property
    def value(self) -> float: ...
    @property
    def se(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Statistic:
    """Mean and sample standard deviation (None for one seed) of n values, and the values themselves."""

    mean: float
    std: float | None
    n: int
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Statistic | None":
        """Summary of the values that are there, None if there is none.

        >>> Statistic.of([1.0, 2.0, 3.0, None]).std
        1.0
        """
        present = tuple(value for value in values if value is not None)
        if not present:
            return None
        if len(present) == 1:
            return cls(float(present[0]), None, 1, present)
        deviation = statistics.stdev(present)
        return cls(math.fsum(present) / len(present), deviation, len(present), present)


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """A number of a row of a board.

    Args:
        value: what stands for all seeds: their mean, maximum or first value.
        seeds: the values of the seeds.
        se: standard error of the measurement on one trained model (from the finite numbers of items and group
            elements), averaged over seeds; None where no record states it.
    """

    value: float
    seeds: Statistic
    se: float | None = None

    @classmethod
    def of(cls, measurement: Measurement, numbers: Sequence[Read]) -> "OverSeeds | None":
        """Put the numbers of several seeds together as the table says; None if there is none."""
        seeds = Statistic.of(each.value for each in numbers)
        if seeds is None:
            return None
        known = Statistic.of(each.se for each in numbers)
        stands = {"mean": seeds.mean, "max": max(seeds.values), "first": seeds.values[0]}
        return cls(stands[measurement.over_seeds], seeds, known.mean if known else None)

    def spread(self, measurement: Measurement) -> float | None:
        """What a table shows after ±."""
        return {"std": self.seeds.std, "se": self.se, None: None}[measurement.spread]


def over_seeds(runs: Sequence[Mapping[str, Read]]) -> dict[str, OverSeeds]:
    """Every number of runs that differ only in their seed, put together as the table says.

    Args:
        runs: the numbers of each run, by key; a run may lack some.
    """
    found = {}
    for key in dict.fromkeys(key for numbers in runs for key in numbers):
        present = [numbers[key] for numbers in runs if key in numbers]
        together = OverSeeds.of(measurement_of(key), present)
        if together is not None:
            found[key] = together
    return found
