"""``geoequiv list``: what a suite can name."""

import argparse

from geoequiv.cli.arguments import RAW, Commands, common

LIST = """\
List what a suite can name, with one line about each and the options it takes.
Models, tasks and symmetries of your own are written package.module:object instead.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    listing = commands.add_parser(
        "list", parents=[common()], help="list models, tasks, symmetries, groups or frames",
        description=LIST, formatter_class=RAW,
    )  # fmt: skip
    listing.add_argument("what", choices=("models", "tasks", "symmetries", "groups", "frames"))
    listing.set_defaults(command=_list)


def _list(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, about in _listed(options.what):
        table.add_row(name, about)
    Console(highlight=False, markup=False).print(table)
    return 0


def _listed(what: str) -> list[tuple[str, str]]:
    from geoequiv import catalog
    from geoequiv.bench.options import options_of
    from geoequiv.bench.spec import RESERVED
    from geoequiv.groups.names import EXAMPLES

    if what == "groups":
        return list(EXAMPLES.items())
    kind = {"models": "model", "tasks": "task", "symmetries": "symmetry", "frames": "frame"}[what]
    rows = []
    for name in catalog.names(kind):
        found = options_of(catalog.load(kind, name), RESERVED)
        taken = ", ".join(f"{each}={found.defaults[each]}" if each in found.defaults else each for each in found.names)
        options = f"\nOptions: {taken}" if taken and kind != "frame" else ""
        rows.append((name, catalog.describe(kind, name) + options))
    return rows
