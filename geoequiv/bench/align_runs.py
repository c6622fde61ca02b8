"""Barriers of finished runs: measured where they are missing, and stored in the records."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from geoequiv.bench.environment import environment
from geoequiv.bench.trained import load_trained
from geoequiv.errors import DataError
from geoequiv.measurements.barriers import AlignConfig, OtherTraining, measure_barriers
from geoequiv.records.part import finite
from geoequiv.records.run_directory import locked_directory, read_record, write_record
from geoequiv.session import DEFAULT, Session
from geoequiv.tasks import Task


@dataclass(frozen=True)
class Aligned:
    """What became of one run: "measured", "kept" (its record has these barriers already), or "failed" (some or all).

    `replaced` is true where barriers by other settings, or with another partner, have given way to these.
    """

    run: Path
    status: str
    alignment: Mapping[str, Any]
    seconds: float
    replaced: bool = False


def align_runs(runs: Sequence[Path], config: AlignConfig, session: Session = DEFAULT) -> Iterator[Aligned]:
    """Measure the barriers of finished runs and write them into their records, one run after the other.

    Runs whose record has barriers of these settings, with the same partner, are left as they are, so that what was
    interrupted goes on; methods that are missing are added to those that are there, one after the other, each written
    when it is measured. Barriers by other settings give way to the new ones as soon as there are any. Each record is
    replaced in one step.

    Args:
        runs: directories of finished runs; two seeds of one configuration are each other's seed-to-seed baseline.
        config: what to measure.
        session: its device and data cache are used.

    Yields:
        What became of each run; a failure, whatever raised it, is stored in its record as well, beside the barriers
        that it has, and tried again another time.

    Raises:
        DataError: a record cannot be read or written.
        RunError: another process is at this run.
    """
    tasks: dict[str, Task] = {}
    for run, other in partners(runs).items():
        with locked_directory(run):
            record = read_record(run)
            former = record.alignment or {}
            known = fitting(former, config, other)
            wanted = [method for method in config.method if method not in known.get("methods", {})]
            if not wanted:
                yield Aligned(run, "kept", known, 0.0)
                continue
            start = time.perf_counter()
            found, errors = known, defaultdict[str, list[str]](list)
            named = other.name if config.seed_baseline and other else None
            for method, reports in each_method(run, other, config, wanted, session, tasks):
                if isinstance(reports, Exception):
                    errors[f"{type(reports).__name__}: {reports}"].append(method)
                    stands = former.get("methods") and not found
                    stays = former if stands else noted(config, found, named, start, session)
                    alignment = {**stays, "error": listed(errors, wanted)}
                else:
                    found = joined(found, reports)
                    alignment = noted(config, found, named, start, session)
                    alignment |= {"error": listed(errors, wanted)} if errors else {}
                write_record(run, record.with_alignment(finite(alignment)))
        replaced = bool(former.get("methods")) and bool(found) and not known
        yield Aligned(run, "failed" if errors else "measured", alignment, time.perf_counter() - start, replaced)


def each_method(
    run: Path, partner: Path | None, config: AlignConfig, methods: Sequence[str], session: Session,
    tasks: dict[str, Task],
) -> Iterator[tuple[str, dict[str, Any] | Exception]]:  # fmt: skip
    """The reports of each method, or what was raised instead: networks of users are traced, which may raise anything.

    Args:
        tasks: those loaded before, by their configuration; the run's is added.
    """
    try:
        key = json.dumps(read_record(run).config["task"], sort_keys=True)
        first = load_trained(run, session, tasks.get(key))
        tasks[key] = first.task
        second = load_trained(partner, session, first.task) if partner and config.seed_baseline else None
        other = OtherTraining(second.model, second.spec.config["seed"]) if second else None
    except Exception as error:
        yield from ((method, error) for method in methods)
        return
    for method in methods:
        try:
            yield (
                method,
                measure_barriers(first.task, first.model, config.model_copy(update={"method": (method,)}), other),
            )
        except Exception as error:
            yield method, error


def noted(
    config: AlignConfig, found: Mapping[str, Any], other: str | None, start: float, session: Session
) -> dict[str, Any]:
    """Reports as a record has them: by which settings, with whom, how long it took and on what."""
    settings = {**config.model_dump(mode="json"), "method": list(found.get("methods", config.method))}
    made = {"seconds": time.perf_counter() - start, "threads": torch.get_num_threads()}
    return {"settings": settings, "other": other, **found, **made, "environment": environment(session)}


def listed(errors: Mapping[str, Sequence[str]], methods: Sequence[str]) -> str:
    """Messages with the methods that they stopped, unless one stopped all.

    >>> listed({"KeyError: 'x'": ["none", "weights"]}, ["none", "weights"])
    "KeyError: 'x'"
    >>> listed({"KeyError: 'x'": ["weights"]}, ["none", "weights"])
    "KeyError: 'x' (weights)"
    """
    return "; ".join(
        text if len(stopped) == len(methods) else f"{text} ({', '.join(stopped)})" for text, stopped in errors.items()
    )


def alignable(directory: Path, say: Callable[[str], object] = print) -> list[Path]:
    """The folders of a results folder that hold a finished run with its weights, in the order of their names.

    Args:
        directory: the results folder.
        say: is told of each record that cannot be read; its run is left out.
    """
    found = []
    for run in (record.parent for record in sorted(directory.glob("*/record.json"))):
        try:
            finished = read_record(run).done
        except DataError as error:
            say(f"Left out: {error}")
            continue
        if finished and (run / "checkpoint.ckpt").exists():
            found.append(run)
    return found


def partners(runs: Sequence[Path]) -> dict[Path, Path | None]:
    """Each run with that of the next seed (after the last the first) of the same configuration; None if it is alone."""
    alike: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for run in runs:
        config = dict(read_record(run).config)
        seed = config.pop("seed")
        alike[json.dumps(config, sort_keys=True)].append((seed, run))
    found: dict[Path, Path | None] = {}
    for members in alike.values():
        members.sort()
        for i, (_, run) in enumerate(members):
            found[run] = members[(i + 1) % len(members)][1] if len(members) > 1 else None
    return {run: found[run] for run in runs}


def fitting(known: Mapping[str, Any] | None, config: AlignConfig, other: Path | None) -> Mapping[str, Any]:
    """What a record has, if it was measured by these settings but for the methods; else nothing."""
    if not known or not known.get("methods"):
        return {}
    try:
        settings = AlignConfig.model_validate(known["settings"])
    except (ValidationError, KeyError):  # of another version: measured anew
        return {}
    same = settings.model_copy(update={"method": config.method}) == config
    return known if same and known.get("other") == (other.name if config.seed_baseline and other else None) else {}


def joined(known: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Reports of further methods after those that a record has."""
    if not known:
        return dict(found)
    lists = {kind: [*known[kind], *found[kind]] for kind in ("copies", "trainings")}
    return {"metric": found["metric"], "methods": {**known["methods"], **found["methods"]}, **lists}
