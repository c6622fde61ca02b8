"""A whole suite: what is done is skipped, what is half-finished continues, what fails does not stop the rest."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from geoequiv.bench.construct import check_construction
from geoequiv.bench.fallback import with_fallback
from geoequiv.bench.runner import Outcome, load_task, run
from geoequiv.bench.spec import RunSpec
from geoequiv.bench.suite import Suite
from geoequiv.bench.summary import headline, summary
from geoequiv.bench.workers import run_in_workers
from geoequiv.errors import DataError, RunError
from geoequiv.measurements.numbers import small
from geoequiv.records import Record
from geoequiv.records.identity import canonical
from geoequiv.records.store import Store
from geoequiv.session import DEFAULT, Session
from geoequiv.tasks import Task

if TYPE_CHECKING:
    from geoequiv.bench.align_runs import Aligned
    from geoequiv.measurements.barriers import AlignConfig


@dataclass(frozen=True)
class SuiteResult:
    """Outcome of every run of a suite, in the suite's order, and the runs whose barriers could not be measured."""

    outcomes: tuple[tuple[RunSpec, Outcome], ...]
    unaligned: tuple[RunSpec, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every run has finished, now or before, with all the barriers that the suite asks for."""
        return not self.unaligned and all(outcome.status in ("finished", "skipped") for _, outcome in self.outcomes)


def run_suite(
    suite: Suite,
    output: Path,
    *,
    resume: bool = False,
    session: Session = DEFAULT,
) -> SuiteResult:
    """Do every run of a suite that is not done yet.

    Args:
        suite: the checked suite.
        output: the output folder.
        resume: continue half-finished runs and do failed ones anew; without it, the first are an error, and the
            second stay as they are.
        session: where runs are computed, and how many at a time; progress and the summary go to its console, or to the
            standard output if it has none.

    Raises:
        DataError: the output folder cannot be written, or the data cannot be made; nothing was trained then.
        RunError: there are half-finished runs and `resume` is off, or the files of the user's own data have changed
            since a run finished (its id has their path, not what is in them).

    Exactness:
        A resumed suite ends in the same numbers as an uninterrupted one, and so does one with other `jobs`, up to the
        order in which floating-point sums are taken when the number of threads is another.
    """
    session = session if session.console is not None else replace(session, console=_console())
    console = session.console
    assert console is not None
    store = Store(output)
    store.prepare()
    suite = with_fallback(suite, store, session)
    states = {spec: store.state(spec) for spec in suite.runs}
    half = [spec for spec, state in states.items() if state == "half-finished"]
    if half and not resume:
        raise RunError(
            f"{len(half)} of {len(states)} runs of '{suite.name}' are half-finished in '{output}': "
            f"{', '.join(spec.run_id for spec in half[:5])}{', …' if len(half) > 5 else ''}. "
            "Pass --resume to continue them, or choose another --output."
        )
    done = {spec for spec, state in states.items() if state == "finished" or (state == "failed" and not resume)}
    todo = [spec for spec in suite.runs if spec not in done]
    console.print(f"Suite [bold]{escape(suite.name)}[/]: {_counts(states, resume)} → {escape(str(output))}")
    outcomes = {spec: _earlier(store, spec) for spec in done}
    tasks = _make_data(todo, suite.align, session, console)
    _check_files(outcomes, tasks, session, console)
    check_construction(suite, todo, tasks)
    for spec, outcome in _executed(todo, store, session, console):
        outcomes[spec] = outcome
    unaligned: tuple[RunSpec, ...] = ()
    if suite.align is not None:
        outcomes, unaligned = _aligned(suite, suite.align, store, outcomes, session, console)
    result = SuiteResult(tuple((spec, outcomes[spec]) for spec in suite.runs), unaligned)
    console.print(summary([outcome.record for _, outcome in result.outcomes if outcome.record]))
    _explain_failures(result, store, console, resume)
    return result


def _console() -> Console:
    """The standard output; wide enough for the summary where it is a file or a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=max(console.width, 120))


def _executed(
    todo: Sequence[RunSpec], store: Store, session: Session, console: Console
) -> Iterator[tuple[RunSpec, Outcome]]:
    number_of = {spec: index + 1 for index, spec in enumerate(todo)}

    def say(spec: RunSpec, text: str = "[dim]started[/]") -> None:
        # One plain line per event, also where the console is narrow: people search logs for it.
        line = f"[dim]\\[{number_of[spec]}/{len(todo)}][/] [dim]{spec.run_id}[/] {escape(spec.title)}  {text}"
        console.print(line, soft_wrap=True, highlight=False)

    def here() -> Iterator[tuple[RunSpec, Outcome]]:
        for spec in todo:
            say(spec)
            yield spec, run(spec, store, session)

    workers = session.jobs > 1 and len(todo) > 1
    for spec, outcome in run_in_workers(todo, store, session, started=say) if workers else here():
        say(spec, _line(outcome))
        yield spec, outcome


def _aligned(
    suite: Suite,
    config: "AlignConfig",
    store: Store,
    outcomes: dict[RunSpec, Outcome],
    session: Session,
    console: Console,
) -> tuple[dict[RunSpec, Outcome], tuple[RunSpec, ...]]:
    """Measure the barriers of the runs that have finished; two trainings need both, so this comes after all of them.

    Returns:
        The outcomes with these barriers, and the runs that lack some of them.
    """
    from geoequiv.bench.align_runs import align_runs  # alignment is loaded only for suites that ask for it

    runs = {store.directory(spec): spec for spec in suite.runs if outcomes[spec].status in ("finished", "skipped")}
    merged = [run for run in runs if (run / "checkpoint.ckpt").exists()]
    if merged:
        console.print(f"Measuring barriers of {len(merged)} run{'s' if len(merged) != 1 else ''} …")
    updated, unaligned = dict(outcomes), []
    for aligned in align_runs(merged, config, session):
        spec = runs[aligned.run]
        updated[spec] = replace(outcomes[spec], record=store.record(spec))
        if aligned.status == "failed":
            unaligned.append(spec)
        if aligned.status != "kept":
            line = f"[dim]{spec.run_id}[/] {escape(spec.title)}  {escape(told(aligned))}"
            console.print(line, soft_wrap=True, highlight=False)
    return updated, tuple(unaligned)


def told(aligned: "Aligned") -> str:
    """What became of one run, in a line."""
    if aligned.status == "failed":
        return f"no barrier: {aligned.alignment['error']}"
    parts = []
    for method, kinds in aligned.alignment["methods"].items():
        known = {"transformed copies": kinds["copies"], "another training": kinds["trainings"]}
        values = [f"{name} {small(each['barrier'])}" for name, each in known.items() if each]
        parts.append(f"{method}: {', '.join(values)}")
    note = " (measured before)" if aligned.status == "kept" else " (those of other settings gave way)"
    return f"barriers, {'; '.join(parts)}" + (note if aligned.status == "kept" or aligned.replaced else "")


def _make_data(
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


def _check_files(
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


def _earlier(store: Store, spec: RunSpec) -> Outcome:
    record = store.record(spec)
    assert record is not None
    return Outcome("skipped" if record.done else "failed", record, 0.0)


def _counts(states: dict[RunSpec, str], resume: bool) -> str:
    counts = Counter(states.values())
    words = {
        "new": "to do",
        "finished": "finished before",
        "half-finished": "to continue",
        "failed": "failed before, to do again" if resume else "failed before (--resume does them again)",
    }
    listed = ", ".join(f"{counts[state]} {text}" for state, text in words.items() if counts[state])
    return f"{len(states)} run{'s' if len(states) != 1 else ''}: {listed}"


def _line(outcome: Outcome) -> str:
    if outcome.status == "busy":
        return "[yellow]is being trained by another process[/]"
    record = outcome.record
    if outcome.status == "failed" or record is None:
        return f"[red]failed[/]: {escape(_last_line(record))}"
    if outcome.status == "skipped":
        return "finished before"
    return f"[green]finished[/] in {outcome.seconds:.1f} s: {escape(headline(record))}"


def _explain_failures(result: SuiteResult, store: Store, console: Console, resume: bool) -> None:
    failed = [(spec, outcome) for spec, outcome in result.outcomes if outcome.status == "failed"]
    for spec, outcome in failed:
        console.print(f"[red]failed[/]: {escape(spec.title)}: {escape(_last_line(outcome.record))}", soft_wrap=True)
        console.print(f"  traceback: {escape(str(store.directory(spec) / 'record.json'))}", soft_wrap=True)
    busy = sum(1 for _, outcome in result.outcomes if outcome.status == "busy")
    if busy:
        console.print(f"[yellow]{busy} run(s) are being trained by another process.[/]")


def _last_line(record: Record | None) -> str:
    lines = (record.error or "").strip().splitlines() if record else []
    return lines[-1].strip() if lines else "no message"
