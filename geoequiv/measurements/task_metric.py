"""The task's metric on the test split, its parts by mark, further metrics, and every further `test_…` split."""

from collections.abc import Sequence

from torch import Tensor, nn

from geoequiv.errors import ModelOutputError
from geoequiv.fields import with_channels
from geoequiv.measurements.measurement import Measured, Reading, Subject
from geoequiv.measurements.settings import EvaluateConfig
from geoequiv.tasks import Metric, Task
from geoequiv.training import predict


def task_metric(subject: Subject) -> Measured:
    """The number that ranks, and the same over parts of the test data.

    Args:
        subject: its task's `metric.per_item` gives one value an item; the metric is their mean. Of its settings,
            `batch_size` is used.

    Returns:
        "metric", "metric/with/<mark>", "metric/without/<mark>", "metric/split/<split>", "metric/further/<name>"; a part
        without items is left out. Items: "metric" of the test split, and "item_group" where the task has groups.

    Raises:
        ModelOutputError: the model's output does not fit the signature, or a value is not finite.
    """
    task = subject.task
    test = task.splits["test"]
    values, *more = per_item(subject.model, task, "test", subject.evaluate, (task.metric, *task.further))
    parts = {"metric": values}
    for name, mark in test.marks.items():
        parts[f"metric/with/{name}"], parts[f"metric/without/{name}"] = values[mark], values[~mark]
    for name in task.splits:
        if name.startswith("test_"):
            (parts[f"metric/split/{name}"],) = per_item(
                subject.model, task, name, subject.evaluate, (task.metric,)
            )  # fmt: skip
    described = {}
    for metric, found in zip(task.further, more, strict=True):
        key = f"metric/further/{metric.name}"
        key = f"{key} [{metric.unit}]" if key in parts else key  # one name in two units
        parts[key] = found
        described[key] = {"title": metric.name, "unit": metric.unit, "better": metric.better}
    numbers = {key: Reading(found.mean().item(), n=len(found)) for key, found in parts.items() if len(found)}
    groups = {} if test.item_group is None else {"item_group": test.item_group}
    return Measured(numbers, described=described, items={"metric": values, **groups})


def per_item(
    model: nn.Module, task: Task, split: str, config: EvaluateConfig, metrics: Sequence[Metric]
) -> list[Tensor]:
    """One value an item ``[n]`` for each metric, from one pass over the split.

    Raises:
        ModelOutputError: as for `task_metric`.
    """
    targets = task.splits[split].targets
    outputs = predict(model, task.signature, task.splits[split].inputs, config.batch_size)
    outputs = with_channels(outputs, targets, task.signature)
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
