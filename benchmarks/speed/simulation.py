"""Speed of the charged n-body simulation: the batched one against the published loop over trajectories.

    python benchmarks/speed/simulation.py [--loop 20] [--json FILE]

Prints machine, seconds for 3000 + 2000 + 2000 trajectories to frame 40, and the ratio per trajectory. The loop is the
naive twin that the tests compare with, run on the first trajectories of the same data; their results must be equal.
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np

from geoequiv.tasks.simulation.charged_system import INPUT_STEP, TARGET_STEP, advance, initial_states

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "tasks" / "simulation"))
from charged_loop import draw_in_loop, run_in_loop

SIZES = {"train": 3000, "val": 2000, "test": 2000}


def cpu() -> str:
    """Model name of the processor, as far as the platform tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loop", type=int, default=20, help="trajectories of the naive loop (default 20)")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()

    begun = time.perf_counter()
    start, _ = advance(initial_states(SIZES, seed=43), INPUT_STEP, "component")
    end, _ = advance(start, TARGET_STEP - INPUT_STEP, "component")
    batched = time.perf_counter() - begun

    stream = np.random.RandomState(43)
    drawn = [draw_in_loop(stream) for _ in range(arguments.loop)]
    begun = time.perf_counter()
    frames = [run_in_loop(*state) for state in drawn]
    loop = (time.perf_counter() - begun) / arguments.loop
    equal = all(
        np.array_equal(frame[30][0], start.pos[..., index]) and np.array_equal(frame[40][0], end.pos[..., index])
        for index, frame in enumerate(frames)
    )

    trajectories = sum(SIZES.values())
    result = {
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "threads": 1,
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "trajectories": trajectories,
        "batched_seconds": round(batched, 2),
        "batched_ms_per_trajectory": round(1e3 * batched / trajectories, 3),
        "loop_ms_per_trajectory": round(1e3 * loop, 2),
        "ratio": round(loop * trajectories / batched, 1),
        "bit_identical": equal,
    }
    for name, value in result.items():
        print(f"{name:>26}  {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    if not equal:
        sys.exit("The batched simulation and the loop differ.")


if __name__ == "__main__":
    main()
