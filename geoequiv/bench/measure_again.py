"""Measure a finished run again from its checkpoint, as a suite asks for now; nothing is trained."""

from pathlib import Path

import torch

from geoequiv.bench.environment import environment
from geoequiv.bench.runner import build, fresh, measured_fields
from geoequiv.bench.spec import RunSpec
from geoequiv.bench.trained import load_trained
from geoequiv.measurements import EvaluateConfig, Measured
from geoequiv.measurements.measure import measure
from geoequiv.measurements.measurement import Subject
from geoequiv.measurements.table import row_of
from geoequiv.precision import casting
from geoequiv.records import Record
from geoequiv.session import DEFAULT, Session
from geoequiv.tasks import Task

#: what is not measured on a model, and stays as it is
KEPT = ("training", "suite")


def measure_again(
    spec: RunSpec, directory: Path, session: Session = DEFAULT, task: Task | None = None
) -> tuple[Record, Measured]:
    """Measure a finished run by the `evaluate` and `measure` settings of its spec.

    Args:
        spec: the run as it is asked for now.
        directory: its run directory, with record and checkpoint.
        session: where it is measured.
        task: the run's task, where it has been loaded already.

    Returns:
        The record with the new numbers, what the training and the barriers gave unchanged; and what was measured.

    Raises:
        DataError: as for `load_trained`.

    Exactness: by the settings that it was measured with before, a run gets the numbers that it had, but for timings.
    """
    trained = load_trained(directory, session, task)
    config, record, task = spec.config, trained.record, trained.task
    evaluate, own = EvaluateConfig(**config["evaluate"]), config.get("measure", ())
    with spec.arithmetic(session.torch_device):
        torch.manual_seed(config["seed"])
        untrained = build(spec, task).model.to(session.torch_device)
        with casting(untrained, spec.precision):
            anew = fresh(spec, task, session)
            found = measure(Subject(untrained, task, evaluate, config["train"], fresh=anew), "untrained")
        torch.manual_seed(config["seed"])  # as after a training
        with casting(trained.model, spec.precision):
            found |= measure(Subject(trained.model, task, evaluate, config["train"]), "trained", own)
    rows = {key: row_of(key) for key in record.numbers}
    kept = {key: record.numbers[key] for key, row in rows.items() if row is not None and row.when in KEPT}
    fields = measured_fields(found, config)
    asked = {**record.config, "evaluate": config["evaluate"], **({"measure": list(own)} if own else {})}
    if not own:
        asked.pop("measure", None)
    measured = record.changed(
        **{**fields, "numbers": {**fields["numbers"], **kept}}, config=asked
    )  # fmt: skip
    return measured.changed(settings={**measured.settings, "measured_on": environment(session, spec.precision)}), found
