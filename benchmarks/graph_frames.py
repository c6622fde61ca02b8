"""Sorting frames on symmetric graphs: automorphisms, exactness, separation and cost.

    python benchmarks/graph_frames.py [--markdown docs/explanation/choosing-a-frame.md]

A random perceptron on the flattened adjacency, with outputs on nodes, on pairs and on the graph, is averaged over the
frame of each graph and meets relabelled copies. The baseline is one order of the nodes after colour refinement, with
ties broken by their numbers. ``--markdown`` writes the table between ``<!-- graphs -->`` and ``<!-- /graphs -->``.
"""

import argparse
import itertools
import time
from pathlib import Path

import torch
from torch import Tensor, nn

import geoequiv as ge
from geoequiv.fields import Layout, Side
from geoequiv.symmetrize import SortingFrame

SIGNATURE = "adj: adjacency -> y: node, z: adjacency, energy: scalar"
BEGIN, END = "<!-- graphs -->", "<!-- /graphs -->"


def graph(n: int, edges: list[tuple[int, int]]) -> Tensor:
    adjacency = torch.zeros(n, n, dtype=torch.float64)
    for i, j in edges:
        adjacency[i, j] = adjacency[j, i] = 1
    return adjacency


def torus(steps: list[tuple[int, int]]) -> Tensor:
    places = itertools.product(range(4), repeat=2)
    return graph(16, [(4 * a + b, 4 * ((a + x) % 4) + (b + y) % 4) for a, b in places for x, y in steps])


def fuerer(n: int, twisted: bool) -> Tensor:
    """The Cai-Fürer-Immerman graph of K_n, or its twisted form."""
    base = list(itertools.combinations(range(n), 2))
    ends = {v: [edge for edge in base if v in edge] for v in range(n)}
    even = {v: [s for k in range(0, n, 2) for s in itertools.combinations(ends[v], k)] for v in range(n)}
    nodes: list[tuple] = [(v, s) for v in range(n) for s in even[v]]
    nodes += [(v, edge, b) for v in range(n) for edge in ends[v] for b in (0, 1)]
    number = {node: k for k, node in enumerate(nodes)}
    edges = [(number[v, s], number[v, edge, int(edge in s)]) for v in range(n) for s in even[v] for edge in ends[v]]
    for edge, b in itertools.product(base, (0, 1)):
        edges.append((number[edge[0], edge, b], number[edge[1], edge, b ^ int(twisted and edge == base[0])]))
    return graph(len(nodes), edges)


def graphs() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(21, 21, dtype=torch.float64, generator=generator)
    petersen = [pair for i in range(5) for pair in ((i, (i + 1) % 5), (i, i + 5), (5 + i, 5 + (i + 2) % 5))]
    return {
        "random weights": weights + weights.T,
        "hexagon": graph(6, [(i, (i + 1) % 6) for i in range(6)]),
        "two triangles": graph(6, [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]),
        "Petersen": graph(10, petersen),
        "rook 4 × 4": torus([(0, 1), (0, 2), (1, 0), (2, 0)]),
        "Shrikhande": torus([(0, 1), (1, 0), (1, 1)]),
        "complete, 20 nodes": 1 - torch.eye(20, dtype=torch.float64),
        "8 disjoint edges": torch.block_diag(*[1 - torch.eye(2, dtype=torch.float64)] * 8),
        "cube in 6 dimensions": graph(64, [(i, i ^ (1 << bit)) for i in range(64) for bit in range(6)]),
        "CFI of K4": fuerer(4, False),
        "CFI of K4, twisted": fuerer(4, True),
    }


class Perceptron(nn.Module):
    """Any function of the flattened adjacency."""

    def __init__(self, n: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.n = n
        self.net = nn.Sequential(nn.Linear(n * n, 64), nn.Tanh(), nn.Linear(64, n + n * n + 1)).double()

    def forward(self, adj: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out, n = self.net(adj.flatten(-2)), self.n
        return out[..., :n, None], out[..., n : n + n * n].unflatten(-1, (n, n)), out[..., -1]


def row(name: str, adjacency: Tensor) -> str:
    n = len(adjacency)
    group, x, side = f"S({n})", {"adj": adjacency[None]}, Side.parse("adj: adjacency")
    frame = SortingFrame(ge.group(group))
    found, layout = frame.diagnose(x, side), Layout.of(x, side)
    errors = []
    for degenerate, dtype in (("orbit", torch.float64), ("orbit", torch.float32), ("ignore", torch.float64)):
        model = ge.FrameAveraging(Perceptron(n).to(dtype), SIGNATURE, group, "sorting", degenerate=degenerate)
        inputs = {"adj": x["adj"].to(dtype)}
        errors.append(ge.equivariance_error(model, inputs, SIGNATURE, group, num_samples=8).worst)
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        frame(x, side, layout)
        seconds.append(time.perf_counter() - start)
    count = f"{int(found.automorphisms)}" if found.automorphisms < 1e6 else f"{float(found.automorphisms):.2g}"
    worst = " | ".join(f"{error:.0e}" if error < 1e-5 else f"**{error:.0e}**" for error in errors)
    return f"| {name} | {n} | {int(found.cells)} | {count} | {worst} | {1e3 * min(seconds):.2g} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", type=Path)
    target = parser.parse_args().markdown
    torch.set_num_threads(1)
    head = "| graph | nodes | cells | automorphisms | float64 | float32 | ties by number, float64 | ms |"
    lines = [head, "|" + "---|" * 8, *(row(name, adjacency) for name, adjacency in graphs().items())]
    table = "\n".join(lines)
    print(table)
    if target is not None:
        before, _, rest = target.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        target.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
