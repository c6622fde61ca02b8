"""The `align:` section of a suite: which transformed copies of a trained network it is merged with, and how."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from geoequiv.alignment.choices import METHODS, TAPS
from geoequiv.config import Section
from geoequiv.errors import unknown
from geoequiv.ranges import FiniteFloat

#: the coordinate axes of 3-space, by the names that a suite gives them
AXES = {"x": 0, "y": 1, "z": 2}
RANDOM = "random"


class AlignConfig(Section):
    """How barriers are measured after training: no part of a run's identity, since it changes nothing in the run."""

    group: str | None = Field(
        None, description="Group whose elements make the copies (None: the task's own, without its translations)."
    )
    elements: int = Field(
        4,
        ge=1,
        description="Draws of an infinite group; a finite one gives all elements but the identity. With `angles` about "
        "random axes: how many axes.",
    )
    angles: tuple[FiniteFloat, ...] = Field(
        (), description="Degrees: the copies are rotated by these instead. The rotations must belong to the group."
    )
    axis: str | None = Field(
        None, description="Axis of these rotations: x, y, z or random (None: the group's own, or else z)."
    )
    method: tuple[str, ...] = Field(
        ("activations",),
        min_length=1,
        description="How units are matched, one or more of " + ", ".join(METHODS) + "; `none` leaves them unmatched.",
    )
    taps: str = Field(
        "last", description="Where activations are read: at the last or at all places that show all units of a stream."
    )
    repair: bool = Field(True, description="Whether the merged networks are also measured after REPAIR.")
    items: int = Field(500, ge=2, description="Training items to match and repair with, and test items to measure on.")
    seed_baseline: bool = Field(
        True, description="Whether each run is also merged with the next seed of the same entry."
    )
    path: int = Field(
        0, ge=0, description="Points on the line between two networks at which the metric is measured (0: none)."
    )
    seed: int = Field(0, description="Seed of the draws.")

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
