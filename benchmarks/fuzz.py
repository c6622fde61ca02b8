"""Two thousand malformed inputs, seeded: is each refused with a clear error, or read?

    python benchmarks/fuzz.py [--inputs 2000] [--seed 0] [--only KIND …] [--json FILE] [--page FILE]

Prints kind × outcome and every finding. Outcomes:

    error      refused with a GeoequivError, or by the parser of the command line
    accepted   read, with nothing lost that its format can tell
    traceback  anything else is raised, or the process crashes
    hang       no answer within 10 s
    silent     accepted with other values than the seed's, where the format could tell (see `fuzz_kinds`)

The exit status is 1 if there is one of the last three.
"""

import argparse
import json
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fuzz_kinds import KINDS, Kind
from geoequiv.errors import GeoequivError
from marked import fill

OUTCOMES = ("error", "accepted", "traceback", "hang", "silent")
SECONDS = 10
#: of address space that reading an input may take beyond what the process has
MEMORY = 4 * 2**30


class Hang(BaseException):
    """No answer in time; no `except Exception` takes it."""


def main() -> None:
    """Damage, read, judge; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", metavar="KIND", choices=[kind.name for kind in KINDS])
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--page", type=Path, help="write the table between its marks in this page")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS if not options.only or kind.name in options.only]
    counts, findings = fuzz(kinds, options.inputs, options.seed)
    print(table(counts))
    for finding in findings:
        print(f"\n{finding['kind']}, input {finding['number']}, {finding['mutation']}: {finding['outcome']}")
        print(f"  {finding['told']}\n  {finding['input']}")
    if options.page:
        fill(options.page, {"fuzz": table(counts)})
    if options.json:
        content = {"seed": options.seed, "inputs": sum(sum(each.values()) for each in counts.values())}
        content |= {"outcomes": {name: {each: row[each] for each in OUTCOMES} for name, row in counts.items()}}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if findings else 0)


def fuzz(kinds: Sequence[Kind], inputs: int, seed: int) -> tuple[dict[str, Counter[str]], list[dict[str, Any]]]:
    """Counts by kind and outcome, and the findings: what is neither refused nor read."""
    total = sum(kind.share for kind in kinds)
    counts: dict[str, Counter[str]] = {}
    findings = []
    for kind in kinds:
        number = -(-inputs * kind.share // total)
        counts[kind.name] = Counter()
        for index, mutation, damaged, outcome, told in judged(kind, number, seed):
            counts[kind.name][outcome] += 1
            if outcome in OUTCOMES[2:]:
                findings.append(
                    {"kind": kind.name, "number": index, "mutation": mutation, "outcome": outcome, "told": told[-600:],
                     "input": repr(damaged)[:600]}
                )  # fmt: skip
    return counts, findings


def judged(kind: Kind, number: int, seed: int) -> Iterator[tuple[int, str, Any, str, str]]:
    """Its number, the mutation, the input, the outcome and what was said, for each input of a kind."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seed_input = kind.seed(folder)
        whole = kind.read(seed_input, folder) if kind.silent.__name__ in ("differs", "altered", "miscounted") else None
        for index in range(number):
            rng = random.Random(f"{kind.name} {seed} {index}")
            mutation, damaged = kind.damage(seed_input, rng)
            if damaged == seed_input:
                continue
            outcome, told = outcome_of(kind, damaged, folder, whole, mutation)
            yield index, mutation, damaged, outcome, told


def outcome_of(kind: Kind, damaged: Any, folder: Path, whole: Any, mutation: str) -> tuple[str, str]:
    """Read one input: the outcome, and what was said."""
    former = signal.signal(signal.SIGALRM, _hang)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = kind.read(damaged, folder)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Hang:
        return "hang", "".join(traceback.format_exc().splitlines(keepends=True)[-12:])
    except GeoequivError as error:
        told = str(error)
        return ("error", told) if told.strip() else ("traceback", "an error without a message")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return "traceback", "".join(traceback.format_exc().splitlines(keepends=True)[-8:])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    why = kind.silent(value, whole, mutation)
    return ("silent", why) if why else ("accepted", "")


def _hang(signum: int, frame: Any) -> None:
    raise Hang


def limit_memory() -> None:
    """Let an input that asks for too much memory fail here, and not the machine."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def table(counts: dict[str, Counter[str]]) -> str:
    """Kind × outcome, in Markdown."""
    lines = [f"| kind | inputs | {' | '.join(OUTCOMES)} |", "|---|---:|" + "---:|" * len(OUTCOMES)]
    total: Counter[str] = Counter()
    for name, row in [*counts.items(), ("all", total)]:
        if row is not total:
            total.update(row)
        lines.append(f"| {name} | {sum(row.values())} | {' | '.join(str(row[each]) for each in OUTCOMES)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    limit_memory()
    main()
