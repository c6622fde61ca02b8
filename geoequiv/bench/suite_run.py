"""A whole suite: finished runs are skipped, interrupted ones continue, a failed one does not stop the others."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from geoequiv.bench.construct import check_construction
from geoequiv.bench.fallback import with_fallback
from geoequiv.bench.messages import barriers_line, counts, explain_failures, outcome_line, standard_output
from geoequiv.bench.perform import perform
from geoequiv.bench.runner import Outcome
from geoequiv.bench.spec import RunSpec
from geoequiv.bench.state import STANDS, state_of
from geoequiv.bench.status import write_runs
from geoequiv.bench.suite import Suite, only
from geoequiv.bench.suite_data import check_files, make_data
from geoequiv.bench.summary import summary
from geoequiv.bench.waiting import until_free
from geoequiv.bench.workers import run_in_workers
from geoequiv.errors import ConfigError, RunError
from geoequiv.records.locking import holder_of
from geoequiv.records.store import Store
from geoequiv.session import DEFAULT, Session
from geoequiv.training.devices import check_devices

if TYPE_CHECKING:
    from geoequiv.measurements.barriers import AlignConfig


@dataclass(frozen=True)
class SuiteResult:
    """Outcome of every run of a suite, in the suite's order, and the runs whose barriers could not be measured."""

    outcomes: tuple[tuple[RunSpec, Outcome], ...]
    unaligned: tuple[RunSpec, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every run has finished, now or before, with all the barriers that the suite asks for."""
        return not self.unaligned and all(outcome.complete for _, outcome in self.outcomes)


def run_suite(
    suite: Suite,
    output: Path,
    *,
    resume: bool = False,
    ids: Collection[str] = (),
    session: Session = DEFAULT,
) -> SuiteResult:
    """Do every run of a suite that is not done yet.

    Args:
        suite: the checked suite.
        output: the output folder.
        resume: continue interrupted runs and do failed ones again; without it, interrupted runs are an error, and
            failed ones stay as they are.
        ids: of the runs to do; none for all.
        session: where runs are computed, and how many at a time; progress and the summary go to its console, or to the
            standard output if it has none.

    Raises:
        ConfigError: this machine has fewer devices than a training asks for, or the suite has no run of an id.
        DataError: the output folder cannot be written, or the data cannot be made; nothing was trained then.
        RunError: there are interrupted runs and `resume` is off, or the files of the user's own data have changed
            since a run finished (its id has their path, not what is in them).

    Exactness:
        A resumed suite ends in the same numbers as an uninterrupted one, and so does one with other `jobs`, up to the
        order in which floating-point sums are taken when the number of threads is another.
    """
    session = session if session.console is not None else replace(session, console=standard_output())
    console = session.console
    assert console is not None
    here = session if session.slurm is None else replace(session, device="cpu", engine="local", slurm=None)
    for spec in suite.runs:
        _check_devices(spec.config["train"]["devices"], session)
    store = Store(output)
    store.prepare()
    suite = with_fallback(suite, store, here)
    write_runs(store.root, suite.name, suite.runs)
    suite = only(suite, ids, store)
    states = {spec: state_of(spec, store, resume) for spec in suite.runs}
    left = [spec for spec, state in states.items() if state == "to continue"]
    interrupted = [spec for spec in left if holder_of(store.directory(spec)) is None]
    if interrupted and not resume:
        raise RunError(
            f"{len(interrupted)} of {len(states)} runs of '{suite.name}' were interrupted in '{output}': "
            f"{', '.join(spec.run_id for spec in interrupted[:5])}{', …' if len(interrupted) > 5 else ''}. "
            "Pass --resume to continue them, or choose another --output."
        )
    todo = [spec for spec, state in states.items() if state not in ("finished", "failed", STANDS)]
    console.print(f"Suite [bold]{escape(suite.name)}[/]: {counts(states)} → {escape(str(output))}", soft_wrap=True)
    ended = ("finished", "to measure again", STANDS, "failed")
    outcomes = {spec: _earlier(store, spec) for spec, state in states.items() if state in ended}
    tasks = make_data(todo, suite.align, here, console)
    check_files(outcomes, tasks, here, console)
    check_construction(suite, todo, tasks)
    for spec, outcome in _executed(todo, store, session, console):
        outcomes[spec] = outcome
    unaligned: tuple[RunSpec, ...] = ()
    if suite.align is not None and not any(outcome.status == "submitted" for outcome in outcomes.values()):
        outcomes, unaligned = _aligned(suite, suite.align, store, outcomes, here, console)
    result = SuiteResult(tuple((spec, outcomes[spec]) for spec in suite.runs), unaligned)
    console.print(summary([outcome.record for _, outcome in result.outcomes if outcome.record]))
    explain_failures(result.outcomes, store, console)
    return result


def _check_devices(devices: int, session: Session) -> None:
    """Make sure that a training finds its devices: on this machine, or in its job."""
    if session.slurm is None:
        check_devices(session.torch_device, devices)
    elif session.device != "cpu" and devices > session.slurm.gpus:
        raise ConfigError(
            f"`train: {{devices: {devices}}}` needs as many GPUs in its job, which has {session.slurm.gpus}: pass "
            f"--gpus {devices}."
        )


def _executed(
    todo: Sequence[RunSpec], store: Store, session: Session, console: Console
) -> Iterator[tuple[RunSpec, Outcome]]:
    number_of = {spec: index + 1 for index, spec in enumerate(todo)}

    def say(spec: RunSpec, text: str = "[dim]started[/]") -> None:
        # One plain line per event, also where the console is narrow: people search logs for it.
        line = f"[dim]\\[{number_of[spec]}/{len(todo)}][/] [dim]{spec.run_id}[/] {escape(spec.title)}  {text}"
        console.print(line, soft_wrap=True, highlight=False)

    def here(specs: Sequence[RunSpec]) -> Iterator[tuple[RunSpec, Outcome]]:
        for spec in specs:
            say(spec)
            yield spec, perform(spec, store, session)

    def in_workers(specs: Sequence[RunSpec]) -> Iterator[tuple[RunSpec, Outcome]]:
        return run_in_workers(specs, store, session, started=say)

    if session.slurm is not None:
        from geoequiv.bench.slurm import run_on_slurm  # imports submitit, which is optional

        for spec, outcome in run_on_slurm(todo, store, session, console) if todo else ():
            if outcome.status != "submitted":
                say(spec, outcome_line(outcome))
            yield spec, outcome
        return
    workers = session.jobs > 1 and len(todo) > 1
    waiting = partial(say, text=outcome_line(Outcome("busy", None, 0.0)))
    for spec, outcome in until_free(todo, in_workers if workers else here, store, waiting):
        say(spec, outcome_line(outcome))
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

    runs = {
        store.directory(spec): spec
        for spec in suite.runs
        if outcomes[spec].record is not None and outcomes[spec].status != "failed"
    }
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
            line = f"[dim]{spec.run_id}[/] {escape(spec.title)}  {escape(barriers_line(aligned))}"
            console.print(line, soft_wrap=True, highlight=False)
    return updated, tuple(unaligned)


def _earlier(store: Store, spec: RunSpec) -> Outcome:
    record = store.record(spec)
    assert record is not None
    return Outcome("skipped" if record.done else "failed", record, 0.0)
