"""What several commands share: common options, and how texts on the command line become values."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from geoequiv.errors import ConfigError, GeoequivError
from geoequiv.session import ENGINES, Session, Slurm

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


def on_slurm(parser: argparse.ArgumentParser) -> None:
    """The options that choose the engine, and those of SLURM."""
    parser.add_argument("--engine", choices=ENGINES, default="local", help="what does the runs (local)")
    add = parser.add_argument_group("with --engine slurm").add_argument
    add("--partition", metavar="P", help="of the cluster (its default)")
    add("--time", type=minutes, dest="minutes", metavar="TIME", help="limit of a job: 4:00:00, 2-12 or 90 minutes (60)")
    add("--gpus", type=positive, metavar="N", help="of a job, --device being cuda then (0)")
    add("--cpus", type=positive, metavar="N", help="of a job, and threads of its computations (1)")
    add("--array-parallelism", type=positive, metavar="N", help="jobs at the same time (64)")
    add("--runs-per-task", type=positive, metavar="N", help="runs that a job does, one after the other (1)")
    add("--wait", action="store_true", default=None, help="until the jobs have ended, and write the boards")
    add("--sbatch", type=_sbatch, action="append", metavar="KEY=VALUE", help="more for sbatch, such as account=physics")


def minutes(text: str) -> int:
    """A time as SLURM writes it, in whole minutes and at least one, as an argparse type.

    >>> minutes("90"), minutes("4:00:00"), minutes("2-12"), minutes("1-0:30"), minutes("0:30")
    (90, 240, 3600, 1470, 1)
    """
    days, dash, rest = text.rpartition("-")
    parts = rest.split(":")
    if not all(each.isdecimal() for each in [*parts, *([days] if dash else [])]) or len(parts) > 3:
        raise argparse.ArgumentTypeError(f"expected a time such as 4:00:00, 2-12 or 90 (minutes), got '{text}'")
    numbers = [int(each) for each in parts]
    seconds = (3600, 60, 1) if dash or len(parts) == 3 else (60, 1)
    total = int(days or 0) * 86400 + sum(unit * number for unit, number in zip(seconds, numbers, strict=False))
    return max(1, -(-total // 60))


def _sbatch(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not (key and sign):
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, such as account=physics, got '{text}'")
    return key, value


def _slurm_of(options: argparse.Namespace) -> Slurm | None:
    """The jobs that a command's options ask for; None where its engine is another."""
    values = {each.name: vars(options).get(each.name) for each in fields(Slurm)}
    given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    if vars(options).get("engine") == "slurm":
        return Slurm(**{**given, "sbatch": tuple(given.get("sbatch", ()))})
    if given:
        named = ", ".join("--time" if name == "minutes" else f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(f"{named} can be given with --engine slurm only.")
    return None


def session_of(options: argparse.Namespace, check: bool = True) -> Session:
    """The session that a command's options ask for.

    Args:
        options: of the command.
        check: whether the device must be there.

    Raises:
        ConfigError: a value is unknown, options do not go together, or this machine has no such device.
    """
    given = {name: getattr(options, name) for name in ("device", "jobs", "engine", "data_dir") if name in options}
    slurm = _slurm_of(options)
    if slurm is not None and slurm.gpus and given["device"] == "cpu":
        given["device"] = "cuda"
    session = Session(**given, slurm=slurm)
    if check and slurm is None and session.device != "cpu":
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
