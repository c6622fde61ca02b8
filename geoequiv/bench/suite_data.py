"""The data of a suite: made or read once before its runs, and compared with those of runs that finished before."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from geoequiv.bench.fallback import with_files
from geoequiv.bench.messages import standard_output
from geoequiv.bench.runner import Outcome, load_task
from geoequiv.bench.spec import RunSpec
from geoequiv.bench.suite import Suite
from geoequiv.errors import DataError, RunError
from geoequiv.records.identity import canonical
from geoequiv.session import Session
from geoequiv.tasks import Task

if TYPE_CHECKING:
    from geoequiv.measurements.barriers import AlignConfig


def make_data(
    todo: Sequence[RunSpec], align: "AlignConfig | None", session: Session, console: Console
) -> dict[str, Task]:
    """Simulate or download each task's data once, here, so that no two workers do it at the same time.

    Rotations that the barriers ask for and the task's group does not have are an error before anything is trained.
    """
    tasks = {}
    if align is not None:
        from geoequiv.measurements.barriers import elements_of
    each_task = {canonical(spec.config["task"]): spec for spec in todo}
    for key, spec in each_task.items():
        console.print(f"Preparing the data of {escape(spec.part('task')[0])} …")
        tasks[key] = task = load_task(spec, session)
        if task.symmetry_error:
            task.symmetry_error()
        if align is not None:
            elements_of(align, task.symmetry)
    return tasks


def prepare_data(suite: Suite, session: Session) -> tuple[Task, ...]:
    """Make or download all data of a suite, or of its fallback, so that its runs only read them."""
    console = session.console if session.console is not None else standard_output()
    ready = with_files(suite, replace(session, console=console))
    return tuple(make_data(ready.runs, ready.align, session, console).values())


def check_files(
    outcomes: Mapping[RunSpec, Outcome], tasks: dict[str, Task], session: Session, console: Console
) -> None:
    """Make sure that runs which finished before are of the data that are there now; no run id knows what is in files.

    Data of the user (a task's `path`) are read for it. Those of other tasks are compared where they are read anyway,
    and a line says what differs: a simulation may do so in its last digits from machine to machine. Where files are
    gone, the runs stand, and a line says that they could not be compared.

    Raises:
        RunError: the data of the user are others.
    """
    seen = set()
    for spec, outcome in outcomes.items():
        key, path = canonical(spec.config["task"]), spec.part("task")[1].get("path")
        record = outcome.record
        if record is None or outcome.status != "skipped" or key in seen or (path is None and key not in tasks):
            continue
        if key not in tasks:
            try:
                tasks[key] = load_task(spec, session)
            except DataError as error:
                seen.add(key)
                console.print(f"The data of finished runs could not be compared: {escape(str(error))}", soft_wrap=True)
                continue
        task = tasks[key]
        checksum = record.task_card.checksum if record.task_card else ""
        if (record.protocol, checksum) == (task.protocol, task.checksum):
            continue
        which = f"of {spec.part('task')[0]}" if path is None else f"in '{path}'"
        differ = (
            f"The data {which} have changed since run {spec.run_id} finished: it is of {record.protocol}, checksum "
            f"{checksum[:12]}; now they make {task.protocol}, checksum {task.checksum[:12]}."
        )
        if path is not None:
            raise RunError(f"{differ} Put the former data back, or choose another --output.")
        seen.add(key)
        console.print(f"[yellow]{escape(differ)}[/] Compare its rows with care.", soft_wrap=True)
