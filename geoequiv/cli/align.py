"""``geoequiv align``: are trained runs equivariant inside?"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoequiv.cli.arguments import RAW, Commands, common, computing, data_folder, positive, session_of
from geoequiv.cli.completion import completes, groups, suites
from geoequiv.errors import DataError
from geoequiv.files import write_file

if TYPE_CHECKING:
    from geoequiv.measurements.barriers import AlignConfig

ALIGN = """\
Merge a trained network with its own transformed copies, units matched, and measure their midpoint: the
barrier is 0 for a network that is equivariant inside. The barrier to another training is the seed-to-seed baseline.

  a run                     its barriers are printed; --other: with that run instead of with copies
  a results folder of runs  those of every finished run, and with the next seed of the same entry; they are stored in
                            the records and become columns of the leaderboard; what is there already is kept, by
                            other settings it is replaced; the exit status is 1 if a barrier cannot be measured
"""
EXAMPLES = """\
examples:
  geoequiv align results/nbody/01ca75b89dbe                                 draws of the task's group
  geoequiv align results/nbody/01ca75b89dbe --group "T" --json barrier.json all elements of a finite group
  geoequiv align results/nbody/01ca75b89dbe --angles 0,15,45,90,180 --plots barrier against the angle, with figures
  geoequiv align results/nbody/01ca75b89dbe --other results/nbody/97e2428d54ad
  geoequiv align results/nbody --angles 30,90,180 --axis random --elements 2 --matching none,activations
  geoequiv align results/nbody --suite configs/align_nbody.yaml             by the align: section of a suite
"""
COLUMNS = ("barrier", "without_repair", "without_matching", "first", "second", "middle")
#: of the line between two networks, where it is drawn (of one run) and the options do not say
POINTS = 21


def add(commands: Commands) -> None:
    """Add the command."""
    align = commands.add_parser(
        "align", parents=[common(), data_folder(), computing()],
        help="barriers between runs and their transformed copies",
        description=ALIGN, epilog=EXAMPLES, formatter_class=RAW,
    )  # fmt: skip
    align.add_argument("directory", type=Path, metavar="DIR", help="folder of a finished run, or a results folder")
    completes(
        align.add_argument("--suite", type=Path, metavar="SUITE.yaml", help="take its align: section for the settings"),
        suites,
    )
    completes(
        align.add_argument("--group", metavar="NAME", help="whose elements (the task's, without translations)"), groups
    )
    align.add_argument("--elements", type=positive, metavar="K", help="draws of an infinite group, or random axes (4)")
    align.add_argument("--angles", metavar="DEG,…", help="rotations by these angles instead")
    align.add_argument("--axis", metavar="AXIS", help="of the angles: x, y, z or random (the group's own, else z)")
    align.add_argument("--items", type=positive, metavar="N", help="of training and of test data (500)")
    align.add_argument(
        "--matching", metavar="NAME,…",
        help="of units: activations, rotations (orthogonal where units bear it), weights, none (activations)",
    )  # fmt: skip
    align.add_argument("--no-repair", action="store_true", help="leave the merged networks as they come")
    align.add_argument("--path", type=positive, metavar="N", help="points on the line between two networks (0)")
    align.add_argument("--other", type=Path, metavar="RUN_DIR", help="merge a run with this one instead of with copies")
    align.add_argument("--seed", type=int, help="of the draws (0)")
    align.add_argument("--json", type=Path, metavar="FILE", help="write a run's reports here as well")
    align.add_argument(
        "--plots", type=Path, metavar="FOLDER", nargs="?", const=True, help="draw figures (into FOLDER, or DIR)"
    )
    align.set_defaults(command=_align)


def _align(options: argparse.Namespace) -> int:
    config = settings(options)
    if (options.directory / "config.yaml").exists():
        return _one(options, config)
    return _folder(options, config)


def settings(options: argparse.Namespace) -> "AlignConfig":
    """The settings that the options say, laid over those of a suite.

    Raises:
        DataError: options that do not fit; ConfigError: a suite that is wrong or has no such section.
    """
    from pydantic import ValidationError

    from geoequiv.bench.suite import read_suite
    from geoequiv.measurements.barriers import AlignConfig

    base: dict[str, Any] = {}
    if options.suite:
        found = read_suite(options.suite).align
        if found is None:
            raise DataError(f"The suite {options.suite} has no align: section; add one, or say it by options.")
        base = found.model_dump(exclude_unset=True)
    given = {
        "group": options.group, "elements": options.elements, "axis": options.axis, "items": options.items,
        "path": options.path, "seed": options.seed, "repair": False if options.no_repair else None,
        "angles": numbers(options.angles) if options.angles else None,
        "method": options.matching.split(",") if options.matching else None,
    }  # fmt: skip
    chosen = base | {name: value for name, value in given.items() if value is not None}
    if options.plots is not None and (options.directory / "config.yaml").exists():
        chosen.setdefault("path", POINTS)
    try:
        return AlignConfig(**chosen)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise DataError(f"{'.'.join(map(str, first['loc'])) or 'options'}: {first['msg']}") from None


def numbers(angles: str) -> list[float]:
    """Degrees of ``"30,90"``.

    Raises:
        DataError: something that is no number.
    """
    try:
        return [float(text) for text in angles.split(",")]
    except ValueError:
        raise DataError(f"Expected angles in degrees, such as --angles 30,90; got '{angles}'.") from None


def _one(options: argparse.Namespace, config: "AlignConfig") -> int:
    from geoequiv.bench.trained import load_trained
    from geoequiv.measurements.barriers import OtherTraining, measure_barriers
    from geoequiv.report.json_document import finite

    session = session_of(options)
    first = load_trained(options.directory, session)
    second = load_trained(options.other, session, first.task) if options.other else None
    other = OtherTraining(second.model, second.spec.config["seed"]) if second else None
    if other is not None:  # named on the command line, whatever the suite says of the seed-to-seed baseline
        config = config.model_copy(update={"seed_baseline": True})
    with first.arithmetic():
        found = measure_barriers(first.task, first.model, config, other, copies=other is None)
    metric = found["metric"]
    print(f"{metric['name']} ({metric['better']} is better), relative barriers of the midpoint")
    print(f"{'':32}" + "".join(f"{name.replace('_', ' '):>18}" for name in COLUMNS))
    several = len(config.method) > 1
    named = [(each["element"] + (f", {each['method']}" if several else ""), each) for each in found["copies"]]
    named += [(f"{options.other.name}, {each['method']}", each) for each in found["trainings"]]
    for name, report in named:
        print(f"{name:32}" + "".join(f"{report[column]:>18.4g}" for column in COLUMNS))
    if options.json:
        content = {"run": options.directory.name, "settings": config.model_dump(mode="json"), **found}
        text = json.dumps(finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_file(options.json, text, "the reports")
    if options.plots is not None:
        _figures(options, {"settings": config.model_dump(mode="json"), **finite(found)})
    return 0


def _figures(options: argparse.Namespace, alignment: Mapping[str, Any]) -> None:
    from geoequiv.records import AlignmentOfRun, read_run
    from geoequiv.report.figures.inside import run_figures
    from geoequiv.report.figures.style import save
    from geoequiv.report.figures.subject import Subject

    subject = Subject.of_run(read_run(options.directory), (AlignmentOfRun.model_validate(alignment),))
    for name, figure in run_figures(subject).items():
        print(f"Wrote {save(figure, folder_of(options) / f'{name}.svg')}")


def folder_of(options: argparse.Namespace) -> Path:
    """Where figures go: DIR, or the folder that --plots names (seen from the current one, as for every command)."""
    return options.directory if options.plots is True else options.plots


def _folder(options: argparse.Namespace, config: "AlignConfig") -> int:
    from geoequiv import report
    from geoequiv.bench.align_runs import align_runs, alignable
    from geoequiv.bench.messages import barriers_line

    if options.other or options.json:
        raise DataError(f"--other and --json go with the folder of one run; '{options.directory}' has no config.yaml.")
    if not options.directory.is_dir():
        raise DataError(f"No folder at '{options.directory}': give the folder of a run, or a results folder.")
    runs = alignable(options.directory)
    if not runs:
        raise DataError(f"'{options.directory}' holds no finished run with its checkpoint.ckpt.")
    failed = 0
    for number, aligned in enumerate(align_runs(runs, config, session_of(options)), 1):
        failed += aligned.status == "failed"
        print(f"[{number}/{len(runs)}] {aligned.run.name}  {barriers_line(aligned)}", flush=True)
    print(f"Wrote {report.write(options.directory, 'html')}")
    if options.plots is not None:
        from geoequiv.cli.plot import inside

        for path in inside(options.directory, folder_of(options)):
            print(f"Wrote {path}")
    return 1 if failed else 0
