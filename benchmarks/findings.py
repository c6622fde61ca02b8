"""The tables of docs/explanation/findings.md, from committed records of motion capture and molecules.

    python benchmarks/findings.py [--store benchmarks/results] [--page docs/explanation/findings.md]

Writes each table between its two marks, <!-- name --> and <!-- /name -->; the text around them is written by hand. A
table has the folders that are there; one that has none stays as it is.
"""

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from geoequiv.measurements.numbers import deviation, fixed
from geoequiv.measurements.statistic import Statistic
from geoequiv.measurements.table import RANKING
from geoequiv.report import Leaderboard, Row, leaderboard
from geoequiv.report.markdown import plain
from geoequiv.tasks.protocols import references_of
from marked import filled

KCAL = 1 / 43.364  # of a meV


@dataclass(frozen=True)
class Table:
    """What stands between two marks.

    Args:
        folders: name of a group of columns → folder of its records; one unnamed group, or several.
        measure: the key of a number; the one that ranks by default.
        kcal: whether meV are also given in kcal/mol.
    """

    folders: Mapping[str, str]
    measure: str = RANKING
    kcal: bool = False

    def value(self, row: Row) -> Statistic:
        """What a cell shows of a row."""
        return row.numbers[self.measure].seeds

    def shown(self, mean: float, std: float | None = None) -> str:
        """Three digits, ± the standard deviation over seeds where there are several."""
        decimals = max(2 - math.floor(math.log10(mean)), 0)
        text = fixed(mean, decimals) + (f" ± {deviation(mean, std, decimals)}" if std is not None else "")
        return f"{text} ({mean * KCAL:.2f})" if self.kcal else text


RMD17 = {"ethanol": "md17_forces_ethanol", "benzene": "md17_forces_benzene"}
TABLES = {
    "run": Table({"": "mocap_run"}),
    "length": Table({"": "remul_mocap"}),
    "turned": Table({"": "mocap_run_turned"}),
    "walk": Table({"": "mocap_walk"}),
    "gait": Table({"": "mocap_gait"}),
    "molecules": Table({"ethanol": "md17_xtb_ethanol", "aspirin": "md17_xtb_aspirin"}),
    "forces": Table(RMD17, kcal=True),
    "energies": Table(RMD17, measure="metric/further/energy_mae", kcal=True),
    "direct": Table({"": "md17_forces_ethanol_direct"}, kcal=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--page", type=Path, default=Path("docs/explanation/findings.md"))
    options = parser.parse_args()
    page = options.page.read_text(encoding="utf-8")
    for mark, table in TABLES.items():
        folders = {name: options.store / folder for name, folder in table.folders.items()}
        boards = {name: one_board(folder) for name, folder in folders.items() if folder.is_dir()}
        missing = [str(folder) for folder in folders.values() if not folder.is_dir()]
        if missing:
            print(f"{mark}: there is no {', '.join(missing)}{'' if boards else ': left as it is'}")
        if not boards:
            continue
        page = filled(page, mark, text_of(table, boards))
    options.page.write_text(page, encoding="utf-8")
    print(f"Wrote the tables of {options.page}")


def one_board(folder: Path) -> Leaderboard:
    """The only board of a folder."""
    boards = leaderboard(folder)
    if len(boards) != 1:
        raise SystemExit(f"{folder} has records of {[board.protocol for board in boards]}: a table is of one protocol.")
    return boards[0]


def text_of(table: Table, boards: Mapping[str, Leaderboard]) -> str:
    """One row for each way of getting symmetry, one column for each network and board.

    Networks that are symmetric as built, and published numbers, stand in the first column of their board.
    """
    models = sorted({r.model for b in boards.values() for r in b.rows if not built(r)}, reverse=True)
    columns = [(name, model) for name in boards for model in models]
    found: dict[str, dict[tuple[str, str], str]] = {}
    for name, board in boards.items():
        rows = sorted(board.rows, key=lambda row: table.value(row).mean)
        for row in rows:
            value = table.value(row)
            shown = table.shown(value.mean, value.std)
            way = f"{row.model}, {row.symmetry}" if built(row) else row.symmetry
            way = plain(f"{way} ({row.variant})" if row.variant else way)
            at = name, models[0] if built(row) else row.model
            found.setdefault(way, {})[at] = f"**{shown}**" if row is rows[0] else shown
    for name, board in boards.items() if table.measure == RANKING else ():
        for each in sorted(references_of(board.protocol), key=lambda reference: reference.value):
            way = f"*{plain(f'{each.model}, {each.symmetry}, {each.source}')} [{each.state}]*"
            found.setdefault(way, {})[name, models[0]] = f"*{table.shown(each.value)}*"
    return "\n".join(lines_of(columns, found))


def lines_of(columns: list[tuple[str, str]], found: Mapping[str, Mapping[tuple[str, str], str]]) -> list[str]:
    """A table in Markdown."""
    head = "| symmetry | " + " | ".join(f"{name} {model}".strip() for name, model in columns) + " |"
    body = [
        "| " + " | ".join([way, *(cells.get(column, "") for column in columns)]) + " |" for way, cells in found.items()
    ]
    return [head, "| :-- |" + " --: |" * len(columns), *body]


def built(row: Row) -> bool:
    """Whether a network is symmetric by construction."""
    return row.symmetry.startswith("built-in")


if __name__ == "__main__":
    main()
