"""The tables and pictures of docs/explanation/findings-remul.md, from a store of records.

    python benchmarks/remul_findings.py [benchmarks/results/remul_nbody] [--page docs/explanation/findings-remul.md]

Rewrites what stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` in the page, for each name of ``PARTS``; the prose
around it is written by hand. Numbers are mean ± sample standard deviation over seeds.
"""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geoequiv.measurements.numbers import decimals_for, plus_minus, small, words
from geoequiv.measurements.statistic import Statistic
from geoequiv.records.logs import log_rows
from geoequiv.report import Leaderboard, Row, leaderboard
from geoequiv.report.facts import metric_label
from geoequiv.report.figures.style import save
from geoequiv.report.figures.trade_off import error_of, sweeps_of, trade_off
from geoequiv.report.figures.training_curves import Bound, read_log, training_curves
from geoequiv.report.markdown import plain
from marked import fill

ADAPTED = ("gradnorm", "uncertainty", "constrained", "linear", "cosine")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store", type=Path, nargs="?", default=Path("benchmarks/results/remul_nbody"))
    parser.add_argument("--page", type=Path, default=Path("docs/explanation/findings-remul.md"))
    arguments = parser.parse_args()
    (board,) = leaderboard(arguments.store)
    fill(arguments.page, {name: write(board, arguments) for name, write in PARTS.items()})
    print(f"Wrote {arguments.page}")


def provenance(board: Leaderboard, arguments: argparse.Namespace) -> str:
    measured = next(row.settings["equivariance"] for row in board.rows if "equivariance" in row.settings)
    steps = board.rows[0].config.get("train", {})
    lines = [
        f"Protocol `{board.protocol}`; {board.num_runs} runs, {len(board.failures)} failed; seeds "
        f"{', '.join(map(str, sorted({seed for row in board.rows for seed in row.seeds})))}.",
        f"{steps.get('epochs')} epochs of batches of {steps.get('batch_size')}, learning rate {steps.get('lr')}.",
        f"E′ and the relative error: over {measured['group']}, {measured['num_items']} test items × "
        f"{measured['num_samples']} group elements, {measured['dtype']}.",
        f"{'; '.join(board.hardware)}; commit {', '.join(commit[:10] for commit in board.commits)}.",
        f"Made by `{shlex.join(['python', 'benchmarks/remul_findings.py', str(arguments.store)])}`.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def everything(board: Leaderboard, arguments: argparse.Namespace) -> str:
    """E′ and the metric of every row, in the order: none, augmentation, REMUL by β, adapted, the rest."""
    splits = list(dict.fromkeys(name for row in board.rows for name in row.below("metric/split")))
    decimals = decimals_for([row.metric.mean for row in board.rows])
    swept = {
        id(row): (sweep.name, beta)
        for sweep in sweeps_of(board)
        for row, beta in zip(sweep.rows, sweep.betas, strict=True)
    }
    order = {"none": 0, "augmentation": 1, "remul": 2}

    def place(row: Row) -> tuple[Any, ...]:
        return (
            row.model,
            order.get(row.family.key, 3),
            id(row) not in swept,
            swept.get(id(row), ("", 0.0)),
            row.symmetry,
        )

    heads = [
        "model",
        "symmetry",
        "E′",
        "relative",
        f"test {metric_label(board)}",
        *(words(name) for name in splits),
        "seeds",
    ]
    rows = []
    for row in sorted(board.rows, key=place):
        relative = row.over("relative")
        values = [row.metric, *(row.over(f"metric/split/{name}") for name in splits)]
        accuracy = [plus_minus(value.mean, value.std, decimals) if value else "–" for value in values]
        shown = [
            plain(row.model),
            plain(row.symmetry),
            spread(error_of(row)),
            spread(relative),
            *accuracy,
            str(row.metric.n),
        ]
        rows.append(shown)
    return table(heads, rows, left=2)


def monotone(board: Leaderboard, arguments: argparse.Namespace) -> str:
    """Whether E′ falls with β, and which β wins where."""
    lines = []
    for sweep in sweeps_of(board):
        errors = [error_of(row) for row in sweep.rows]
        steps = list(zip(sweep.betas, errors, sweep.betas[1:], errors[1:], strict=False))
        rising = [f"from β = {a:g} to {b:g}" for a, before, b, after in steps if after.mean >= before.mean]
        unclear = [
            f"between β = {a:g} and {b:g}"
            for a, before, b, after in steps
            if abs(after.mean - before.mean) <= (before.std or 0.0) + (after.std or 0.0)
        ]
        first = "it does not fall " + ", ".join(rising) if rising else "it falls at every step"
        second = f" (within one standard deviation of each other {', '.join(unclear)})" if unclear else ""
        lines.append(f"- **E′ over β**, {plain(sweep.name)}: {first}{second}.")
        places = {"test": [row.metric for row in sweep.rows]}
        for split in sweep.rows[0].below("metric/split"):
            places[words(split)] = [row.over(f"metric/split/{split}") for row in sweep.rows]
        for name, values in places.items():
            known = [(value.mean, beta) for value, beta in zip(values, sweep.betas, strict=True) if value]
            best = min(known) if board.metric.better == "lower" else max(known)
            lines.append(f"- **Best β on {name}**: {best[1]:g} ({small(best[0])}).")
    return "\n".join(lines) or "No sweep over β in the store."


def constrained(board: Leaderboard, arguments: argparse.Namespace) -> str:
    """The ε that was asked for against the error that was reached on the test items."""
    rows = []
    for row in board.rows:
        symmetry = settings(row)
        if symmetry.get("weighting") != "constrained" or "equivariance" not in row.settings:
            continue
        bound = symmetry.get("bound") or "relative"
        reached = row.over(bound)
        ratio = f"{reached.mean / symmetry['epsilon']:.2f}" if reached else "–"
        name = {"relative": "relative", "E_prime": "E′"}[bound]
        trained = training_errors(row, arguments.store)
        shown = [
            plain(row.model),
            name,
            small(symmetry["epsilon"]),
            spread(trained),
            spread(reached),
            ratio,
            str(row.metric.n),
        ]
        rows.append((symmetry["epsilon"], shown))
    heads = ["model", "bounded", "ε", "in the last epoch", "on test items", "test / ε", "seeds"]
    return (
        table(heads, [shown for _, shown in sorted(rows, reverse=True)], left=2) if rows else "No constrained run yet."
    )


def weights(board: Leaderboard, arguments: argparse.Namespace) -> str:
    """α and β in the last epoch of the weightings that adapt them."""
    rows = []
    for row in board.rows:
        if settings(row).get("weighting") not in ADAPTED:
            continue
        last = [last_row(arguments.store / run) for run in row.runs]
        shown = [spread(Statistic.of(log.get(name) for log in last)) for name in ("train_alpha", "train_beta")]
        ratio = Statistic.of(log["train_beta"] / log["train_alpha"] for log in last if log.get("train_alpha"))
        rows.append([plain(row.model), plain(row.symmetry), *shown, spread(ratio), str(len(last))])
    heads = ["model", "symmetry", "final α", "final β", "β / α", "seeds"]
    return table(heads, sorted(rows), left=2) if rows else "No run with adapted weights yet."


def pictures(board: Leaderboard, arguments: argparse.Namespace) -> str:
    """The trade-off, and the training of the first seed of each adapted weighting."""
    folder = arguments.page.parent / "images"
    lines = []
    if sweeps_of(board):
        save(trade_off(board), folder / "remul-trade-off.svg")
        lines.append("![Equivariance error and test error over β](images/remul-trade-off.svg)")
    for row in board.rows:
        weighting = settings(row).get("weighting")
        if weighting in ("gradnorm", "constrained") and log_rows(arguments.store / row.runs[0]):
            asked = f"-{settings(row)['epsilon']:g}" if weighting == "constrained" else ""
            name = f"remul-{row.model}-{weighting}{asked}.svg"
            title = f"{row.model}, {row.symmetry}, seed {row.seeds[0]}"
            save(training_curves(read_log(arguments.store / row.runs[0]), title, Bound.of(row.config)), folder / name)
            lines.append(f"![Training of {plain(title)}](images/{name})")
    return "\n\n".join(lines)


PARTS = {
    "provenance": provenance, "table": everything, "monotone": monotone, "constrained": constrained,
    "weights": weights, "pictures": pictures,
}  # fmt: skip


def settings(row: Row) -> dict[str, Any]:
    """The options of a row's symmetry."""
    symmetry = row.config.get("symmetry")
    return symmetry if isinstance(symmetry, dict) else {}


def training_errors(row: Row, store: Path) -> Statistic | None:
    """The constrained error of the batches of the last epoch."""
    return Statistic.of(last_row(store / run).get("train_equivariance") for run in row.runs)


def last_row(run: Path) -> dict[str, float]:
    """The last value of every column of a run's log; empty without a log."""
    if not log_rows(run):
        return {}
    return {name: values[-1] for name, values in read_log(run).items() if values[-1] is not None}


def spread(value: Statistic | None) -> str:
    """A mean of any size with its sample standard deviation."""
    if value is None:
        return "–"
    return small(value.mean) if not value.std else f"{small(value.mean)} ± {small(value.std)}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """A Markdown table whose first columns are text."""
    rule = [":--" if index < left else "--:" for index in range(len(heads))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, rule, *rows))


if __name__ == "__main__":
    main()
