"""What a suite would do with a run, from what its output folder has of it."""

from geoequiv.bench.spec import RunSpec
from geoequiv.measurements.settings import EvaluateConfig
from geoequiv.records.run_directory import CHECKPOINT
from geoequiv.records.schema import Record
from geoequiv.records.store import Store


def state_of(spec: RunSpec, store: Store, resume: bool = False) -> str:
    """One of "to do", "to continue", "finished", "to measure again", "failed", "failed, to do again".

    Args:
        spec: the run.
        store: the output folder.
        resume: whether failed runs are done again.

    Raises:
        DataError: its record cannot be read.
    """
    state = store.state(spec)
    if state == "finished":
        record = store.record(spec)
        assert record is not None
        again = measured_otherwise(spec, record) and (store.directory(spec) / CHECKPOINT).exists()
        return "to measure again" if again else "finished"
    named = {"new": "to do", "half-finished": "to continue", "failed": "failed, to do again" if resume else "failed"}
    return named[state]


def measured_otherwise(spec: RunSpec, record: Record) -> bool:
    """Whether a finished run was measured by other settings of `evaluate` than the suite asks for."""
    former = record.settings.get("evaluate")
    asked = spec.config.get("evaluate")
    if former is None or asked is None:
        return False
    return EvaluateConfig.model_validate(former) != EvaluateConfig.model_validate(asked)
