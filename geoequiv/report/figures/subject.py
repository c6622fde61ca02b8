"""The networks that a figure of alignment shows: the seeds of a row of a leaderboard, or one run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from geoequiv.measurements.statistic import Statistic
from geoequiv.records import AlignmentOfRun, MergeOfRun, Record
from geoequiv.report.families import colour
from geoequiv.report.figures.trade_off import beta_of
from geoequiv.report.leaderboard import Leaderboard
from geoequiv.report.rows import Row


@dataclass(frozen=True)
class Subject:
    """Networks that are drawn together: the seeds of a row of a leaderboard, or one run.

    Args:
        name: for legends; ``shade``: its colour.
        alignments: their measurements, one per seed.
        error: E′ over the seeds.
        beta: of REMUL with a constant weight.
        family: key of its method's family.
    """

    name: str
    shade: str
    alignments: tuple[AlignmentOfRun, ...]
    error: Statistic | None = None
    beta: float | None = None
    family: str = "builtin"

    @classmethod
    def of_run(cls, record: Record | None, alignments: tuple[AlignmentOfRun, ...]) -> "Subject":
        """One run."""
        name = f"{record.model}, {record.method.label}, seed {record.seed}" if record else "run"
        return cls(name, colour("builtin"), alignments)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods by which units were matched."""
        return tuple(dict.fromkeys(method for each in self.alignments for method in each.methods))

    def merges(self, kind: str, method: str, angle: float | None = None) -> list[MergeOfRun]:
        """Merges of all seeds: with "copies" (by an angle) or with other "trainings"."""
        every = (merge for each in self.alignments for merge in getattr(each, kind) if merge.method == method)
        return [merge for merge in every if angle is None or merge.angle == angle]

    def angles(self, method: str) -> list[float]:
        """Degrees by which the copies were rotated, ascending."""
        return sorted({each.angle for each in self.merges("copies", method) if each.angle is not None})

    def over_seeds(self, kind: str, method: str, angle: float | None = None, name: str = "barrier") -> Statistic | None:
        """A number of the merges, averaged over the copies of each seed, over seeds."""
        means = []
        for each in self.alignments:
            merges = [m for m in getattr(each, kind) if m.method == method and (angle is None or m.angle == angle)]
            known = Statistic.of(getattr(merge, name) for merge in merges)
            means.append(known.mean if known else None)
        return Statistic.of(means)


def subjects_of(board: Leaderboard) -> list[Subject]:
    """The rows of a board with barriers: without symmetry first, then augmentation, REMUL by β, the rest."""
    rows = [row for row in board.rows if any(each.copies or each.trainings for each in row.alignments)]
    order = {"none": 0, "augmentation": 1, "remul": 2}
    rows.sort(key=lambda row: (row.model, order.get(row.family.key, 3), beta_of(row) or 1e9, row.symmetry, row.variant))
    betas = sorted({beta for row in rows if (beta := beta_of(row)) is not None})
    models = {row.model for row in rows}
    return [subject_of(row, betas, len(models) > 1) for row in rows]


def subject_of(row: Row, betas: Sequence[float], many_models: bool) -> Subject:
    """A row; those of a sweep over β are shaded from pale to the full colour of their family."""
    beta = beta_of(row)
    shade = colour(row.family.key)
    if beta is not None and len(betas) > 1:
        shade = between(colour("card"), shade, 0.35 + 0.65 * betas.index(beta) / (len(betas) - 1))
    name = f"{row.model}, {row.symmetry}" if many_models else row.symmetry
    return Subject(name, shade, row.alignments, row.over("E_prime"), beta, row.family.key)


def between(first: str, second: str, part: float) -> str:
    """A colour between two.

    >>> between("#000000", "#ffffff", 0.5)
    '#808080'
    """
    ends = [[int(each[i : i + 2], 16) for i in (1, 3, 5)] for each in (first, second)]
    return "#" + "".join(f"{round(a + part * (b - a)):02x}" for a, b in zip(*ends, strict=True))


def means(values: Iterable[Mapping[str, float | None]]) -> dict[str, float]:
    """Means of numbers by name, over those that have them."""
    kept: dict[str, list[float]] = {}
    for each in values:
        for name, value in each.items():
            if value is not None:
                kept.setdefault(name, []).append(value)
    return {name: sum(found) / len(found) for name, found in kept.items()}
