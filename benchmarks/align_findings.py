"""The tables and pictures of docs/explanation/findings-alignment.md, from benchmarks/results/align_nbody.

    python benchmarks/align_findings.py [benchmarks/results/align_nbody] [--page docs/explanation/findings-alignment.md]

Rewrites what is between ``<!-- NAME -->`` and ``<!-- /NAME -->`` in the page, for each name of ``PARTS``; the prose
around it is written by hand. Numbers are mean ± sample standard deviation over seeds.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from geoequiv.measurements.numbers import small
from geoequiv.measurements.statistic import Statistic
from geoequiv.records import MergeOfRun, Record, read
from geoequiv.report import leaderboard
from geoequiv.report.barriers import how_measured
from geoequiv.report.figures.barrier_curves import barrier_by_angle, barrier_by_error
from geoequiv.report.figures.inside import Subject, subjects_of
from geoequiv.report.figures.matched_units import LONGEST, order_of, shares_of
from geoequiv.report.figures.style import save
from geoequiv.report.markdown import plain
from marked import fill

#: heading → method, and which of its numbers
WAYS = {
    "Units unmatched": ("none", "without_repair"),
    "Unmatched, after REPAIR": ("none", "barrier"),
    "Permuted by activations": ("activations", "without_repair"),
    "Permuted by activations, after REPAIR": ("activations", "barrier"),
    "Permuted, and the residual stream rotated": ("rotations", "without_repair"),
    "Permuted and rotated, after REPAIR": ("rotations", "barrier"),
}
METHODS = {"none": "unmatched", "activations": "permuted", "rotations": "permuted and rotated"}
FAR = 90.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store", type=Path, nargs="?", default=Path("benchmarks/results/align_nbody"))
    parser.add_argument("--page", type=Path, default=Path("docs/explanation/findings-alignment.md"))
    arguments = parser.parse_args()
    fill(arguments.page, {name: write(arguments.store, arguments.page.parent) for name, write in PARTS.items()})
    print(f"Wrote {arguments.page}")


def provenance(store: Path, docs: Path) -> str:
    """What the gravity numbers were measured with."""
    (board,) = leaderboard(store / "gravity")
    seconds = sum(made.alignment["seconds"] for made in records(store / "gravity"))
    commits = {made.alignment["environment"]["git_commit"][:10] for made in records(store / "gravity")}
    lines = [
        f"Protocol `{board.protocol}`; {board.num_runs} trained transformers of `configs/remul_nbody.yaml`, seeds "
        f"{', '.join(map(str, sorted({seed for row in board.rows for seed in row.seeds})))}.",
        f"Barriers: {how_measured(board)}; commit {', '.join(sorted(commits))}, {seconds / 60:.0f} minutes of one core "
        "that others used as well.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def gravity(store: Path, docs: Path) -> str:
    """Barriers by angle, one table for each way of matching, with and without REPAIR."""
    (board,) = leaderboard(store / "gravity")
    rows = {row.symmetry: row for row in board.rows}
    subjects = subjects_of(board)
    angles = subjects[0].angles("none")
    parts = []
    for title, (method, number) in WAYS.items():
        heads = ["training", "E′", "test MSE", *(f"{angle:g}°" for angle in angles), "another seed"]
        lines = []
        for each in subjects:
            values = [each.over_seeds("copies", method, angle, number) for angle in angles]
            values.append(each.over_seeds("trainings", method, name=number))
            lines.append([plain(each.name), spread(each.error), spread(rows[each.name].metric), *map(spread, values)])
        parts.append(f"**{title}**\n\n{table(heads, lines)}")
    return "\n\n".join(parts)


def midpoint(store: Path, docs: Path) -> str:
    """The metric itself, of the networks, of their copies, and of their midpoint, before REPAIR."""
    (board,) = leaderboard(store / "gravity")
    heads = ["training", "network", "copies", *(f"{label}, copies" for label in METHODS.values())]
    heads += [f"{label}, another seed" for label in METHODS.values()]
    lines = []
    for each in subjects_of(board):
        cells = [over(each, "copies", "none", lambda merge: merge.first)]
        cells += [over(each, "copies", "none", lambda merge: merge.second)]
        cells += [over(each, kind, method, lambda merge: merge.middle)
                  for kind in ("copies", "trainings") for method in METHODS]  # fmt: skip
        lines.append([plain(each.name), *map(spread, cells)])
    return table(heads, lines)


def units(store: Path, docs: Path) -> str:
    """Correlations of units before and after matching, and the cycles of the permutations."""
    (board,) = leaderboard(store / "gravity")
    rotated = {f"{angle:g}°": ("copies", angle) for angle in (FAR, 180.0)}
    columns = [*rotated.items(), ("another seed", ("trainings", None))]
    heads = ["training", *(f"correlation, {name}" for name, _ in columns), "≥ 90° over another seed"]
    heads += [f"in cycles that divide {order_of(angle)}, {name}" for name, (_, angle) in rotated.items()]
    lines = []
    for each in subjects_of(board):
        cells = []
        for _, (kind, angle) in columns:
            both = [over(each, kind, "activations", lambda merge, when=when: merge.correlation.get(when), angle)
                    for when in ("before", "after")]  # fmt: skip
            cells.append(" → ".join(small(value.mean) if value else "–" for value in both))
        cells.append(spread(gain(each)))
        for _, (_, angle) in rotated.items():
            cells.append(f"{allowed_share(each.merges('copies', 'activations', angle), order_of(angle)):.0%}")
        lines.append([plain(each.name), *cells])
    content = json.loads((store / "untrained.json").read_text(encoding="utf-8"))
    untrained = [MergeOfRun.model_validate(each) for each in content["merges"]]
    cells = []
    for _, (kind, angle) in columns:
        those = [merge for merge in untrained if kind == "copies" and merge.angle == angle]
        both = [Statistic.of(merge.correlation[when] for merge in those) for when in ("before", "after")]
        cells.append(" → ".join(small(value.mean) if value else "–" for value in both))
    cells.append("–")
    for _, (_, angle) in rotated.items():
        cells.append(f"{allowed_share([merge for merge in untrained if merge.angle == angle], order_of(angle)):.0%}")
    return table(heads, [*lines, ["*before training*", *cells]])


def gain(subject: Subject) -> Statistic | None:
    """By how much matched units correlate better with those of far copies than with those of another seed, by seed."""
    gains = []
    for each in subject.alignments:
        after = [
            Statistic.of(m.correlation.get("after") for m in merges if m.method == "activations" and far(m))
            for merges, far in ((each.copies, lambda m: (m.angle or 0) >= FAR - 1e-6), (each.trainings, lambda m: True))
        ]
        gains.append(after[0].mean - after[1].mean if after[0] and after[1] else None)
    return Statistic.of(gains)


def allowed_share(merges: Sequence[MergeOfRun], order: int | None) -> float:
    """Share of units in cycles whose length divides the order."""
    shares = enumerate(shares_of(merges), 1)
    return sum(share for length, share in shares if order and length < LONGEST and order % length == 0)


def layers(store: Path, docs: Path) -> str:
    """Variance of the rotated stream that a map of the stream explains, over rotations by 90° or more."""
    content = json.loads((store / "layers.json").read_text(encoding="utf-8"))
    names = list(content["runs"][0]["trained"][0]["explained"])
    grouped: dict[str, list[dict[str, Any]]] = {}
    for run in content["runs"]:
        grouped.setdefault(run["symmetry"], []).append(run)
    (board,) = leaderboard(store / "gravity")
    order = [each.name for each in subjects_of(board) if each.name in grouped]
    lines = []
    for kind in ("affine", "rigid"):
        for symmetry in order:
            cells = [
                spread(Statistic.of(share(run["trained"], name, kind) for run in grouped[symmetry])) for name in names
            ]
            lines.append([f"{plain(symmetry)}", kind, *cells])
        untrained = [Statistic.of(share(run["untrained"], name, kind) for run in content["runs"]) for name in names]
        lines.append(["*before training*", kind, *map(spread, untrained)])
        known = [run["another"] for run in content["runs"] if "another" in run]
        others = [Statistic.of(each[name][kind] for each in known) for name in names]
        lines.append(["*to another seed, no rotation*", kind, *map(spread, others)])
    return table(["training", "map", *names], lines, left=2)


def share(merges: Iterable[dict[str, Any]], name: str, kind: str) -> float:
    """Mean over rotations by 90° or more."""
    values = [each["explained"][name][kind] for each in merges if each["angle"] >= FAR - 1e-6]
    return sum(values) / len(values)


def methods(store: Path, docs: Path) -> str:
    """Barriers by every way of matching, without REPAIR."""
    (board,) = leaderboard(store / "methods")
    subjects = subjects_of(board)
    names = subjects[0].methods
    lines = []
    for each in subjects:
        for kind, label in (("copies", "own copies"), ("trainings", "another seed")):
            values = [each.over_seeds(kind, method, name="without_repair") for method in names]
            lines.append([plain(each.name), label, *map(spread, values)])
    return table(["training", "merged with", *names], lines, left=2)


def pictures(store: Path, docs: Path) -> str:
    """Barriers by angle and against E′."""
    (board,) = leaderboard(store / "gravity")
    subjects = subjects_of(board)
    save(barrier_by_angle(subjects, board.protocol), docs / "images" / "alignment-angle.svg")
    save(barrier_by_error(subjects, board.protocol), docs / "images" / "alignment-error.svg")
    return (
        "![Barrier by the angle of the copy](images/alignment-angle.svg)\n\n"
        "![Barrier against E′ over β](images/alignment-error.svg)"
    )


def charged(store: Path, docs: Path) -> str:
    """Transformer and GNN side by side on charged n-body."""
    return side_by_side(store / "charged")


def running(store: Path, docs: Path) -> str:
    """The same on motion capture."""
    return side_by_side(store / "running")


def side_by_side(folder: Path) -> str:
    """Barriers of copies rotated by 90° and more, and of another seed, after REPAIR; and their ratio, by rotations."""
    if not folder.exists():
        return "*Not measured yet.*"
    (board,) = leaderboard(folder)
    metrics = {(row.model, row.symmetry): row.metric for row in board.rows}
    several = len({row.model for row in board.rows}) > 1
    heads = ["network and training", "E′", "test MSE"]
    heads += [f"{label}, {kind}" for label in METHODS.values() for kind in ("copies", "another seed")] + ["ratio"]
    lines = []
    for each in subjects_of(board):
        key = next(key for key in metrics if each.name == (f"{key[0]}, {key[1]}" if several else key[1]))
        cells = [over(each, kind, method, lambda merge: merge.barrier)
                 for method in METHODS for kind in ("copies", "trainings")]  # fmt: skip
        copies, seeds = cells[-2:]
        ratio = f"{copies.mean / seeds.mean:.0%}" if copies and seeds and seeds.mean > 0 else "–"
        lines.append([plain(each.name), spread(each.error), spread(metrics[key]), *map(spread, cells), ratio])
    return table(heads, lines)


PARTS: dict[str, Callable[[Path, Path], str]] = {
    "provenance": provenance, "gravity": gravity, "midpoint": midpoint, "units": units, "methods": methods,
    "layers": layers, "pictures": pictures, "charged": charged, "running": running,
}  # fmt: skip


def records(directory: Path) -> tuple[Record, ...]:
    """The records of a folder."""
    return read(directory).records


def over(
    subject: Subject, kind: str, method: str, number: Callable[[Any], float | None], angle: float | None = None
) -> Statistic | None:
    """A number of the merges (of copies: by this angle, or by 90° and more), averaged by seed, over seeds."""
    means = []
    for each in subject.alignments:
        merges = [merge for merge in getattr(each, kind) if merge.method == method]
        if kind == "copies":
            merges = [m for m in merges if (m.angle == angle if angle is not None else (m.angle or 0) >= FAR - 1e-6)]
        known = Statistic.of(number(merge) for merge in merges)
        means.append(known.mean if known else None)
    return Statistic.of(means)


def spread(value: Statistic | None) -> str:
    """A mean of any size with its sample standard deviation."""
    if value is None:
        return "–"
    return small(value.mean) if not value.std else f"{small(value.mean)} ± {small(value.std)}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table whose first columns are text."""
    rule = [":--" if index < left else "--:" for index in range(len(heads))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, rule, *rows))


if __name__ == "__main__":
    main()
