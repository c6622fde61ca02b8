"""How far the suites of a results folder are: which runs are to be done, running, interrupted, finished or failed."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from geoequiv.bench.dry_run import duration, seconds_an_epoch, seconds_of
from geoequiv.bench.messages import last_line
from geoequiv.bench.spec import RunSpec
from geoequiv.bench.suite import told_apart
from geoequiv.errors import DataError
from geoequiv.files import write_file
from geoequiv.records.index import key
from geoequiv.records.locking import Holder, holder_of
from geoequiv.records.logs import log_rows
from geoequiv.records.reading import PACKED, read
from geoequiv.records.run_directory import CHECKPOINT
from geoequiv.records.schema import Record
from geoequiv.records.store import Store

#: ends the name of the file with the runs of a suite, a configuration a line
RUNS = ".runs.jsonl"
STATES = ("to do", "running", "interrupted", "finished", "failed")


@dataclass(frozen=True)
class RunStatus:
    """One run of a suite.

    Attributes:
        spec: the run.
        state: one of `STATES`.
        holder: the process that runs it.
        epoch: that it has done, by its log.
        error: the last line of what stopped it.
        seconds: that its training still takes, by finished runs of the same model and method; None without such.
    """

    spec: RunSpec
    state: str
    holder: Holder | None = None
    epoch: int = 0
    error: str = ""
    seconds: float | None = None


def write_runs(root: Path, suite: str, runs: Iterable[RunSpec]) -> None:
    """Keep the runs of a suite in its results folder, in place of those of an earlier call."""
    write_file(root / f"{suite}{RUNS}", (f"{spec.canonical}\n" for spec in runs))


def written_runs(root: Path) -> tuple[RunSpec, ...]:
    """The runs of every suite of a results folder, each once.

    Raises:
        DataError: there is none, or a file of them cannot be read.
    """
    found: dict[str, RunSpec] = {}
    paths = sorted(root.glob(f"*{RUNS}"))
    if not paths:
        raise DataError(f"'{root}' holds no suite that was begun: `geoequiv run` writes SUITE{RUNS} there.")
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            specs = [RunSpec.of(path.name.removesuffix(RUNS), json.loads(line)) for line in lines]
            found |= {spec.run_id: spec for spec in specs if spec.run_id not in found}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"Cannot read the runs of a suite in '{path}': {error}.") from error
    return told_apart(tuple(found.values()))


def status_of(root: Path) -> tuple[RunStatus, ...]:
    """The state of every run of the suites of a results folder, in their order; nothing is changed.

    Raises:
        DataError: no suite was begun in it, or a file cannot be read.
    """
    specs, store = written_runs(root), Store(root)
    records = read(root).records if (root / PACKED).is_file() or any(root.glob("*/record.json")) else ()
    known = {key(record.config): record for record in records}
    pace = seconds_an_epoch(record for record in records if record.done)
    return tuple(_status(spec, known.get(spec.key), store, seconds_of(spec.config, pace)) for spec in specs)


def _status(spec: RunSpec, record: Record | None, store: Store, seconds: float | None) -> RunStatus:
    directory = store.directory(spec)
    holder = holder_of(directory)
    if holder is None and record is not None:
        if record.done:
            return RunStatus(spec, "finished", seconds=0.0)
        return RunStatus(spec, "failed", error=last_line(record))
    started = holder is not None or (directory / CHECKPOINT).exists()
    rows = log_rows(directory) if started else None
    epoch = int(rows[-1]["epoch"]) if rows else 0
    left = None if seconds is None else seconds * (1 - epoch / spec.config["train"]["epochs"])
    if not started:
        return RunStatus(spec, "to do", seconds=left)
    return RunStatus(spec, "running" if holder else "interrupted", holder, epoch, seconds=left)


def status_lines(runs: Iterable[RunStatus], now: datetime | None = None) -> Iterator[str]:
    """A status in lines: what is running, where and since when, what failed, how many there are, and the time left.

    Args:
        runs: of `status_of`.
        now: for the times; the clock's, if None.
    """
    runs, now = tuple(runs), now or datetime.now(UTC)
    for each in runs:
        said = f"{each.state:<11}  {each.spec.run_id}  {each.spec.title}"
        epochs = f"epoch {each.epoch} of {each.spec.config['train']['epochs']}"
        if each.holder is not None:
            since = datetime.fromisoformat(each.holder.since)
            job = f"job {each.holder.job}, " if each.holder.job else ""
            where = f"on {each.holder.host} ({job}process {each.holder.pid})"
            lasted = duration((now - since).total_seconds())
            yield f"{said}  {where} since {since.astimezone():%Y-%m-%d %H:%M:%S}, for {lasted}, {epochs}"
        elif each.state == "interrupted":
            yield f"{said}  {epochs}"
        elif each.state == "failed":
            yield f"{said}  {each.error}"
    counts = {state: sum(each.state == state for each in runs) for state in STATES}
    yield f"{len(runs)} run{'s' if len(runs) != 1 else ''}: {', '.join(f'{n} {state}' for state, n in counts.items())}"
    yield from _time_left(runs, counts["running"])


def _time_left(runs: Iterable[RunStatus], running: int) -> Iterator[str]:
    waiting = [each for each in runs if each.state in ("to do", "running", "interrupted")]
    known = [each.seconds for each in waiting if each.seconds is not None]
    if known:
        at_once = f"with {running} at the same time" if running else "one after the other"
        yield f"Time left: about {duration(sum(known) / max(running, 1))} of training, {at_once}, by finished runs."
    if few := len(waiting) - len(known):
        yield f"Time left: unknown for {few}: no run of the same model, method and task has finished."
