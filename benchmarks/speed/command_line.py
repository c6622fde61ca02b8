"""Time of the commands that answer at once, beside `python -c "import torch"`.

    python benchmarks/speed/command_line.py [--rounds 9]

Each command is a process of its own, run in turn with the import, A B A B …; the table has the median of its seconds
of processor time (user and system), and the median of the ratios to the import that follows.

Measured on two cores, shared with other work, with Python 3.11 and `import torch` at 1.6 s: --help .04 of it, list .05
(groups, protocols) to .18 (models), completion .10 to .12, --dry-run .20 for 15 runs and .24 for 93.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

COMMANDS = {
    "geoequiv --help": ["--help"],
    "geoequiv run --help": ["run", "--help"],
    **{
        f"geoequiv list {what}": ["list", what]
        for what in ("models", "tasks", "methods", "frames", "measurements", "groups", "protocols", "train", "align")
    },
    "geoequiv run configs/quickstart.yaml --dry-run": ["run", "configs/quickstart.yaml", "--dry-run"],
    "geoequiv run configs/mocap.yaml --dry-run": ["run", "configs/mocap.yaml", "--dry-run"],
}
ROOT = Path(__file__).parents[2]


def seconds(command: list[str], environment: dict[str, str]) -> float:
    """Processor time of a process."""
    before = os.times()
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def completion(line: str) -> dict[str, str]:
    """The environment in which a shell asks for completion of a line."""
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": os.devnull}
    return {**asked, "COMP_LINE": line, "COMP_POINT": str(len(line))}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    timed = [(name, ["-m", "geoequiv", *arguments], {}) for name, arguments in COMMANDS.items()]
    lines = ("geoequiv list models eg", "geoequiv data make nbody/charged tr")
    timed += [(f"completion of {line} TAB", ["-m", "geoequiv"], completion(line)) for line in lines]
    print("| command | seconds | of `import torch` |\n|---|---|---|")
    imports = []
    installed = {**os.environ, "PYTHONPATH": str(ROOT)}
    installed.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode beside it
    torch = ["-c", "import torch"]
    seconds(torch, installed)
    for name, command, asked in timed:
        seconds(command, {**installed, **asked})  # not counted: files come into the cache
        pairs = [(seconds(command, {**installed, **asked}), seconds(torch, installed)) for _ in range(rounds)]
        imports += [other for _, other in pairs]
        own, ratio = (statistics.median(each) for each in zip(*((a, a / b) for a, b in pairs), strict=True))
        print(f"| `{name}` | {own:.2f} | {ratio:.2f} |", flush=True)
    print(f"\n`import torch`: {statistics.median(imports):.2f} s")


if __name__ == "__main__":
    main()
