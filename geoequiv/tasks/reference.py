"""Published numbers."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Reference:
    """A published number, shown beside our own under the same protocol only.

    Args:
        model: name as published.
        value: in the unit of the task's metric.
        source: paper or repository the number was read in.
        state: "P" read in the primary source, "S" transcribed by a third party, "M" quoted from memory.
        symmetry: how the model gets its symmetry, in the leaderboard's words ("none", "built-in E(3)", …).
        note: what a reader must know before comparing.
    """

    model: str
    value: float
    source: str
    state: Literal["P", "S", "M"]
    symmetry: str | None = None
    note: str = ""
