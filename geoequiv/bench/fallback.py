"""What a suite runs on: its own task, or its fallback on machines without that task's files."""

from dataclasses import replace

from rich.markup import escape

from geoequiv.bench.runner import load_task
from geoequiv.bench.suite import Suite
from geoequiv.errors import NoFilesError
from geoequiv.records.store import Store
from geoequiv.session import Session


def with_fallback(suite: Suite, store: Store, session: Session) -> Suite:
    """The suite, or the same on its fallback task where files are nowhere and cannot be downloaded; it says so.

    The fallback has protocol ids of its own, so that no number of one is ranked with the other's. Damaged files are an
    error as ever.

    Args:
        suite: as read.
        store: of its results; nothing is looked for where all runs have finished.
        session: its data cache is where files are looked for, its console where it is said.
    """
    if suite.fallback and all(store.state(spec) == "finished" for spec in suite.runs):
        return suite
    return with_files(suite, session)


def with_files(suite: Suite, session: Session) -> Suite:
    """The suite, or the same on its fallback task, by whether the files are there or can be downloaded."""
    if not suite.fallback:
        return suite
    try:
        load_task(suite.runs[0], session)
    except NoFilesError as error:
        other = suite.fallback[0].part("task")[0]
        if session.console is not None:
            session.console.print(
                f"{escape(str(error))}\n[bold]Using the fallback task {other}[/], under protocol ids of its own."
            )
        return replace(suite, runs=suite.fallback, fallback=())
    return suite
