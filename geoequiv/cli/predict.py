"""``geoequiv predict``: a trained run applied to files of a user."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from geoequiv.cli.arguments import RAW, Commands, common, computing, data_folder, positive, session_of

if TYPE_CHECKING:
    from geoequiv.bench.predict import Predictor

PREDICT = """\
Predict for items of your own with a trained run: files of named arrays (.npz) or of frames (.xyz, .extxyz) that hold
the inputs of the run's task, in its units. Predictions, in its units as well, are written beside each file, as
FILE.predictions.npz, items first. With --format extxyz they are the file's frames with the predicted energy and forces
in eV and Å, as ASE reads them.
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
    predict.add_argument("--format", choices=("npz", "extxyz"), default="npz", help="of what is written (npz)")
    predict.add_argument("--batch-size", type=positive, default=100, metavar="N", help="items of a pass (100)")
    predict.set_defaults(command=_predict)


def _predict(options: argparse.Namespace) -> int:
    from geoequiv.bench.predict import Predictor
    from geoequiv.bench.trained import load_trained
    from geoequiv.errors import DataError
    from geoequiv.files import write_file

    places = [(options.output or file.parent) / f"{file.name}.predictions.{options.format}" for file in options.files]
    twice = {place for place in places if places.count(place) > 1}
    if twice:
        raise DataError(f"Two files would both be written to {min(twice)}: predict them one by one.")
    predictor = Predictor(load_trained(options.run, session_of(options)), options.batch_size)
    for file, place in zip(options.files, places, strict=True):
        content, told = (_extended_xyz if options.format == "extxyz" else _arrays)(predictor, file)
        write_file(place, content)
        print(f"Wrote {place}: {told}")
    return 0


def _arrays(predictor: "Predictor", file: Path) -> tuple[bytes, str]:
    import io

    import numpy as np

    found, content = predictor.of_file(file), io.BytesIO()
    np.savez(content, **found)  # type: ignore[arg-type]
    return content.getvalue(), ", ".join(f"{name} {list(values.shape)}" for name, values in found.items())


def _extended_xyz(predictor: "Predictor", file: Path) -> tuple[str, str]:
    from geoequiv.ase import Calculator

    return Calculator.of(predictor).extended_xyz(file), "energy (eV) and forces (eV/Å) of each frame"
