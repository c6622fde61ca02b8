"""``geoequiv data``: list, fetch, make, prepare or verify the data of tasks."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from geoequiv.cli.arguments import (
    RAW,
    Commands,
    chosen_options,
    common,
    data_folder,
    positive,
    session_of,
    take_overrides,
)
from geoequiv.cli.completion import completes, options_of_task, overrides, suites, tasks
from geoequiv.errors import ConfigError, GeoequivError

if TYPE_CHECKING:
    from geoequiv.tasks import Task

EXAMPLES = """\
examples:
  geoequiv data list                                           files, sizes, whether they are sound
  geoequiv data fetch md17/dynamics molecule=aspirin           download it, or go on with an interrupted download
  geoequiv data make nbody/charged train=500 variant=isotropic
  geoequiv data make md17-xtb --molecule ethanol aspirin --frames 100000 --jobs 2
  geoequiv data prepare configs/scale.yaml                     all that a suite needs, before its runs start elsewhere
  geoequiv data info md17/forces molecule=aspirin              the card of a task: fields, units, checksum
  geoequiv data verify                                         exit status 1 if a file is damaged

Data is kept in --data-dir, else $GEOEQUIV_DATA, else ~/.cache/geoequiv. A damaged file is rebuilt when it is used.
"""

SURROGATE = "md17-xtb"
SURROGATE_OPTIONS = ("molecule", "frames", "seed", "equilibration", "nve", "jobs")


def add(commands: Commands) -> None:
    """Add the command and its actions."""
    data = commands.add_parser(
        "data", help="list, fetch, make, prepare or verify the data of tasks",
        description="List, fetch, make or verify the data of tasks, or prepare those of a suite.",
        epilog=EXAMPLES, formatter_class=RAW,
    )  # fmt: skip
    actions = data.add_subparsers(required=True, metavar="ACTION")
    action = actions.add_parser("list", parents=[common(), data_folder()], help="list the files of the data cache")
    action.set_defaults(command=_data_list)
    action = actions.add_parser(
        "fetch", parents=[common(), data_folder()], help="download a task's official files, unless they are there"
    )
    _task_and_options(action, example="molecule=uracil")
    action.set_defaults(command=_data_fetch)
    action = actions.add_parser("make", parents=[common(), data_folder()], help="simulate a task's data now")
    _task_and_options(action, ", or md17-xtb")
    surrogate = action.add_argument_group(
        "md17-xtb: molecular dynamics with GFN2-xTB; run it again to go on after a stop"
    )
    surrogate.add_argument(
        "--molecule", nargs="+", metavar="NAME", help="of MD17's eight; one or several (default: aspirin)"
    )
    surrogate.add_argument("--frames", type=positive, help="frames of 0.5 fs to record (default: 100000)")
    surrogate.add_argument("--seed", type=int, help="of momenta and thermostat (default: 0)")
    surrogate.add_argument("--equilibration", type=int, metavar="STEPS", help="before the first frame (default: 10000)")
    surrogate.add_argument(
        "--nve", type=int, metavar="STEPS", help="without thermostat at the end, for the drift (default: 2000)"
    )
    surrogate.add_argument("--jobs", type=positive, help="molecules at a time, a process each (default: 1)")
    action.set_defaults(command=_data_make, after_interrupt=_go_on)
    action = actions.add_parser(
        "prepare", parents=[common(), data_folder()], help="make or fetch all data of a suite, before an array of jobs"
    )
    completes(action.add_argument("suite", type=Path, metavar="SUITE.yaml", help="the suite file"), suites)
    completes(
        action.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings in place of the file's"),
        overrides,
    )
    take_overrides(action)
    action.set_defaults(command=_data_prepare)
    action = actions.add_parser("info", parents=[common(), data_folder()], help="print the card of a task")
    _task_and_options(action)
    action.set_defaults(command=_data_info)
    action = actions.add_parser(
        "verify", parents=[common(), data_folder()], help="check every file against its checksum"
    )
    completes(action.add_argument("task", nargs="?", metavar="NAME", help="only the files of this task"), tasks)
    action.set_defaults(command=_data_verify)


def _task_and_options(action: argparse.ArgumentParser, others: str = "", example: str = "train=500") -> None:
    task = action.add_argument("task", metavar="NAME", help=f"a task of `geoequiv list tasks`{others}")
    options = action.add_argument(
        "options", nargs="*", metavar="OPTION=VALUE", help=f"options of the task, such as {example}"
    )
    completes(task, tasks)
    completes(options, options_of_task)


def _data_list(options: argparse.Namespace) -> int:
    from geoequiv.tasks import data_directory, list_cached
    from geoequiv.tasks.data.official import downloaded
    from geoequiv.tasks.simulation.xtb_trajectory import surrogate_files

    print(f"Data cache: {data_directory(options.data_dir)}")
    for entry in list_cached(options.data_dir):
        print(f"{entry.task:<20} {entry.bytes / 1e6:8.1f} MB  {entry.path.name}  {entry.status}")
    for path, status in surrogate_files(options.data_dir):
        print(f"{SURROGATE:<20} {path.stat().st_size / 1e6:8.1f} MB  {path.name}  {status}")
    for path, status in downloaded(data_directory(options.data_dir)):
        print(f"{path.parent.name:<20} {path.stat().st_size / 1e6:8.1f} MB  {path.name}  {status}")
    return 0


def _chosen_task(options: argparse.Namespace) -> "Task":
    from geoequiv import catalog
    from geoequiv.bench.options import as_typed

    chosen = chosen_options(options.options)
    if "data_dir" in chosen:
        raise ConfigError("The data folder is given as --data-dir DIR.")
    chosen = as_typed(f"task '{options.task}'", catalog.declaration("task", options.task), chosen)
    return catalog.task(options.task, data_dir=options.data_dir, **chosen)


def _data_info(options: argparse.Namespace) -> int:
    from geoequiv.tasks.card import card

    task = _chosen_task(options)
    _print_lines(card(task))
    return 0


def _data_fetch(options: argparse.Namespace) -> int:
    if options.task.partition("/")[0] == SURROGATE:
        raise ConfigError(f"{options.task} is simulated: geoequiv data make {SURROGATE} --molecule aspirin.")
    task = _chosen_task(options)
    source = dict(task.notes).get("Source", "no files")
    print(f"{task.protocol}: {source}; checksum {task.checksum[:12]}")
    return 0


def _go_on(options: argparse.Namespace) -> str:
    return " Run the same command again: it goes on where it was." if options.task == SURROGATE else ""


def _data_make(options: argparse.Namespace) -> int:
    if options.task == SURROGATE:
        return _make_surrogate(options)
    given = [f"--{name}" for name in SURROGATE_OPTIONS if getattr(options, name) is not None]
    if given:
        raise ConfigError(f"{', '.join(given)} belong to {SURROGATE}; options of a task are written train=500.")
    task = _chosen_task(options)
    if task.symmetry_error:
        task.symmetry_error()
    sizes = ", ".join(f"{name} {len(split)}" for name, split in task.splits.items())
    print(f"{task.protocol}: {sizes}; checksum {task.checksum[:12]}")
    return 0


def _data_prepare(options: argparse.Namespace) -> int:
    from geoequiv.bench.suite import read_suite
    from geoequiv.bench.suite_data import prepare_data

    suite = read_suite(options.suite, overrides=options.overrides)
    for task in prepare_data(suite, session_of(options)):
        sizes = ", ".join(f"{name} {len(split)}" for name, split in task.splits.items())
        print(f"{task.protocol}: {sizes}; checksum {task.checksum[:12]}")
    return 0


def _make_surrogate(options: argparse.Namespace) -> int:
    from geoequiv.tasks.simulation.xtb_processes import simulate_all
    from geoequiv.tasks.simulation.xtb_report import lines_of
    from geoequiv.tasks.simulation.xtb_simulation import Plan, surrogate_path

    if options.options:
        raise ConfigError(f"{SURROGATE} takes --molecule, --frames, --seed, …; got '{options.options[0]}'.")
    chosen = {
        name: value for name in ("seed", "equilibration", "nve") if (value := getattr(options, name)) is not None
    }  # fmt: skip
    plans = [Plan(name, options.frames or 100_000, **chosen) for name in dict.fromkeys(options.molecule or ["aspirin"])]
    failed = 0
    for plan, report in simulate_all(plans, options.data_dir, jobs=options.jobs or 1):
        if isinstance(report, GeoequivError):
            failed += 1
            print(f"geoequiv: error: {plan.molecule}: {report}", file=sys.stderr)
            continue
        print(surrogate_path(plan.molecule, options.data_dir))
        _print_lines(lines_of(report))
    return 2 if failed else 0


def _print_lines(lines: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        print(f"{name:<{width}}  {text}")


def _data_verify(options: argparse.Namespace) -> int:
    from geoequiv import catalog
    from geoequiv.tasks import data_directory, list_cached
    from geoequiv.tasks.data.official import downloaded
    from geoequiv.tasks.simulation.xtb_trajectory import surrogate_files

    if options.task and options.task != SURROGATE:
        catalog.load("task", options.task)
    entries = [
        (entry.path, entry.status) for entry in list_cached(options.data_dir) if options.task in (None, entry.task)
    ]
    if options.task is None or options.task.partition("/")[0] == SURROGATE:
        entries += surrogate_files(options.data_dir)
    entries += downloaded(data_directory(options.data_dir), options.task)
    if not entries:
        print(f"No data{f' of {options.task}' if options.task else ''} in {data_directory(options.data_dir)}.")
        return 1 if options.task else 0
    for path, status in entries:
        print(f"{path}: {status}")
    return 0 if all(status == "ok" for _, status in entries) else 1
