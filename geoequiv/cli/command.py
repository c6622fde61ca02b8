"""The command `geoequiv`: run suites, render leaderboards, list names, make and verify data.

Exit codes: 0 fine; 1 some run failed or a check did not pass; 2 bad usage or bad input; 130 interrupted.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from geoequiv import __version__
from geoequiv.cli import align, check, data, leaderboard, listing, plot, run, show
from geoequiv.cli.arguments import RAW
from geoequiv.errors import GeoequivError

DESCRIPTION = """\
Symmetric, frame-averaged and softly equivariant networks on one leaderboard.

  geoequiv run configs/quickstart.yaml --jobs 2    train a suite, write its leaderboard
  geoequiv leaderboard results/quickstart          render it again
  geoequiv check egnn --signature "pos: point -> pos: point" --group "E(3)"       how symmetric is it really?
  geoequiv align results/quickstart/01ca75b89dbe   is a trained network equivariant inside?
  geoequiv plot results/quickstart                 figures of a run or of a sweep
  geoequiv show results/quickstart/01ca75b89dbe    predicted against true, in space
  geoequiv list models                             what a suite can name
  geoequiv data make nbody/charged                 simulate a task's data ahead of time
"""

#: in the order of the help text
COMMANDS = (run, leaderboard, check, align, plot, show, listing, data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows `geoequiv` on the command line; `sys.argv` if None.

    Returns:
        The exit code: 0, 1, 2 or 130.
    """
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:
        from geoequiv.cli.completion import complete

        complete(parser)
    options = parser.parse_args(arguments)
    try:
        code: int = options.command(options)
        sys.stdout.flush()
        return code
    except GeoequivError as error:
        if options.debug:
            traceback.print_exc()
        print(f"geoequiv: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ngeoequiv: interrupted.{options.after_interrupt(options)}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `geoequiv list models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="geoequiv", description=DESCRIPTION, formatter_class=RAW)
    parser.epilog = "exit codes: 0 fine; 1 a run failed or a check did not pass; 2 bad usage or input; 130 interrupted"
    parser.add_argument("--version", action="version", version=f"geoequiv {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the Python traceback of an error")
    parser.set_defaults(after_interrupt=lambda options: "")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
