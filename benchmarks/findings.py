"""The tables of docs/findings.md, from committed records of motion capture and of MD17's simulated twin.

    python benchmarks/findings.py [--store benchmarks/results] [--page docs/findings.md]

Writes each table between its two marks, <!-- name --> and <!-- /name -->; the text around them is written by hand.
"""

import argparse
import re
from pathlib import Path

from geoequiv.report import Leaderboard, Row, leaderboard
from geoequiv.report.markdown import plain

#: mark → folders of records, with a name for each
TABLES = {
    "run": {"": "mocap_run"},
    "walk": {"": "mocap_walk"},
    "molecules": {"ethanol": "md17_xtb_ethanol", "aspirin": "md17_xtb_aspirin"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--page", type=Path, default=Path("docs/findings.md"))
    options = parser.parse_args()
    page = options.page.read_text()
    for mark, folders in TABLES.items():
        boards = {}
        for name, folder in folders.items():
            (boards[name],) = leaderboard(options.store / folder)
        pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
        if not pattern.search(page):
            raise SystemExit(f"{options.page} has no <!-- {mark} --> … <!-- /{mark} -->.")
        page = pattern.sub(lambda found, boards=boards: f"{found[1]}{table(boards)}\n{found[2]}", page)
    options.page.write_text(page)
    print(f"Wrote the tables of {options.page}")


def table(boards: dict[str, Leaderboard]) -> str:
    """One row for each way of getting symmetry, one column for each network and board; then networks built so."""
    found: dict[str, dict[tuple[str, str], str]] = {}
    for name, board in boards.items():
        best = min(row.metric.mean for row in board.rows)
        for row in sorted(board.rows, key=lambda row: row.metric.mean):
            built = row.symmetry.startswith("built-in")
            value = shown(row, best)
            way = f"{row.model}, {row.symmetry}" if built else row.symmetry
            found.setdefault(way, {})[name, "" if built else row.model] = value
    models = sorted({model for values in found.values() for _, model in values if model}, reverse=True)
    columns = [(name, model) for name in boards for model in models]
    lines = [
        "| symmetry | " + " | ".join(f"{name} {model}".strip() for name, model in columns) + " |",
        "| :-- |" + " --: |" * len(columns),
    ]
    for way, values in found.items():
        cells = [
            values.get(column) or (values.get((column[0], "")) if column[1] == models[0] else None) or ""
            for column in columns
        ]
        lines.append(f"| {plain(way)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shown(row: Row, best: float) -> str:
    """A test error to three digits, the smallest of its board in bold."""
    text = f"{row.metric.mean:#.3g}".removeprefix("0")
    return f"**{text}**" if row.metric.mean == best else text


if __name__ == "__main__":
    main()
