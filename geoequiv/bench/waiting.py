"""Runs that another process holds are tried again, until it has done them or left them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from time import sleep

from geoequiv.bench.runner import Outcome
from geoequiv.bench.spec import RunSpec
from geoequiv.records.store import Store

#: between two attempts at runs that others hold
SECONDS = 5.0

Outcomes = Iterable[tuple[RunSpec, Outcome]]


def until_free(
    specs: Sequence[RunSpec],
    do: Callable[[Sequence[RunSpec]], Outcomes],
    store: Store,
    waiting: Callable[[RunSpec], None],
) -> Iterator[tuple[RunSpec, Outcome]]:
    """Do runs; those that another process holds come last, again and again, until it has done or left them.

    A run that fails in the other process has failed: it is not done again here.

    Args:
        specs: the runs.
        do: does some of them; an outcome "busy" means that another process holds the run.
        store: the output folder.
        waiting: called once for each run that has to wait.
    """
    left, told = list(specs), set[RunSpec]()
    while left:
        busy = []
        for spec, outcome in do(left):
            if outcome.status != "busy":
                yield spec, outcome
                continue
            busy.append(spec)
            if spec not in told:
                told.add(spec)
                waiting(spec)
        left = []
        if busy:
            sleep(SECONDS)
        for spec in busy:
            record = store.record(spec)
            if record is not None and not record.done:
                yield spec, Outcome("failed", record, 0.0)
            else:
                left.append(spec)
