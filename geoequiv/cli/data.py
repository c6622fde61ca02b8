"""``geoequiv data``: list, make or verify the data of tasks."""

import argparse

from geoequiv.cli.arguments import RAW, Commands, chosen_options, common, data_folder

EXAMPLES = """\
examples:
  geoequiv data list                                           files, sizes, whether they are sound
  geoequiv data make nbody/charged train=500 variant=isotropic
  geoequiv data info md17/forces molecule=aspirin              the card of a task: fields, units, checksum
  geoequiv data verify                                         exit status 1 if a file is damaged

Data is kept in --data-dir, else $GEOEQUIV_DATA, else ~/.cache/geoequiv. A damaged file is rebuilt when it is used.
"""


def add(commands: Commands) -> None:
    """Add the command and its actions."""
    data = commands.add_parser(
        "data", help="list, make or verify the data of tasks",
        description="List, make or verify the data of tasks.", epilog=EXAMPLES, formatter_class=RAW,
    )  # fmt: skip
    actions = data.add_subparsers(required=True, metavar="ACTION")
    action = actions.add_parser("list", parents=[common(), data_folder()], help="list the files of the data cache")
    action.set_defaults(command=_data_list)
    action = actions.add_parser("make", parents=[common(), data_folder()], help="simulate a task's data now")
    action.add_argument("task", metavar="NAME", help="a task of `geoequiv list tasks`")
    action.add_argument("options", nargs="*", metavar="OPTION=VALUE", help="options of the task, such as train=500")
    action.set_defaults(command=_data_make)
    action = actions.add_parser("info", parents=[common(), data_folder()], help="print the card of a task")
    action.add_argument("task", metavar="NAME", help="a task of `geoequiv list tasks`")
    action.add_argument("options", nargs="*", metavar="OPTION=VALUE", help="options of the task, such as train=500")
    action.set_defaults(command=_data_info)
    action = actions.add_parser(
        "verify", parents=[common(), data_folder()], help="check every file against its checksum"
    )
    action.add_argument("task", nargs="?", metavar="NAME", help="only the files of this task")
    action.set_defaults(command=_data_verify)


def _data_list(options: argparse.Namespace) -> int:
    from geoequiv.tasks import data_directory, list_cached

    print(f"Data cache: {data_directory(options.data_dir)}")
    for entry in list_cached(options.data_dir):
        print(f"{entry.task:<20} {entry.bytes / 1e6:8.1f} MB  {entry.path.name}  {entry.status}")
    return 0


def _data_info(options: argparse.Namespace) -> int:
    from geoequiv import catalog
    from geoequiv.tasks.card import card

    task = catalog.task(options.task, data_dir=options.data_dir, **chosen_options(options.options))
    lines = card(task)
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        print(f"{name:<{width}}  {text}")
    return 0


def _data_make(options: argparse.Namespace) -> int:
    from geoequiv import catalog

    task = catalog.task(options.task, data_dir=options.data_dir, **chosen_options(options.options))
    if task.symmetry_error:
        task.symmetry_error()
    sizes = ", ".join(f"{name} {len(split)}" for name, split in task.splits.items())
    print(f"{task.protocol}: {sizes}; checksum {task.checksum[:12]}")
    return 0


def _data_verify(options: argparse.Namespace) -> int:
    from geoequiv import catalog
    from geoequiv.tasks import data_directory, list_cached

    if options.task:
        catalog.load("task", options.task)
    entries = [entry for entry in list_cached(options.data_dir) if options.task in (None, entry.task)]
    if not entries:
        print(f"No data{f' of {options.task}' if options.task else ''} in {data_directory(options.data_dir)}.")
        return 1 if options.task else 0
    for entry in entries:
        print(f"{entry.path}: {entry.status}")
    return 0 if all(entry.status == "ok" for entry in entries) else 1
