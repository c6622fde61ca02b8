"""``geoequiv show``: draw a trained run's predictions beside the targets."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from geoequiv.cli.arguments import RAW, Commands, common, computing, data_folder, session_of
from geoequiv.errors import GeoequivError

if TYPE_CHECKING:
    from geoequiv.groups import Element

SHOW = """\
Draw a trained run's predictions beside the targets, several items of the test split: skeletons, molecules, force
arrows, the paths of n-body systems. Without --items: the best, the median and the worst by the task's metric.
"""
EXAMPLES = """\
examples:
  geoequiv show results/mocap/01ca75b89dbe                     RUN_DIR/pictures/test.svg and test.gif
  geoequiv show results/mocap/01ca75b89dbe --items 0 1 2 --format png --no-gif
  geoequiv show results/mocap/01ca75b89dbe --transform          with g⁻¹ · f(g · x), g of the task's group
  geoequiv show results/mocap/01ca75b89dbe --transform "SO(3)"  with g of another group

The GIF rotates the camera once about the vertical; where the task knows the path from input to target (n-body, motion
capture), the true bodies move along it. Needs matplotlib: pip install 'geoequiv[plots]'. Equal runs give equal files.
"""
TASKS_OWN = "the task's"


def add(commands: Commands) -> None:
    """Add the command."""
    show = commands.add_parser(
        "show", parents=[common(), data_folder(), computing()], help="draw a run's predictions beside the targets",
        description=SHOW, epilog=EXAMPLES, formatter_class=RAW,
    )  # fmt: skip
    show.add_argument("run", type=Path, metavar="RUN_DIR", help="directory of a finished run")
    show.add_argument("--items", type=int, nargs="+", metavar="N", help="items to draw (best, median and worst)")
    show.add_argument("--split", default="test", metavar="NAME", help="of the task, such as test_rotated (test)")
    show.add_argument(
        "--transform", nargs="?", const=TASKS_OWN, metavar="GROUP",
        help="also draw the prediction for the input transformed by an element of GROUP, transformed back (the task's)",
    )  # fmt: skip
    show.add_argument("--seed", type=int, default=0, help="of that element (0)")
    show.add_argument("--output", type=Path, metavar="DIR", help="where to (RUN_DIR/pictures)")
    show.add_argument(
        "--format", nargs="+", choices=("svg", "png"), default=["svg"], metavar="FORMAT", help="svg, png or both (svg)"
    )
    show.add_argument(
        "--gif", action=argparse.BooleanOptionalAction, default=True, help="also write an animation (yes)"
    )
    show.set_defaults(command=_show)


def _show(options: argparse.Namespace) -> int:
    import torch

    from geoequiv.bench.trained import load_trained
    from geoequiv.report.figures.film import film_of, save_film
    from geoequiv.report.figures.predictions import predictions
    from geoequiv.report.figures.scene_figure import picture_of
    from geoequiv.report.figures.style import save

    trained = load_trained(options.run, session_of(options))
    transform = element(options.transform, trained.task.symmetry, options.seed) if options.transform else None
    torch.manual_seed(trained.spec.config["seed"])  # as when the run was measured: some models are stochastic
    with trained.computing():
        scenes = predictions(trained.task, trained.model, options.split, options.items, transform)
    record = trained.record
    metric, value = record.metric, record.value("metric")
    measured = f"test {metric.name} {value:.3g} {metric.unit}".rstrip() if metric and value is not None else ""
    title = f"{record.model}, {record.method.label}, seed {record.seed}"
    subtitle = f"{trained.task.protocol}: {measured}"
    folder = options.output or options.run / "pictures"
    figure = picture_of(scenes, title, subtitle)
    written = [save(figure, folder / f"{options.split}.{form}") for form in dict.fromkeys(options.format)]
    if options.gif:
        written.append(save_film(film_of(scenes, title, subtitle), folder / f"{options.split}.gif"))
    for scene in scenes:
        print(f"{scene.title}: {scene.caption}")
    for path in written:
        print(f"Wrote {path}")
    return 0


def element(name: str, own: str, seed: int) -> "Element":
    """A rotation other than the identity, of the task's group or of another; without translation.

    Raises:
        GeoequivError: the group has no such element, only translations and reflections.
    """
    import torch

    from geoequiv.groups import group

    acting = group(own if name == TASKS_OWN else name).linear_part
    drawn = acting.sample(64, generator=torch.Generator().manual_seed(seed))
    away = (drawn.linear - torch.eye(acting.dim, dtype=drawn.linear.dtype)).abs().amax(dim=(-1, -2)) > 1e-6
    rotations = (away & (drawn.det > 0)).nonzero()
    if not len(rotations):
        raise GeoequivError(f"{acting.name} has no rotation. Give another group, such as --transform 'SO(3)'.")
    return drawn[int(rotations[0])]
