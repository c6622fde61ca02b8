"""Signals at random points of a suite: is the exit status right, and does it resume bit for bit?

    python benchmarks/interruptions.py [--draws 200] [--seed 0] [--folder /tmp/interruptions] [--json FILE]

A suite of two trainings is run whole, once. Then, draw by draw, it is started with one or two jobs, and sent SIGINT,
SIGTERM, SIGHUP or SIGUSR1 at a uniformly random moment of the time that it takes; where there are workers, half of the
draws send it to every process of the group, as a scheduler and a terminal do. Afterwards it is resumed. Right is:

- the status is 128 + signal, or the signal itself where it came before the program could handle it (a shell says 128 +
  signal of that, too), or 0 where it came so late that the suite had finished;
- nothing is recorded as failed;
- the resumed records have the numbers of the whole run, and log.csv is equal byte by byte.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
ROOT = Path(__file__).parents[1]
SUITE = """\
name: cut
task: {name: nbody/charged, train: 32, val: 8, test: 8}
train: {epochs: 4, batch_size: 8, checkpoint_seconds: 0}
evaluate: {num_items: 4, num_samples: 2, batch_size: 8, repeats: 1}
seeds: [0, 1]
entries: [{model: "slow_model:Slow"}]
"""
MODEL = """\
import time
from geoequiv.models.linear import Linear

class Slow(Linear):
    def forward(self, **fields):
        time.sleep(0.02)
        return super().forward(**fields)
"""


@dataclass(frozen=True)
class Draw:
    """One interruption: at a fraction of the time that the suite takes."""

    number: int
    signum: signal.Signals
    jobs: int
    whole_group: bool
    fraction: float


def draws(count: int, seed: int) -> Iterator[Draw]:
    """Random interruptions."""
    drawn = random.Random(seed)
    for number in range(count):
        jobs = drawn.choice((1, 2))
        yield Draw(number, drawn.choice(SIGNALS), jobs, jobs > 1 and drawn.random() < 0.5, drawn.random())


class Suite:
    """A small suite in a folder, run in processes of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "suite.yaml").write_text(SUITE)
        (folder / "slow_model.py").write_text(MODEL)
        before = time.monotonic()
        self.run("whole", 1)
        self.seconds = time.monotonic() - before
        self.expected = self.results("whole")

    def start(self, output: str, jobs: int, *options: str) -> subprocess.Popen[str]:
        """Start the suite, in a process group of its own."""
        command = [sys.executable, "-m", "geoequiv", "run", "suite.yaml", "--output", output, "--jobs", str(jobs)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GEOEQUIV_DATA": "data", "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [*command, *options], cwd=self.folder, env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, output: str, jobs: int, *options: str) -> None:
        """Run the suite to its end."""
        process = self.start(output, jobs, *options)
        text, _ = process.communicate()
        assert process.returncode == 0, text

    def results(self, output: str) -> dict[str, object]:
        """Run id → status, numbers but for times, and the log."""
        found = {}
        for path in sorted((self.folder / output).glob("*/record.json")):
            record, log = json.loads(path.read_text()), path.with_name("log.csv")
            numbers = {key: each for key, each in record["numbers"].items() if not key.startswith("seconds")}
            found[path.parent.name] = (record["status"], numbers, log.read_bytes() if log.exists() else b"")
        return found

    def interrupted(self, draw: Draw) -> str:
        """What went wrong with one interruption; "" if nothing did."""
        output = f"cut-{draw.number}"
        process = self.start(output, draw.jobs)
        time.sleep(draw.fraction * self.seconds)
        send = os.killpg if draw.whole_group else os.kill
        if process.poll() is None:
            send(process.pid, draw.signum)
        try:
            text, _ = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return "it hangs"
        status, results = process.returncode, self.results(output)
        if status == 0 and results != self.expected:
            return f"status 0, and the suite is not finished:\n{text}"
        if status not in (0, 128 + draw.signum, -draw.signum):
            return f"status {status}:\n{text}"
        if any(result != self.expected[run] for run, result in results.items()):
            return f"a record is wrong or failed:\n{text}"
        if "Traceback" in text and status != -draw.signum:
            return f"a traceback:\n{text}"
        self.run(output, draw.jobs, "--resume")
        if self.results(output) != self.expected:
            return "the resumed suite has other numbers"
        shutil.rmtree(self.folder / output)
        return ""


def main() -> None:
    """Run the draws and say what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/interruptions"))
    parser.add_argument("--json", type=Path, help="where to write the counts")
    options = parser.parse_args()
    suite, wrong, counts = Suite(options.folder), [], Counter[str]()
    for draw in draws(options.draws, options.seed):
        problem = suite.interrupted(draw)
        counts[draw.signum.name] += 1
        if problem:
            wrong.append(draw)
            print(f"{draw}: {problem}", flush=True)
    print(f"{len(wrong)} of {options.draws} went wrong ({dict(counts)}; {suite.seconds:.1f} s a suite).")
    if options.json:
        found = {
            "draws": options.draws,
            "seed": options.seed,
            "wrong": len(wrong),
            "signals": dict(sorted(counts.items())),
        }
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
