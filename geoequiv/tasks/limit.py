"""A quick look at a task: the first items of every split, under an id of its own."""

from dataclasses import replace

from geoequiv.errors import ConfigError
from geoequiv.tasks.task import Task


def limited(task: Task, limit: int) -> Task:
    """The same task with at most ``limit`` items in every split; its numbers compare with nothing else.

    What the task fitted on its training split (units, see `Head`) stays as it was.

    Args:
        task: any task.
        limit: largest number of items of a split, 1 or more.

    Returns:
        A task whose protocol ends in ``/limit<n>``, without published numbers and without the
        equivariance error of its labels, which belong to all items.

    Raises:
        ConfigError: not a positive whole number.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ConfigError(f"limit must be a number of items, 1 or more; got {limit!r}.")
    return replace(
        task,
        protocol=f"{task.protocol}/limit{limit}",
        splits={name: split.rows(slice(limit)) for name, split in task.splits.items()},
        references=(),
        symmetry_error=None,
    )
