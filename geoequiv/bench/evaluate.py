"""What is measured on a trained model: test metric, symmetry error, parameters, seconds per sample."""

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.bench.cost import cost
from geoequiv.bench.spec import EvaluateConfig
from geoequiv.errors import ModelOutputError
from geoequiv.fields import call_model
from geoequiv.metrics import equivariance_error
from geoequiv.tasks import Metric, Split, Task
from geoequiv.training import predict
from geoequiv.training.evaluate import device_of

#: Seed of the group elements, the same for all runs: every model is measured under the same transformations.
ELEMENTS_SEED = 20_240_501


def task_metric(model: nn.Module, task: Task, config: EvaluateConfig) -> dict[str, Any]:
    """The task's metric on the test split, its parts by mark, further metrics, and every further `test_…` split.

    Args:
        model: called with the task's inputs.
        task: its `metric.per_item` gives one value an item; the metric is their mean.
        config: `batch_size` is used.

    Returns:
        The "metric" of a record: name, unit, better, value, n, marks, splits, and further if the task has such.

    Raises:
        ModelOutputError: the model's output does not fit the signature, or a value is not finite.
    """
    values, *more = _per_item(model, task, "test", config, (task.metric, *task.further))
    marks = {
        name: {"with": _mean(values[mark]), "without": _mean(values[~mark])}
        for name, mark in task.splits["test"].marks.items()
    }
    others = [name for name in task.splits if name.startswith("test_")]
    further = [
        {"name": each.name, "unit": each.unit, "better": each.better, **_mean(found)}
        for each, found in zip(task.further, more, strict=True)
    ]
    return {
        "name": task.metric.name,
        "unit": task.metric.unit,
        "better": task.metric.better,
        **_mean(values),
        "marks": marks,
        "splits": {name: _mean(_per_item(model, task, name, config, (task.metric,))[0]) for name in others},
        **({"further": further} if further else {}),
    }


def symmetry_error(model: nn.Module, task: Task, config: EvaluateConfig, group: str | None = None) -> dict[str, Any]:
    """The numbers of `equivariance_error` over the first `num_items` test items, as a record has them.

    `standard_errors` holds se, se_items and se_elements of all but the worst (see `Estimate`).

    Args:
        group: the group to measure over; None takes the suite's, or else the task's, so that rows compare.
    """
    group = group or config.group or task.symmetry
    report = equivariance_error(
        model,
        _first(task.splits["test"], config.num_items, model),
        task.signature,
        group,
        num_samples=config.num_samples,
        generator=torch.Generator().manual_seed(ELEMENTS_SEED),
        batch_size=config.batch_size,
    )
    keys = ("E", "E_prime", "relative", "worst", "to_average", "num_items", "num_samples", "dtype")
    measured = report.as_dict()
    spread = {
        name: {key: value for key, value in each.items() if key != "value"}
        for name, each in measured["standard_errors"].items()
    }
    return {"group": group, **{key: measured[key] for key in keys}, "standard_errors": spread}


def inference_seconds(model: nn.Module, task: Task, config: EvaluateConfig) -> dict[str, Any]:
    """Seconds per sample: the median of repeated forward passes over one batch, without gradients, after a warm-up."""
    batch = _first(task.splits["test"], config.batch_size, model)
    size = min(config.batch_size, len(task.splits["test"]))
    was_training = model.training
    model.eval()
    seconds = []
    with torch.no_grad():  # not inference_mode: a force field may differentiate inside
        for _ in range(2 + config.repeats):
            start = time.perf_counter()
            call_model(model, task.signature, batch)
            seconds.append(time.perf_counter() - start)
    model.train(was_training)
    return {
        "inference": statistics.median(seconds[2:]) / size,
        "batch_size": size,
        "threads": torch.get_num_threads(),
    }


def operations(model: nn.Module, task: Task, config: EvaluateConfig) -> dict[str, float]:
    """Floating-point operations of one test item, as a record has them: forward, and backward to the parameters."""
    was_training = model.training
    model.eval()
    batch = _first(task.splits["test"], 2, model)
    counted = cost(model, task.signature, batch, min(2, len(task.splits["test"])))
    model.train(was_training)
    return {"forward": counted.forward, "backward": counted.backward}


def parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(each.numel() for each in model.parameters() if each.requires_grad)


def _per_item(
    model: nn.Module, task: Task, split: str, config: EvaluateConfig, metrics: Sequence[Metric]
) -> list[Tensor]:
    """One value an item for each metric, from one pass over the split."""
    outputs = predict(model, task.signature, task.splits[split].inputs, config.batch_size)
    targets = task.splits[split].targets
    for name, target in targets.items():
        if outputs[name].shape != target.shape:
            raise ModelOutputError(
                f"On split '{split}' the model returned '{name}' of shape {tuple(outputs[name].shape)}, "
                f"expected {tuple(target.shape)}."
            )
    found = []
    for metric in metrics:
        values: Tensor = metric.per_item(outputs, targets).double()
        if not values.isfinite().all():
            count = int((~values.isfinite()).sum())
            raise ModelOutputError(
                f"The model's output is not finite on {count} of {len(values)} items of split '{split}'."
            )
        found.append(values)
    return found


def _mean(values: Tensor) -> dict[str, Any] | None:
    return {"value": values.mean().item(), "n": len(values)} if len(values) else None


def _first(split: Split, count: int, model: nn.Module) -> Mapping[str, Tensor]:
    return {name: tensor[:count].to(device_of(model)) for name, tensor in split.inputs.items()}
