"""The command `geoequiv`: run suites, render leaderboards, list names, make and verify data.

The exit status says how it ended, see ``EXIT_STATUS``.
"""

import argparse
import errno
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence

from geoequiv import __version__
from geoequiv.cli import align, check, compare, data, leaderboard, listing, pack, plot, predict, run, show, status
from geoequiv.cli.arguments import RAW
from geoequiv.errors import GeoequivError
from geoequiv.signals import Ended, EndOnSignals
from geoequiv.text import shown

DESCRIPTION = """\
Symmetric, frame-averaged and softly equivariant networks on one leaderboard.

  geoequiv run configs/quickstart.yaml --jobs 2    train a suite, write its leaderboard
  geoequiv status results/quickstart               what is to do, running, finished, failed
  geoequiv leaderboard results/quickstart          render it again
  geoequiv compare results/before results/after    which numbers changed
  geoequiv check egnn --signature "pos: point -> pos: point" --group "E(3)"       how symmetric is it really?
  geoequiv align results/quickstart/01ca75b89dbe   is a trained network equivariant inside?
  geoequiv plot results/quickstart                 figures of a run or of a sweep
  geoequiv show results/quickstart/01ca75b89dbe    predicted against true, in space
  geoequiv predict results/quickstart/01ca75b89dbe new.npz      predictions for files of your own
  geoequiv pack results/quickstart                 the results as three files, for a repository
  geoequiv list models                             what a suite can name
  geoequiv data make nbody/charged                 simulate a task's data ahead of time
"""

#: of every command
EXIT_STATUS = {
    0: "done",
    1: "a run failed, or a check did not pass",
    2: "wrong usage or input",
    130: "interrupted with Ctrl-C (SIGINT)",
    143: "ended by SIGTERM (129: by SIGHUP, 138: by SIGUSR1, 140: by SIGUSR2), as after Ctrl-C",
}
COMPLETION = """\
completion in bash and zsh:
  pip install 'geoequiv[completion]'
  eval "$(register-python-argcomplete geoequiv)"      in .bashrc, or in .zshrc after compinit"""
#: in the order of the help text
COMMANDS = (run, status, leaderboard, compare, check, align, plot, show, predict, pack, listing, data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows `geoequiv` on the command line; `sys.argv` if None.

    Returns:
        The exit status, see ``EXIT_STATUS``.
    """
    parser = make_parser()
    if "_ARGCOMPLETE" in os.environ:
        from geoequiv.cli.completion import complete

        complete(parser)
    options = parser.parse_args(arguments)
    _print_any_text()
    signals = EndOnSignals()
    try:
        with signals:
            status = _status(options)
    except Ended as ended:
        signals.signum = ended.signum  # a worker may have received it first
    except KeyboardInterrupt:
        signals.signum = signal.SIGINT
    if signals.signum is None:
        return status
    name = signal.Signals(signals.signum).name
    how = "interrupted" if signals.signum == signal.SIGINT else f"ended by {name}"
    print(f"\ngeoequiv: {how}.{options.after_interrupt(options)}", file=sys.stderr)
    return 128 + signals.signum


def _status(options: argparse.Namespace) -> int:
    """Run the command; the exit status, unless a signal ends it."""
    try:
        status: int = options.command(options)
        sys.stdout.flush()
        return status
    except Ended:
        raise
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # rich's way to end, with the pipe closed already
            return 0
        # code of a user, which has no say in how we end
        print(f"geoequiv: error: the code that was imported called sys.exit({error.code!r}).", file=sys.stderr)
        return 2
    except GeoequivError as error:
        if options.debug:
            traceback.print_exc()
        print(f"geoequiv: error: {shown(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `geoequiv list models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(f"geoequiv: error: no file can have a name this long: '{str(error.filename)[:60]}…'.", file=sys.stderr)
        return 2


def _print_any_text() -> None:
    """Print names of files that are not UTF-8 with escapes, in place of a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="geoequiv", description=DESCRIPTION, formatter_class=RAW)
    statuses = "\n".join(f"  {status:<5}{meaning}" for status, meaning in EXIT_STATUS.items())
    parser.epilog = f"exit status:\n{statuses}\n\n{COMPLETION}"
    parser.add_argument("--version", action="version", version=f"geoequiv {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the Python traceback of an error")
    parser.set_defaults(after_interrupt=lambda options: "")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
