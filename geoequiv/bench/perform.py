"""Do what is left of a run: train and measure it, or, where it has finished, measure what a suite asks for now."""

import time

from geoequiv.bench.measure_again import measure_again
from geoequiv.bench.runner import Outcome, run
from geoequiv.bench.spec import RunSpec
from geoequiv.bench.state import asks_for_more
from geoequiv.records.items import write_items
from geoequiv.records.locking import RunLocked
from geoequiv.records.run_directory import CHECKPOINT
from geoequiv.records.store import Store
from geoequiv.session import DEFAULT, Session
from geoequiv.signals import no_exit, raise_if_ended


def perform(spec: RunSpec, store: Store, session: Session = DEFAULT) -> Outcome:
    """Do a run, or measure it again from its checkpoint; the record is replaced in one step when that has succeeded.

    Args:
        spec: the run.
        store: the output folder.
        session: where it is computed.

    Returns:
        The outcome; besides those of `run`, "measured" (again), and "unmeasured", where that failed: the record then
        stands as it was.
    """
    began = time.perf_counter()
    record = store.record(spec)
    directory = store.directory(spec)
    wanted = record is not None and record.done and asks_for_more(spec, record)
    if not wanted or not (directory / CHECKPOINT).exists():
        return run(spec, store, session)
    try:
        with store.locked(spec), no_exit("What was measured again"):
            measured, found = measure_again(spec, directory, session)
            write_items(directory, {name: each.cpu() for name, each in found.items.items()})
            store.write_record(spec, measured)
    except RunLocked:
        return Outcome("busy", None, 0.0)
    except Exception as error:  # of a user's measurement, or of weights that do not fit: the record stands
        raise_if_ended()
        return Outcome("unmeasured", record, time.perf_counter() - began, f"{type(error).__name__}: {error}")
    return Outcome("measured", measured, time.perf_counter() - began)
