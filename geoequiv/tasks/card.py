"""The card of a task: what its data is, where it comes from, and under which id its numbers count."""

import re
from collections.abc import Mapping

from torch import Tensor

from geoequiv.fields import Side
from geoequiv.tasks.protocols import checksum_of
from geoequiv.tasks.task import Metric, Task


def card(task: Task) -> list[tuple[str, str]]:
    """Lines (name, text) about a task, in reading order; numbers are over the training split."""
    sizes = ", ".join(f"{name} {len(split)}" for name, split in task.splits.items())
    train = task.splits["train"]
    marks = ", ".join(f"{name} ({int(mark.sum())} of {len(mark)})" for name, mark in task.splits["test"].marks.items())
    of_model = str(task.model_signature) if task.head else ""
    lines = [
        ("Task", task.name),
        ("Protocol", task.protocol),
        ("About", task.description),
        ("Signature", str(task.signature)),
        ("Model", f"{of_model} (the task's head does the rest)" if of_model else ""),
        ("Symmetry", task.symmetry),
        ("Items", sizes),
        *field_lines("Input", task.signature.inputs, train.inputs),
        *field_lines("Target", task.signature.outputs, train.targets),
        ("Marks (test)", marks),
        ("Item groups", groups_of(task)),
        ("Metric", ", ".join(named(metric) for metric in (task.metric, *task.further))),
        ("Checksum", against_register(task)),
        ("Published", "; ".join(f"{each.model} {each.value:g} [{each.state}]" for each in task.references)),
        *task.notes,
        ("Citation", cited(task.citation)),
    ]
    return [(name, text) for name, text in lines if text]


def field_lines(kind: str, side: Side, tensors: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Type, shape, dtype and range of each field."""
    return [
        (
            f"{kind} {name}",
            f"{kind_of}, {list(tensors[name].shape)} {str(tensors[name].dtype).removeprefix('torch.')}, "
            f"from {float(tensors[name].min()):.4g} to {float(tensors[name].max()):.4g}",
        )
        for name, kind_of in side.items()
    ]


def groups_of(task: Task) -> str:
    """How many groups of correlated items each split has."""
    counts = [
        f"{name} {len(split.item_group.unique())}"
        for name, split in task.splits.items()
        if split.item_group is not None
    ]
    return f"by {task.item_group_name}: {', '.join(counts)}" if counts else "none: items count as independent"


def cited(entry: str) -> str:
    r"""Authors, year and title of a BibTeX entry, in one line.

    >>> cited("@misc{key,\n  title={On {X}},\n  author={Doe, Jane and Roe,\n    Ann},\n  year={2020}\n}")
    'Doe, Jane and Roe, Ann (2020): On X'
    """
    found = dict(re.findall(r"(\w+)=\{(.*?)\}(?=,?\n)", entry, re.DOTALL))
    parts = (re.sub(r"[{}]|\\\W", "", " ".join(found.get(name, "").split())) for name in ("author", "year", "title"))
    return "{} ({}): {}".format(*parts).replace(" ()", "") if found else entry


def named(metric: Metric) -> str:
    """A metric's name with its unit."""
    return f"{metric.name} ({metric.unit})" if metric.unit else metric.name


def against_register(task: Task) -> str:
    """The checksum, and whether the register of protocols has the same."""
    known = checksum_of(task.protocol)
    if known is None:
        return f"{task.checksum} (the register has none for this id)"
    return f"{task.checksum} ({'as registered' if known == task.checksum else f'the register has {known}'})"
