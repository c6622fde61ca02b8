"""Runs as an array of SLURM jobs, through submitit: submitted, and waited for where that is asked for."""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from geoequiv.bench.runner import Outcome
from geoequiv.bench.slurm_runs import ended_since
from geoequiv.bench.slurm_task import ArrayTask
from geoequiv.bench.spec import RunSpec
from geoequiv.errors import ConfigError, RunError
from geoequiv.records.store import Store
from geoequiv.session import Session, Slurm

#: in a results folder: what submitit writes, and the output of the jobs
FOLDER = "slurm"
#: seconds before the time limit at which a job is told to save its training and to queue again
WARNING = 90
#: how often a job may reach its time limit
TIME_LIMITS = 1000
#: seconds between two looks at the queue and the records
PAUSE = 5.0


def run_on_slurm(
    todo: Sequence[RunSpec], store: Store, session: Session, console: Console
) -> Iterator[tuple[RunSpec, Outcome]]:
    """Submit runs as one array of jobs, and yield each outcome; "submitted" where the jobs are not waited for.

    Args:
        todo: the runs.
        store: the output folder, which all nodes share.
        session: where they are computed; its `slurm` says how the jobs are made.
        console: where it is said what was submitted.

    Raises:
        ConfigError: submitit or SLURM is not installed; the array would be larger than SLURM takes.
        RunError: SLURM refuses the jobs.
    """
    slurm = session.slurm
    assert slurm is not None
    tasks = array_tasks(todo, store, session)
    _check_size(len(todo), len(tasks))
    job = _submitted(tasks, store.root.absolute() / FOLDER, slurm, todo[0].suite)
    console.print(
        f"Submitted {len(todo)} runs as job {job}: {len(tasks)} tasks, output in {escape(str(store.root / FOLDER))}. "
        f"`geoequiv status {escape(str(store.root))}` says how far they are.",
        soft_wrap=True,
    )
    if slurm.wait:
        yield from _awaited(todo, store, tasks[0].failed, job, console)
    else:
        yield from ((spec, Outcome("submitted", None, 0.0)) for spec in todo)


def array_tasks(todo: Sequence[RunSpec], store: Store, session: Session) -> list[ArrayTask]:
    """What each element of the array does: `runs_per_task` runs, one after the other."""
    slurm = session.slurm
    assert slurm is not None
    there = Session(device=session.device, data_dir=session.data_dir.absolute() if session.data_dir else None)
    records = [(spec, store.record(spec)) for spec in todo]
    failed = {spec.run_id: each.started or "" for spec, each in records if each is not None and not each.done}
    parts = [tuple(todo[first : first + slurm.runs_per_task]) for first in range(0, len(todo), slurm.runs_per_task)]
    return [ArrayTask(part, failed, store.root.absolute(), there, slurm.cpus) for part in parts]


def sbatch_options(slurm: Slurm) -> dict[str, Any]:
    """The options of `sbatch`, by submitit's names."""
    return {
        "partition": slurm.partition,
        "time": slurm.minutes,
        "cpus_per_task": slurm.cpus,
        "gpus_per_node": slurm.gpus or None,
        "array_parallelism": slurm.array_parallelism,
        "signal_delay_s": min(WARNING, slurm.minutes * 30),
        "stderr_to_stdout": True,
        "additional_parameters": {"requeue": True, **dict(slurm.sbatch)},
    }


def _check_size(runs: int, tasks: int) -> None:
    """Compare the number of tasks with what SLURM takes in one array."""
    found = [line.split("=")[1] for line in _said("scontrol", "show", "config").splitlines() if "MaxArraySize" in line]
    largest = int(found[0]) if found else tasks
    if tasks > largest:
        raise ConfigError(
            f"{runs} runs are {tasks} tasks, and this SLURM takes arrays of {largest} (MaxArraySize): pass "
            f"--runs-per-task {-(-runs // largest)} or more."
        )


def _submitted(tasks: Sequence[ArrayTask], folder: Path, slurm: Slurm, suite: str) -> str:
    """Submit the tasks; returns the id of the job."""
    import submitit

    executor = submitit.SlurmExecutor(folder, max_num_timeout=TIME_LIMITS)
    executor.update_parameters(job_name=f"geoequiv-{suite}", **sbatch_options(slurm))
    try:
        with executor.batch():
            jobs = [executor.submit(task) for task in tasks]
    except submitit.core.utils.FailedJobError as error:
        raise RunError(f"SLURM refuses the jobs: {str(error).strip()}") from error
    return str(jobs[0].job_id).partition("_")[0]


def _awaited(
    todo: Sequence[RunSpec], store: Store, failed: Mapping[str, str], job: str, console: Console
) -> Iterator[tuple[RunSpec, Outcome]]:
    """Yield outcomes as the records come, until the jobs have left the queue."""
    waiting = list(todo)
    while waiting:
        queued = _is_queued(job, console)  # asked before the records: the last one is written before its job leaves
        for spec in tuple(waiting):
            if (outcome := ended_since(spec, store, failed)) is not None:
                waiting.remove(spec)
                yield spec, outcome
        if not queued:
            break
        if waiting:
            time.sleep(PAUSE)
    error = f"job {job} has ended without it; its output is in {store.root / FOLDER}"
    yield from ((spec, Outcome("left", None, 0.0, error)) for spec in waiting)


def _is_queued(job: str, console: Console) -> bool:
    """Whether a job, or an element of its array, is pending or running; it is while SLURM gives no answer."""
    try:
        return job in _said("squeue", "--me", "--noheader", "--format=%F").split()
    except RunError as error:
        console.print(f"[yellow]{escape(str(error))}[/] Asking again.", soft_wrap=True)
        return True


def _said(*command: str) -> str:
    """The output of a command of SLURM.

    Raises:
        ConfigError: SLURM is not installed here.
        RunError: it gives no answer.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # written here
    except FileNotFoundError as error:
        raise ConfigError(f"--engine slurm needs SLURM on this machine: there is no program '{command[0]}'.") from error
    if done.returncode:
        raise RunError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
