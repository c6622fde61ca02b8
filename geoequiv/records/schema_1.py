"""The record of a run, schema 1: read to be upgraded, written no more."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from geoequiv.records.alignment import AlignmentOfRun
from geoequiv.records.part import Finite, Part
from geoequiv.records.schema import TaskCard


class Measured1(Part):
    """A test value over `n` items."""

    value: Finite
    n: int | None = None


class Further1(Measured1):
    """A number that was measured besides the one that ranks."""

    name: str
    unit: str = ""
    better: Literal["lower", "higher"] = "lower"


class Metric1(Measured1):
    """The task's metric on the test split, on named groups of its items, and on further splits; further metrics."""

    name: str
    unit: str = ""
    better: Literal["lower", "higher"] = "lower"
    marks: Mapping[str, Mapping[str, Measured1 | None]] = Field(default_factory=dict)
    splits: Mapping[str, Measured1 | None] = Field(default_factory=dict)
    further: tuple[Further1, ...] = ()


class StandardError1(Part):
    """Standard error of one number of a run: of both sources together, of the items seen, of the elements drawn."""

    se: Finite | None = None
    se_items: Finite | None = None
    se_elements: Finite | None = None


class Equivariance1(Part):
    """What schema 1 called E (the distance to the group average), E′, the relative error and the worst case."""

    group: str
    E: Finite | None = None
    E_prime: Finite | None = None
    relative: Finite | None = None
    worst: Finite | None = None
    num_items: int | None = None
    num_samples: int | None = None
    dtype: str | None = None
    standard_errors: Mapping[str, StandardError1] = Field(default_factory=dict)


class Seconds1(Part):
    """Seconds of the whole training, and of one sample at inference."""

    train: Finite | None = None
    inference: Finite | None = None
    batch_size: int | None = None
    threads: int | None = None


class Validation1(Part):
    """The best validation metric, its epoch, and how many epochs were trained."""

    best: Finite | None = None
    best_epoch: int | Finite | None = None
    epochs_run: int | Finite | None = None


class Operations1(Part):
    """Floating-point operations of one test item."""

    forward: Finite | None = None
    backward: Finite | None = None


class Record1(Part):
    """One run, finished or failed, as the bench wrote it."""

    version: Literal[1] = Field(alias="schema")
    run_id: str
    suite: str = ""
    status: Literal["finished", "failed"]
    error: str | None = None
    task: str
    protocol: str | None = None
    model: str
    symmetry: str
    seed: int
    config: Mapping[str, Any]
    metric: Metric1 | None = None
    validation: Validation1 | None = None
    equivariance: Equivariance1 | None = None
    equivariance_own: Equivariance1 | None = None
    equivariance_before: Equivariance1 | None = None
    params: int | None = None
    flops: Operations1 | None = None
    seconds: Seconds1 | None = None
    task_card: TaskCard | None = None
    alignment: AlignmentOfRun | None = None
    environment: Mapping[str, Any] = Field(default_factory=dict)
    started: str | None = None
    finished: str | None = None

    @model_validator(mode="after")
    def _finished_runs_have_numbers(self) -> Self:
        if self.status == "finished" and (self.metric is None or not self.protocol):
            raise ValueError("a finished run needs a protocol and a metric with a finite value")
        return self
