"""What a suite would do, without doing it: its runs, their states, and roughly what they cost."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoequiv.bench.spec import RunSpec
from geoequiv.bench.state import STANDS, state_of
from geoequiv.bench.suite import Suite
from geoequiv.records.identity import canonical, present_settings
from geoequiv.records.reading import PACKED, read
from geoequiv.records.schema import Record
from geoequiv.records.store import Store
from geoequiv.session import Session
from geoequiv.tasks.protocols import PROTOCOLS

#: States of a run in which it is trained, some of its epochs at least.
TRAINED = ("to do", "to continue", "failed, to do again")
#: States of a run of which nothing is done.
ENDED = ("finished", "failed", STANDS)


@dataclass(frozen=True)
class Planned:
    """One run of a plan.

    Attributes:
        spec: the run.
        state: see `state_of`.
        directory: name of its run directory, which former versions called otherwise.
        steps: of its optimizer, in all epochs; None where the number of training items is not known without the data.
        seconds: of its whole training, by finished runs of the same model and method; None without such.
    """

    spec: RunSpec
    state: str
    directory: str
    steps: int | None
    seconds: float | None

    @property
    def trains(self) -> bool:
        """Whether anything would be trained."""
        return self.state in TRAINED


def plan(suite: Suite, output: Path, resume: bool = False) -> tuple[Planned, ...]:
    """The runs of a suite, in its order, with what each would do.

    Args:
        suite: as read. Where it has a fallback, its own task is assumed to be at hand.
        output: the output folder; it need not exist.
        resume: as for `run_suite`.

    Raises:
        DataError: a record in the folder cannot be read.
    """
    store, pace = Store(output), seconds_an_epoch(_finished(output))
    planned = []
    for spec in suite.runs:
        state, directory, config = state_of(spec, store, resume), store.directory(spec).name, spec.config
        planned.append(Planned(spec, state, directory, steps_of(config), seconds_of(config, pace)))
    return tuple(planned)


def plan_lines(suite: Suite, planned: Iterable[Planned], output: Path, session: Session) -> Iterator[str]:
    """A plan in lines: one for each run, then the sums.

    Args:
        suite: whose plan it is.
        planned: its runs.
        output: the output folder.
        session: how many runs would go on at the same time.
    """
    planned = tuple(planned)
    rows = [("run", "state", "model · method · seed", "steps", "training")]
    for each in planned:
        cost = duration(each.seconds) if each.trains else ""
        steps = f"{each.steps:,}" if each.trains and each.steps is not None else "unknown" if each.trains else ""
        rows.append((each.directory, each.state, each.spec.title, steps, cost))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row[:3], widths[:3], strict=True)]
        cells += [text.rjust(width) for text, width in zip(row[3:], widths[3:], strict=True)]
        yield "  ".join(cells).rstrip()
    counts = Counter(each.state for each in planned)
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    plural = "s" if len(planned) != 1 else ""
    yield ""
    yield f"Suite {suite.name}: {len(planned)} run{plural} ({states}) → {output}"
    trained = [each for each in planned if each.trains]
    if session.slurm is not None:
        tasks = -(-sum(each.state not in ENDED for each in planned) // session.slurm.runs_per_task)
        at_once = min(tasks, session.slurm.array_parallelism)
        each_does = session.slurm.runs_per_task
        yield f"SLURM: an array of {tasks} tasks of up to {each_does} runs, at most {at_once} at the same time."
    known = [each.seconds for each in trained if each.seconds is not None]
    if known:
        jobs = f" with {session.jobs} jobs" if session.jobs > 1 else ""
        cost = f"about {duration(sum(known) / session.jobs)}{jobs} for {len(known)} of {len(trained)} runs"
        yield f"Training: {cost}, by finished runs in {output}."
    if few := len(trained) - len(known):
        yield f"Unknown for {few}: {output} has no finished run of the same model, method and task."


def seconds_an_epoch(records: Iterable[Record]) -> dict[str, float]:
    """What decides the cost of an epoch → seconds; of the last of equal runs."""
    pace: dict[str, float] = {}
    for record in records:
        seconds, epochs = record.value("seconds/train"), record.value("epochs/run")
        if seconds and epochs:
            pace[_kind(record.config)] = seconds / epochs
    return pace


def steps_of(config: Mapping[str, Any]) -> int | None:
    """Steps of the optimizer in a whole training."""
    items = training_items(config["task"])
    if items is None:
        return None
    train = config["train"]
    return int(train["epochs"]) * -(-items // int(train["batch_size"]))


def training_items(task: Mapping[str, Any]) -> int | None:
    """Training items of a task as a suite sets it: its option `train`, or what the register of protocols says.

    >>> training_items({"name": "nbody/charged", "train": 500, "limit": 32})
    32
    """
    items = task.get("train")
    if not isinstance(items, int):
        fitting = [
            each for each in PROTOCOLS.values() if each.task == task["name"] and each.options.items() <= task.items()
        ]
        items = max(fitting, key=lambda each: len(each.options)).splits.get("train") if fitting else None
    limit = task.get("limit")
    return items if items is None or limit is None else min(items, limit)


def duration(seconds: float | None) -> str:
    """A time for people.

    >>> duration(41.3), duration(400), duration(9000), duration(None)
    ('41 s', '7 min', '2.5 h', 'unknown')
    """
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _finished(output: Path) -> list[Record]:
    """Finished runs of the output folder; none where it holds none."""
    if not (output / PACKED).is_file() and not any(output.glob("*/record.json")):
        return []
    return [record for record in read(output).records if record.done]


def _kind(config: Mapping[str, Any]) -> str:
    """What decides how long an epoch takes: all but the seed, the epochs and what does not change the work."""
    train = present_settings(config).get("train") or {}
    kept = {key: config.get(key) for key in ("task", "model", "symmetry")}
    return canonical(
        {
            **kept,
            "batch_size": train.get("batch_size"),
            "precision": train.get("precision", "32"),
            "compile": train.get("compile", False),
        }
    )


def seconds_of(config: Mapping[str, Any], pace: Mapping[str, float]) -> float | None:
    """Seconds of a whole training; None where `pace` (of `seconds_an_epoch`) knows none of its kind."""
    each = pace.get(_kind(config)) if pace else None
    return None if each is None else each * float(config["train"]["epochs"])
