"""``geoequiv list``: what a suite can name."""

import argparse
from typing import TYPE_CHECKING

from geoequiv.cli.arguments import RAW, Commands, common

if TYPE_CHECKING:
    from geoequiv.tasks.protocols import Protocol

LIST = """\
List what a suite can name, with one line about each and the options it takes.
Models, tasks and symmetries of your own are written package.module:object instead.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    listing = commands.add_parser(
        "list", parents=[common()], help="list models, tasks, symmetries, groups, frames or protocols",
        description=LIST, formatter_class=RAW,
    )  # fmt: skip
    listing.add_argument("what", choices=("models", "tasks", "symmetries", "groups", "frames", "protocols"))
    listing.set_defaults(command=_list)


def _list(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    rows = _listed(options.what)
    if options.what == "protocols":  # ids are long: beside them a terminal has no room left
        for name, about in rows:
            console.print(name, style="bold", soft_wrap=True)
            console.print(Padding(about, (0, 0, 0, 4)))
        return 0
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, about in rows:
        table.add_row(name, about)
    console.print(table)
    return 0


def _listed(what: str) -> list[tuple[str, str]]:
    from geoequiv import catalog
    from geoequiv.bench.options import options_of
    from geoequiv.bench.spec import RESERVED, RESERVED_OF_TASKS
    from geoequiv.groups.parsing import EXAMPLES
    from geoequiv.methods import METHODS
    from geoequiv.tasks.protocols import PROTOCOLS

    if what == "groups":
        return list(EXAMPLES.items())
    if what == "protocols":
        return [(each.id, _about(each)) for each in PROTOCOLS.values()]
    kind = {"models": "model", "tasks": "task", "symmetries": "method", "frames": "frame"}[what]
    rows = []
    for name in METHODS if kind == "method" else catalog.names(kind):
        declaration = METHODS[name].declaration if kind == "method" else catalog.declaration(kind, name)
        found = options_of(declaration, RESERVED_OF_TASKS if kind == "task" else RESERVED)
        taken = ", ".join(f"{each}={found.defaults[each]}" if each in found.defaults else each for each in found.names)
        options = f"\nOptions: {taken}" if taken and kind != "frame" else ""
        rows.append((name, declaration.summary + options))
    return rows


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
