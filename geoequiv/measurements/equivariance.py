"""Equivariance errors over the group that the rows of a board are compared over."""

import torch

from geoequiv.measurements.batches import first_items
from geoequiv.measurements.measurement import Measured, Reading, Subject
from geoequiv.measurements.table import ERRORS
from geoequiv.metrics import equivariance_error

#: Seed of the group elements, the same for all runs: every model is measured under the same transformations.
ELEMENTS_SEED = 20_240_501


def equivariance(subject: Subject) -> Measured:
    """The errors of the table over the suite's group, or else the task's, so that rows compare."""
    return errors_over(subject, subject.evaluate.group or subject.task.symmetry, "", "equivariance")


def errors_over(subject: Subject, group: str, prefix: str, setting: str) -> Measured:
    """Every equivariance error of the table over a group, on the first `num_items` test items.

    Args:
        subject: the model, its task and the settings.
        group: the group's name.
        prefix: of the keys, "own/".
        setting: under which name the settings of a record have the group, items, samples and dtype.
    """
    task, config = subject.task, subject.evaluate
    report = equivariance_error(
        subject.model,
        first_items(task.splits["test"], config.num_items, subject.model),
        task.signature,
        group,
        num_samples=config.num_samples,
        generator=torch.Generator().manual_seed(ELEMENTS_SEED),
        batch_size=config.batch_size,
    )
    numbers = {}
    for error in ERRORS:
        estimate = report.standard_errors.get(error.key)
        spread = (estimate.se, estimate.items, estimate.elements) if estimate else ()
        numbers[f"{prefix}{error.key}"] = Reading(getattr(report, error.key), *spread)
    how = {
        "group": group, "num_items": report.num_items, "num_samples": report.num_samples, "dtype": report.dtype
    }  # fmt: skip
    return Measured(numbers, {setting: how})
