"""What one element of an array is: some runs, saved and queued again when a signal comes.

This module imports little: a job handles signals before it loads torch.
"""

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geoequiv.bench.spec import RunSpec
from geoequiv.records.locking import Holder
from geoequiv.session import Session
from geoequiv.signals import Ended, EndOnSignals

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission


@dataclass(frozen=True)
class ArrayTask:
    """Some runs of a suite; called by submitit in the job.

    Attributes:
        specs: the runs.
        failed: the failures to do again: run id → when the failed attempt began, by its record. A task that is queued
            again finds failures of its own as well; those are not done again.
        root: the results folder.
        session: where they are computed.
        threads: that torch has; they decide the last bits.
    """

    specs: tuple[RunSpec, ...]
    failed: Mapping[str, str]
    root: Path
    session: Session
    threads: int

    def __call__(self) -> None:
        """Do the runs that are not done; after a signal, queue the job again, if SLURM has not ended it."""
        try:
            with EndOnSignals():
                from geoequiv.bench.slurm_runs import do_runs

                do_runs(self)
        except (Ended, KeyboardInterrupt) as ended:
            signum = ended.signum if isinstance(ended, Ended) else signal.SIGINT
            print(f"Received {signal.Signals(signum).name}; a training is saved by now.", flush=True)
            if not is_running(Holder.here().job):  # it was cancelled, or SLURM queues it again itself
                raise
            queue_again()

    def checkpoint(self) -> "DelayedSubmission":
        """What submitit is to call when the job begins again: the same, for what is done is skipped."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def is_running(job: str) -> bool:
    """Whether SLURM lets a job go on; not where it was cancelled or is queued again already."""
    asked = ["squeue", "--noheader", "--format=%T", f"--jobs={job}"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603  # as SLURM calls it
    return done.stdout.split() == ["RUNNING"]


def queue_again() -> None:
    """Send the process the signal on which submitit queues its job again."""
    signal.raise_signal(getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"))
