"""Cost of leaderboards against the number of runs: CPU seconds and peak memory of every format, and of all at once.

    OMP_NUM_THREADS=1 python benchmarks/speed/boards.py [--runs N …] [--seeds 1] [--formats html …] [--json FILE]

A results folder of N run directories is made from the committed records of nbody/charged: their models and methods in
turn, each with settings, numbers, seed and run id of its own. With `--seeds 1` every run is a row, which is the largest
page. `geoequiv leaderboard` then runs in a process of its own for each format, and once for all of them; seconds are
the user and system time of that process and memory its largest resident set, both as the operating system counts them.
"lookup" is `Store.state` of N runs that are in the folder under ids of an earlier version.
Bounds at 10 000 runs, for all formats together: 15 CPU seconds and 400 MB.
"""

import argparse
import hashlib
import json
import math
import os
import platform
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "benchmarks" / "results" / "nbody_charged" / "records.jsonl"
FORMATS = ("html", "md", "csv", "json", "svg")
BOUND_SECONDS, BOUND_MEGABYTES = 15.0, 400.0
SPREAD = 0.6  # of the logarithm of a number: the boards' plots are full, and no two rows are equal

#: looks up N runs whose ids are not the names of their directories
LOOKUP = """
import sys
from pathlib import Path
from geoequiv.bench.spec import RunSpec
from geoequiv.records.store import Store
import json
root = Path(sys.argv[1])
store = Store(root)
for record in sorted(root.glob("*/record.json")):
    run = RunSpec.of("suite", json.loads(record.read_text())["config"])
    assert run.run_id != record.parent.name and store.state(run) == "finished"
"""


def make(folder: Path, runs: int, seeds: int) -> None:
    """Write a results folder of this many run directories, `seeds` of them a row."""
    templates = [json.loads(line) for line in RECORDS.read_text(encoding="utf-8").splitlines()]
    templates = [each for each in templates if each["status"] == "finished"]
    for index in range(runs):
        record = _varied(templates[index // seeds % len(templates)], index // seeds, index % seeds)
        directory = folder / record["run_id"]
        directory.mkdir(parents=True)
        (directory / "record.json").write_text(
            json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )


def _varied(template: dict[str, Any], row: int, seed: int) -> dict[str, Any]:
    """A record with numbers and settings of its own."""
    draw = random.Random(f"{row}/{seed}")
    of_row = random.Random(row)
    scale = math.exp(of_row.gauss(0.0, SPREAD) + 0.05 * draw.gauss(0.0, 1.0))
    config = {**template["config"], "seed": seed}
    config["train"] = {**config["train"], "lr": float(f"{10 ** of_row.uniform(-4, -2):.6g}"), "warmup_epochs": row}
    numbers = {
        key: {**number, "value": _scaled(key, number["value"], scale)} for key, number in template["numbers"].items()
    }
    numbers["lr"] = {"value": config["train"]["lr"]}
    run_id = hashlib.sha256(f"{row}/{seed}".encode()).hexdigest()[:12]
    return {**template, "run_id": run_id, "seed": seed, "config": config, "numbers": numbers}


def _scaled(key: str, value: float, scale: float) -> float:
    return value if isinstance(value, int) or key.startswith(("params", "epochs")) else value * scale


def measured(command: list[str]) -> tuple[float, float]:
    """CPU seconds and peak megabytes of a process.

    Raises:
        SystemExit: it failed.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\nended with exit status {process.returncode}.")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measure(runs: int, seeds: int, formats: list[str]) -> dict[str, dict[str, float]]:
    """What every format of a folder of this many runs costs, and the size of the file."""
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "runs"
        make(folder, runs, seeds)
        for name in formats:
            if name == "lookup":
                command = [sys.executable, "-c", LOOKUP, str(folder)]
                files = []
            else:
                several = FORMATS if name == "all" else (name,)
                options = [part for form in several for part in ("--format", form)]
                command = [sys.executable, "-m", "geoequiv", "leaderboard", str(folder), *options]
                files = [folder / f"leaderboard.{form}" for form in several]
            seconds, megabytes = measured(command)
            size = sum(file.stat().st_size for file in files) / 1e6
            found[name] = {
                "seconds": round(seconds, 2),
                "megabytes": round(megabytes, 1),
                "file_megabytes": round(size, 2),
            }
            print(f"{runs:>6} runs  {name:<7}{seconds:8.2f} s {megabytes:8.1f} MB   file {size:7.2f} MB", flush=True)
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--seeds", type=int, default=1, help="runs that are one row")
    parser.add_argument(
        "--formats", nargs="+", default=[*FORMATS, "all", "lookup"], choices=(*FORMATS, "all", "lookup")
    )
    parser.add_argument("--json", type=Path, help="where the numbers go")
    options = parser.parse_args()
    found = {str(runs): measure(runs, options.seeds, options.formats) for runs in options.runs}
    last = found[str(options.runs[-1])].get("all")
    if last and options.runs[-1] == 10_000:
        kept = last["seconds"] <= BOUND_SECONDS and last["megabytes"] <= BOUND_MEGABYTES
        print(
            f"bound of {BOUND_SECONDS:g} s and {BOUND_MEGABYTES:g} MB for all formats: {'kept' if kept else 'NOT KEPT'}"
        )
    if options.json:
        about = {"seeds": options.seeds, "python": platform.python_version(), "machine": platform.platform()}
        options.json.write_text(json.dumps({**about, "runs": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
