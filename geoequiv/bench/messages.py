"""What a suite says on the console: its states, a line for each event, and what failed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from geoequiv.bench.runner import Outcome
from geoequiv.bench.spec import RunSpec
from geoequiv.bench.state import STANDS
from geoequiv.bench.summary import headline
from geoequiv.measurements.numbers import small
from geoequiv.records import Record
from geoequiv.records.store import Store

if TYPE_CHECKING:
    from geoequiv.bench.align_runs import Aligned


def standard_output() -> Console:
    """The standard output; wide enough for the summary where it is a file or a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=max(console.width, 120))


def counts(states: Mapping[RunSpec, str]) -> str:
    """How many runs there are in each state, in a line."""
    numbers = Counter(states.values())
    words = {
        "to do": "to do",
        "finished": "finished before",
        "to measure again": "to measure again",
        STANDS: "measured by former settings, whose weights are not there to measure again",
        "to continue": "to continue",
        "failed": "failed before (--resume does them again)",
        "failed, to do again": "failed before, to do again",
    }
    listed = ", ".join(f"{numbers[state]} {text}" for state, text in words.items() if numbers[state])
    return f"{len(states)} run{'s' if len(states) != 1 else ''}: {listed}"


def outcome_line(outcome: Outcome) -> str:
    """How a run ended, in a line."""
    if outcome.status == "busy":
        return "[yellow]is being trained by another process[/]: waiting for it"
    if outcome.status == "left":
        return f"[red]not done[/]: {escape(outcome.error)}. --resume goes on with it"
    record = outcome.record
    if outcome.status == "failed" or record is None:
        return f"[red]failed[/]: {escape(last_line(record))}"
    if outcome.status == "skipped":
        return "finished before"
    if outcome.status == "unmeasured":
        return f"[red]not measured again[/]: {escape(outcome.error)} (its record stands)"
    if outcome.status == "measured":
        return f"[green]measured again[/] in {outcome.seconds:.1f} s: {escape(headline(record))}"
    return f"[green]finished[/] in {outcome.seconds:.1f} s: {escape(headline(record))}"


def barriers_line(aligned: "Aligned") -> str:
    """What became of one run, in a line."""
    if aligned.status == "failed":
        return f"no barrier: {aligned.alignment['error']}"
    parts = []
    for method, kinds in aligned.alignment["methods"].items():
        known = {"transformed copies": kinds["copies"], "another training": kinds["trainings"]}
        values = [f"{name} {small(each['barrier'])}" for name, each in known.items() if each]
        parts.append(f"{method}: {', '.join(values)}")
    note = " (measured before)" if aligned.status == "kept" else " (in place of those by other settings)"
    return f"barriers, {'; '.join(parts)}" + (note if aligned.status == "kept" or aligned.replaced else "")


def explain_failures(outcomes: Sequence[tuple[RunSpec, Outcome]], store: Store, console: Console) -> None:
    """Print what stopped each failed run, and where its traceback is."""
    failed = [(spec, outcome) for spec, outcome in outcomes if outcome.status == "failed"]
    for spec, outcome in failed:
        console.print(f"[red]failed[/]: {escape(spec.title)}: {escape(last_line(outcome.record))}", soft_wrap=True)
        console.print(f"  traceback: {escape(str(store.directory(spec) / 'record.json'))}", soft_wrap=True)


def last_line(record: Record | None) -> str:
    """The last line of what stopped a run."""
    lines = (record.error or "").strip().splitlines() if record else []
    return lines[-1].strip() if lines else "no message"
