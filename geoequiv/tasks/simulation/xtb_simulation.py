"""Surrogate data for MD17: molecular dynamics with GFN2-xTB (tblite through ASE), resumable to the last bit.

Langevin dynamics at 500 K in steps of 0.5 fs, after an equilibration that is not recorded. As in MD17, the molecule
neither translates nor rotates as a whole (`NoRigidMotion`), so that temperatures count 3N − 6 degrees of freedom.

The trajectory is cut into chunks. A chunk's file, written atomically, holds its frames and the state behind it:
positions, momenta and the random generator. Each chunk starts with a fresh calculator, because xTB's iterations start
from the last density and would remember an uninterrupted past: so a simulation that was killed and resumed gives the
same file.
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from geoequiv.archives import read_arrays
from geoequiv.errors import ConfigError, DataError
from geoequiv.tasks.data.cache import UNREADABLE, canonical_json, data_directory, write_atomically
from geoequiv.tasks.data.official import check, sha256
from geoequiv.tasks.options import checked_choice, checked_seed
from geoequiv.tasks.simulation.md17_geometries import MOLECULES, starting_geometry
from geoequiv.tasks.simulation.rigid_motion import NoRigidMotion
from geoequiv.tasks.simulation.xtb_report import finding, report_of

TEMPERATURE = 500.0  # K, as MD17
STEP = 0.5  # fs, as MD17
FRICTION = 0.002  # 1/fs: velocities are forgotten within 500 fs
CHUNK = 1000  # steps
RELAXED = 0.02  # eV/Å, the largest force in the starting geometry
PATIENCE = 5.0  # seconds until a file that another process is at is given up
FOLDER = "md17-xtb"
THEORY = "GFN2-xTB"
#: called at the start and after some steps with: steps done, steps in all, temperature of late (K; at the start NaN)
Progress = Callable[[int, int, float], None]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Plan:
    """All that determines a trajectory, apart from the versions of the programs.

    Args:
        molecule: one of MD17's eight.
        frames: recorded frames, one a step.
        seed: of the first momenta and of the thermostat.
        equilibration: steps before the first recorded frame.
        nve: steps of the segment without thermostat that follows, which measures the energy's drift.

    Raises:
        ConfigError: an unknown molecule, or a number that cannot be.
    """

    molecule: str
    frames: int
    seed: int = 0
    equilibration: int = 10_000
    nve: int = 2000

    def __post_init__(self) -> None:
        checked_choice("molecule", self.molecule, MOLECULES)
        checked_seed(self.seed)
        for name, least in (("frames", 1), ("equilibration", 0), ("nve", 10)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name} must be a whole number, {least} or more; got {value!r}.")

    @property
    def steps(self) -> int:
        """Steps in all, without the segment at the end."""
        return self.equilibration + self.frames

    def identity(self) -> dict[str, Any]:
        """What two runs must share to continue one another; the number of frames may differ."""
        shared = {name: value for name, value in asdict(self).items() if name not in ("frames", "nve")}
        settings = {"temperature": TEMPERATURE, "step": STEP, "friction": FRICTION, "chunk": CHUNK}
        return shared | settings | {"theory": THEORY, "versions": versions()}


def backend() -> SimpleNamespace:
    """ASE and tblite, on one thread: molecules are too small for more, and sums keep their order.

    Sets OMP_NUM_THREADS for this process and those that it starts.

    Raises:
        ConfigError: the extra ``sim`` is not installed.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        from ase import Atoms, units
        from ase.md.langevin import Langevin
        from ase.md.verlet import VelocityVerlet
        from ase.optimize import BFGS
        from tblite.ase import TBLite
    except ImportError as error:
        raise ConfigError(
            f"Simulating molecules needs ASE and tblite ({error}). Install them: pip install 'geoequiv[sim]'."
        ) from error
    return SimpleNamespace(
        Atoms=Atoms, units=units, Langevin=Langevin, VelocityVerlet=VelocityVerlet, BFGS=BFGS,
        calculator=lambda: TBLite(method=THEORY, verbosity=0),
    )  # fmt: skip


def versions() -> dict[str, str]:
    """Of the programs whose arithmetic makes the numbers."""
    return {name: version(name) for name in ("ase", "tblite", "numpy")}


def surrogate_path(molecule: str, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where a molecule's trajectory is kept; its report lies beside it, with the ending .json."""
    return data_directory(data_dir) / FOLDER / f"md17_xtb_{molecule}.npz"


def simulate(
    plan: Plan, data_dir: str | os.PathLike[str] | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Simulate a trajectory, or go on with one that was interrupted, and write it with its report.

    Args:
        plan: what to simulate.
        data_dir: the data cache; the file is its ``md17-xtb/md17_xtb_<molecule>.npz``, in the layout of MD17:
            R [T, N, 3] (Å), z [N], E [T, 1] (kcal/mol), F [T, N, 3] (kcal/mol/Å), name, theory.
        progress: see `Progress`.

    Returns:
        The report (see `report_of`). A file that is complete is left as it is, and its report returned.

    Raises:
        ConfigError: the extra ``sim`` is missing.
        DataError: the disk is full or cannot be written (what was simulated so far is kept), another process is at the
            same file, or a file of another plan is in the way.

    **Exactness**: the same plan on the same machine with the same versions gives the same file, byte for byte, however
    often it was interrupted.
    """
    ase = backend()
    path = surrogate_path(plan.molecule, data_dir)
    parts = path.with_suffix(".parts")
    try:
        parts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"Cannot make the folder {parts} ({error.strerror}): name another with --data-dir.") from error
    try:
        with FileLock(parts / "lock", timeout=PATIENCE):
            report = _finished(plan, path) or _simulate(ase, plan, path, parts, progress)
    except Timeout as error:
        raise DataError(f"Another process is simulating {path}. Wait for it, or end it.") from error
    shutil.rmtree(parts, ignore_errors=True)  # after success alone: they may be days of another plan's simulation
    return report


def _finished(plan: Plan, path: Path) -> dict[str, Any] | None:
    """The report of a complete file of this plan; None if there is no file. DataError for any other file."""
    if not path.exists():
        return None
    report = finding(path)
    if report is None or report["plan"] != asdict(plan):
        described = "without a report" if report is None else f"of another plan, {canonical_json(report['plan'])}"
        raise DataError(
            f"{path} is in the way: it is a file {described}. Move it, or name another folder with --data-dir."
        )
    check(
        path, report["sha256"], path.with_name(path.name + ".mismatch"), "simulate it again with `geoequiv data make`"
    )
    return report


def _simulate(ase: SimpleNamespace, plan: Plan, path: Path, parts: Path, progress: Progress | None) -> dict[str, Any]:
    charges, start = starting_geometry(plan.molecule)
    atoms = ase.Atoms(numbers=charges, positions=start)
    _same_plan(plan, parts)
    began = [i * CHUNK for i in range(-(-plan.steps // CHUNK))]
    done, state = _resumed(plan, parts, began, len(charges))
    rng = np.random.default_rng(plan.seed)
    if state is None:
        warm_start(ase, atoms, rng)
    else:
        _restore(state, atoms, rng)
    constrain(atoms)
    if progress is not None:
        progress(done, plan.steps, float("nan"))
    begun, fresh = time.perf_counter(), plan.steps - done
    for first in began:
        if first < done:
            continue
        chunk = advance(ase, atoms, rng, min(CHUNK, plan.steps - first), first, plan.steps, progress)
        write_arrays(_part(parts, first), chunk | state_of(atoms, rng))
    seconds = time.perf_counter() - begun
    energies = without_thermostat(ase, atoms, plan.nve)
    chunks = [_read(_part(parts, first)) for first in began]
    whole = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in ("R", "E", "F", "T")}
    recorded = {name: array[plan.equilibration :] for name, array in whole.items()}
    content = {"R": recorded["R"], "z": charges, "E": recorded["E"], "F": recorded["F"]}
    complete = parts / path.name
    write_arrays(complete, content | {"name": np.array(plan.molecule), "theory": np.array(THEORY)})
    report = report_of(
        plan=asdict(plan), identity=plan.identity(), positions=recorded["R"], charges=charges, target=TEMPERATURE,
        temperatures=recorded["T"], step=STEP, nve_energies=energies, checksum=sha256(complete),
        steps_per_second=fresh / seconds if fresh else None,
    )  # fmt: skip
    write_atomically(path.with_suffix(".json"), lambda file: file.write(json.dumps(report, indent=1).encode()))
    complete.replace(path)  # last: where it is, its report is
    return report


def constrain(atoms: Any) -> None:
    """No drift, no rotation."""
    atoms.set_constraint(NoRigidMotion(atoms.get_masses()))


def langevin(ase: SimpleNamespace, atoms: Any, rng: np.random.Generator) -> Any:
    """ASE's thermostat with this module's settings."""
    fs = ase.units.fs
    return ase.Langevin(
        atoms, STEP * fs, temperature_K=TEMPERATURE, friction=FRICTION / fs, fixcm=False, rng=rng
    )  # fmt: skip


def advance(
    ase: SimpleNamespace,
    atoms: Any,
    rng: np.random.Generator,
    steps: int,
    before: int = 0,
    of: int = 0,
    progress: Progress | None = None,
) -> Arrays:
    """Record a frame and take a step, ``steps`` times, with a fresh calculator.

    Returns:
        R, E [steps, 1] and F in the units of MD17, and T [steps], K, of the frames before each step.
    """
    atoms.calc = ase.calculator()
    dynamics = langevin(ase, atoms, rng)
    positions, forces, momenta = (np.empty((steps, len(atoms), 3)) for _ in range(3))
    energies = np.empty((steps, 1))
    masses = atoms.get_masses()
    kelvin = 1.0 / ((3 * len(atoms) - 6) * ase.units.kB)
    current = atoms.get_forces(apply_constraint=False)
    for step in range(steps):
        positions[step], momenta[step], forces[step] = atoms.positions, atoms.arrays["momenta"], current
        energies[step] = atoms.calc.results["energy"]
        current = dynamics.step(current)
        if progress is not None and (step % 100 == 99 or step == steps - 1):
            late = momenta[step - step % 100 : step + 1]
            warmth = kelvin * (late**2 / masses[:, None]).sum((1, 2)).mean()
            progress(before + step + 1, of, float(warmth))
    kcal = ase.units.kcal / ase.units.mol
    temperatures = kelvin * (momenta**2 / masses[:, None]).sum((1, 2))
    return {"R": positions, "E": energies / kcal, "F": forces / kcal, "T": temperatures}


def without_thermostat(ase: SimpleNamespace, atoms: Any, steps: int) -> NDArray[np.float64]:
    """Total energy (eV) at each of ``steps`` of plain Newtonian dynamics from where the atoms are."""
    atoms = ase.Atoms(numbers=atoms.numbers, positions=atoms.positions, momenta=atoms.get_momenta())
    constrain(atoms)
    atoms.calc = ase.calculator()
    dynamics = ase.VelocityVerlet(atoms, STEP * ase.units.fs)
    energies = np.empty(steps)
    for step in range(steps):
        dynamics.step()
        energies[step] = atoms.get_total_energy()
    return energies


def warm_start(ase: SimpleNamespace, atoms: Any, rng: np.random.Generator) -> None:
    """Relax the starting geometry and draw momenta at the thermostat's temperature."""
    atoms.calc = ase.calculator()
    if not ase.BFGS(atoms, logfile=None).run(fmax=RELAXED, steps=500):
        raise DataError(f"The starting geometry of {atoms.symbols} does not relax with GFN2-xTB.")
    widths = np.sqrt(atoms.get_masses() * ase.units.kB * TEMPERATURE)
    atoms.positions -= atoms.get_center_of_mass()
    constrain(atoms)
    atoms.set_momenta(rng.standard_normal((len(atoms), 3)) * widths[:, None])


def state_of(atoms: Any, rng: np.random.Generator) -> Arrays:
    """Where the next chunk starts."""
    text = np.array(json.dumps(rng.bit_generator.state))
    return {"positions": atoms.positions, "momenta": atoms.get_momenta(), "generator": text}


def _restore(state: Arrays, atoms: Any, rng: np.random.Generator) -> None:
    atoms.positions[:] = state["positions"]
    atoms.set_momenta(state["momenta"])
    rng.bit_generator.state = json.loads(str(state["generator"]))


def _part(parts: Path, first: int) -> Path:
    return parts / f"steps_{first:08d}.npz"


def write_arrays(path: Path, arrays: Arrays) -> None:
    """An npz, written atomically; what came before stays if it cannot be."""
    content: dict[str, Any] = dict(arrays)
    try:
        write_atomically(path, lambda file: np.savez(file, **content))
    except DataError as error:
        raise DataError(f"{error} What was simulated so far is kept: run again to go on.") from error


def _read(path: Path) -> Arrays:
    return read_arrays(path)


def _same_plan(plan: Plan, parts: Path) -> None:
    """Note the plan beside the parts, or make sure that theirs is the same."""
    noted = parts / "plan.json"
    mine = canonical_json(plan.identity())
    try:
        theirs = noted.read_text(encoding="utf-8")
    except FileNotFoundError:
        write_atomically(noted, lambda file: file.write(mine.encode()))
        return
    if theirs != mine:
        raise DataError(
            f"{parts} holds an unfinished simulation of another plan. Theirs: {theirs}. This one: {mine}. Finish it as "
            "it was begun, or delete the folder."
        )


def _resumed(plan: Plan, parts: Path, began: list[int], atoms: int) -> tuple[int, Arrays | None]:
    """Steps that are done, and the state behind them; a part that cannot be read or is too short is done again."""
    done, state = 0, None
    for first in began:
        try:
            part = _read(_part(parts, first))
            if part["R"].shape != (min(CHUNK, plan.steps - first), atoms, 3):
                break
            state = {name: part[name] for name in ("positions", "momenta", "generator")}
        except UNREADABLE:
            break
        done = first + len(part["R"])
    return done, state
