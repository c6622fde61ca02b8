"""The runs of one element of an array, one after the other, and how a run has ended since it was submitted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import torch
from rich.text import Text

from geoequiv.bench.messages import outcome_line
from geoequiv.bench.perform import perform
from geoequiv.bench.runner import Outcome
from geoequiv.bench.slurm_task import ArrayTask
from geoequiv.bench.spec import RunSpec
from geoequiv.bench.state import asks_for_more
from geoequiv.bench.waiting import until_free
from geoequiv.records.store import Store


def do_runs(task: ArrayTask) -> None:
    """Do the runs of a task that have not ended since it was submitted; what becomes of each is printed."""
    torch.set_num_threads(task.threads)
    store = Store(task.root)

    def say(spec: RunSpec, text: str) -> None:
        print(spec.run_id, spec.title, text, flush=True)

    def do(specs: Sequence[RunSpec]) -> Iterator[tuple[RunSpec, Outcome]]:
        for spec in specs:
            ended = ended_since(spec, store, task.failed)
            if ended is not None:
                yield spec, replace(ended, status="skipped") if ended.complete else ended
                continue
            say(spec, "started")
            yield spec, perform(spec, store, task.session)

    def wait(spec: RunSpec) -> None:
        say(spec, _plain(Outcome("busy", None, 0.0)))

    for spec, outcome in until_free(task.specs, do, store, wait):
        say(spec, _plain(outcome))


def ended_since(spec: RunSpec, store: Store, failed: Mapping[str, str]) -> Outcome | None:
    """How a run has ended since it was submitted; None if it has not.

    Args:
        spec: the run.
        store: the output folder.
        failed: see `ArrayTask`.
    """
    record = store.record(spec)
    if record is None or (record.done and asks_for_more(spec, record)):
        return None
    if not record.done and failed.get(spec.run_id) == (record.started or ""):
        return None
    seconds = 0.0
    if record.started and record.finished:
        lasted = datetime.fromisoformat(record.finished) - datetime.fromisoformat(record.started)
        seconds = lasted.total_seconds()
    return Outcome(record.status, record, seconds)


def _plain(outcome: Outcome) -> str:
    return Text.from_markup(outcome_line(outcome)).plain
