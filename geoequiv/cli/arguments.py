"""What several commands share: common options, and how texts on the command line become values."""

import argparse
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from geoequiv.errors import GeoequivError
from geoequiv.session import Session

RAW = argparse.RawDescriptionHelpFormatter
Commands = argparse._SubParsersAction  # what `add_subparsers` returns; argparse has no public name for it


def common() -> argparse.ArgumentParser:
    """Options that every command takes."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the Python traceback of an error"
    )
    return parser


def data_folder() -> argparse.ArgumentParser:
    """The option of every command that reads data."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="data cache (default: $GEOEQUIV_DATA, else ~/.cache/geoequiv)"
    )
    return parser


def computing() -> argparse.ArgumentParser:
    """The options of every command that computes with a model: see `session_of`."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("computing")
    group.add_argument("--device", default="cpu", metavar="DEVICE", help="cpu, cuda, cuda:1, mps, or auto (cpu)")
    return parser


def take_overrides(parser: argparse.ArgumentParser) -> None:
    """Let a command with an argument `overrides` take KEY=VALUE after options as well."""
    vars(parser)["parse_known_args"] = partial(_parse, parser)  # as its class would


def _parse(
    parser: argparse.ArgumentParser, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
) -> tuple[argparse.Namespace, list[str]]:
    """Parse the command; argparse alone takes KEY=VALUE only right after the suite."""
    options, rest = argparse.ArgumentParser.parse_known_args(parser, args, namespace)
    options.overrides += [each for each in rest if "=" in each and not each.startswith("-")]
    return options, [each for each in rest if each not in options.overrides]


def session_of(options: argparse.Namespace, check: bool = True) -> Session:
    """The session that a command's options ask for.

    Args:
        options: of the command.
        check: whether the device must be there.

    Raises:
        ConfigError: a value is unknown, or this machine has no such device.
    """
    given = {name: getattr(options, name) for name in ("device", "jobs", "data_dir") if name in options}
    session = Session(**given)
    if check and session.device != "cpu":
        _ = session.torch_device  # an error before anything is read or computed
    return session


def positive(text: str) -> int:
    """A whole number from 1, as an argparse type."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got '{text}'")
    return number


def chosen_options(texts: Iterable[str], example: str = "train=500") -> dict[str, Any]:
    """``OPTION=VALUE`` texts as a mapping; values are read as YAML, signatures (``… -> …``) as they stand.

    Raises:
        GeoequivError: a text has no equals sign, or its value is not YAML.
    """
    from geoequiv.config import parse_value

    chosen = {}
    for each in texts:
        name, sign, value = each.partition("=")
        if not sign:
            raise GeoequivError(f"Expected OPTION=VALUE, such as {example}; got '{each}'.")
        bare = "->" in value and value.strip()[:1] not in ("'", '"')  # YAML would see a mapping in "pos: point"
        chosen[name] = value if bare else parse_value(value, f"The value of '{each[:80]}'")
    return chosen
