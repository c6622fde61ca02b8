"""``geoequiv pack``: a results folder as three files."""

import argparse
from pathlib import Path

from geoequiv.cli.arguments import RAW, Commands, common

PACK = """\
Pack a results folder, for a repository or an archive.

  records.jsonl    every record, one a line
  logs.csv.gz      the rows of every log.csv, with the run that they are of
  items.npz        the numbers per test item of every run

leaderboard, plot, compare and run read a packed folder as they read run directories. Weights (checkpoint.ckpt) are
not packed. What was written is read back and compared; equal results give equal files, byte by byte.
"""
EXAMPLES = """\
examples:
  geoequiv pack results/quickstart                     beside the run directories, which stay
  geoequiv pack results/quickstart --output shared/quickstart
  geoequiv pack results/quickstart --delete            and delete the run directories that hold nothing else
"""


def add(commands: Commands) -> None:
    """Add the command."""
    pack = commands.add_parser(
        "pack", parents=[common()], help="turn a results folder into three files",
        description=PACK, epilog=EXAMPLES, formatter_class=RAW,
    )  # fmt: skip
    pack.add_argument("directory", type=Path, metavar="DIR", help="results folder")
    pack.add_argument("--output", type=Path, metavar="DIR", help="where to write (DIR itself)")
    pack.add_argument(
        "--delete", action="store_true", help="delete packed run directories; those with a checkpoint stay"
    )
    pack.set_defaults(command=_pack)


def _pack(options: argparse.Namespace) -> int:
    from geoequiv.records.packing import pack

    packed = pack(options.directory, options.output, options.delete)
    for path in packed.files:
        print(f"Wrote {path}: {path.stat().st_size / 1000:,.0f} kB")
    print(f"{packed.records} records, {packed.logs} logs, items of {packed.items} runs.")
    if packed.deleted:
        print(f"Deleted {len(packed.deleted)} run directories.")
    if packed.kept:
        print(f"Kept {len(packed.kept)} run directories that hold more, such as weights: {_named(packed.kept)}.")
    if packed.unfinished:
        print(f"Not packed, unfinished: {', '.join(packed.unfinished)}.")
    for item in packed.left_out:
        print(f"Not packed: {item.path}: {item.reason}.")
    return 1 if packed.left_out else 0


def _named(runs: tuple[Path, ...]) -> str:
    return ", ".join(run.name for run in runs[:3]) + (", …" if len(runs) > 3 else "")
