"""Barriers on a leaderboard: which were measured, what their columns are called, and how they were come by."""

from collections.abc import Mapping
from typing import Any

from geoequiv.report.leaderboard import Leaderboard

KINDS = {"copies": "own copies", "trainings": "two trainings"}
HINTS = {
    "copies": "merged halfway with its own transformed copies",
    "trainings": "merged halfway with the training from another seed: the yardstick",
}
METHODS = {
    "activations": "units matched by activations",
    "rotations": "units matched by rotations",
    "invertible": "units matched by linear maps",
    "best": "units matched in the best way",
    "weights": "units matched by weights",
    "weight_rotations": "units matched by rotations of weights",
    "none": "units as they stand",
}


def measured(board: Leaderboard) -> list[tuple[str, str]]:
    """The (method, kind) of the barriers that the rows have, in the order of the records; kind is a key of `KINDS`."""
    found = {
        (method, kind): None
        for row in board.rows
        for each in row.alignments
        for method, parts in each.methods.items()
        for kind in KINDS
        if parts.get(kind) is not None
    }
    return list(found)


def title(method: str, kind: str, board: Leaderboard) -> str:
    """What a column of barriers is called; the method is named where there are several."""
    several = len({each for each, _ in measured(board)}) > 1
    return f"{KINDS[kind]}, {METHODS.get(method, method).removeprefix('units ')}" if several else KINDS[kind]


def hint(method: str, kind: str) -> str:
    """The explanation of a column."""
    return f"Relative barrier, {METHODS.get(method, method)}: {HINTS[kind]}; mean over seeds"


def how_measured(board: Leaderboard) -> str:
    """The settings of the barriers in words; several, where rows differ. Empty if there are none."""
    every = [each.settings for row in board.rows for each in row.alignments if each.methods]
    return "; ".join(dict.fromkeys(in_words(settings) for settings in every))


def in_words(settings: Mapping[str, Any]) -> str:
    """The `align:` section of a suite as a phrase."""
    angles, axis, count = settings.get("angles") or (), settings.get("axis"), settings.get("elements")
    if angles:
        about = f" about {count} random axes" if axis == "random" else f" about {axis}" if axis else ""
        copies = f"rotations by {', '.join(f'{angle:g}' for angle in angles)}°{about}"
    else:
        copies = f"elements of {settings['group']}" if settings.get("group") else "elements of the task’s group"
    repaired = "after REPAIR" if settings.get("repair") else "without REPAIR"
    return f"relative, copies by {copies}, {repaired}, {settings.get('items')} items"
