"""Speed of forward kinematics: all frames at once against a loop over frames and joints.

    python benchmarks/speed/kinematics.py [--data-dir DIR] [--repeats 15] [--json FILE]

With DIR/mocap/cmu_35 (35.asf, 35_NN.amc): its first trial, and all its trials one after the other as one motion.
Without, motions of a skeleton with the same tree drawn at random. The loop is the naive twin that the
tests compare with; results must agree to 1e-10. Seconds are of the process, on one thread; the two alternate, and the
median of the ratios is printed. Bound: at least 50. Then: seconds of building the tasks from their files, and of
simulating mocap-gait/walk.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from geoequiv import catalog
from geoequiv.errors import GeoequivError
from geoequiv.tasks.data.asf_amc import read_amc, read_asf
from geoequiv.tasks.data.skeleton import Array, Skeleton, forward_kinematics

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "tasks" / "data"))
from kinematics_loop import place_in_loop

BOUND = 50.0
CALLS = 10  # of the fast form in a round
TOLERANCE = 1e-10


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def recorded(folder: Path) -> tuple[Skeleton, dict[str, dict[str, Array]]]:
    """Skeleton and trials of subject 35."""
    skeleton = read_asf(folder / "35.asf")
    return skeleton, {path.stem: read_amc(path, skeleton) for path in sorted(folder.glob("35_*.amc"))}


def drawn() -> tuple[Skeleton, dict[str, dict[str, Array]]]:
    """A skeleton with the tree and the channels of CMU's, at random."""
    from geoequiv.tasks.simulation.gait import NAMES, PARENTS

    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(31, 3, 3)))[0]
    axes *= np.linalg.det(axes)[:, None, None]
    dofs = (("tx", "ty", "tz", "rx", "ry", "rz"), *((("rx", "ry", "rz"),) * 30))
    skeleton = Skeleton(NAMES, PARENTS, rng.normal(size=(31, 3)), axes, dofs, np.zeros(3))
    trials = {
        f"drawn_{k:02d}": {
            name: rng.normal(size=(358 if k == 0 else 397, len(dof))) for name, dof in zip(NAMES, dofs, strict=True)
        }
        for k in range(20)
    }
    return skeleton, trials


def compared(skeleton: Skeleton, motion: dict[str, Array], repeats: int) -> dict[str, float]:
    error = float(np.abs(forward_kinematics(skeleton, motion) - place_in_loop(skeleton, motion)).max())

    def at_once() -> None:
        for _ in range(CALLS):
            forward_kinematics(skeleton, motion)

    rounds = [(seconds(lambda: place_in_loop(skeleton, motion)), seconds(at_once) / CALLS) for _ in range(repeats)]
    return {
        "frames": len(next(iter(motion.values()))),
        "loop_seconds": statistics.median(loop for loop, _ in rounds),
        "seconds": statistics.median(fast for _, fast in rounds),
        "ratio": statistics.median(loop / fast for loop, fast in rounds),
        "largest_difference": error,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("GEOEQUIV_DATA"), help="as for the tasks")
    parser.add_argument(
        "--repeats", type=int, default=15, help="rounds on one trial; a fifth of it on all (default 15)"
    )
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(options.data_dir) / "mocap" / "cmu_35" if options.data_dir else None
    real = folder is not None and (folder / "35.asf").is_file()
    skeleton, trials = recorded(folder) if real else drawn()
    first = next(iter(trials.values()))
    together = {name: np.concatenate([motion[name] for motion in trials.values()]) for name in first}
    result = {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "motion": "CMU subject 35" if real else "drawn at random",
        "one trial": compared(skeleton, first, options.repeats),
        f"{len(trials)} trials": compared(skeleton, together, max(options.repeats // 5, 1)),
        "build": {},
    }
    with tempfile.TemporaryDirectory() as empty:
        folders = {"mocap-gait/walk": empty}  # simulated anew
        for name in ("mocap/walk", "mocap/run", "mocap-gait/walk") if real else ("mocap-gait/walk",):
            catalog.load("task", name)  # imports are not part of it
            try:
                begun = time.perf_counter(), time.process_time()
                catalog.task(name, data_dir=folders.get(name, options.data_dir))
                taken = time.perf_counter() - begun[0], time.process_time() - begun[1]
                result["build"][name] = dict(zip(("seconds", "of_the_process"), taken, strict=True))
            except GeoequivError as error:
                print(f"{name}: {error}", file=sys.stderr)
    for row in ("one trial", f"{len(trials)} trials"):
        told = result[row]
        print(
            f"{row:>10}  {told['frames']:5d} frames  loop {1e3 * told['loop_seconds']:8.1f} ms  all at once "
            f"{1e3 * told['seconds']:7.2f} ms  ratio {told['ratio']:.0f} (at least {BOUND:.0f})"
        )
    for name, taken in result["build"].items():
        print(f"{name} built in {taken['seconds']:.2f} s, {taken['of_the_process']:.2f} s of them its own (at most 3)")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if any(result[row]["largest_difference"] > TOLERANCE for row in ("one trial", f"{len(trials)} trials")):
        sys.exit("The loop and all frames at once differ.")


if __name__ == "__main__":
    main()
