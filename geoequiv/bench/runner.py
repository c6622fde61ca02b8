"""One run: task, model, symmetry, training, measurement, record."""

import inspect
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from geoequiv import catalog
from geoequiv.bench.environment import environment
from geoequiv.bench.evaluate import inference_seconds, operations, parameters, symmetry_error, task_metric
from geoequiv.bench.spec import EvaluateConfig, RunSpec, symmetry_label
from geoequiv.bench.store import RunLocked, Store
from geoequiv.errors import GeoequivError
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
        "symmetry": symmetry_label(*spec.part("symmetry"), claims=_claims(model)),
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


def build(spec: RunSpec, task: Task) -> tuple[nn.Module, Callable[..., Any]]:
    """The model as it is trained (wrapped, if its symmetry is a wrapper, and with the task's head), and its objective.

    A symmetry of the catalog that takes a `loss` is an objective; any other is a wrapper around the model, inside the
    head (an energy is averaged, and its average differentiated), trained with the task's loss alone or with the
    objective that it names as `trained_with`.
    """
    name, options = spec.part("model")
    model = _call(catalog.load("model", name), options, signature=task.model_signature)
    name, options = spec.part("symmetry")
    symmetry = catalog.load("symmetry", name)
    if "loss" in inspect.signature(symmetry).parameters:
        model = task.finished(model)
        return model, _call(symmetry, options, model=model, signature=task.signature, loss=task.loss)
    wrapped = _call(symmetry, options, model=model, signature=task.model_signature)
    objective = catalog.load("symmetry", getattr(wrapped, "trained_with", "none"))
    finished = task.finished(wrapped)
    offered = {"group": getattr(wrapped, "group", None), "model": finished}
    return finished, _call(objective, {}, signature=task.signature, loss=task.loss, **offered)


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


def _call(target: Callable[..., Any], options: dict[str, Any], **offered: Any) -> Any:
    """Call with the options and those of the offered arguments that the target takes."""
    accepted = inspect.signature(target).parameters
    takes_any = any(each.kind is each.VAR_KEYWORD for each in accepted.values())
    return target(**{name: value for name, value in offered.items() if takes_any or name in accepted}, **options)


def _claims(model: str) -> str | None:
    """The group that a model's class says it is equivariant to."""
    try:
        claims: str | None = getattr(catalog.load("model", model), "claims", None)
    except GeoequivError:  # the run has failed for this very reason, and its record says so
        return None
    return claims


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
