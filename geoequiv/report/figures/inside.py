"""All figures of alignment: barriers along the interpolation, by angle, against E′; matched hidden units."""

from typing import TYPE_CHECKING

from geoequiv.report.figures.barrier_curves import barrier_by_angle, barrier_by_error, merge_paths
from geoequiv.report.figures.matched_units import correlations, cycles
from geoequiv.report.figures.subject import Subject, subjects_of
from geoequiv.report.leaderboard import Leaderboard

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def run_figures(subject: Subject) -> "dict[str, Figure]":
    """Name → figure of one run, for what was measured."""
    found: dict[str, Figure] = {}
    every = [*subject.alignments]
    if any(merge.path for each in every for merge in (*each.copies, *each.trainings)):
        found["barrier-path"] = merge_paths(subject)
    if len({angle for method in subject.methods for angle in subject.angles(method)}) > 1:
        found["barrier-angle"] = barrier_by_angle([subject])
    if any(merge.layers for each in every for merge in (*each.copies, *each.trainings)):
        found["correlation"] = correlations(subject)
    if any(merge.cycles for each in every for merge in each.copies):
        found["cycles"] = cycles(subject)
    return found


def board_figures(board: Leaderboard) -> "dict[str, Figure]":
    """Name → figure of a results folder, for what was measured."""
    subjects = subjects_of(board)
    found: dict[str, Figure] = {}
    if any(len(each.angles(method)) > 1 for each in subjects for method in each.methods):
        found["barrier-angle"] = barrier_by_angle(subjects, board.protocol)
    if sum(each.error is not None for each in subjects) > 1:
        found["barrier-error"] = barrier_by_error(subjects, board.protocol)
    return found
