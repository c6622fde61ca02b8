"""Options that several frames share, and their checks."""

from typing import Literal, get_args

from geoequiv.errors import GroupError, unknown

#: what to do about an item that the frame's construction leaves undetermined
Degenerate = Literal["orbit", "error", "ignore"]


def check_degenerate(value: str) -> None:
    """Raise GroupError unless the value is one of ``Degenerate``."""
    if value == "enlarge":
        raise GroupError("degenerate='enlarge' is now called degenerate='orbit'.")
    if value not in get_args(Degenerate):
        raise GroupError(unknown("value of degenerate", value, get_args(Degenerate)))


def check_tolerance(value: float | None) -> None:
    """Raise GroupError unless the value is ``None`` or a relative tolerance in [0, 1)."""
    if value is not None and not 0 <= value < 1:
        raise GroupError(f"tolerance is relative and lies in [0, 1); got {value}.")
