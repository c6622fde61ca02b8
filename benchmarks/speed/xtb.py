"""Speed of the surrogate of MD17 against the bare loop of ASE's Langevin dynamics with tblite.

    OMP_NUM_THREADS=1 python benchmarks/speed/xtb.py [--molecules ethanol aspirin] [--repeats 20] [--json FILE]

Ours is a chunk of 100 steps as `geoequiv data make md17-xtb` does it (there chunks have 1000): fresh calculator, no
drift and no rotation, frames, energies, forces and temperatures recorded, progress bar, file written. The bare loop is
`Langevin(...).run(100)` on the same atoms, with nothing recorded. Both start from the same state, in turn, so that what
else the machine does falls on both alike; processor time of one thread, median of the ratios of pairs. The bound is the
issue's: within 10 %.
"""

import argparse
import io
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from geoequiv.tasks.simulation import xtb_simulation as xtb
from geoequiv.tasks.simulation.xtb_processes import shown_on

BOUND = 1.10


def bare(ase: Any, state: dict[str, Any], numbers: Any, steps: int) -> float:
    """Processor seconds of the loop that anybody would write."""
    atoms = ase.Atoms(numbers=numbers, positions=state["positions"], momenta=state["momenta"])
    begun = time.process_time()
    atoms.calc = ase.calculator()
    fs = ase.units.fs
    ase.Langevin(
        atoms, xtb.STEP * fs, temperature_K=xtb.TEMPERATURE, friction=xtb.FRICTION / fs, fixcm=False,
        rng=np.random.default_rng(0),
    ).run(steps)  # fmt: skip
    return time.process_time() - begun


def ours(ase: Any, atoms: Any, rng: np.random.Generator, steps: int, folder: Path, bar: Any) -> float:
    """Processor seconds of a chunk; the atoms move on."""
    plan = xtb.Plan("ethanol", steps, equilibration=0)
    begun = time.process_time()
    chunk = xtb.advance(ase, atoms, rng, steps, 0, steps, shown_on(bar, plan))
    xtb.write_arrays(folder / "chunk.npz", chunk | xtb.state_of(atoms, rng))
    return time.process_time() - begun


def compare(molecule: str, repeats: int, steps: int) -> dict[str, Any]:
    """Both, in turn."""
    ase = xtb.backend()
    numbers, start = xtb.starting_geometry(molecule)
    atoms, rng = ase.Atoms(numbers=numbers, positions=start), np.random.default_rng(0)
    xtb.warm_start(ase, atoms, rng)
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        xtb.advance(ase, atoms, rng, 500)  # leave the minimum
        for repeat in range(repeats):
            state = {"positions": atoms.positions.copy(), "momenta": atoms.get_momenta()}
            bar = tqdm(total=steps, file=io.StringIO())
            for name in ("bare", "ours") if repeat % 2 else ("ours", "bare"):
                if name == "bare":
                    times["bare"].append(bare(ase, state, numbers, steps))
                else:
                    times["ours"].append(ours(ase, atoms, rng, steps, Path(folder), bar))
    middle = {name: statistics.median(each) for name, each in times.items()}
    ratios = [a / b for a, b in zip(times["ours"], times["bare"], strict=True)]
    ratio = statistics.median(ratios)
    return {
        "molecule": molecule,
        "atoms": len(numbers),
        "steps": steps,
        "repeats": repeats,
        "bare_ms_per_step": 1e3 * middle["bare"] / steps,
        "ours_ms_per_step": 1e3 * middle["ours"] / steps,
        "ratio": ratio,
        "ratios": ratios,
        "bound": BOUND,
        "holds": ratio <= BOUND,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", nargs="+", default=["ethanol", "aspirin"])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "threads": 1,
        "python": platform.python_version(),
        **xtb.versions(),
        "rows": [],
    }
    print(f"{'molecule':<15}{'bare, ms/step':>15}{'ours, ms/step':>15}{'ratio':>8}  at most {BOUND}")
    for molecule in arguments.molecules:
        row = compare(molecule, arguments.repeats, arguments.steps)
        result["rows"].append(row)
        print(
            f"{molecule:<15}{row['bare_ms_per_step']:>15.3f}{row['ours_ms_per_step']:>15.3f}{row['ratio']:>8.3f}  "
            f"{'holds' if row['holds'] else 'does not hold'}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    if not all(row["holds"] for row in result["rows"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
