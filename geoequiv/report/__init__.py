"""Leaderboards of a results folder: pure functions of its records."""

from geoequiv.report.leaderboard import Leaderboard, Reference, leaderboard
from geoequiv.report.picture import picture
from geoequiv.report.rows import Failure, Row
from geoequiv.report.write import render, write, write_all

__all__ = [
    "Failure",
    "Leaderboard",
    "Reference",
    "Row",
    "leaderboard",
    "picture",
    "render",
    "write",
    "write_all",
]
