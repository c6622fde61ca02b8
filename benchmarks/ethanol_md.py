"""Molecular dynamics of ethanol with trained runs: how far is energy conserved?

    OMP_NUM_THREADS=1 python benchmarks/ethanol_md.py --data-dir DIR [--runs results/ethanol_md] [--picoseconds 2]

Trains three small potentials on revised MD17 (`configs/md17_forces.yaml` at 30 epochs, one seed), those that are there
already excepted, and moves ethanol with each: velocity Verlet of ASE through `geoequiv.ase.Calculator`, steps of 0.5
fs, from the first test frame with velocities of 300 K. The first potential is also called bare, in a loop of our own,
from the same start. DIR holds rmd17_ethanol_{train,test}_01.npz or the official archive. Writes figure, numbers, page.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.md.velocitydistribution import Stationary
from ase.md.verlet import VelocityVerlet
from numpy.typing import NDArray

from geoequiv.ase import UNITS, Calculator
from geoequiv.bench.suite import read_suite
from geoequiv.bench.suite_run import run_suite
from geoequiv.bench.trained import TrainedRun, load_trained
from geoequiv.report.families import colour
from geoequiv.report.figures.style import drawn, save
from geoequiv.session import Session
from marked import fill

SUITE = """\
name: {name}
task: {{name: md17/forces, molecule: ethanol, split: 1, forces: {forces}}}
train: {{epochs: 30, batch_size: 10, lr: 2e-3, schedule: cosine, ema: 0.99, validate_every: 2, eval_batch_size: 50}}
evaluate: {{num_items: 100, num_samples: 4, batch_size: 100}}
entries: [{entry}]
"""
#: what is drawn → forces and the entry of its suite
POTENTIALS = {
    "PaiNN, gradient": ("gradient", "{model: {name: painn, width: 32, depth: 3}}"),
    "GNN in minimal frames, gradient": (
        "gradient",
        "{model: {name: gnn, width: 32, depth: 3}, symmetry: {frame_averaging: {group: E(3), frame: minimal}}}",
    ),
    "PaiNN, direct forces": ("direct", "{model: {name: painn, width: 32, depth: 3}}"),
}
BARE = "PaiNN, gradient, called bare"
STEP = 0.5  # fs
KELVIN = 300.0
LOST = 1000.0  # meV
TICKS = (-1000, -100, -10, 0, 10, 100, 1000)
EVERY = 4  # steps between two readings
PICTURE = Path("docs/how-to/images/ethanol-md.svg")
PAGE = Path("docs/how-to/predict.md")
NUMBERS = Path("benchmarks/results/speed/ethanol_md.json")


def trained(name: str, runs: Path, session: Session) -> Path:
    """The directory of a potential's run, trained if it is not there."""
    forces, entry = POTENTIALS[name]
    slug = name.lower().replace(",", "").replace(" ", "_")
    runs.mkdir(parents=True, exist_ok=True)
    path = runs / f"{slug}.yaml"
    path.write_text(SUITE.format(name=slug, forces=forces, entry=entry), encoding="utf-8")
    suite = read_suite(path)
    if not run_suite(suite, runs / slug, resume=True, session=session).complete:
        raise SystemExit(f"The training of {name} failed.")
    return runs / slug / suite.runs[0].run_id


def start(run: TrainedRun) -> Atoms:
    """Ethanol as in the first test frame, with velocities of 300 K: the same for every potential."""
    inputs = run.task.splits["test"].inputs
    assert run.task.drawing is not None
    numbers = np.array(run.task.drawing.elements)[inputs["species"][0].argmax(-1).numpy()]
    atoms = Atoms(numbers, inputs["pos"][0].double().numpy())
    velocities = np.random.default_rng(0).normal(size=(len(atoms), 3))
    velocities *= np.sqrt(units.kB * KELVIN / atoms.get_masses())[:, None]
    atoms.set_velocities(velocities)
    Stationary(atoms)
    return atoms


def through_ase(run: Path, atoms: Atoms, steps: int, session: Session) -> NDArray[np.float64]:
    """Total energy in eV, every few steps, by the calculator."""
    atoms.calc = Calculator(run, session=session)
    energies = []
    dynamics = VelocityVerlet(atoms, timestep=STEP * units.fs)
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()), interval=EVERY)
    dynamics.run(steps)
    return np.array(energies)


def bare(run: TrainedRun, atoms: Atoms, steps: int) -> NDArray[np.float64]:
    """The same by the model itself, in the plainest loop."""
    assert run.task.drawing is not None
    factor = UNITS[run.task.drawing.arrow_unit.removesuffix("/Å")]
    species = run.task.splits["test"].inputs["species"][:1]
    masses, step = atoms.get_masses()[:, None], STEP * units.fs

    def evaluated(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        pos = torch.tensor(x - x.mean(0), dtype=torch.float32)[None]
        out = run.model(pos=pos, species=species)
        return float(out["energy"].reshape(())) * factor, out["forces"][0].detach().double().numpy() * factor

    x, v = atoms.positions.copy(), atoms.get_velocities()
    energy, force = evaluated(x)
    energies = []
    for number in range(steps + 1):
        if number % EVERY == 0:
            energies.append(energy + 0.5 * float((masses * v**2).sum()))
        v = v + 0.5 * step * force / masses
        x = x + step * v
        energy, force = evaluated(x)
        v = v + 0.5 * step * force / masses
    return np.array(energies)


def numbers_of(energies: NDArray[np.float64]) -> dict[str, float | None]:
    """Spread and drift of a total energy while it is within 1 eV of the start, and when it leaves that, if it does."""
    picoseconds, relative = times(energies), 1e3 * (energies - energies[0])
    outside = np.flatnonzero(~(np.abs(relative) < LOST))
    end = int(outside[0]) if len(outside) else len(energies)
    drift = float(np.polyfit(picoseconds[:end], relative[:end], 1)[0])
    return {
        "std_meV": float(relative[:end].std()),
        "drift_meV_per_ps": drift,
        "picoseconds_within_1_eV": float(picoseconds[end]) if len(outside) else None,
    }


def times(energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Picoseconds of the readings."""
    return np.arange(len(energies)) * STEP * EVERY * 1e-3


def table(numbers: Mapping[str, Mapping[str, float | None]]) -> str:
    """The numbers in Markdown."""
    lines = ["| potential | spread, meV | drift, meV/ps | within 1 eV for |", "| :-- | --: | --: | --: |"]
    for name, found in numbers.items():
        end = found["picoseconds_within_1_eV"]
        until = "all the time" if end is None else f"{end:.2f} ps"
        lines.append(f"| {name} | {found['std_meV']:.4g} | {found['drift_meV_per_ps']:.2g} | {until} |")
    return "\n".join(lines)


def figure(found: dict[str, NDArray[np.float64]]) -> Any:
    """Total energy against time."""

    def draw(canvas: Any) -> None:
        axes = canvas.subplots()
        for number, (name, energies) in enumerate(found.items()):
            style = {"linestyle": (0, (4, 3)), "color": colour("ink")} if name == BARE else {"color": f"C{number}"}
            axes.plot(times(energies), 1e3 * (energies - energies[0]), label=name, linewidth=1.1, **style)
        axes.set_yscale("symlog", linthresh=10)
        axes.set_ylim(-4 * LOST, 4 * LOST)
        axes.set_yticks(TICKS, [f"{each:+d}" if each else "0" for each in TICKS])
        axes.set_xlabel("time, ps")
        axes.set_ylabel("total energy − start, meV")
        axes.legend(loc="best")

    return drawn(draw)


def main() -> None:
    """Train what is missing, move ethanol, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("results/ethanol_md"))
    parser.add_argument("--picoseconds", type=float, default=2.0)
    parser.add_argument("--figure", type=Path, default=PICTURE)
    parser.add_argument("--json", type=Path, default=NUMBERS)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    session, steps = Session(data_dir=options.data_dir), round(options.picoseconds * 1e3 / STEP)
    found: dict[str, NDArray[np.float64]] = {}
    for name in POTENTIALS:
        directory = trained(name, options.runs, session)
        run = load_trained(directory, session)
        found[name] = through_ase(directory, start(run), steps, session)
        if not len(found) - 1:
            found[BARE] = bare(run, start(run), steps)
        print(name, numbers_of(found[name]), flush=True)
    save(figure(found), options.figure)
    numbers = {name: numbers_of(energies) for name, energies in found.items()}
    kept = {
        "picoseconds": options.picoseconds,
        "step_fs": STEP,
        "kelvin": KELVIN,
        "torch": torch.__version__,
        **numbers,
    }
    fill(options.page, {"md": table(numbers)})
    options.json.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
