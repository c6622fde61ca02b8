"""How time and memory grow with the number of points, for every model of the catalog: one cloud of 8 to 2048.

    OMP_NUM_THREADS=1 python benchmarks/speed/growth.py [--json FILE] [--plot FILE.svg] [--only NAME …]

One density, models at their default size. Message-passing models run twice: over all pairs, and over the neighbours
within a fixed radius (about 16 a node), whose list is made by `radius_graph` and counted in the time. Forward and
backward; time is the median processor time of one thread, memory what autograd keeps. A path ends where its next size
would take more than ``--patience`` seconds, or keep more than `MOST` bytes. `nequip` has a cutoff of its own: from 128
nodes on it searches for neighbours by itself.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import models
import torch
from torch import nn

from geoequiv import catalog
from geoequiv.errors import SignatureError
from geoequiv.measurements.cost import cost
from geoequiv.models import radius_graph

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
MOST = 2.5e9  # bytes


def path(model: nn.Module, nodes: int, sparse: bool, signature: str) -> tuple[Callable[[], None], float]:
    """A forward and backward pass over one cloud, and the bytes it keeps."""
    fields = models.clouds(1, nodes, sparse)
    if signature == models.ENERGY:
        del fields["vel"]

    def run() -> None:
        if sparse:
            fields["edge_index"] = radius_graph(fields["pos"], 2.0, fields["batch"])
        model.zero_grad(set_to_none=True)
        model(**fields).square().mean().backward()

    return run, cost(model, signature, fields, 1).saved_bytes


def grow(name: str, sparse: bool, repeats: int, patience: float) -> list[dict[str, Any]]:
    """Rows of one model."""
    rows: list[dict[str, Any]] = []
    for nodes in SIZES:
        torch.manual_seed(0)
        target, options = catalog.load("model", name), {"nodes": nodes} if name == "mlp" else {}
        try:
            model, signature = target(models.SIGNATURE, **options), models.SIGNATURE
        except SignatureError:
            model, signature = target(models.ENERGY, **options), models.ENERGY
        run, kept = path(model, nodes, sparse, signature)
        run()
        seconds = []
        for _ in range(repeats):
            start = time.process_time()
            run()
            seconds.append(time.process_time() - start)
            if seconds[-1] > patience / 4:
                break
        rows.append(
            {
                "model": name,
                "pairs": "neighbours" if sparse else "all" if name not in models.WHOLE else "whole cloud",
                "nodes": nodes,
                "seconds": statistics.median(seconds),
                "saved_bytes": kept,
            }
        )
        growth = 2 if sparse else 4  # of both with the next size, at most (neighbours: about)
        if rows[-1]["seconds"] * growth > patience or kept * growth > MOST:
            break
    return rows


def slope(rows: list[dict[str, Any]], key: str) -> float:
    """Exponent of growth over the last two doublings."""
    first, last = rows[max(len(rows) - 3, 0)], rows[-1]
    return math.log(last[key] / first[key]) / math.log(last["nodes"] / first["nodes"]) if first is not last else 0.0


def plot(rows: list[dict[str, Any]], file: str) -> None:
    """Time and memory against N on logarithmic axes."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "geoequiv"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(12, 5.5), layout="constrained")
    names = list(dict.fromkeys(row["model"] for row in rows))
    colours = dict(zip(names, pyplot.colormaps["tab20"].colors, strict=False))
    styles = {"neighbours": "-", "whole cloud": "-.", "all": ":"}
    for axis, key, label in ((axes[0], "seconds", "forward + backward, s"), (axes[1], "saved_bytes", "kept, bytes")):
        for name in names:
            for pairs, style in styles.items():
                line = [row for row in rows if (row["model"], row["pairs"]) == (name, pairs) and row[key] > 0]
                if line:
                    x, y = [row["nodes"] for row in line], [row[key] for row in line]
                    axis.loglog(x, y, style, color=colours[name], marker=".", label=f"{name}, {pairs}")
        axis.set(xlabel="points of a cloud", ylabel=label)
        axis.grid(True, which="major", alpha=0.3)
        axis.set_xticks(SIZES, [str(size) for size in SIZES])
        axis.minorticks_off()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--patience", type=float, default=4.0)
    parser.add_argument("--only", nargs="*", help="these models")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--plot", metavar="FILE.svg")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    print(f"{'model':<18}{'pairs':<13}{'largest N':>10}{'seconds':>10}{'kept MB':>9}   exponents of time, memory")
    for name in options.only or models.of_points():
        for sparse in (False, True) if name not in models.WHOLE else (False,):
            found = grow(name, sparse, options.repeats, options.patience)
            rows += found
            last = found[-1]
            print(
                f"{name:<18}{last['pairs']:<13}{last['nodes']:>10}{last['seconds']:>10.3f}"
                f"{last['saved_bytes'] / 1e6:>9.1f}   "
                f"{slope(found, 'seconds'):.2f}, {slope(found, 'saved_bytes'):.2f}",
                flush=True,
            )
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"torch": torch.__version__, "threads": 1, "rows": rows}, file, indent=1)
            file.write("\n")
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
