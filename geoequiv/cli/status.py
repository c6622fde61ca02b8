"""``geoequiv status``: how far the runs of a results folder are."""

import argparse
from pathlib import Path

from geoequiv.cli.arguments import RAW, Commands, common

STATUS = """\
Say which runs of a results folder are to be done, which are running, where and since when, which have finished or
failed, and roughly how much time is left. Nothing is changed; it can be called while other machines are at work.
"""
EXAMPLES = """\
examples:
  geoequiv status results/quickstart
  watch -n 60 geoequiv status /shared/results/scale
"""


def add(commands: Commands) -> None:
    """Add the command."""
    status = commands.add_parser(
        "status", parents=[common()], help="which runs are to do, running, finished or failed",
        description=STATUS, epilog=EXAMPLES, formatter_class=RAW,
    )  # fmt: skip
    status.add_argument("directory", type=Path, metavar="DIR", help="results folder")
    status.set_defaults(command=_status)


def _status(options: argparse.Namespace) -> int:
    from geoequiv.bench.status import status_lines, status_of

    for line in status_lines(status_of(options.directory)):
        print(line)
    return 0
