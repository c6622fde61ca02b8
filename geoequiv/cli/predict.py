"""``geoequiv predict``: a trained run applied to files of a user."""

import argparse
from pathlib import Path

from geoequiv.cli.arguments import RAW, Commands, common, computing, data_folder, positive, session_of

PREDICT = """\
Predict for items of your own with a trained run: files of named arrays (.npz) or of frames (.xyz, .extxyz) that hold
the inputs of the run's task, in its units. Predictions, in its units as well, are written beside each file, as
FILE.predictions.npz, items first.
"""
EXAMPLES = """\
examples:
  geoequiv predict results/forces/01ca75b89dbe new.extxyz           new.extxyz.predictions.npz: energy, forces
  geoequiv predict results/nbody/01ca75b89dbe a.npz b.npz --output predictions

Energies are absolute where the task has kept what it took off. An element that the run has not learned from is an
error.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    predict = commands.add_parser(
        "predict", parents=[common(), data_folder(), computing()], help="predict for files with a trained run",
        description=PREDICT, epilog=EXAMPLES, formatter_class=RAW,
    )  # fmt: skip
    predict.add_argument("run", type=Path, metavar="RUN_DIR", help="directory of a finished run")
    predict.add_argument("files", type=Path, nargs="+", metavar="FILE", help=".npz, .xyz or .extxyz")
    predict.add_argument("--output", type=Path, metavar="DIR", help="where to (beside each file)")
    predict.add_argument("--batch-size", type=positive, default=100, metavar="N", help="items of a pass (100)")
    predict.set_defaults(command=_predict)


def _predict(options: argparse.Namespace) -> int:
    import io

    import numpy as np

    from geoequiv.bench.predict import Predictor
    from geoequiv.bench.trained import load_trained
    from geoequiv.errors import DataError
    from geoequiv.files import write_file

    places = [(options.output or file.parent) / f"{file.name}.predictions.npz" for file in options.files]
    twice = {place for place in places if places.count(place) > 1}
    if twice:
        raise DataError(f"Two files would both be written to {min(twice)}: predict them one by one.")
    session = session_of(options)
    predictor = Predictor(load_trained(options.run, session), options.batch_size)
    for file, place in zip(options.files, places, strict=True):
        with session.casting(predictor.trained.model):
            found = predictor.of_file(file)
        content = io.BytesIO()
        np.savez(content, **found)  # type: ignore[arg-type]
        write_file(place, content.getvalue())
        shapes = ", ".join(f"{name} {list(values.shape)}" for name, values in found.items())
        print(f"Wrote {place}: {shapes}")
    return 0
