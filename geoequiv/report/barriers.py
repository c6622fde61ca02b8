"""The settings of the barriers on a leaderboard, in words."""

from collections.abc import Mapping
from typing import Any

from geoequiv.report.leaderboard import Leaderboard


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
