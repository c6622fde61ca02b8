"""``geoequiv run``: do every run of a suite and write its leaderboard."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from geoequiv.cli.arguments import (
    RAW,
    Commands,
    common,
    computing,
    data_folder,
    on_slurm,
    positive,
    session_of,
    take_overrides,
)
from geoequiv.cli.completion import completes, overrides, suites

if TYPE_CHECKING:
    from geoequiv.bench.suite import Suite
    from geoequiv.session import Session

WRITTEN_AFTER_A_RUN = ("html", "md", "json")
RUN = """\
Do every run of a suite and write DIR/leaderboard.html, .md and .json.

A run is named by a hash of its settings, so no run is ever done twice: those that have finished are skipped.
With --resume, interrupted runs continue from their last checkpoint, and failed runs are done again.
A failed run is recorded with its traceback; the others go on, and the exit status is 1. It is 1 as well where a barrier
(align:) cannot be measured. Finished runs are measured again where evaluate: or measure: have changed; none is trained.
Where the files of its task cannot be had, a suite runs on the task that it names as its `fallback`, if it names one.

A suite can name your own Python objects (package.module:Class), which are imported from the current folder or the
environment. That runs their code: run only suites you trust.
"""
EXAMPLES = """\
examples:
  geoequiv run configs/quickstart.yaml                         into results/quickstart, one run after the other
  geoequiv run configs/quickstart.yaml --jobs 2                two at a time, the cores shared out
  geoequiv run configs/quickstart.yaml --jobs 2 --resume       after Ctrl-C, a crash or a power cut
  geoequiv run my_suite.yaml --output /data/results            somewhere else
  geoequiv run my_suite.yaml --engine slurm --partition gpu --time 4:00:00 --gpus 1 --runs-per-task 8     on a cluster
  geoequiv run my_suite.yaml --dry-run                         what it would do, and roughly what it costs
  geoequiv run my_suite.yaml train.epochs=3 seeds=[0] entries.0.model.width=8       other settings than the file's

a suite:
  name: mine
  task: {name: nbody/charged, train: 500}
  train: {epochs: 60, lr: 1e-3}
  seeds: [0, 1]
  entries:
    - model: [gnn, {name: transformer, width: 32}, my_package.my_module:MyModel]
      symmetry: [none, {remul: {group: SO(3), beta: [0.1, 10]}}, {frame_averaging: {group: SE(3)}}]
    - model: egnn
"""


def add(commands: Commands) -> None:
    """Add the command."""
    run = commands.add_parser(
        "run", parents=[common(), data_folder(), computing()], help="do every run of a suite and write its leaderboard",
        description=RUN, epilog=EXAMPLES, formatter_class=RAW,
    )  # fmt: skip
    completes(run.add_argument("suite", type=Path, metavar="SUITE.yaml", help="the suite file"), suites)
    run.add_argument(
        "--output", type=Path, metavar="DIR", help="folder of the results (default: results/<name of the suite>)"
    )
    run.add_argument("--resume", action="store_true", help="continue interrupted runs, do failed ones again")
    run.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="runs at the same time, in processes of their own (1)"
    )
    run.add_argument("--only", type=_ids, default=(), metavar="ID[,ID]", help="these runs alone; --dry-run lists ids")
    run.add_argument("--no-leaderboard", action="store_true", help="write no leaderboard when the runs are done")
    run.add_argument("--precision", metavar="NAME", help="the same as train.precision=NAME; see `geoequiv list train`")
    run.add_argument(
        "--limit", type=positive, metavar="N", help="for a quick look: at most N items of each split, own protocol ids"
    )
    run.add_argument(
        "--dry-run", action="store_true", help="list the runs, what each would do, and a rough cost; do nothing"
    )
    on_slurm(run)
    settings = run.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="settings in place of the file's, such as train.epochs=3"
    )
    completes(settings, overrides)
    take_overrides(run)
    run.set_defaults(command=_run, after_interrupt=_how_to_resume)


def _ids(text: str) -> tuple[str, ...]:
    """Ids of runs, as an argparse type."""
    return tuple(each for each in text.split(",") if each)


def _run(options: argparse.Namespace) -> int:
    from geoequiv.bench.suite import only, read_suite
    from geoequiv.records.store import Store

    session = session_of(options, check=not options.dry_run)
    if options.precision:
        options.overrides.append(f"train.precision={options.precision}")
    suite = read_suite(options.suite, options.limit, options.overrides, session)
    output = options.output or Path("results") / suite.name
    if options.dry_run:
        return _dry_run(only(suite, options.only, Store(output)), output, options.resume, session)
    from geoequiv import report
    from geoequiv.bench.suite_run import run_suite

    result = run_suite(suite, output, resume=options.resume, ids=options.only, session=session)
    statuses = {outcome.status for _, outcome in result.outcomes}
    if "submitted" in statuses:
        return 1 if "failed" in statuses else 0
    if not options.no_leaderboard and any(outcome.record for _, outcome in result.outcomes):
        for path in report.write_all(output, WRITTEN_AFTER_A_RUN):
            print(f"Wrote {path}")
    return 0 if result.complete else 1


def _dry_run(suite: "Suite", output: Path, resume: bool, session: "Session") -> int:
    from geoequiv.bench.dry_run import plan, plan_lines

    for line in plan_lines(suite, plan(suite, output, resume), output, session):
        print(line)
    return 0


def _how_to_resume(options: argparse.Namespace) -> str:
    if options.engine == "slurm":
        return " What was submitted goes on without this command: `squeue --me` lists it, `scancel --me` ends it."
    words = ["geoequiv", "run", str(options.suite), *options.overrides]
    words += ["--output", str(options.output)] if options.output else []
    words += ["--jobs", str(options.jobs)] if options.jobs != 1 else []
    words += ["--device", options.device] if options.device != "cpu" else []
    words += ["--only", ",".join(options.only)] if options.only else []
    words += ["--no-leaderboard"] if options.no_leaderboard else []
    words += ["--limit", str(options.limit)] if options.limit else []
    words += ["--data-dir", str(options.data_dir)] if options.data_dir else []
    return f" Resume with: {shlex.join([*words, '--resume'])}"
