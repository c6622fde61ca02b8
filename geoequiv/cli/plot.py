"""``geoequiv plot``: figures of a run or of a results folder."""

import argparse
from pathlib import Path

from geoequiv.cli.arguments import RAW, Commands, common
from geoequiv.errors import DataError

PLOT = """\
Draw figures; which ones follows from what the folder is.

  a run (it holds a log.csv)     losses, E′, α and β over training        training.svg
  a results folder of runs       E′ and test metric over β, per task      trade-off.svg
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
    if not options.directory.is_dir():
        raise DataError(f"No folder at '{options.directory}': give the folder of a run, or a results folder.")
    draw = _training if (options.directory / "log.csv").exists() else _trade_off
    for path in draw(options.directory, options.output):
        print(f"Wrote {path}")
    return 0


def _training(run: Path, output: Path | None) -> list[Path]:
    from geoequiv.report.records import read_run
    from geoequiv.report.style import save
    from geoequiv.report.training_curves import Bound, read_log, training_curves

    record = read_run(run)
    title = f"{record.model}, {record.symmetry}, seed {record.seed}" if record else run.name
    bound = Bound.of(record.config) if record else None
    return [save(training_curves(read_log(run), title, bound), output or run / "training.svg")]


def _trade_off(directory: Path, output: Path | None) -> list[Path]:
    from geoequiv.report import leaderboard
    from geoequiv.report.style import save
    from geoequiv.report.trade_off import sweeps_of, trade_off

    boards = leaderboard(directory)
    swept = [board for board in boards if sweeps_of(board)] or boards[:1]  # one without a sweep: its error says why
    path = output or directory / "trade-off.svg"
    names = [path] if len(swept) == 1 else [path.with_stem(f"{path.stem}-{i}") for i in range(1, len(swept) + 1)]
    return [save(trade_off(board), name) for board, name in zip(swept, names, strict=True)]
