"""Equivariance errors over the group that a model is exactly equivariant to by construction."""

from geoequiv.measurements.equivariance import errors_over
from geoequiv.measurements.measurement import Measured, Subject


def own_group(subject: Subject) -> Measured:
    """The errors over the group that the model claims; nothing where it claims none."""
    claims: str | None = getattr(subject.model, "claims", None)
    return errors_over(subject, claims, "own/", "own") if claims else Measured({})
