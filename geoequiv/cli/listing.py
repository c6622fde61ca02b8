"""``geoequiv list``: what a suite can name."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from geoequiv.cli.arguments import RAW, Commands, common
from geoequiv.cli.columns import print_columns
from geoequiv.cli.completion import completes, listed
from geoequiv.errors import GeoequivError, unknown

if TYPE_CHECKING:
    from geoequiv.config import Section
    from geoequiv.declared import Declaration
    from geoequiv.tasks.protocols import Protocol

LIST = """\
List what a suite can name, with a few words about each and the options it takes; with NAMEs, only these.

  models, tasks, methods, frames   names, options and their defaults; your own are written package.module:object
  measurements                     the numbers of a leaderboard
  groups                           how groups are written
  protocols                        under which ids numbers compare, and what each stands for
  train, evaluate, align           the keys of these sections: defaults, types, meaning
"""
#: name and what is said of it
Rows = Iterator[tuple[str, str]]
#: former name → today's
RENAMED = {"symmetries": "methods"}


def add(commands: Commands) -> None:
    """Add the command."""
    listing = commands.add_parser(
        "list", parents=[common()], help="list models, tasks, methods, groups, … that a suite can name",
        description=LIST, formatter_class=RAW,
    )  # fmt: skip
    listing.add_argument("what", type=_known, choices=LISTS, metavar="WHAT", help=", ".join(LISTS))
    names = listing.add_argument("names", nargs="*", metavar="NAME", help="only these (all)")
    completes(names, listed(LISTS))
    listing.set_defaults(command=_list)


def _known(what: str) -> str:
    if what in RENAMED:
        raise argparse.ArgumentTypeError(f"'{what}' is now '{RENAMED[what]}': geoequiv list {RENAMED[what]}")
    return what


def _list(options: argparse.Namespace) -> int:
    rows = _chosen(options.what, dict(LISTS[options.what]()), options.names)
    print_columns(rows, below=options.what == "protocols")  # whose ids are long
    return 0


def _chosen(what: str, rows: dict[str, str], names: list[str]) -> list[tuple[str, str]]:
    """The rows of these names, or all."""
    for name in names:
        if name not in rows:
            raise GeoequivError(unknown(f"name among {what}", name, rows))
    return [(name, rows[name]) for name in names] if names else list(rows.items())


def models() -> Rows:
    """The models."""
    from geoequiv import catalog
    from geoequiv.bench.spec import RESERVED

    return (_described(name, catalog.declaration("model", name), RESERVED) for name in catalog.names("model"))


def tasks() -> Rows:
    """The tasks."""
    from geoequiv import catalog
    from geoequiv.bench.spec import RESERVED_OF_TASKS

    return (_described(name, catalog.declaration("task", name), RESERVED_OF_TASKS) for name in catalog.names("task"))


def methods() -> Rows:
    """The methods."""
    from geoequiv.bench.spec import RESERVED
    from geoequiv.methods import METHODS

    return (_described(name, method.declaration, RESERVED) for name, method in METHODS.items())


def frames() -> Rows:
    """The frames."""
    from geoequiv import catalog
    from geoequiv.bench.spec import RESERVED

    known = RESERVED | {"group"}
    return (_described(name, catalog.declaration("frame", name), known) for name in catalog.names("frame"))


def _described(name: str, declaration: "Declaration", reserved: frozenset[str]) -> tuple[str, str]:
    from geoequiv.bench.options import options_of
    from geoequiv.section_keys import as_yaml

    found = options_of(declaration, reserved)
    taken = [f"{each}={as_yaml(found.defaults[each])}" if each in found.defaults else each for each in found.names]
    return name, declaration.summary + (f"\nOptions: {', '.join(taken)}" if taken else "")


def measurements() -> Rows:
    """The numbers of a board."""
    from geoequiv.measurements import MEASUREMENTS, RANKING

    for row in MEASUREMENTS:
        named = row.of(f"{row.key}/{row.example}" if row.qualified else row.key)
        facts = [f"in {named.unit}" if named.unit else "", f"{named.better} is better" if named.better else ""]
        hint = "The metric of the task on its test items, which ranks the rows" if row.key == RANKING else named.hint
        yield named.key, "; ".join([str(hint), *filter(None, facts)])


def groups() -> Rows:
    """How groups are written."""
    from geoequiv.groups.parsing import EXAMPLES

    yield from EXAMPLES.items()


def protocols() -> Rows:
    """The register of protocols."""
    from geoequiv.tasks.protocols import PROTOCOLS

    for each in PROTOCOLS.values():
        yield each.id, _about(each)


def _about(protocol: "Protocol") -> str:
    """Task with its options, splits, seeds, metric and published numbers of one protocol."""
    options = ", ".join(f"{name}={value}" for name, value in protocol.options.items())
    splits = ", ".join(f"{name} {size}" for name, size in protocol.splits.items())
    ahead = f", {protocol.horizon} steps ahead" if protocol.horizon else ""
    published = f"{len(protocol.references)} published numbers" if protocol.references else "no published numbers"
    known = f"checksum {protocol.checksum[:12]}" if protocol.checksum else "checksum not known"
    return (
        f"{protocol.task}{f' ({options})' if options else ''}{ahead}; {splits}; {protocol.seeds}; {protocol.metric}; "
        f"units: {protocol.unit}; {known}; {published}"
    )


def train() -> Rows:
    """The keys of ``train:``."""
    from geoequiv.training.config import TrainConfig

    return _keys(TrainConfig)


def evaluate() -> Rows:
    """The keys of ``evaluate:``."""
    from geoequiv.measurements.settings import EvaluateConfig

    return _keys(EvaluateConfig)


def align() -> Rows:
    """The keys of ``align:``."""
    from geoequiv.measurements.barriers.settings import AlignConfig

    return _keys(AlignConfig)


def _keys(section: "type[Section]") -> Rows:
    from geoequiv.section_keys import keys_of

    for key in keys_of(section):
        yield key.name, f"{key.default}  ({key.type})\n{key.meaning}"


LISTS: Mapping[str, Callable[[], Rows]] = {
    each.__name__: each
    for each in (models, tasks, methods, frames, measurements, groups, protocols, train, evaluate, align)
}  # fmt: skip
