"""The trained model of a run directory, with its task."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from geoequiv.bench.runner import build, load_task
from geoequiv.bench.spec import RunSpec
from geoequiv.config import read_yaml
from geoequiv.errors import ConfigError, DataError
from geoequiv.precision import casting
from geoequiv.records import Record
from geoequiv.records.index import key
from geoequiv.records.run_directory import read_record
from geoequiv.session import DEFAULT, Session
from geoequiv.tasks import Task
from geoequiv.training.checkpoint import load_checkpoint


@dataclass(frozen=True)
class TrainedRun:
    """A finished run: its settings, record and task, and its model with the weights of the best validation epoch."""

    spec: RunSpec
    record: Record
    task: Task
    model: nn.Module

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute as the run did when it was measured: in its precision, with torch's settings for it."""
        with self.arithmetic(), casting(self.model, self.spec.precision):
            yield

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Torch's settings alone, without the autocasting of a mixed precision."""
        with self.spec.arithmetic(next((each.device for each in self.model.parameters()), torch.device("cpu"))):
            yield


def load_trained(run: Path, session: Session = DEFAULT, task: Task | None = None) -> TrainedRun:
    """Load a finished run from its directory; the model is in evaluation mode, on the session's device.

    Args:
        run: `results/<suite>/<run id>`, as `geoequiv run` writes it.
        session: its device and data cache are used.
        task: the run's task, where another run of it has loaded it already.

    Raises:
        DataError: it is no run directory, the run is not finished, its checkpoint is missing, cannot be read, or does
            not fit the model; the data at hand has another protocol (other data of the same protocol is reported on
            standard error).
    """
    config = run / "config.yaml"
    if not config.exists():
        raise DataError(f"'{run}' is no run directory: it has no config.yaml. Give RESULTS/SUITE/RUN_ID.")
    spec = spec_of(run.parent.name, config)
    record = _record(run)
    if key(spec.config) != key(record.config):
        raise DataError(
            f"{config} and {run / 'record.json'} describe different runs: one of them was edited, or copied from "
            "another. Restore it, or delete the run directory to have the run done again."
        )
    checkpoint = run / "checkpoint.ckpt"
    if not checkpoint.exists():
        raise DataError(f"'{run}' has a record but no checkpoint.ckpt: its weights were deleted or never copied here.")
    task = task or load_task(spec, session)
    check_data(run, record, task)
    with spec.arithmetic(session.torch_device):
        model, _ = build(spec, task)
    weights = load_checkpoint(checkpoint, torch.device("cpu"))["progress"]["best_weights"]
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise DataError(f"The weights in {checkpoint} do not fit {spec.part('model')[0]}: {reason}.") from error
    return TrainedRun(spec, record, task, model.to(session.torch_device).eval())


def spec_of(suite: str, config: Path) -> RunSpec:
    """The run that a config.yaml describes.

    Raises:
        DataError: it cannot be read, or is no configuration of a run.
    """
    try:
        content = read_yaml(config).data
    except ConfigError as error:
        raise DataError(str(error)) from error
    needed = ("task", "model", "symmetry", "seed")
    if not isinstance(content, dict) or any(name not in content for name in needed):
        raise DataError(f"{config} is not the configuration of a run: it must have {', '.join(needed)}.")
    try:
        return RunSpec.of(suite, content)
    except (TypeError, ValueError) as error:  # not JSON: a date, or a number that is not finite
        raise DataError(f"{config} is not the configuration of a run: {error}.") from error


def _record(run: Path) -> Record:
    again = "`geoequiv run SUITE.yaml --resume` continues it."
    if not (run / "record.json").exists():
        raise DataError(f"The run in '{run}' is not finished: it has no record.json. {again}")
    record = read_record(run)
    if not record.done:
        raise DataError(f"The run in '{run}' failed, and its record.json says why. {again}")
    return record


def check_data(run: Path, record: Record, task: Task) -> None:
    """Make sure that the data at hand is the run's: its measurements belong to no other.

    Raises:
        DataError: the data has another protocol; other data of the same protocol is reported on standard error.
    """
    if record.protocol != task.protocol:
        raise DataError(
            f"The run is of {record.protocol}, and the data at hand has {task.protocol}. Name the run's data with "
            "--data-dir or GEOEQUIV_DATA."
        )
    measured = record.task_card.checksum if record.task_card else ""
    if measured != task.checksum:
        print(
            f"This is not the data of the run {run.name}: its checksum is {task.checksum[:12]}, the run's "
            f"{measured[:12]}.",
            file=sys.stderr,
        )
