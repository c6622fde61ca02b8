"""Every model of the catalog at equal parameters: time, memory and operations, against a plain Transformer.

    OMP_NUM_THREADS=1 python benchmarks/speed/models.py [--json FILE] [--only NAME …] [--repeats 15]

Models are built for charged n-body (models of energies: positions and charges to energies) at their default depth, with
the width that brings them nearest to 145 000 parameters (those that are not between 135 000 and 155 000 then are listed
with what they have). Clouds of 5 and 32 nodes
have all pairs; among 512 nodes, message-passing models see neighbours (`radius_graph`, about 16 a node), attention and
pooling see all. Repeats are interleaved: each repeat runs every model once, so that what else the machine does falls on
all alike; medians of processor time of one thread. A training step is zero_grad, forward, mean squared error, backward
and Adam. Memory is what autograd keeps for the backward pass (unique storages, parameters not counted); operations are
those of `geoequiv.bench.cost`.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv import catalog
from geoequiv.bench.cost import cost
from geoequiv.errors import GeoequivError, SignatureError
from geoequiv.models import radius_graph

SIGNATURE = "pos: point, vel: vector, charge: scalar -> pos: point"
#: for models of energies, which have no velocities and move no points
ENERGY = "pos: point, charge: scalar -> energy: scalar"
SHAPES = ((100, 5), (64, 32), (8, 512))
LOW, AIM, HIGH = 135_000, 145_000, 155_000
#: models that see all nodes of a cloud whatever the edges (attention, pools, or nothing of the others)
WHOLE = {"deepsets", "gatr", "linear", "mlp", "transformer"}
#: two heads, because those of the default need widths that are multiples of 8, none of which matches
OPTIONS = {"se3_transformer": {"heads": 2}}
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
    """Median processor seconds of each, interleaved, after two rounds to warm up; slow ones are asked less often."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(-2, repeats):
        for name, run in runs.items():
            if repeat >= 3 and repeat % 3 and statistics.median(seconds[name]) > 0.5:
                continue
            start = time.process_time()
            run()
            if repeat >= 0:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def measure(names: list[str], batch: int, nodes: int, repeats: int) -> list[dict[str, Any]]:
    """Rows of one shape of batch."""
    models, fields, widths, signatures = {}, {}, {}, {}
    for name in names:
        try:
            signatures[name] = SIGNATURE
            models[name], widths[name] = matched(name, nodes, SIGNATURE)
        except SignatureError:
            signatures[name] = ENERGY
            models[name], widths[name] = matched(name, nodes, ENERGY)
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


def headline(rows: list[dict[str, Any]]) -> list[str]:
    """The seed's claim beside what was measured."""
    lines = []
    for row in rows:
        if row["model"] in CLAIMED:
            inference, training = CLAIMED[row["model"]]
            lines.append(
                f"Transformer against {row['model']} at {row['batch']} × {row['nodes']}, equal parameters: inference "
                f"{row['forward_ratio']:.1f}× (claimed {inference:g}×), training {row['step_ratio']:.1f}× "
                f"(claimed {training:g}×)"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="these models (and the Transformer)")
    parser.add_argument("--shapes", nargs="*", default=[f"{batch}x{nodes}" for batch, nodes in SHAPES])
    parser.add_argument("--json", metavar="FILE", help="write the measurements here as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = [
        name for name in catalog.names("model") if name == "transformer" or not options.only or name in options.only
    ]
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, {options.threads} thread(s)")
    rows: list[dict[str, Any]] = []
    for shape in options.shapes:
        batch, nodes = (int(each) for each in shape.split("x"))
        found = measure(names, batch, nodes, options.repeats)
        rows += found
        print(f"\nBatch {batch} × {nodes}\n{table(found)}", flush=True)
    print("\n" + "\n".join(headline(rows)))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(
                {
                    "torch": torch.__version__,
                    "threads": options.threads,
                    "repeats": options.repeats,
                    "claimed": CLAIMED,
                    "public": PUBLIC,
                    "rows": rows,
                },
                file,
                indent=1,
            )
            file.write("\n")


if __name__ == "__main__":
    main()
