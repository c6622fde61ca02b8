"""Graphs with known symmetries, and a model that depends on the numbers of their nodes."""

import itertools
import math

import torch
from torch import nn

import geoequiv as ge
from geoequiv.symmetrize import SortingFrame


def graph(n, edges, weight=1.0):
    adjacency = torch.zeros(n, n, dtype=torch.float64)
    for i, j in edges:
        adjacency[i, j] = adjacency[j, i] = weight
    return adjacency


def ring(n):
    return graph(n, [(i, (i + 1) % n) for i in range(n)])


def on_torus(steps):
    """A Cayley graph on Z4 × Z4."""
    return graph(
        16,
        [
            (4 * a + b, 4 * ((a + x) % 4) + (b + y) % 4)
            for a, b in itertools.product(range(4), repeat=2)
            for x, y in steps
        ],
    )


def random_weights(n, seed=0):
    return torch.randn(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def blocks(*parts):
    return torch.block_diag(*parts)


def complete(n):
    return 1 - torch.eye(n, dtype=torch.float64)


def fuerer(twisted):
    """The graph of Cai, Fürer and Immerman on K4, 40 nodes, or its twin: neither 1-WL nor 2-WL tells them apart."""
    base = list(itertools.combinations(range(4), 2))
    ends = {v: [edge for edge in base if v in edge] for v in range(4)}
    even = {v: [(), *itertools.combinations(ends[v], 2)] for v in range(4)}
    nodes = [(v, s) for v in ends for s in even[v]] + [(v, e, b) for v in ends for e in ends[v] for b in (0, 1)]
    number = {node: k for k, node in enumerate(nodes)}
    edges = [(number[v, s], number[v, e, int(e in s)]) for v in ends for s in even[v] for e in ends[v]]
    for e, b in itertools.product(base, (0, 1)):
        edges.append((number[e[0], e, b], number[e[1], e, b ^ int(twisted and e == base[0])]))
    return graph(40, edges)


PETERSEN = graph(10, [pair for i in range(5) for pair in ((i, (i + 1) % 5), (i, i + 5), (5 + i, 5 + (i + 2) % 5))])
HEXAGON, TRIANGLES = ring(6), blocks(ring(3), ring(3))
ROOK, SHRIKHANDE = on_torus([(0, 1), (0, 2), (1, 0), (2, 0)]), on_torus([(0, 1), (1, 0), (1, 1)])
CUBE = graph(32, [(i, i ^ (1 << bit)) for i in range(32) for bit in range(5)])
ASYMMETRIC_REGULAR = graph(  # the Frucht graph
    12,
    [(i, (i + 1) % 7) for i in range(7)]
    + [(0, 7), (1, 7), (2, 8), (3, 9), (4, 9), (5, 10), (6, 10), (7, 11), (8, 9), (8, 11), (10, 11)],
)
#: adjacency, number of automorphisms, number of orbits of nodes
GRAPHS = {
    "one node": (torch.zeros(1, 1).double(), 1, 1),
    "path": (graph(4, [(0, 1), (1, 2), (2, 3)]), 2, 2),
    "pentagon": (ring(5), 10, 1),
    "hexagon": (HEXAGON, 12, 1),
    "two triangles": (TRIANGLES, 72, 1),
    "complete": (complete(6), 720, 1),
    "complete, 12 nodes": (complete(12), math.factorial(12), 1),
    "empty": (torch.zeros(9, 9).double(), math.factorial(9), 1),
    "star": (graph(6, [(0, i) for i in range(1, 6)]), 120, 2),
    "disjoint edges": (blocks(*[complete(2)] * 6), 2**6 * math.factorial(6), 1),
    "triangle and path": (blocks(ring(3), graph(3, [(0, 1), (1, 2)])), 12, 3),
    "complete bipartite": (blocks(complete(3), complete(3)).sub(complete(6)).abs(), 72, 1),
    "Petersen": (PETERSEN, 120, 1),
    "Frucht": (ASYMMETRIC_REGULAR, 1, 12),
    "rook": (ROOK, 1152, 1),
    "Shrikhande": (SHRIKHANDE, 192, 1),
    "cube in 5 dimensions": (CUBE, 3840, 1),
    "directed cycle": (torch.eye(5).double().roll(1, 0), 5, 1),
    "weighted": (random_weights(7), 1, 7),
    "symmetric weights": (random_weights(7) + random_weights(7).T, 1, 7),
    "two weights on a square": (ring(4) + graph(4, [(0, 1), (2, 3)], 0.3), 4, 1),
    "loops": (torch.diag(torch.tensor([1.0, 1, 2, 2, 2])).double(), 12, 2),
}
SIGNATURE = "adj: adjacency -> y: node, z: adjacency, energy: scalar"


class MLP(nn.Module):
    """Any function of the flattened adjacency, and of features of the nodes."""

    def __init__(self, n, width=0):
        super().__init__()
        torch.manual_seed(0)
        self.n = n
        self.net = nn.Sequential(nn.Linear(n * (n + width), 32), nn.Tanh(), nn.Linear(32, n + n * n + 1)).double()

    def forward(self, adj, x=None):
        flat = adj.flatten(-2) if x is None else torch.cat([adj.flatten(-2), x.flatten(-2)], -1)
        out, n = self.net(flat), self.n
        return {"y": out[..., :n, None], "z": out[..., n : n + n * n].unflatten(-1, (n, n)), "energy": out[..., -1]}


def framed(n, **options):
    return ge.FrameAveraging(MLP(n), SIGNATURE, f"S({n})", SortingFrame(ge.group(f"S({n})"), **options))


def relabelled(a, p):
    """Node i becomes node p(i)."""
    q = p.argsort()
    return a[..., q, :][..., q]


def relabellings(n):
    return torch.tensor(list(itertools.permutations(range(n))))
