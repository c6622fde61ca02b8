"""Do packed boards say, number for number, what their run directories said?

    python benchmarks/packed_boards.py [--before REVISION] [--results benchmarks/results]

Takes the results of a revision that has them as run directories, and its own `geoequiv leaderboard --format json` of
every folder; compares each value in it with the JSON that the present code makes of the packed folder. Two things may
differ: what schema 1 called E is to_average now, and names (of families, options that were renamed). Prints how many
numbers were compared; the exit status is 1 if one differs or is missing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: the last revision with run directories in benchmarks/results
BEFORE = "4bfec8e"
ROOT = Path(__file__).parents[1]
ERRORS = ("equivariance", "equivariance_own", "equivariance_before")
Leaf = tuple[tuple[str | int, ...], Any]


def main() -> None:
    """Compare every board, say what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default=BEFORE, metavar="REVISION", help=f"with run directories ({BEFORE})")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    compared = wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        archive = subprocess.run(["git", "archive", options.before], cwd=ROOT, capture_output=True, check=True)
        before.mkdir()
        subprocess.run(["tar", "-x", "-C", str(before)], input=archive.stdout, check=True)
        for packed in sorted((ROOT / options.results).rglob("records.jsonl")):
            place = packed.parent.relative_to(ROOT)
            former, present = board(before, place), board(ROOT, place)
            numbers, differences = compare(former, present)
            print(f"{place}: {numbers} numbers, {len(differences)} differ")
            for difference in differences[:5]:
                print(f"  {difference}")
            compared, wrong = compared + numbers, wrong + len(differences)
    print(f"{compared} numbers compared, {wrong} differ.")
    sys.exit(1 if wrong or not compared else 0)


def board(code: Path, place: Path) -> list[dict[str, Any]]:
    """The JSON that code of a folder makes of the results in it."""
    command = [sys.executable, "-m", "geoequiv", "leaderboard", str(place), "--format", "json", "--output", "-"]
    environment = {**os.environ, "PYTHONPATH": str(code)}
    done = subprocess.run(command, cwd=code, env=environment, capture_output=True, text=True, check=True)
    content = json.loads(done.stdout)
    return content if isinstance(content, list) else [content]


def compare(former: list[dict[str, Any]], present: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """How many values of the former boards were compared, and which are missing or others."""
    found = dict(leaves([keyed(each) for each in present]))
    count, differences = 0, []
    for path, value in leaves([keyed(each) for each in former]):
        if "config" in path or "family" in path:  # options and families were renamed
            continue
        count += isinstance(value, int | float)
        where = tuple("to_average" if name in ("E", "E_se") and set(ERRORS) & set(path) else name for name in path)
        if where not in found or found[where] != value:
            differences.append(f"{'.'.join(map(str, path))}: {value!r} became {found.get(where, 'nothing')!r}")
    return count, differences


def keyed(board: dict[str, Any]) -> dict[str, Any]:
    """A board with its rows by the runs that they are of; their order is that of their ranks."""
    return {**board, "rows": {" ".join(row["runs"]): row for row in board["rows"]}}


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[Leaf]:
    """The values of a tree with their paths; empty branches are values."""
    branches = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inside = list(branches)
    if not inside:
        yield path, value
    for key, each in inside:
        yield from leaves(each, (*path, key))


if __name__ == "__main__":
    main()
