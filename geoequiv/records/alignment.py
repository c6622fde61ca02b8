"""Barriers of a trained model as a record has them: typed views of the merges, and the numbers that follow."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from geoequiv.records.part import Finite, Part

#: what a trained network is merged with
KINDS = ("copies", "trainings")
#: further numbers of a barrier, beside the relative one
FURTHER = ("absolute", "without_repair", "without_matching")


class MergeOfRun(Part):
    """The midpoint of a network and its transformed copy, or another training; barriers are relative."""

    method: str
    element: str = ""
    angle: Finite | None = None
    seed: int | None = None
    first: Finite | None = None
    second: Finite | None = None
    middle: Finite | None = None
    barrier: Finite | None = None
    absolute: Finite | None = None
    without_repair: Finite | None = None
    without_matching: Finite | None = None
    own_copy: bool = False
    correlation: Mapping[str, Finite | None] = Field(default_factory=dict)
    layers: Mapping[str, Mapping[str, Finite | None]] = Field(default_factory=dict)
    cycles: Mapping[str, int] = Field(default_factory=dict)
    path: Mapping[str, tuple[Finite | None, ...]] | None = None


class BarriersOfRun(Part):
    """Means over all merges of one kind."""

    n: int
    barrier: Finite | None = None
    absolute: Finite | None = None
    without_repair: Finite | None = None
    without_matching: Finite | None = None


class AlignmentOfRun(Part):
    """Barriers of one trained model, by the way its units were matched, with every merge."""

    settings: Mapping[str, Any] = Field(default_factory=dict)
    error: str | None = None
    metric: Mapping[str, str] = Field(default_factory=dict)
    methods: Mapping[str, Mapping[str, BarriersOfRun | None]] = Field(default_factory=dict)
    copies: tuple[MergeOfRun, ...] = ()
    trainings: tuple[MergeOfRun, ...] = ()


def barrier_numbers(alignment: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The numbers of a record that its barriers make: `barrier/<method>/<kind>`, and further ones below it.

    >>> barrier_numbers({"methods": {"weights": {"copies": {"n": 2, "barrier": 0.5}, "trainings": None}}})
    {'barrier/weights/copies': {'value': 0.5, 'n': 2}}
    """
    found: dict[str, dict[str, Any]] = {}
    for method, kinds in ((alignment or {}).get("methods") or {}).items():
        for kind, means in kinds.items():
            if means is None:
                continue
            key = f"barrier/{method}/{kind}"
            for name, of in ((key, "barrier"), *((f"{key}/{each}", each) for each in FURTHER)):
                if means.get(of) is not None:
                    found[name] = {"value": means[of], "n": means["n"]}
    return found
