"""``geoequiv compare``: what changed between two results."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoequiv.cli.arguments import RAW, Commands, common

if TYPE_CHECKING:
    from rich.console import Console

    from geoequiv.report.comparison import Change, Comparison, RowChange

COMPARE = """\
Compare two results, row by row: which numbers changed, and whether beyond their standard errors.

Runs match by task, protocol, configuration and seed, whatever is measured on them and whichever version made them;
numbers are compared over the seeds that both have. A change is beyond the standard errors when it is more than two of
them, of seeds and of the measurement, in both results together; of the metric, where both keep their test items
(items.npz), of the paired differences.

exit status: 0 no number changed beyond its standard error; 1 one did, or changed and has none, or no row is in both.
Times do not count, nor do rows that only one of the two has; both are told.
"""
EXAMPLES = """\
examples:
  geoequiv compare results/before results/after
  geoequiv compare benchmarks/results/quickstart results/quickstart --all       equal numbers as well, and times
  geoequiv compare old.jsonl new.jsonl --json > changes.json
"""
WORDS = {
    "equal": "[dim]equal[/]",
    "within": "[dim]within the standard error[/]",
    "beyond": "[bold red]beyond the standard error[/]",
    "unknown": "[yellow]changed; its standard error is unknown[/]",
}


def add(commands: Commands) -> None:
    """Add the command."""
    compare = commands.add_parser(
        "compare", parents=[common()], help="which numbers changed between two results",
        description=COMPARE, epilog=EXAMPLES, formatter_class=RAW,
    )  # fmt: skip
    compare.add_argument("first", type=Path, metavar="A", help="results folder or packed file")
    compare.add_argument("second", type=Path, metavar="B", help="what is compared with it")
    compare.add_argument("--all", action="store_true", help="show equal numbers and times as well")
    compare.add_argument("--json", action="store_true", help="print everything as JSON")
    compare.set_defaults(command=_compare)


def _compare(options: argparse.Namespace) -> int:
    from geoequiv.records import read
    from geoequiv.report.comparison import compare

    both = [read(path) for path in (options.first, options.second)]
    comparison = compare(both[0].records, both[1].records, (both[0].items, both[1].items))
    if options.json:
        print(json.dumps(document(comparison), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _print(comparison, options)
        for path, records in zip((options.first, options.second), both, strict=True):
            for item in records.left_out:
                print(f"Left out of {path}: {item.path}: {item.reason}.")
    return 1 if comparison.changed else 0


def document(comparison: "Comparison") -> dict[str, Any]:
    """A comparison for JSON."""
    return {
        "changed": comparison.changed,
        "rows": [
            {
                "task": row.task,
                "protocol": row.protocol,
                "model": row.model,
                "method": row.method,
                "seeds": list(row.seeds),
                "notes": list(row.notes),
                "numbers": {
                    each.measurement.key: {
                        "first": each.first,
                        "second": each.second,
                        "standard_error": each.error,
                        "verdict": each.verdict,
                    }
                    for each in row.changes
                },
                "only_in_first": list(row.missing[0]),
                "only_in_second": list(row.missing[1]),
            }
            for row in comparison.rows
        ],
        "only_in_first": list(comparison.only[0]),
        "only_in_second": list(comparison.only[1]),
        "environment": {name: [list(each) for each in both] for name, both in comparison.environment.items()},
    }


def _print(comparison: "Comparison", options: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=max(console.width, 140))
    for row in comparison.rows:
        _print_row(console, row, options.all)
    for name, (first, second) in comparison.environment.items():
        console.print(escape(f"{name}: {', '.join(first)} became {', '.join(second)}"), soft_wrap=True)
    for path, rows in zip((options.first, options.second), comparison.only, strict=True):
        for each in rows:
            console.print(escape(f"Only in {path}: {each}"), soft_wrap=True)
    console.print(_summary(comparison))


def _print_row(console: "Console", row: "RowChange", everything: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    shown = [each for each in row.changes if everything or not (each.verdict == "equal" or each.is_time)]
    if not shown and not row.notes:
        return
    seeds = ", ".join(map(str, row.seeds))
    console.print(f"[bold]{escape(row.model)} · {escape(row.method)}[/] · seeds {seeds} · {escape(row.protocol)}")
    for note in row.notes:
        console.print(f"  [yellow]{escape(note)}[/]", soft_wrap=True)
    if not shown:
        return
    table = Table(box=None, pad_edge=True)
    for name in ("", "A", "B", "change", "± standard error"):
        table.add_column(name, justify="left" if not name else "right")
    table.add_column("")
    for each in shown:
        table.add_row(*_cells(each))
    console.print(table)


def _cells(change: "Change") -> list[str]:
    from rich.markup import escape

    from geoequiv.measurements.numbers import small

    about, difference = change.measurement, change.second - change.first
    name = " ".join(filter(None, (str(about.name) or str(about.title), f"({about.unit})" if about.unit else "")))
    numbers = [f"{change.first:.6g}", f"{change.second:.6g}", f"{difference:+.2g}" if difference else ""]
    return [escape(name), *numbers, small(change.error) if change.error else "", WORDS[change.verdict]]


def _summary(comparison: "Comparison") -> str:
    if not comparison.rows:
        return "No run is in both. To put different settings on one board: geoequiv leaderboard A B."
    counts = dict.fromkeys(WORDS, 0)
    for row in comparison.rows:
        for each in row.changes:
            counts[each.verdict] += not each.is_time
    told = f"{len(comparison.rows)} rows in both, without times: {counts['equal']} numbers equal, {counts['within']} "
    told += f"changed within their standard errors, {counts['beyond']} beyond them"
    return f"{told}, {counts['unknown']} changed without a known one." if counts["unknown"] else f"{told}."
