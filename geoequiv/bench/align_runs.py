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
from geoequiv.bench.trained import TrainedRun, load_trained
from geoequiv.errors import DataError
from geoequiv.measurements.barriers import AlignConfig, OtherTraining, measure_barriers
from geoequiv.records.index import key
from geoequiv.records.locking import locked_directory
from geoequiv.records.part import finite
from geoequiv.records.run_directory import read_record, write_record
from geoequiv.session import DEFAULT, Session
from geoequiv.tasks import Task


@dataclass(frozen=True)
class Aligned:
    """What became of one run: "measured", "kept" (its record has these barriers already), or "failed" (some or all).

    `replaced` is true where these barriers replaced some of other settings, or with another partner.
    """

    run: Path
    status: str
    alignment: Mapping[str, Any]
    seconds: float
    replaced: bool = False


def align_runs(runs: Sequence[Path], config: AlignConfig, session: Session = DEFAULT) -> Iterator[Aligned]:
    """Measure the barriers of finished runs and write them into their records, one run after the other.

    A run whose record has barriers of these settings, with the same partner, is left as it is, so an interrupted call
    can be repeated. Missing methods are added to those in the record, each written as soon as it is measured. Barriers
    of other settings are replaced when the first new one is measured. Each record is replaced in one step.

    Args:
        runs: directories of finished runs; two seeds of one configuration are each other's seed-to-seed baseline.
        config: what to measure.
        session: its device and data cache are used.

    Yields:
        What became of each run. A failure, whatever raised it, is stored in the record beside the barriers that it
        has, and the next call tries again.

    Raises:
        DataError: a record cannot be read or written.
        RunError: another process is at this run.
    """
    tasks: dict[str, Task] = {}
    for run, other in partners(runs).items():
        with locked_directory(run):
            record = read_record(run)
            former = record.alignment or {}
            known = reusable(former, config, other)
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
                    keep = former.get("methods") and not found
                    kept = (
                        former if keep else as_recorded(config, found, named, start, session, is_double(record.config))
                    )
                    alignment = {**kept, "error": error_text(errors, wanted)}
                else:
                    found = with_methods(found, reports)
                    alignment = as_recorded(config, found, named, start, session, is_double(record.config))
                    alignment |= {"error": error_text(errors, wanted)} if errors else {}
                write_record(run, record.with_alignment(finite(alignment)))
        replaced = bool(former.get("methods")) and bool(found) and not known
        yield Aligned(run, "failed" if errors else "measured", alignment, time.perf_counter() - start, replaced)


def each_method(
    run: Path, partner: Path | None, config: AlignConfig, methods: Sequence[str], session: Session,
    tasks: dict[str, Task],
) -> Iterator[tuple[str, dict[str, Any] | Exception]]:  # fmt: skip
    """The reports of each method, or the exception instead: tracing a user's network may raise anything.

    Args:
        tasks: those loaded before, by their configuration; the run's is added.
    """
    try:
        shared = task_key(read_record(run).config)
        first = load_trained(run, session, tasks.get(shared))
        tasks[shared] = first.task
        second = load_trained(partner, session, first.task) if partner and config.seed_baseline else None
        other = OtherTraining(second.model, second.spec.config["seed"]) if second else None
    except Exception as error:
        yield from ((method, error) for method in methods)
        return
    for method in methods:
        yield method, reports_of(first, config.model_copy(update={"method": (method,)}), other)


def reports_of(run: TrainedRun, config: AlignConfig, other: OtherTraining | None) -> dict[str, Any] | Exception:
    """The reports of a method, or the exception instead; networks are merged and measured without autocast."""
    try:
        with run.arithmetic():
            return measure_barriers(run.task, run.model, config, other)
    except Exception as error:
        return error


def task_key(config: Mapping[str, Any]) -> str:
    """What runs that can share a loaded task have in common: its configuration, and the dtype of its items."""
    return json.dumps([config["task"], is_double(config)], sort_keys=True)


def is_double(config: Mapping[str, Any]) -> bool:
    """Whether a run computes in float64."""
    return bool(config.get("train", {}).get("precision") == "64")


def as_recorded(
    config: AlignConfig, found: Mapping[str, Any], other: str | None, start: float, session: Session, double: bool
) -> dict[str, Any]:
    """Reports as a record has them: with the settings, the partner, the seconds and the environment."""
    settings = {**config.model_dump(mode="json"), "method": list(found.get("methods", config.method))}
    made = {"seconds": time.perf_counter() - start, "threads": torch.get_num_threads()}
    return {
        "settings": settings,
        "other": other,
        **found,
        **made,
        "environment": environment(session, "64" if double else "32"),
    }


def error_text(errors: Mapping[str, Sequence[str]], methods: Sequence[str]) -> str:
    """Error messages, each with the methods that raised it, unless one message is of all methods.

    >>> error_text({"KeyError: 'x'": ["none", "weights"]}, ["none", "weights"])
    "KeyError: 'x'"
    >>> error_text({"KeyError: 'x'": ["weights"]}, ["none", "weights"])
    "KeyError: 'x' (weights)"
    """
    return "; ".join(
        text if len(stopped) == len(methods) else f"{text} ({', '.join(stopped)})" for text, stopped in errors.items()
    )


def alignable(directory: Path, say: Callable[[str], object] = print) -> list[Path]:
    """The run directories of a results folder that have a finished run and its checkpoint, in the order of their names.

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
    """Each run with the run of the next seed of its configuration, the last with the first; None for a single seed."""
    alike: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for run in runs:
        config = read_record(run).config
        alike[key({**config, "seed": 0})].append((config["seed"], run))
    found: dict[Path, Path | None] = {}
    for members in alike.values():
        members.sort()
        for i, (_, run) in enumerate(members):
            found[run] = members[(i + 1) % len(members)][1] if len(members) > 1 else None
    return {run: found[run] for run in runs}


def reusable(known: Mapping[str, Any] | None, config: AlignConfig, other: Path | None) -> Mapping[str, Any]:
    """The barriers of a record, if they were measured by these settings (whatever the methods); else nothing."""
    if not known or not known.get("methods"):
        return {}
    try:
        settings = AlignConfig.model_validate(known["settings"])
    except (ValidationError, KeyError):  # of another version: measure again
        return {}
    same = settings.model_copy(update={"method": config.method}) == config
    return known if same and known.get("other") == (other.name if config.seed_baseline and other else None) else {}


def with_methods(known: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The reports of a record with those of further methods."""
    if not known:
        return dict(found)
    lists = {kind: [*known[kind], *found[kind]] for kind in ("copies", "trainings")}
    return {"metric": found["metric"], "methods": {**known["methods"], **found["methods"]}, **lists}
