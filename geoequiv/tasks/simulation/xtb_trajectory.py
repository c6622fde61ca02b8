"""Reading surrogate data for MD17: its file, held against its report."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from geoequiv.errors import DataError
from geoequiv.tasks.data.cache import OWN, data_directory
from geoequiv.tasks.data.official import check, find, sha256, state_of
from geoequiv.tasks.data.trajectory import Trajectory, read_trajectory
from geoequiv.tasks.options import checked_choice
from geoequiv.tasks.simulation.md17_geometries import MOLECULES
from geoequiv.tasks.simulation.xtb_report import finding, lines_of
from geoequiv.tasks.simulation.xtb_simulation import FOLDER, Plan, surrogate_path

FRAMES = 100_000  # of the trajectories that the register of protocols means


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A simulated trajectory.

    Args:
        trajectory: its frames.
        notes: what a card says of it: source, licence, the lines of its report where that lies beside it.
        mark: what protocol ids say of it: "" for 100 000 frames of seed 0 as ``geoequiv data make`` simulates them by
            default, else the start of the file's checksum, since numbers on other trajectories do not compare.
    """

    trajectory: Trajectory
    notes: tuple[tuple[str, str], ...]
    mark: str


def read_surrogate(molecule: str, data_dir: str | os.PathLike[str] | None = None) -> Surrogate:
    """The file ``md17_xtb_<molecule>.npz`` of the data folder or of its folder ``md17-xtb``.

    Raises:
        ConfigError: an unknown molecule.
        DataError: there is no file (says how to make it), it cannot be read, or it is not the one that its report
            belongs to (both checksums; the file is kept aside).
    """
    checked_choice("molecule", molecule, MOLECULES)
    folder = data_directory(data_dir)
    home = surrogate_path(molecule, folder)
    path = find(home.name, [folder / FOLDER, folder])
    if path is None:
        raise DataError(
            f"There is no {home.name} in {home.parent}. Simulate it: geoequiv data make md17-xtb --molecule {molecule} "
            "--frames 100000 (needs geoequiv[sim])."
        )
    report = finding(path)
    if report is not None:
        check(
            path,
            report["sha256"],
            path.with_name(path.name + ".mismatch"),
            "simulate it again with `geoequiv data make`",
        )
    notes = [("Source", f"{path}, simulated by geoequiv data make {FOLDER}"), ("Licence", OWN)]
    usual = report is not None and report["plan"] == asdict(Plan(molecule, FRAMES))
    mark = "" if usual else f"/trajectory-{(report['sha256'] if report is not None else sha256(path))[:8]}"
    return Surrogate(read_trajectory(path), (*notes, *(lines_of(report) if report is not None else ())), mark)


def surrogate_files(data_dir: str | os.PathLike[str] | None = None) -> list[tuple[Path, str]]:
    """Every simulated trajectory in the folder ``md17-xtb``, and whether it is sound ("ok" or "damaged: …")."""
    found = []
    for molecule in MOLECULES:
        path = surrogate_path(molecule, data_dir)
        if not path.is_file():
            continue
        try:
            report = finding(path)
            status = "damaged: there is no report beside it" if report is None else state_of(path, report["sha256"])
        except DataError as error:
            status = f"damaged: {error}"
        found.append((path, status))
    return found
