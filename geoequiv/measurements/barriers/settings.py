"""The `align:` section of a suite: which transformed copies of a trained network it is merged with, and how."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from geoequiv.alignment.choices import METHODS, TAPS
from geoequiv.config import Section
from geoequiv.errors import unknown

#: the coordinate axes of 3-space, by the names that a suite gives them
AXES = {"x": 0, "y": 1, "z": 2}
RANDOM = "random"


class AlignConfig(Section):
    """How barriers are measured after training; not part of a run's id, since it changes nothing in the run.

    Attributes:
        group: whose elements make the copies; None means the task's own, without its translations.
        elements: draws of an infinite group (of a finite one: all elements but the identity), or, with `angles` about
            random axes, how many axes.
        angles: degrees; given, the copies are rotated by them instead. The rotations must belong to the group.
        axis: of these rotations: "x", "y", "z" or "random"; None means the group's own, or else z.
        method: one or more ways to match units, see `alignment.choices.METHODS`; "none" leaves them as they stand.
        taps: where activations are read, at the "last" or at "all" places that show all units.
        repair: whether the merged networks are also measured after REPAIR.
        items: of the training data, to match and repair with, and of the test data, to measure on.
        seed_baseline: whether each run is also merged with the next seed of the same entry.
        path: points at which the metric is measured along the line between two networks; 0 for none.
        seed: of the draws.
    """

    group: str | None = None
    elements: int = Field(4, ge=1)
    angles: tuple[float, ...] = ()
    axis: str | None = None
    method: tuple[str, ...] = Field(("activations",), min_length=1)
    taps: str = "last"
    repair: bool = True
    items: int = Field(500, ge=2)
    seed_baseline: bool = True
    path: int = Field(0, ge=0)
    seed: int = 0

    @field_validator("method", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("method")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if each not in METHODS:
                raise ValueError(unknown("matching", each, METHODS))
        return tuple(dict.fromkeys(value))

    @field_validator("taps")
    @classmethod
    def _known_taps(cls, value: str) -> str:
        if value not in TAPS:
            raise ValueError(unknown("choice of taps", value, TAPS))
        return value

    @field_validator("axis")
    @classmethod
    def _known_axis(cls, value: str | None) -> str | None:
        if value is not None and value not in (*AXES, RANDOM):
            raise ValueError(unknown("axis", value, (*AXES, RANDOM)))
        return value

    @model_validator(mode="after")
    def _axis_of_angles(self) -> "AlignConfig":
        if self.axis is not None and not self.angles:
            raise ValueError("an axis goes with angles: give them, or leave the axis to the draws")
        return self
