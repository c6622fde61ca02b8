"""Every model of the catalog at equal parameters: time, memory and operations, against a plain Transformer.

    OMP_NUM_THREADS=1 python benchmarks/speed/models.py [--json FILE] [--only NAME …] [--repeats 15] [--records DIR …]

Models are built for charged n-body (models of energies: positions and charges to energies) at their default depth, with
the width that brings them nearest to 145 000 parameters (those that are not between 135 000 and 155 000 then are listed
with what they have). Clouds of 5 and 32 nodes
have all pairs; among 512 nodes, message-passing models see neighbours (`radius_graph`, about 16 a node), attention and
pooling see all. Repeats are interleaved: each repeat runs every model once, so that what else the machine does falls on
all alike; medians of processor time of one thread. A training step is zero_grad, forward, mean squared error, backward
and Adam. Memory is what autograd keeps for the backward pass (unique storages, parameters not counted); operations are
those of `geoequiv.measurements.cost`.

The seed's claim is read three ways: at equal parameters (those tables); at equal blocks (4 of width 64, the first
shape); and at equal accuracy: `--records` names folders of finished runs with their log.csv, from which come the
updates that a model needed to reach the best validation error of the transformer in the same task and protocol. They
are multiplied by the step measured here at the size and batch that were trained (seconds of training in the records are
of machines of other loads). Validation every few epochs makes these numbers of updates upper bounds.
"""

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv import catalog
from geoequiv.errors import GeoequivError, SignatureError
from geoequiv.measurements.cost import cost
from geoequiv.models import radius_graph
from geoequiv.records import Record, read
from geoequiv.records.logs import log_rows

SIGNATURE = "pos: point, vel: vector, charge: scalar -> pos: point"
#: for models of energies, which have no velocities and move no points
ENERGY = "pos: point, charge: scalar -> energy: scalar"
SHAPES = ((100, 5), (64, 32), (8, 512))
SLOW = 0.5  # seconds
LOW, AIM, HIGH = 135_000, 145_000, 155_000
#: models that see all nodes of a cloud whatever the edges (attention, pools, or nothing of the others)
WHOLE = {"deepsets", "gatr", "linear", "mlp", "transformer"}
#: two heads, because those of the default need widths that are multiples of 8, none of which matches
OPTIONS = {"se3_transformer": {"heads": 2}}
#: width and depth where blocks are equal
BLOCKS = (64, 4)
BLOCKED = {"egnn", "gatr", "se3_transformer", "segnn", "transformer"}
#: points of a cloud of the tasks whose runs are read
NODES = {"nbody/charged": 5, "nbody/gravity": 4}
Sizes = str | dict[str, dict[str, Any]]
#: seed's claim: how much slower than a Transformer GATr and the SE(3)-Transformer are (inference, training)
CLAIMED = {"gatr": (10.0, 2.5), "se3_transformer": (10.0, 2.5)}
#: the same run with public implementations, as far as it was measured (forward, training step)
PUBLIC = {
    "egnn": (1.8, 1.2),
    "gatr": (13.0, 10.0),
    "segnn": (15.0, 11.0),
    "tfn": (51.0, 30.0),
    "se3_transformer": (300.0, 180.0),
}


def clouds(batch: int, nodes: int, sparse: bool) -> dict[str, Tensor]:
    """Random charged particles at one density; ragged with neighbours if ``sparse``."""
    generator = torch.Generator().manual_seed(0)
    pos = torch.rand(batch, nodes, 3, generator=generator) * (nodes / 5) ** (1 / 3) * 2
    vel = torch.randn(batch, nodes, 3, generator=generator)
    charge = torch.randint(0, 2, (batch, nodes, 1), generator=generator) * 2.0 - 1.0
    fields = {"pos": pos, "vel": vel, "charge": charge}
    if not sparse:
        return fields
    index = torch.arange(batch).repeat_interleave(nodes)
    flat = {name: values.flatten(0, 1) for name, values in fields.items()}
    return {**flat, "batch": index, "edge_index": radius_graph(flat["pos"], 2.0, index)}


def parameters(model: nn.Module) -> int:
    return sum(each.numel() for each in model.parameters())


def of_points() -> list[str]:
    """The models of the catalog that read clouds of points, not pictures."""
    return [name for name in catalog.names("model") if reads(name, SIGNATURE) or reads(name, ENERGY)]


def reads(name: str, signature: str) -> bool:
    """Whether a model can be built for a signature."""
    try:
        catalog.load("model", name)(signature, **({"nodes": 5} if name == "mlp" else {}))
    except SignatureError:
        return False
    return True


def matched(name: str, nodes: int, signature: str) -> tuple[nn.Module, int]:
    """The model nearest to the aim, and its width: a multiple of 4, or of 8 where its heads want that."""
    for unit in (4, 8):
        try:
            return nearest(name, nodes, signature, unit)
        except GeoequivError:
            if unit == 8:
                raise
    raise AssertionError


def nearest(name: str, nodes: int, signature: str, unit: int) -> tuple[nn.Module, int]:
    """The model nearest to the aim among multiples of a unit of width."""
    target = catalog.load("model", name)
    options = {"nodes": nodes} if name == "mlp" else OPTIONS.get(name, {})
    built: dict[int, nn.Module] = {}

    def at(width: int) -> nn.Module:
        if width not in built:
            torch.manual_seed(0)
            built[width] = target(signature, width=width, **options)
        return built[width]

    low, high = 1, 256 // unit
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if parameters(at(unit * middle)) < AIM else (low, middle)
    near = [unit * each for each in (low - 1, low) if each > 0]
    width = min(near, key=lambda each: abs(parameters(at(each)) - AIM))
    return at(width), width


def forward(model: nn.Module, fields: dict[str, Tensor]) -> Callable[[], None]:
    def run() -> None:
        with torch.no_grad():
            model(**fields)

    return run


def step(model: nn.Module, fields: dict[str, Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        model(**fields).square().mean().backward()  # against zeros
        optimizer.step()

    return run


def medians(runs: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Median processor seconds of each, interleaved, after one or two rounds to warm up; slow ones are asked thrice."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    first: dict[str, float] = {}
    for repeat in range(-2, repeats):
        for name, run in runs.items():
            if first.get(name, 0.0) > SLOW and (repeat == -1 or repeat > 2):
                continue
            start = time.process_time()
            run()
            spent = time.process_time() - start
            first.setdefault(name, spent)
            if repeat >= 0:
                seconds[name].append(spent)
    return {name: statistics.median(values) for name, values in seconds.items()}


def sized(name: str, nodes: int, signature: str, sizes: Sizes) -> tuple[nn.Module, int]:
    """A model at the size asked for, and its width."""
    if sizes == "parameters":
        return matched(name, nodes, signature)
    torch.manual_seed(0)
    options = {"width": BLOCKS[0], "depth": BLOCKS[1], **OPTIONS.get(name, {})} if sizes == "blocks" else sizes[name]
    return catalog.load("model", name)(signature, **options), options["width"]


def measure(
    names: list[str], batch: int, nodes: int, repeats: int, sizes: Sizes = "parameters"
) -> list[dict[str, Any]]:
    """Rows of one shape of batch.

    Args:
        names: of models.
        batch: clouds.
        nodes: of a cloud.
        repeats: of which medians are taken.
        sizes: "parameters" (near the aim), "blocks" (equal width and depth), or the options of each.
    """
    models, fields, widths, signatures = {}, {}, {}, {}
    for name in names:
        try:
            signatures[name] = SIGNATURE
            models[name], widths[name] = sized(name, nodes, SIGNATURE, sizes)
        except SignatureError:
            signatures[name] = ENERGY
            models[name], widths[name] = sized(name, nodes, ENERGY, sizes)
        fields[name] = clouds(batch, nodes, nodes > 64 and name not in WHOLE)
        if signatures[name] == ENERGY:
            del fields[name]["vel"]
    counted = {name: cost(model, signatures[name], fields[name], batch) for name, model in models.items()}
    fast = medians({name: forward(model.eval(), fields[name]) for name, model in models.items()}, repeats)
    slow = medians({name: step(model.train(), fields[name]) for name, model in models.items()}, repeats)
    return [
        {
            "model": name,
            "signature": signatures[name],
            "batch": batch,
            "nodes": nodes,
            "pairs": "neighbours" if "edge_index" in fields[name] else "all",
            "width": widths[name],
            "params": counted[name].params,
            "matched": LOW <= counted[name].params <= HIGH,
            "forward_seconds": fast[name],
            "step_seconds": slow[name],
            "forward_ratio": fast[name] / fast["transformer"],
            "step_ratio": slow[name] / slow["transformer"],
            "forward_flops": counted[name].forward,
            "backward_flops": counted[name].backward,
            "saved_bytes": counted[name].saved_bytes,
        }
        for name in models
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """Rows of one shape as text."""
    lines = [
        f"{'model':<16}{'params':>8}{'width':>6}{'forward ms':>12}{'×':>7}{'step ms':>10}{'×':>7}"
        f"{'MFLOP':>9}{'+ back':>9}{'kept MB':>9}  per cloud   public × (forward / step)"
    ]
    for row in sorted(rows, key=lambda each: each["forward_seconds"]):
        public = PUBLIC.get(row["model"])
        lines.append(
            f"{row['model']:<16}{row['params']:>8}{row['width']:>6}{1e3 * row['forward_seconds']:>12.2f}"
            f"{row['forward_ratio']:>7.2f}{1e3 * row['step_seconds']:>10.2f}{row['step_ratio']:>7.2f}"
            f"{row['forward_flops'] / 1e6:>9.2f}{row['backward_flops'] / 1e6:>9.2f}{row['saved_bytes'] / 1e6:>9.2f}"
            f"{'' if row['matched'] else '  (parameters not matched)'}"
            f"{'  (energies)' if row['signature'] == ENERGY else ''}"
            f"{f'  {public[0]:g} / {public[1]:g}' if public and row['nodes'] == 5 else ''}"
        )
    return "\n".join(lines)


def headline(rows: list[dict[str, Any]], equal: str) -> list[str]:
    """The seed's claim beside what was measured, with the same ``equal``."""
    lines = []
    for row in rows:
        if row["model"] in CLAIMED:
            inference, training = CLAIMED[row["model"]]
            lines.append(
                f"Transformer against {row['model']} at {row['batch']} × {row['nodes']}, equal {equal}: inference "
                f"{row['forward_ratio']:.1f}× (claimed {inference:g}×), training {row['step_ratio']:.1f}× "
                f"(claimed {training:g}×)"
            )
    return lines


def trained(folders: list[str]) -> list[dict[str, Any]]:
    """Finished runs of models without a symmetrizer, and the epochs they took to the error of the transformer.

    Returns:
        A row a run: its first epoch at or below the best validation error of any transformer of the same protocol
        (None if never), with seed, model and options. Protocols without a transformer are left out.
    """
    runs = []
    for folder in map(Path, folders):
        for record in read(folder).records:
            log = log_rows(folder / record.run_id) if record.done else None
            if log is not None:
                curve = [(int(row["epoch"]), float(row["val_mse"])) for row in log if row.get("val_mse")]
                runs.append((record, curve))
    rows = []
    for protocol in dict.fromkeys(record.protocol for record, _ in runs):
        same = [(record, curve) for record, curve in runs if record.protocol == protocol]
        plain = [record for record, _ in same if record.model == "transformer"]
        aims = {record.method.label: record.value("validation/best") for record in plain}
        for symmetry in [each for each in ("none", "augmentation SO(3)", "augmentation O(3)") if each in aims]:
            for record, curve in same:
                if record.method.label == symmetry or record.method.family == "builtin":
                    reached = next((epoch for epoch, error in curve if error <= aims[symmetry]), None)
                    options = {key: value for key, value in record.config["model"].items() if key != "name"}
                    rows.append(
                        {
                            "protocol": protocol,
                            "reference": f"transformer, {symmetry}",
                            "aim": aims[symmetry],
                            "model": record.model,
                            "run": record.run_id,
                            "seed": record.seed,
                            "options": options,
                            "params": record.value("params"),
                            "batch": record.config["train"]["batch_size"],
                            "best": record.value("validation/best"),
                            "test": record.value("metric"),
                            "epoch": reached,
                            "epochs": record.config["train"]["epochs"],
                            "updates": None if reached is None else reached * updates(record),
                        }
                    )
    return rows


def updates(record: Record) -> int:
    """Updates of an epoch, from the training samples in the protocol's name (…/train-val-test/metric)."""
    samples = int((record.protocol or "").split("/")[-2].split("-")[0])
    return math.ceil(samples / record.config["train"]["batch_size"])


def accuracy(folders: list[str], repeats: int) -> list[dict[str, Any]]:
    """Rows of `trained`, with the seconds of a step and of all steps to the transformer's error."""
    rows = trained(folders)
    for protocol in dict.fromkeys(row["protocol"] for row in rows):
        same = [row for row in rows if row["protocol"] == protocol]
        sizes = {row["model"]: row["options"] for row in same}
        nodes = next(count for task, count in NODES.items() if protocol.startswith(task))
        cost = {row["model"]: row for row in measure(list(sizes), same[0]["batch"], nodes, repeats, sizes)}
        for row in same:
            row["step_seconds"] = cost[row["model"]]["step_seconds"]
            row["forward_seconds"] = cost[row["model"]]["forward_seconds"]
            row["seconds"] = None if row["updates"] is None else row["updates"] * row["step_seconds"]
    return rows


def compared(rows: list[dict[str, Any]]) -> str:
    """Rows of equal accuracy as text."""
    lines = []
    for protocol, reference in dict.fromkeys((row["protocol"], row["reference"]) for row in rows):
        same = [row for row in rows if (row["protocol"], row["reference"]) == (protocol, reference)]
        base = next(row for row in same if row["model"] == "transformer")
        lines += [
            f"\nEqual accuracy on {protocol}: validation error {base['aim']:.5f}, the best of {reference}",
            f"{'model':<17}{'params':>8}{'epochs to it':>13}{'updates':>9}{'step ms':>9}{'seconds':>9}{'×':>7}"
            f"{'inference ×':>13}{'best':>10}{'test':>10}",
        ]
        for row in same:
            step = f"{1e3 * row['step_seconds']:>9.2f}"
            never = f"not in {row['epochs']}"
            shown = f"{never:>13}{'':>9}{step}{'':>16}"
            if row["epoch"]:
                ratio = row["seconds"] / base["seconds"]
                shown = f"{row['epoch']:>13}{row['updates']:>9}{step}{row['seconds']:>9.1f}{ratio:>7.2f}"
            lines.append(
                f"{row['model']:<17}{row['params']:>8}{shown}{row['forward_seconds'] / base['forward_seconds']:>13.2f}"
                f"{row['best']:>10.5f}{row['test']:>10.5f}"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="these models (and the Transformer)")
    parser.add_argument("--shapes", nargs="*", default=[f"{batch}x{nodes}" for batch, nodes in SHAPES])
    parser.add_argument("--records", nargs="*", default=[], help="folders of runs, for equal accuracy")
    parser.add_argument("--no-blocks", action="store_true", help="leave out equal blocks")
    parser.add_argument("--json", metavar="FILE", help="write the measurements here as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = [name for name in of_points() if name == "transformer" or not options.only or name in options.only]
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, {options.threads} thread(s)")
    kept: dict[str, Any] = {
        "torch": torch.__version__,
        "threads": options.threads,
        "repeats": options.repeats,
        "load": {},
        "claimed": CLAIMED,
        "public": PUBLIC,
        "rows": [],
        "blocks": [],
        "accuracy": [],
    }

    def keep(part: str, found: list[dict[str, Any]], text: str) -> None:
        kept[part] += found
        kept["load"][text.strip().split("\n")[0]] = os.getloadavg()[1]
        print(f"{text}\n(load {os.getloadavg()[1]:.1f})", flush=True)
        if options.json:
            Path(options.json).write_text(json.dumps(kept, indent=1) + "\n")

    shapes = [tuple(int(each) for each in shape.split("x")) for shape in options.shapes]
    if shapes and not options.no_blocks:
        found = measure([name for name in names if name in BLOCKED], *shapes[0], options.repeats, "blocks")
        batch, nodes = shapes[0]
        keep("blocks", found, f"\nEqual blocks, {BLOCKS[1]} of width {BLOCKS[0]}, {batch} × {nodes}\n{table(found)}")
    if options.records:
        found = accuracy(options.records, options.repeats)
        keep("accuracy", found, compared(found))
    for batch, nodes in shapes:
        found = measure(names, batch, nodes, options.repeats)
        keep("rows", found, f"\nBatch {batch} × {nodes}\n{table(found)}")
    print("\n" + "\n".join(headline(kept["blocks"], "blocks") + headline(kept["rows"], "parameters")))


if __name__ == "__main__":
    main()
