"""Runs in worker processes: one run at a time each, the cores shared out, a worker that dies costs only its run."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from geoequiv.bench.runner import Outcome, failed_record
from geoequiv.bench.spec import RunSpec
from geoequiv.bench.worker import work
from geoequiv.records.locking import RunLocked
from geoequiv.records.store import Store
from geoequiv.session import Session
from geoequiv.signals import ENDING, Ended

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: Seconds that workers have, after an interruption, to write their checkpoints.
GRACE_SECONDS = 30.0


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    spec: RunSpec | None = None


def run_in_workers(
    specs: Sequence[RunSpec],
    store: Store,
    session: Session,
    started: Callable[[RunSpec], None],
) -> Iterator[tuple[RunSpec, Outcome]]:
    """Do runs in `session.jobs` processes and yield each outcome as it comes.

    Args:
        specs: the runs, started in this order.
        store: the output folder.
        session: where they are computed, but for its console; each process has cores // jobs threads, at least one.
        started: called when a run begins.
    """
    waiting = deque(specs)
    session = replace(session, console=None)  # which cannot be sent to a process
    count = min(session.jobs, len(specs))
    threads = max(1, cores() // session.jobs)
    workers = [_start(store, session, threads) for _ in range(count)]
    try:
        while True:
            for worker in workers:
                if worker.spec is None and waiting:
                    worker.spec = waiting.popleft()
                    started(worker.spec)
                    with suppress(OSError):  # it has died meanwhile, which shows below
                        worker.connection.send(worker.spec)
            busy = [worker for worker in workers if worker.spec is not None]
            if not busy:
                return
            ready = set(wait([worker.connection for worker in busy]))
            for index, worker in enumerate(workers):
                if worker.connection in ready and worker.spec is not None:
                    spec, worker.spec = worker.spec, None
                    try:
                        outcome: Outcome = worker.connection.recv()
                    except (EOFError, OSError):
                        worker.process.join()
                        _end_with(worker.process.exitcode)
                        outcome = _died(spec, store, session, worker.process.exitcode)
                        if waiting:
                            workers[index] = _start(store, session, threads)
                    yield spec, outcome
    finally:
        _stop(workers)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(store: Store, session: Session, threads: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, store, session, threads), daemon=True)
    with _inherited(threads):
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _inherited(threads: int) -> Iterator[None]:
    """What a child takes over when it starts, before it imports torch: the thread limit; it ignores SIGINT.

    Ctrl-C reaches every process of the terminal at once; here the parent alone handles it, and ends the workers.
    """
    former = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if main:
            signal.signal(signal.SIGINT, handler)


def _end_with(exitcode: int | None) -> None:
    """End where a worker was asked to, as by a scheduler that signals every process: its run has not failed."""
    for signum in ENDING:
        if exitcode in (128 + signum, -signum):
            raise Ended(signum)


def _died(spec: RunSpec, store: Store, session: Session, exitcode: int | None) -> Outcome:
    """Record a run whose process ended without an outcome (killed by the system, out of memory, crashed in C)."""
    cause = f"signal {-exitcode}" if exitcode is not None and exitcode < 0 else f"exit status {exitcode}"
    error = f"The worker process of this run ended with {cause}."
    try:
        with store.locked(spec):
            record = store.record(spec)
            if record is not None and record.done:  # it was measured again
                return Outcome("unmeasured", record, 0.0, error)
            if record is None:
                record = failed_record(spec, error, session=session)
                store.write_record(spec, record)
    except RunLocked:
        return Outcome("busy", None, 0.0)
    return Outcome(record.status, record, 0.0)


def _stop(workers: Sequence[_Worker]) -> None:
    """End all workers; those that train write a checkpoint first."""
    for worker in workers:
        if worker.spec is not None and worker.process.is_alive():
            worker.process.terminate()
        worker.connection.close()
    for worker in workers:
        worker.process.join(GRACE_SECONDS)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
