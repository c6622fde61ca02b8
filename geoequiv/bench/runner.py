"""One run: task, model, symmetry, training, measurement, record."""

import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from geoequiv import catalog
from geoequiv.bench.environment import environment
from geoequiv.bench.evaluate import inference_seconds, operations, parameters, symmetry_error, task_metric
from geoequiv.bench.spec import EvaluateConfig, RunSpec
from geoequiv.bench.store import RunLocked, Store
from geoequiv.errors import GeoequivError
from geoequiv.methods import Trained, method, run_of_method
from geoequiv.methods.method import call
from geoequiv.session import DEFAULT, Session
from geoequiv.tasks import Task
from geoequiv.tasks.label_symmetry import estimated_label_symmetry
from geoequiv.tasks.protocols import checksum_of
from geoequiv.training import TrainConfig, fit

SCHEMA = 1


@dataclass(frozen=True)
class Outcome:
    """How a run ended: "finished", "failed", "skipped" (was finished before) or "busy" (another process has it)."""

    status: str
    record: dict[str, Any] | None
    seconds: float


def run(spec: RunSpec, store: Store, session: Session = DEFAULT) -> Outcome:
    """Do one run and write its record; a checkpoint of it that is there is continued, a failed attempt is done anew.

    An attempt that failed after its training had come to its end is measured anew, not trained anew.

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
            if record is not None and record["status"] == "finished":
                return Outcome("skipped", record, 0.0)
            if record is not None:
                store.set_aside(spec)
            record = _attempt(spec, directory, session)
            store.write_record(spec, record)
            return Outcome(record["status"], record, time.perf_counter() - began)
    except RunLocked:
        return Outcome("busy", None, 0.0)


def failed_record(spec: RunSpec, error: str, started: str | None = None, session: Session = DEFAULT) -> dict[str, Any]:
    """The record of a run that came to nothing, with all that is known without running it."""
    config = spec.config
    task, _ = spec.part("task")
    model, _ = spec.part("model")
    return {
        "schema": SCHEMA,
        "run_id": spec.run_id,
        "suite": spec.suite,
        "status": "failed",
        "error": error,
        "task": task,
        "protocol": None,
        "model": model,
        "symmetry": run_of_method(*spec.part("symmetry"), _claims(model))["label"],
        "seed": config["seed"],
        "config": config,
        "metric": None,
        "validation": None,
        "equivariance": None,
        "equivariance_own": None,
        "equivariance_before": None,
        "params": None,
        "flops": None,
        "seconds": None,
        "task_card": None,
        "environment": environment(session),
        "started": started or _now(),
        "finished": _now(),
    }


def build(spec: RunSpec, task: Task) -> Trained:
    """The model as it is trained, and its objective, both as the run's method builds them."""
    name, options = spec.part("model")
    model = call(catalog.load("model", name), options, signature=task.model_signature)
    name, options = spec.part("symmetry")
    return method(name).build(model, task, options)


def load_task(spec: RunSpec, session: Session = DEFAULT) -> Task:
    """Build the run's task."""
    name, options = spec.part("task")
    task: Task = catalog.task(name, data_dir=session.data_dir, **options)
    return task


def _attempt(spec: RunSpec, directory: Path, session: Session) -> dict[str, Any]:
    started = _now()
    try:
        return _measured(spec, directory, session, started)
    except Exception:  # a run that fails is a result as well: recorded, and the others go on
        return failed_record(spec, traceback.format_exc(), started, session)


def _measured(spec: RunSpec, directory: Path, session: Session, started: str) -> dict[str, Any]:
    config = spec.config
    train, evaluate = TrainConfig(**config["train"]), EvaluateConfig(**config["evaluate"])
    task = load_task(spec, session)
    torch.manual_seed(config["seed"])
    model, objective = build(spec, task)
    model.to(session.torch_device)
    with session.casting(model):
        before = symmetry_error(model, task, evaluate)
    # what can be told of an untrained model is, first: where it fails, no training is lost
    known = {"params": parameters(model), "flops": operations(model, task, evaluate), "task_card": task_card(task)}
    result = fit(
        model, objective, task, train, seed=config["seed"], directory=directory, device=session.torch_device,
        precision=session.precision, compile=session.compile, progress=session.progress,
    )  # fmt: skip
    torch.manual_seed(config["seed"])  # models that draw while they predict must not depend on how training went
    claims = getattr(model, "claims", None)
    with session.casting(model):
        metric = task_metric(model, task, evaluate)
        after = symmetry_error(model, task, evaluate)
        own = symmetry_error(model, task, evaluate, claims) if claims else None
        seconds = inference_seconds(model, task, evaluate)
    return {
        **failed_record(spec, "", started, session),
        "status": "finished",
        "error": None,
        "protocol": task.protocol,
        "metric": metric,
        "validation": {
            "best": result.best_validation,
            "best_epoch": result.best_epoch,
            "epochs_run": result.epochs_run,
        },
        "equivariance": after,
        "equivariance_own": own,
        "equivariance_before": before,
        "seconds": {"train": result.train_seconds, **seconds},
        **known,
        "finished": _now(),
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
