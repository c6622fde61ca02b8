"""Barriers of finished runs: measured once, stored in their records, made up for where they are missing."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from geoequiv.alignment import (
    Matching,
    PermutationSpec,
    barrier,
    evaluate,
    fold_norms,
    path,
    permutation_spec,
    transformed_copy,
)
from geoequiv.alignment.assignment import plain_streams
from geoequiv.bench.align import AlignConfig, angle_of, copies_of, describe
from geoequiv.bench.environment import environment
from geoequiv.bench.store import locked_folder, read_record, write_record
from geoequiv.bench.trained import TrainedRun, load_trained
from geoequiv.errors import AlignmentError, DataError
from geoequiv.session import DEFAULT, Session
from geoequiv.tasks import Task
from geoequiv.training.evaluate import device_of

#: numbers of a report that are averaged over elements
AVERAGED = ("barrier", "absolute", "without_repair", "without_matching")


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
        runs: folders of finished runs; those of one configuration and different seeds are each other's yardstick.
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
        with locked_folder(run):
            record = read_record(run)
            former = record.get("alignment") or {}
            known = fitting(former, config, other)
            wanted = [method for method in config.method if method not in known.get("methods", {})]
            if not wanted:
                yield Aligned(run, "kept", known, 0.0)
                continue
            start = time.perf_counter()
            found, errors = known, defaultdict[str, list[str]](list)
            named = other.name if config.yardstick and other else None
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
                write_record(run, {**record, "alignment": alignment})
        replaced = bool(former.get("methods")) and bool(found) and not known
        yield Aligned(run, "failed" if errors else "measured", alignment, time.perf_counter() - start, replaced)


def each_method(
    run: Path, other: Path | None, config: AlignConfig, methods: Sequence[str], session: Session,
    tasks: dict[str, Task],
) -> Iterator[tuple[str, dict[str, Any] | Exception]]:  # fmt: skip
    """The reports of each method, or what was raised instead: networks of users are traced, which may raise anything.

    Args:
        tasks: those loaded before, by their configuration; the run's is added.
    """
    try:
        key = json.dumps(read_record(run)["config"]["task"], sort_keys=True)
        first = load_trained(run, session, tasks.get(key))
        tasks[key] = first.task
        second = load_trained(other, session, first.task) if other and config.yardstick else None
    except Exception as error:
        yield from ((method, error) for method in methods)
        return
    for method in methods:
        try:
            yield method, measure(first, config.model_copy(update={"method": (method,)}), second)
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
            finished = read_record(run).get("status") == "finished"
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
        config = dict(read_record(run)["config"])
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
    return known if same and known.get("other") == (other.name if config.yardstick and other else None) else {}


def joined(known: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Reports of further methods after those that a record has."""
    if not known:
        return dict(found)
    lists = {kind: [*known[kind], *found[kind]] for kind in ("copies", "trainings")}
    return {"metric": found["metric"], "methods": {**known["methods"], **found["methods"]}, **lists}


def measure(
    first: TrainedRun, config: AlignConfig, second: TrainedRun | None = None, copies: bool = True
) -> dict[str, Any]:
    """Barriers between a trained network and its transformed copies, and between it and another training.

    Args:
        first: the run.
        config: which copies, and how units are matched.
        second: a run of the same model; it is left out if the settings do not ask for the yardstick.
        copies: whether the network is merged with its transformed copies.

    Returns:
        "metric", "methods" (by method, numbers averaged over all copies, and of the other training), "copies" and
        "trainings" (every report), for JSON.

    Raises:
        AlignmentError: an element cannot be folded into the weights, a layer cannot be explained, too little data.
    """
    task, model = first.task, first.model
    device = device_of(model)
    data, loader = (pairs(task, split, config.items, device) for split in ("train", "test"))
    few = {name: value[:4] for name, value in data[0][0].items()}
    spec = permutation_spec(model, {name: value[:2] for name, value in few.items()})
    elements = copies_of(config, task.symmetry) if copies else []
    networks = [transformed_copy(model, task.signature, element, few) for element in elements]
    others = [second] if second is not None and config.yardstick else []
    found: dict[str, Any] = {"copies": [], "trainings": []}
    for method in config.method:
        for element, copy in zip(elements, networks, strict=True):
            angle = angle_of(element)
            merged = merge(task, spec, model, copy, data, loader, config, method)
            found["copies"].append({"element": describe(element), "angle": None if angle is None else round(angle, 4),
                                    "linear": element.linear.tolist(), **merged})  # fmt: skip
        for other in others:
            merged = merge(task, spec, model, other.model, data, loader, config, method)
            found["trainings"].append({"seed": other.spec.config["seed"], **merged})
    methods = {
        method: {kind: averaged([each for each in found[kind] if each["method"] == method])
                 for kind in ("copies", "trainings")}
        for method in config.method
    }  # fmt: skip
    metric = {"name": task.metric.name, "unit": task.metric.unit, "better": task.metric.better}
    return {"metric": metric, "methods": methods, **found}


def merge(
    task: Task, spec: PermutationSpec, first: nn.Module, second: nn.Module, data: list[Any], loader: list[Any],
    config: AlignConfig, method: str,
) -> dict[str, Any]:  # fmt: skip
    """One network matched and merged with another of the same architecture; nothing to do if they are the same."""
    metric = metric_of(task)
    if same_weights(first, second):  # an equivariant network is its own copy
        value = evaluate(first, task.signature, loader, metric)
        ends = dict.fromkeys(("first", "second", "middle", "repaired", "unmatched"), value)
        return {"method": method, **ends, **dict.fromkeys(AVERAGED, 0.0), "own_copy": True}
    report = barrier(
        first, second, task.signature, loader, metric, better=task.metric.better, repair=config.repair,
        matching=method, data=data, spec=spec, taps=config.taps,
    )  # fmt: skip
    found = {**report.as_dict(), "method": method, **units_of(report.matching)}
    found["unseen"] = len(report.matching.unseen)
    if config.path:
        along = {"as_they_stand": (first, second.state_dict())}
        if report.folded:  # turned streams are those of the networks without norms' weights
            few = {name: value[:4] for name, value in data[0][0].items()}
            first, second = (fold_norms(model, few).model for model in (first, second))
        along["metric"] = first, report.matching.apply(second.state_dict())
        found["path"] = {"at": torch.linspace(0, 1, config.path).tolist()}
        for name, (network, state) in along.items():
            line = path(network, network.state_dict(), state, task.signature, loader, metric, config.path)
            found["path"][name] = line[1]
    return found


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Whether two networks of one architecture are equal, number by number."""
    mine, others = first.state_dict(), second.state_dict()
    return mine.keys() == others.keys() and all(torch.equal(value, others[name]) for name, value in mine.items())


def units_of(matching: Matching) -> dict[str, Any]:
    """What a matching says of units: mean correlations by stream, and how many units stand in cycles of each length.

    A permutation that came of a group element of order n has cycles of lengths that divide n.
    """
    spec, known = matching.spec, matching.after
    layers = {
        name: {"before": matching.before[name], "after": known[name]} for name in known if name in matching.before
    }
    sizes = {name: spec[name].size for name in layers}
    total = sum(sizes.values())
    means = {
        when: sum(sizes[name] * layers[name][when] for name in layers) / total if total else None
        for when in ("before", "after")
    }
    moved = {name for permutation in matching.permutations for name in permutation}
    lengths = Counter(
        length for stream in plain_streams(spec) if stream.name in moved
        for length in cycle_lengths(matching.permutation(stream.name).tolist())
    )  # fmt: skip
    return {"correlation": means, "layers": layers,
            "cycles": {str(length): lengths[length] for length in sorted(lengths)}}  # fmt: skip


def cycle_lengths(places: Sequence[int]) -> list[int]:
    """Of each unit, the length of the cycle that it stands in.

    >>> cycle_lengths([1, 0, 2])
    [2, 2, 1]
    """
    lengths = [0] * len(places)
    for start in range(len(places)):
        if not lengths[start]:
            cycle, at = [start], places[start]
            while at != start:
                cycle.append(at)
                at = places[at]
            for each in cycle:
                lengths[each] = len(cycle)
    return lengths


def averaged(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Means over reports; None if there is none."""
    if not reports:
        return None
    return {"n": len(reports), **{name: sum(each[name] for each in reports) / len(reports) for name in AVERAGED}}


def pairs(
    task: Task, split: str, items: int, device: torch.device, batch_size: int = 100
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Batches of inputs and targets of a split's first items, on a device."""
    part = task.splits[split]
    count = min(items, len(part))
    if count < 2:
        raise AlignmentError(f"Split '{split}' has {count} item: matching needs two or more.")
    first, second = (
        [{name: value[i : min(i + batch_size, count)].to(device) for name, value in side.items()}
         for i in range(0, count, batch_size)]
        for side in (part.inputs, part.targets)
    )  # fmt: skip
    return list(zip(first, second, strict=True))


def metric_of(task: Task) -> Any:
    """The task's metric as a mean over a batch."""
    names = list(task.signature.outputs)

    def mean(outputs: Any, targets: Any) -> float:
        if len(names) == 1:
            outputs, targets = {names[0]: outputs}, {names[0]: targets}
        return float(task.metric.per_item(outputs, targets).double().mean())

    return mean
