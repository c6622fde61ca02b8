"""One run: task, model, method, training, measurement, record."""

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from geoequiv import catalog
from geoequiv.bench.environment import environment
from geoequiv.bench.spec import RunSpec
from geoequiv.errors import GeoequivError
from geoequiv.measurements import EvaluateConfig, Measured
from geoequiv.measurements.measure import measure
from geoequiv.measurements.measurement import Subject
from geoequiv.methods import Trained, method, run_of_method
from geoequiv.methods.method import call
from geoequiv.precision import casting
from geoequiv.records import Description, MethodOfRun, MetricOfRun, Number, Record, TaskCard
from geoequiv.records.items import write_items
from geoequiv.records.locking import RunLocked
from geoequiv.records.part import finite
from geoequiv.records.store import Store
from geoequiv.session import DEFAULT, Session
from geoequiv.signals import no_exit, raise_if_ended
from geoequiv.tasks import Task
from geoequiv.tasks.label_symmetry import estimated_label_symmetry
from geoequiv.tasks.protocols import checksum_of
from geoequiv.training import TrainConfig, fit


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: "finished", "failed", "skipped" (was finished before), "busy" (another process has it), "measured"
            (again), "unmeasured" (its record stands), "submitted" (to SLURM), or "left" (its job of SLURM has ended
            before it).
        record: that it has now.
        seconds: that it took.
        error: why it could not be measured again, or where to look for what ended its job.
    """

    status: str
    record: Record | None
    seconds: float
    error: str = ""

    @property
    def complete(self) -> bool:
        """Whether the run has finished and has all the numbers that the suite asks for."""
        return self.status in ("finished", "skipped", "measured")


def run(spec: RunSpec, store: Store, session: Session = DEFAULT) -> Outcome:
    """Do one run and write its record; an interrupted run continues from its checkpoint, a failed one is done again.

    A run that failed after its training had ended is measured again, not trained again.

    Whatever goes wrong inside the run is written to its record with the traceback. A `KeyboardInterrupt` passes
    through, and leaves the checkpoint from which the run will continue.

    Args:
        spec: the run.
        store: the output folder.
        session: where it is computed; a progress bar is shown where its console is a terminal.
    """
    began = time.perf_counter()
    try:
        with store.locked(spec) as directory:
            record = store.record(spec)
            if record is not None and record.done:
                return Outcome("skipped", record, 0.0)
            if record is not None:
                store.set_aside(spec)
            record = _attempt(spec, directory, session)
            store.write_record(spec, record)
            return Outcome(record.status, record, time.perf_counter() - began)
    except RunLocked:
        return Outcome("busy", None, 0.0)


def failed_record(spec: RunSpec, error: str, started: str | None = None, session: Session = DEFAULT) -> Record:
    """The record of a failed run, with all that is known without running it."""
    config = spec.config
    model, _ = spec.part("model")
    return Record(
        run_id=spec.run_id,
        suite=spec.suite,
        status="failed",
        error=error,
        task=spec.part("task")[0],
        model=model,
        method=MethodOfRun(**run_of_method(*spec.part("symmetry"), _claims(model))),
        seed=config["seed"],
        config=config,
        environment=environment(session, spec.precision, config.get("train", {}).get("compile", False)),
        started=started or _now(),
        finished=_now(),
    )


def build_model(spec: RunSpec, task: Task) -> nn.Module:
    """The run's model, bare: without its method and the task's head."""
    name, options = spec.part("model")
    model = call(catalog.load("model", name), options, signature=task.model_signature)
    if not isinstance(model, nn.Module):
        raise GeoequivError(f"The model '{name}' must be a torch.nn.Module, got {type(model).__name__}.")
    return model


def build(spec: RunSpec, task: Task, model: nn.Module | None = None) -> Trained:
    """The model as it is trained, and its objective, as the run's method builds them around a model; None makes one."""
    name, options = spec.part("symmetry")
    built = method(name).build(build_model(spec, task) if model is None else model, task, options)
    if spec.precision == "64":
        for part in built:
            if isinstance(part, nn.Module):
                part.double()
    return built


def fresh(spec: RunSpec, task: Task, session: Session = DEFAULT) -> Callable[[int], nn.Module]:
    """Builds the run's model untrained, as of another seed, on the session's device."""

    def built(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return build(spec, task).model.to(session.torch_device)

    return built


def load_task(spec: RunSpec, session: Session = DEFAULT) -> Task:
    """Build the run's task, its items in float64 where the run computes in it."""
    name, options = spec.part("task")
    task: Task = catalog.task(name, data_dir=session.data_dir, **options)
    return task.to(torch.float64) if spec.precision == "64" else task


def _attempt(spec: RunSpec, directory: Path, session: Session) -> Record:
    started = _now()
    try:
        with no_exit("The code of this run"):
            return _measured(spec, directory, session, started)
    except Exception:  # a run that fails is a result as well: recorded, and the others go on
        raise_if_ended()
        return failed_record(spec, traceback.format_exc(), started, session)


def _measured(spec: RunSpec, directory: Path, session: Session, started: str) -> Record:
    config = spec.config
    train, evaluate = TrainConfig(**config["train"]), EvaluateConfig(**config["evaluate"])
    task = load_task(spec, session)
    with spec.arithmetic(session.torch_device):
        return _trained_and_measured(spec, directory, session, started, task, train, evaluate)


def _trained_and_measured(
    spec: RunSpec,
    directory: Path,
    session: Session,
    started: str,
    task: Task,
    train: TrainConfig,
    evaluate: EvaluateConfig,
) -> Record:
    config = spec.config
    torch.manual_seed(config["seed"])
    model, objective = build(spec, task)
    model.to(session.torch_device)
    subject = Subject(model, task, evaluate, config["train"], fresh=fresh(spec, task, session))
    # first what can be measured on an untrained model: where that fails, no training is lost
    with casting(model, train.precision):
        found, card = measure(subject, "untrained"), task_card(task)
    result = fit(
        model, objective, task, train, seed=config["seed"], directory=directory, device=session.torch_device,
        progress=session.progress,
    )  # fmt: skip
    torch.manual_seed(config["seed"])  # models that draw while they predict must not depend on how training went
    subject = replace(subject, training=result)
    with casting(model, train.precision):
        found = found | measure(subject, "training") | measure(subject, "trained", config.get("measure", ()))
    write_items(directory, {name: each.cpu() for name, each in found.items.items()})
    metric = task.metric
    return failed_record(spec, "", started, session).changed(
        status="finished",
        error=None,
        protocol=task.protocol,
        metric=MetricOfRun(name=metric.name, unit=metric.unit, better=metric.better),
        **measured_fields(found, config),
        task_card=TaskCard.model_validate(finite(card)),
        finished=_now(),
    )


def measured_fields(found: Measured, config: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured, as the fields of a record; values that are not finite are left out.

    Args:
        found: by the table of measurements, and by the user's own.
        config: of the run; its `evaluate` is kept among the settings.
    """
    numbers = {key: Number.of(**vars(each)) for key, each in found.numbers.items()}
    return {
        "numbers": {key: number for key, number in numbers.items() if number is not None},
        "settings": {**found.settings, "evaluate": config["evaluate"]},
        "described": {key: Description(**each) for key, each in found.described.items()},
    }


def task_card(task: Task) -> dict[str, Any]:
    """What a task says about itself, as a record has it."""
    return {
        "description": task.description,
        "signature": str(task.signature),
        "symmetry": task.symmetry,
        "metric": {"name": task.metric.name, "unit": task.metric.unit, "better": task.metric.better},
        "symmetry_error": task.symmetry_error() if task.symmetry_error else estimated_label_symmetry(task),
        "checksum": task.checksum,
        "registered_checksum": checksum_of(task.protocol),
        "citation": task.citation,
        "references": [
            {key: getattr(each, key) for key in ("model", "value", "source", "state", "symmetry", "note")}
            for each in task.references
        ],
    }


def _claims(model: str) -> str | None:
    """The group that a model's class says it is equivariant to."""
    try:
        claims: str | None = getattr(catalog.load("model", model), "claims", None)
    except GeoequivError:  # the run has failed for this very reason, and its record says so
        return None
    return claims


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
