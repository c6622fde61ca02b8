"""The tables of docs/explanation/findings-nbody.md: charged n-body with the time of a forward pass.

    python benchmarks/nbody_table.py                             the page, from committed records and times
    OMP_NUM_THREADS=1 python benchmarks/nbody_table.py --time    measures the times first, all models in one run

Errors are means over seeds, with the smallest and the largest. A time is the median over repeats of one forward pass of
100 clouds of five points without gradients, each model at the size that was trained and averaged as it is evaluated;
repeats are interleaved, so that what else the machine does falls on all alike.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import geoequiv as ge
from geoequiv import catalog
from geoequiv.records import Record, read
from marked import fill
from speed.models import PUBLIC

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/explanation/findings-nbody.md"
TIMES = ROOT / "benchmarks/results/speed/nbody_forward.json"
SIGNATURE = "pos: point, vel: vector, charge: scalar -> pos: point"
GRAPHS, NODES, REPEATS = 100, 5, 30


@dataclass(frozen=True)
class Row:
    """A row of the published table, and which of our records stand for it.

    Args:
        title: what it is called.
        store: folder of benchmarks/results.
        model, method: of the records.
        published: mean squared error and seconds of a forward pass (their GPU, 100 graphs); None where not published.
        options: of the model or of the training, which tell records of one model apart.
    """

    title: str
    store: str
    model: str
    method: str
    published: tuple[float, float] | None
    options: tuple[tuple[str, Any], ...] = ()

    def records(self, results: Path = ROOT / "benchmarks/results") -> list[Record]:
        """Those of the row, by seed."""
        found = [
            record
            for record in read(results / self.store / "records.jsonl").records
            if (record.model, record.method.name) == (self.model, self.method)
            and all(
                {**record.config["model"], **record.config["train"]}.get(key) == value for key, value in self.options
            )
        ]
        if not found:
            raise SystemExit(f"{self.store} has no records of {self.model}, {self.method}, {dict(self.options)}.")
        return sorted(found, key=lambda record: record.seed)


#: in the order of the published table (Satorras et al. 2021, Puny et al. 2022)
ROWS = (
    Row("Linear", "nbody_charged", "linear", "none", (0.0819, 0.0001)),
    Row("SE(3)-Transformer", "nbody_equivariant", "se3_transformer", "none", (0.0244, 0.1346)),
    Row("TFN", "nbody_equivariant", "tfn", "none", (0.0155, 0.0343)),
    Row("GNN", "nbody_charged", "gnn", "none", (0.0107, 0.0032)),
    Row("Radial Field", "nbody_charged", "radial_field", "none", (0.0104, 0.0039)),
    Row("EGNN", "nbody_charged", "egnn", "none", (0.0071, 0.0062)),
    Row("EGNN, lr 3e-3, averaged weights", "nbody_equivariant", "egnn", "none", None, (("ema", 0.99),)),
    Row("FA-GNN, frames of each layer", "nbody_charged", "fa_gnn", "none", (0.0057, 0.0041)),
    Row("FA-GNN, frames of the positions", "nbody_charged", "gnn", "frame_averaging", None),
)


def build(record: Record) -> nn.Module:
    """The model of a record, untrained, averaged over frames if the record's is; ready for evaluation."""
    options = dict(record.config["model"])
    torch.manual_seed(0)
    model: nn.Module = catalog.load("model", options.pop("name"))(SIGNATURE, **options)
    if record.method.name == "frame_averaging":
        symmetry = record.config["symmetry"]
        model = ge.FrameAveraging(model, SIGNATURE, group=symmetry["group"], frame=symmetry["frame"])
    return model.eval()


def times() -> dict[str, Any]:
    """Medians of seconds of a forward pass by row, the machine beside."""
    generator = torch.Generator().manual_seed(0)
    fields = {
        "pos": torch.randn(GRAPHS, NODES, 3, generator=generator),
        "vel": torch.randn(GRAPHS, NODES, 3, generator=generator),
        "charge": torch.randint(2, (GRAPHS, NODES, 1), generator=generator).float() * 2 - 1,
    }
    models = {row.title: build(row.records()[0]) for row in ROWS}
    seconds: dict[str, list[float]] = {title: [] for title in models}
    with torch.no_grad():
        for _ in range(2 + REPEATS):
            for title, model in models.items():
                start = time.perf_counter()
                model(**fields)
                seconds[title].append(time.perf_counter() - start)
    return {
        "command": "OMP_NUM_THREADS=1 python benchmarks/nbody_table.py --time",
        "machine": {"torch": torch.__version__, "threads": torch.get_num_threads(), "processor": platform.machine()},
        "load": os.getloadavg()[0],
        "graphs": GRAPHS, "nodes": NODES, "repeats": REPEATS,
        "seconds": {title: statistics.median(each[2:]) for title, each in seconds.items()},
    }  # fmt: skip


def error(value: float) -> str:
    return f"{value:.4f}".lstrip("0")


def table() -> str:
    """Ours beside the published numbers; times relative to the GNN's in the same column."""
    measured = json.loads(TIMES.read_text(encoding="utf-8"))["seconds"]
    lines = [
        "| model | MSE (smallest–largest) | seeds | published MSE | forward, 100 graphs | × GNN | published × GNN "
        "| public code × Transformer |",
        "| :-- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    unit, published_unit = measured["GNN"], {row.title: row.published for row in ROWS}["GNN"]
    assert published_unit is not None
    for row in ROWS:
        values = [record.numbers["metric"].value for record in row.records()]
        spread = f"{error(statistics.mean(values))} ({error(min(values))}–{error(max(values))})"
        published = (
            [error(row.published[0]), f"{row.published[1] / published_unit[1]:.2g}"] if row.published else ["–"] * 2
        )
        public = f"{PUBLIC[row.model][0]:g}" if row.model in PUBLIC else "–"
        seconds = measured[row.title]
        cells = [
            row.title, spread, str(len(values)), published[0], f"{1e3 * seconds:.2g} ms", f"{seconds / unit:.2g}",
            published[1], public,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def provenance() -> str:
    """What was run, and where the times are from."""
    records = [record for row in ROWS for record in row.records()]
    measured = json.loads(TIMES.read_text(encoding="utf-8"))
    seeds = ", ".join(map(str, sorted({record.seed for record in records})))
    commits = sorted({(record.environment.get("git_commit") or "?")[:10] for record in records})
    epochs = {row.title: row.records()[0].config["train"]["epochs"] for row in ROWS}
    lines = [
        f"{len(records)} runs, seeds {seeds}; commits {', '.join(commits)}.",
        "Epochs: " + ", ".join(f"{title} {count}" for title, count in epochs.items()) + ".",
        f"Times: `{measured['command']}`, torch {measured['machine']['torch']}, "
        f"{measured['machine']['threads']} thread, median of {measured['repeats']} interleaved repeats, "
        f"load {measured['load']:.1f}.",
    ]
    return "\n".join(f"- {line}" for line in lines)


PARTS: dict[str, Callable[[], str]] = {"provenance": provenance, "table": table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--time", action="store_true", help="measure the times first")
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    if arguments.time:
        TIMES.write_text(json.dumps(times(), indent=1) + "\n", encoding="utf-8")
    fill(arguments.page, {name: write() for name, write in PARTS.items()})
    print(f"Wrote {arguments.page}")


if __name__ == "__main__":
    main()
