"""Equivariance errors of the untrained model: what the training started from."""

from geoequiv.measurements.equivariance import errors_over
from geoequiv.measurements.measurement import Measured, Subject


def before_training(subject: Subject) -> Measured:
    """The errors over the same group as after the training."""
    return errors_over(subject, subject.evaluate.group or subject.task.symmetry, "before/", "before")
