"""What a suite would do with a run, from what its output folder has of it."""

from geoequiv.bench.spec import RunSpec
from geoequiv.measurements.settings import EvaluateConfig
from geoequiv.records.run_directory import CHECKPOINT
from geoequiv.records.schema import Record
from geoequiv.records.store import Store

#: Finished, and measured by other settings than the suite's, but its weights are not there to measure again.
STANDS = "finished, measured by former settings"


def state_of(spec: RunSpec, store: Store, resume: bool = False) -> str:
    """One of "to do", "to continue", "finished", "to measure again", `STANDS`, "failed", "failed, to do again".

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
        if not asks_for_more(spec, record):
            return "finished"
        return "to measure again" if (store.directory(spec) / CHECKPOINT).exists() else STANDS
    named = {"new": "to do", "interrupted": "to continue", "failed": "failed, to do again" if resume else "failed"}
    return named[state]


def asks_for_more(spec: RunSpec, record: Record) -> bool:
    """Whether a suite asks for other settings of `evaluate` than a finished run was measured by, or for more."""
    config = spec.config
    former, asked = record.settings.get("evaluate"), config.get("evaluate")
    if former and asked and EvaluateConfig.model_validate(former) != EvaluateConfig.model_validate(asked):
        return True
    return bool(set(config.get("measure", ())) - set(record.config.get("measure", ())))
