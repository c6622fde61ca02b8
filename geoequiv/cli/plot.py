"""``geoequiv plot``: figures of a run or of a results folder."""

import argparse
from pathlib import Path

from geoequiv.cli.arguments import RAW, Commands, common
from geoequiv.errors import DataError

PLOT = """\
Draw figures; which ones follows from what the folder is.

  a run (that has a log)         losses, E′, α and β over training        training.svg
  a results folder of runs       E′ and test metric over β, per task      trade-off.svg
  either, with barriers          what `geoequiv align` found inside       barrier-*.svg, correlation.svg, cycles.svg
"""
EXAMPLES = """\
examples:
  geoequiv plot results/remul_nbody                            results/remul_nbody/trade-off.svg
  geoequiv plot results/remul_nbody/01ca75b89dbe --output training.png
  geoequiv check my_module:MyModel --signature "pos: point -> pos: point" --group "SE(3)" --plots figures

Needs matplotlib: pip install 'geoequiv[plots]'. Equal numbers give equal files, byte by byte.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    plot = commands.add_parser(
        "plot", parents=[common()], help="draw a run's training or a sweep's trade-off",
        description=PLOT, epilog=EXAMPLES, formatter_class=RAW,
    )  # fmt: skip
    plot.add_argument("directory", type=Path, metavar="DIR", help="folder of a run, or a results folder")
    plot.add_argument("--output", type=Path, metavar="FILE", help="a .svg or .png file (default: inside DIR)")
    plot.set_defaults(command=_plot)


def _plot(options: argparse.Namespace) -> int:
    from geoequiv.records.logs import log_rows
    from geoequiv.records.reading import folder_of

    directory = folder_of(options.directory)
    logged = log_rows(directory) is not None  # also of a packed run, whose directory is not there
    if not directory.is_dir() and not logged:
        raise DataError(f"No folder at '{directory}': give a run directory, or a results folder.")
    for path in (_training if logged else _trade_off)(directory, options.output):
        print(f"Wrote {path}")
    return 0


def _training(run: Path, output: Path | None) -> list[Path]:
    from geoequiv.records import read_run
    from geoequiv.report.figures.inside import run_figures
    from geoequiv.report.figures.style import save
    from geoequiv.report.figures.subject import Subject
    from geoequiv.report.figures.training_curves import Bound, read_log, training_curves

    record = read_run(run)
    title = f"{record.model}, {record.method.label}, seed {record.seed}" if record else run.name
    bound = Bound.of(record.config) if record else None
    written = [save(training_curves(read_log(run), title, bound), output or run / "training.svg")]
    if record and record.merges and not output:
        figures = run_figures(Subject.of_run(record, (record.merges,)))
        written += [save(figure, run / f"{name}.svg") for name, figure in figures.items()]
    return written


def _trade_off(directory: Path, output: Path | None) -> list[Path]:
    from geoequiv.report import leaderboard
    from geoequiv.report.figures.style import save
    from geoequiv.report.figures.trade_off import sweeps_of, trade_off

    boards = leaderboard(directory)
    drawn = [] if output else inside(directory, directory)
    swept = [board for board in boards if sweeps_of(board)]
    if not swept and not drawn:
        swept = boards[:1]  # one without a sweep: its error says why
    path = output or directory / "trade-off.svg"
    return [save(trade_off(board), name) for board, name in zip(swept, numbered(path, len(swept)), strict=True)] + drawn


def numbered(path: Path, count: int) -> list[Path]:
    """One path for each of several figures: the path itself, where there is one."""
    return [path] if count == 1 else [path.with_stem(f"{path.stem}-{i}") for i in range(1, count + 1)]


def inside(directory: Path, output: Path) -> list[Path]:
    """Draw what the records of a results folder say of barriers, board by board, into another folder."""
    from geoequiv.report import leaderboard
    from geoequiv.report.figures.inside import board_figures
    from geoequiv.report.figures.style import save

    found = [figures for board in leaderboard(directory) if (figures := board_figures(board))]
    written = []
    for figures, suffix in zip(
        found, [""] if len(found) == 1 else [f"-{i}" for i in range(1, len(found) + 1)], strict=True
    ):
        written += [save(figure, output / f"{name}{suffix}.svg") for name, figure in figures.items()]
    return written
