"""``geoequiv leaderboard``: render the records of a results folder."""

import argparse
import sys
from pathlib import Path

from geoequiv.cli.arguments import RAW, Commands, common
from geoequiv.errors import ConfigError

FORMATS = ("html", "md", "csv", "json", "svg")
EXAMPLES = """\
examples:
  geoequiv leaderboard results/quickstart                      writes results/quickstart/leaderboard.html
  geoequiv leaderboard results/quickstart --format md --output LEADERBOARD.md
  geoequiv leaderboard results/quickstart --format svg --output board.svg       a picture for a README
  geoequiv leaderboard results/quickstart --format html --format csv            two files, the records read once
  geoequiv leaderboard results/quickstart --format json --output -      to the standard output
  geoequiv leaderboard results/charged results/more --output all.md             several folders as one
"""


def add(commands: Commands) -> None:
    """Add the command."""
    board = commands.add_parser(
        "leaderboard", parents=[common()], help="render the records of a results folder",
        description="Render the records of a results folder, or of several as one.",
        epilog=EXAMPLES, formatter_class=RAW,
    )  # fmt: skip
    board.add_argument("directories", type=Path, nargs="+", metavar="DIR", help="folder that `geoequiv run` wrote")
    board.add_argument(
        "--format", choices=FORMATS, action="append",
        help="by the ending of --output if not given, else html; several are written from one reading of the records",
    )  # fmt: skip
    board.add_argument(
        "--output", metavar="FILE", help="the file; - is the standard output (leaderboard.FORMAT in the first DIR)"
    )
    board.set_defaults(command=_leaderboard)


def _leaderboard(options: argparse.Namespace) -> int:
    from geoequiv import report

    ending = Path(options.output or "").suffix.removeprefix(".")
    formats = options.format or [ending if ending in FORMATS else "html"]
    if options.output and len(formats) > 1:
        raise ConfigError(f"--output names one file, and {len(formats)} formats are asked for. Leave out --output.")
    if options.output == "-":
        sys.stdout.write(report.render(options.directories, formats[0]))
    elif options.output:
        print(f"Wrote {report.write(options.directories, formats[0], options.output)}")
    else:
        for path in report.write_all(options.directories, formats):
            print(f"Wrote {path}")
    return 0
