"""Barriers of a trained network: merged with its transformed copies, and with another training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from geoequiv.alignment import (
    PermutationSpec,
    barrier,
    evaluate,
    fold_norms,
    path,
    permutation_spec,
    transformed_copy,
)
from geoequiv.errors import AlignmentError
from geoequiv.measurements.barriers.elements import describe_rotation, elements_of, rotation_angle
from geoequiv.measurements.barriers.settings import AlignConfig
from geoequiv.measurements.barriers.units import units_of
from geoequiv.tasks import Task
from geoequiv.training.evaluate import device_of

#: numbers of a report that are averaged over elements
AVERAGED = ("barrier", "absolute", "without_repair", "without_matching")
Batches = list[tuple[dict[str, Any], dict[str, Any]]]


@dataclass(frozen=True)
class OtherTraining:
    """The same architecture trained from another seed."""

    model: nn.Module
    seed: int


def measure_barriers(
    task: Task, model: nn.Module, config: AlignConfig, other: OtherTraining | None = None, copies: bool = True
) -> dict[str, Any]:
    """Barriers between a trained network and its transformed copies, and between it and another training.

    Args:
        task: what it was trained on.
        model: the trained network.
        config: which copies, and how units are matched.
        other: another training; not used if the settings do not ask for the seed-to-seed baseline.
        copies: whether the network is merged with its transformed copies.

    Returns:
        "metric", "methods" (by method, numbers averaged over all copies, and of the other training), "copies" and
        "trainings" (every report), for JSON.

    Raises:
        AlignmentError: an element cannot be folded into the weights, a layer cannot be explained, too few items.
    """
    device = device_of(model)
    data, loader = (batches_of(task, split, config.items, device) for split in ("train", "test"))
    few = {name: value[:4] for name, value in data[0][0].items()}
    spec = permutation_spec(model, {name: value[:2] for name, value in few.items()})
    elements = elements_of(config, task.symmetry) if copies else []
    networks = [transformed_copy(model, task.signature, element, few) for element in elements]
    others = [other] if other is not None and config.seed_baseline else []
    found: dict[str, Any] = {"copies": [], "trainings": []}
    for method in config.method:
        for element, copy in zip(elements, networks, strict=True):
            angle = rotation_angle(element)
            merged = merge(task, spec, model, copy, data, loader, config, method)
            found["copies"].append({"element": describe_rotation(element),
                                    "angle": None if angle is None else round(angle, 4),
                                    "linear": element.linear.tolist(), **merged})  # fmt: skip
        for each in others:
            merged = merge(task, spec, model, each.model, data, loader, config, method)
            found["trainings"].append({"seed": each.seed, **merged})
    methods = {
        method: {kind: averaged([each for each in found[kind] if each["method"] == method])
                 for kind in ("copies", "trainings")}
        for method in config.method
    }  # fmt: skip
    metric = {"name": task.metric.name, "unit": task.metric.unit, "better": task.metric.better}
    return {"metric": metric, "methods": methods, **found}


def merge(
    task: Task, spec: PermutationSpec, first: nn.Module, second: nn.Module, data: Batches, loader: Batches,
    config: AlignConfig, method: str,
) -> dict[str, Any]:  # fmt: skip
    """Match one network with another of the same architecture, merge the two, and measure their midpoint."""
    metric = batch_metric(task)
    if same_weights(first, second):  # an equivariant network equals its transformed copy
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
        if report.folded:  # rotated streams belong to the networks without the weights of their norms
            few = {name: value[:4] for name, value in data[0][0].items()}
            first, second = (fold_norms(model, few).model for model in (first, second))
        along["metric"] = first, report.matching.apply(second.state_dict())
        found["path"] = {"at": torch.linspace(0, 1, config.path).tolist()}
        for name, (network, state) in along.items():
            line = path(network, network.state_dict(), state, task.signature, loader, metric, config.path)
            found["path"][name] = line[1]
    return found


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Whether two networks of one architecture have equal weights and buffers."""
    mine, others = first.state_dict(), second.state_dict()
    return mine.keys() == others.keys() and all(torch.equal(value, others[name]) for name, value in mine.items())


def averaged(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Means over reports; None if there is none."""
    if not reports:
        return None
    return {"n": len(reports), **{name: sum(each[name] for each in reports) / len(reports) for name in AVERAGED}}


def batches_of(
    task: Task, split: str, items: int, device: torch.device | str = "cpu", batch_size: int = 100
) -> Batches:
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


def batch_metric(task: Task) -> Callable[[Any, Any], float]:
    """The task's metric as a mean over a batch."""
    names = list(task.signature.outputs)

    def mean(outputs: Any, targets: Any) -> float:
        if len(names) == 1:
            outputs, targets = {names[0]: outputs}, {names[0]: targets}
        return float(task.metric.per_item(outputs, targets).double().mean())

    return mean
