"""What one element of an array does: some runs, one after the other; saved and queued again when a signal comes."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from geoequiv.bench.messages import outcome_line
from geoequiv.bench.perform import perform
from geoequiv.bench.runner import Outcome
from geoequiv.bench.spec import RunSpec
from geoequiv.bench.state import asks_for_more
from geoequiv.bench.waiting import until_free
from geoequiv.records.locking import Holder
from geoequiv.records.store import Store
from geoequiv.session import Session
from geoequiv.signals import Ended, EndOnSignals

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission


@dataclass(frozen=True)
class FailedBefore:
    """The failures that a suite asks to do again: run id → when the failed attempt began, by its record.

    A task that is queued again finds failures of its own as well; those are not done again.
    """

    started: Mapping[str, str]

    def outcome(self, spec: RunSpec, store: Store) -> Outcome | None:
        """How a run has ended since it was submitted; None if it has not."""
        record = store.record(spec)
        if record is None or (record.done and asks_for_more(spec, record)):
            return None
        if not record.done and self.started.get(spec.run_id) == (record.started or ""):
            return None
        seconds = 0.0
        if record.started and record.finished:
            lasted = datetime.fromisoformat(record.finished) - datetime.fromisoformat(record.started)
            seconds = lasted.total_seconds()
        return Outcome(record.status, record, seconds)


@dataclass(frozen=True)
class ArrayTask:
    """Some runs of a suite; called by submitit in the job.

    Attributes:
        specs: the runs.
        failed: those that have failed before and are to be done again.
        root: the results folder.
        session: where they are computed.
        threads: that torch has; they decide the last bits.
    """

    specs: tuple[RunSpec, ...]
    failed: FailedBefore
    root: Path
    session: Session
    threads: int

    def __call__(self) -> None:
        """Do the runs that are not done; after a signal, queue the job again, if SLURM has not ended it."""
        torch.set_num_threads(self.threads)
        try:
            with EndOnSignals():
                for spec, outcome in until_free(self.specs, self._do, Store(self.root), self._wait):
                    print(spec.run_id, spec.title, _plain(outcome), flush=True)
        except (Ended, KeyboardInterrupt) as ended:
            signum = ended.signum if isinstance(ended, Ended) else signal.SIGINT
            print(f"Received {signal.Signals(signum).name}; the training was saved.", flush=True)
            if not is_running(Holder.here().job):  # it was cancelled, or SLURM queues it again itself
                raise
            queue_again()

    def checkpoint(self) -> "DelayedSubmission":
        """What submitit is to call when the job begins again: the same, for what is done is skipped."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _do(self, specs: Sequence[RunSpec]) -> Iterator[tuple[RunSpec, Outcome]]:
        store = Store(self.root)
        for spec in specs:
            ended = self.failed.outcome(spec, store)
            if ended is not None:
                outcome = replace(ended, status="skipped") if ended.complete else ended
            else:
                print(spec.run_id, spec.title, "started", flush=True)
                outcome = perform(spec, store, self.session)
            yield spec, outcome

    def _wait(self, spec: RunSpec) -> None:
        print(spec.run_id, spec.title, _plain(Outcome("busy", None, 0.0)), flush=True)


def is_running(job: str) -> bool:
    """Whether SLURM lets a job go on; not where it was cancelled or is queued again already."""
    asked = ["squeue", "--noheader", "--format=%T", f"--jobs={job}"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603  # as SLURM calls it
    return done.stdout.split() == ["RUNNING"]


def queue_again() -> None:
    """Send the process the signal on which submitit queues its job again."""
    signal.raise_signal(getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"))


def _plain(outcome: Outcome) -> str:
    from rich.text import Text

    return Text.from_markup(outcome_line(outcome)).plain
