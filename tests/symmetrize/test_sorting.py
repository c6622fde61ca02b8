"""Frames of S(n): exact on graphs with any symmetry, one call of the model, separation beyond colour refinement."""

import copy
import itertools
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Batch, Data

import geoequiv as ge
from geoequiv.errors import BatchError, GroupError, SignatureError
from geoequiv.fields import Layout, Side
from geoequiv.symmetrize import SortingFrame
from geoequiv.symmetrize.frames.refinement import refine
from geoequiv.symmetrize.frames.search import search
from geoequiv.symmetrize.frames.structure import Structure


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
EACH = pytest.mark.parametrize("name", GRAPHS)
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


def coset_by_hand(a, canonical):
    """All g with g⁻¹ a = canonical, of all n! relabellings."""
    everything = relabellings(len(a))
    return [g for g in everything if torch.equal(relabelled(a, g.argsort()), canonical)]


@EACH
def test_exact_and_separating(name):
    adjacency = GRAPHS[name][0]
    n = len(adjacency)
    wrapped = framed(n)
    x = {"adj": adjacency.expand(2, n, n)}
    options = {"num_samples": 12} if n > 4 else {}
    assert ge.equivariance_error(wrapped, x, SIGNATURE, f"S({n})", **options).worst < 1e-10
    if n > 1:
        assert ge.equivariance_error(wrapped.model, x, SIGNATURE, f"S({n})", **options).relative > 0.1
    single = {"adj": x["adj"].float()}
    wrapped.model.float()
    assert ge.equivariance_error(wrapped, single, SIGNATURE, f"S({n})", **options).worst < 1e-5


@EACH
def test_sizes(name):
    adjacency, automorphisms, orbits = GRAPHS[name]
    n = len(adjacency)
    report = SortingFrame(ge.group(f"S({n})")).diagnose({"adj": adjacency}, "adj: adjacency")
    assert (float(report.automorphisms), int(report.orbits)) == (automorphisms, orbits)
    assert not report.sampled
    assert int(report.cells) <= orbits


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(2, 5),
    seed=st.integers(0, 2**31),
    values=st.integers(1, 3),
    colours=st.integers(1, 3),
    directed=st.booleans(),
)
def test_search_against_all_relabellings(n, seed, values, colours, directed):
    """Automorphisms and their orbits of nodes and pairs, and the same order for every relabelling."""
    generator = torch.Generator().manual_seed(seed)
    adjacency = torch.randint(0, values + 1, (n, n), generator=generator).double()
    adjacency = adjacency if directed else adjacency.triu() + adjacency.triu(1).T
    x = torch.randint(0, colours, (n, 1), generator=generator).double()
    everything = relabellings(n)
    own = [g for g in everything if torch.equal(relabelled(adjacency, g), adjacency) and torch.equal(x[g], x)]
    fields = {"adj": torch.stack([relabelled(adjacency, g) for g in everything])}
    fields["x"] = torch.stack([x[g.argsort()] for g in everything])
    side = Side.parse("x: scalar, adj: adjacency")
    frame = SortingFrame(ge.group(f"S({n})"))
    found = frame.searched(frame.refined(fields, side, Layout.of(fields, side)))
    assert (found.automorphisms == len(own)).all()
    order = found.order
    first = torch.stack([a[q][:, q] for a, q in zip(fields["adj"], order, strict=True)])
    assert (first == first[0]).all()  # one canonical graph
    assert all(torch.equal(c[q], fields["x"][0][order[0]]) for c, q in zip(fields["x"], order, strict=True))
    images = torch.stack(own)  # everything[0] is the identity, so that these are the symmetries of fields[0]
    assert torch.equal(found.nodes[0], images.amin(0))
    pairs = (images[:, :, None] * n + images[:, None, :]).amin(0)
    assert torch.equal(found.pairs[0], pairs)


@pytest.mark.parametrize("name", ["path", "pentagon", "two triangles", "star", "symmetric weights", "directed cycle"])
def test_naive_twin_and_frames_move_along(name):
    """The average over the coset, found among all relabellings, by a plain loop; its gradient too."""
    adjacency = GRAPHS[name][0]
    n = len(adjacency)
    wrapped = framed(n)
    side, g = Side.parse("adj: adjacency"), ge.group(f"S({n})").sample(generator=torch.Generator().manual_seed(4))
    cosets = []
    for a in (adjacency, relabelled(adjacency, g.permutation)):
        order = wrapped.frame({"adj": a}, side, Layout.of({"adj": a}, side))[0].permutation[0]
        cosets.append(coset_by_hand(a, a[order][:, order]))
        assert len(cosets[-1]) == GRAPHS[name][1]
    moved = {tuple(g.permutation[h].tolist()) for h in cosets[0]}
    assert moved == {tuple(h.tolist()) for h in cosets[1]}  # frame(g x) = g frame(x)

    a, b = (adjacency.clone().requires_grad_() for _ in range(2))
    total = {}
    for h in cosets[0]:
        q = h.argsort()
        out = wrapped.model(a[h][:, h])
        turned = {"y": out["y"][q], "z": out["z"][q][:, q], "energy": out["energy"]}
        total = {key: total.get(key, 0) + value / len(cosets[0]) for key, value in turned.items()}
    here = wrapped(b)
    assert all(torch.allclose(total[key], here[key], atol=1e-12) for key in total)
    slopes = [
        torch.autograd.grad((out["y"].sin().sum() + (out["z"] ** 2).sum() + out["energy"]), leaf)[0]
        for out, leaf in ((total, a), (here, b))
    ]
    assert torch.allclose(*slopes, atol=1e-12)


def test_one_call_whatever_the_symmetry():
    seen = []

    def model(adj):
        seen.append(adj.shape)
        return adj.cumsum(-1)

    wrapped = ge.FrameAveraging(model, "adj: adjacency -> z: adjacency", "S(6)", "sorting")
    batch = torch.stack([HEXAGON, TRIANGLES, complete(6), random_weights(6), torch.zeros(6, 6).double()])
    whole = wrapped(batch)
    assert seen == [(5, 6, 6)]
    alone = torch.stack([wrapped(each) for each in batch])
    assert torch.allclose(whole, alone, atol=1e-14)  # an item does not see the rest of its batch
    assert torch.allclose(wrapped(batch.reshape(5, 1, 6, 6)).squeeze(1), whole)


def test_twice_is_once_and_equivariant_models_stay():
    batch = torch.stack([HEXAGON, TRIANGLES, complete(6), random_weights(6)])
    wrapped = framed(6)
    twice = ge.FrameAveraging(wrapped, SIGNATURE, "S(6)", "sorting")
    once = wrapped(batch)
    assert all(torch.allclose(value, once[key], atol=1e-14) for key, value in twice(batch).items())
    exact = lambda adj: adj @ adj + adj.sum((-1, -2), keepdim=True)  # noqa: E731
    unchanged = ge.FrameAveraging(exact, "adj: adjacency -> z: adjacency", "S(6)", "sorting")
    assert torch.allclose(unchanged(batch), exact(batch), atol=1e-12)


def cells(adjacency):
    structure = Structure.of(
        {"adj": adjacency}, Side.parse("adj: adjacency"), Layout((), len(adjacency)), len(adjacency), 3, 0.0
    )
    return refine(structure.nodes, structure.pairs, torch.zeros(1, dtype=torch.int64))


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


PAIRS = {"6 nodes": (HEXAGON, TRIANGLES), "16 nodes": (ROOK, SHRIKHANDE), "40 nodes": (fuerer(False), fuerer(True))}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_separates_what_colour_refinement_does_not(pair):
    n = len(pair[0])
    (one, trace), (other, other_trace) = (cells(a) for a in pair)
    assert torch.equal(one, other)  # 1-WL equivalent
    assert torch.equal(trace, other_trace)
    wrapped = framed(n)
    first, second = (wrapped(a)["energy"] for a in pair)
    assert (first - second).abs() > 1e-3
    for a in pair:
        for seed in range(5):
            p = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
            assert torch.equal(wrapped(relabelled(a, p))["energy"], wrapped(a)["energy"])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), shape=st.sampled_from([(), (3,), (2, 2)]))
def test_every_kind_of_input_tells_nodes_apart(seed, shape):
    """Features that tie in part, vectors and positions; outputs of every kind."""
    signature = (
        "h: node*2, charge: scalar, pos: point, adj: adjacency*2 -> f: vector, bonds: adjacency*2, dipole: vector"
    )
    generator = torch.Generator().manual_seed(seed)

    def few(*tail):
        return torch.randint(0, 2, (*shape, *tail), generator=generator).double()

    x = {"h": few(5, 2), "charge": few(5), "pos": few(5, 3), "adj": few(5, 5, 2)}
    torch.manual_seed(1)
    net = nn.Linear(5 * 6 + 50, 15 + 50 + 3).double()

    def model(h, charge, pos, adj):
        out = net(torch.cat([h.flatten(-2), charge, pos.flatten(-2), adj.flatten(-3)], -1)).tanh()
        return out[..., :15].unflatten(-1, (5, 3)), out[..., 15:65].unflatten(-1, (5, 5, 2)), out[..., 65:]

    wrapped = ge.FrameAveraging(model, signature, "S(5)", "sorting")
    for name in ("charge", "pos"):
        x[name] = x[name] * 0  # leave symmetries
        assert ge.equivariance_error(wrapped, x, signature, "S(5)", num_samples=8).worst < 1e-10


def test_masked_graphs():
    signature = "adj: adjacency -> y: node"
    adjacency = torch.stack([blocks(ring(4), torch.full((2, 2), 7.0).double()), HEXAGON])
    adjacency[0, 4:] = random_weights(6)[4:]
    mask = torch.tensor([[True] * 4 + [False] * 2, [True] * 6])
    net = MLP(6)

    def model(adj, mask):
        both = mask.unsqueeze(-1) & mask.unsqueeze(-2)
        return net(torch.where(both, adj, 0.0))["y"]

    wrapped = ge.FrameAveraging(model, signature, "S(6)", "sorting")
    x = {"adj": adjacency, "mask": mask}
    assert ge.equivariance_error(model, x, signature, "S(6)", num_samples=5).relative > 0.1
    assert ge.equivariance_error(wrapped, x, signature, "S(6)", num_samples=20).worst < 1e-10
    other = adjacency.clone()
    other[0, 4:, :] = 3.0
    assert torch.allclose(wrapped(other, mask)[mask], wrapped(adjacency, mask)[mask], atol=1e-14)
    assert wrapped.frame.diagnose(x, "adj: adjacency").automorphisms.tolist() == [8 * 2, 12]


class OnEdges(nn.Module):
    """Depends on the numbers of the nodes; the order of the edges does not matter."""

    def forward(self, x, edge_index, edge_attr, batch):
        first = torch.searchsorted(batch, torch.arange(int(batch.max()) + 1))
        place = (torch.arange(len(batch)) - first[batch] + 1).double()
        i, j = edge_index
        message = ((place[i] * 0.37 + place[j] * 1.1 + edge_attr + x[j, 0]).sin()).unsqueeze(-1)
        y = (x + torch.zeros_like(x).index_add(0, i, message)) * place.unsqueeze(-1)
        energy = y.new_zeros(int(batch.max()) + 1, 1).index_add(0, batch, y.cos())
        return y, energy, message


class OnData(OnEdges):
    def forward(self, data):
        y, energy, message = super().forward(data.x, data.edge_index, data.edge_attr, data.batch)
        return {"y": y, "energy": energy, "message": message}


def directed_edges(adjacency):
    index = adjacency.nonzero().T
    return index, adjacency[index[0], index[1]]


def test_ragged_and_graph_objects():
    graphs = [HEXAGON, TRIANGLES, complete(6), random_weights(6)]
    data = []
    for a in graphs:
        index, values = directed_edges(a)
        data.append(Data(x=torch.ones(6, 1).double(), edge_index=index, edge_attr=values))
    batch = Batch.from_data_list(data)
    signature = "x: node, edge_attr: scalar -> y: node, energy: scalar per graph, message: scalar"
    fields = {"x": batch.x, "edge_attr": batch.edge_attr, "edge_index": batch.edge_index, "batch": batch.batch}
    for model, inputs in ((OnEdges(), fields), (OnData(), batch)):
        wrapped = ge.FrameAveraging(model, signature, "S(6)", "sorting")
        assert ge.equivariance_error(model, inputs, signature, "S(6)", num_samples=6).relative > 0.01
        assert ge.equivariance_error(wrapped, inputs, signature, "S(6)", num_samples=12).worst < 1e-10
        report = wrapped.frame.diagnose(fields, "x: node, edge_attr: scalar")
        assert report.automorphisms.tolist() == [12, 72, 720, 1]
    alone = ge.FrameAveraging(OnData(), signature, "S(6)", "sorting")(data[1].clone())
    whole = wrapped(batch)
    assert torch.allclose(alone["y"], whole["y"][6:12])
    assert torch.allclose(alone["energy"], whole["energy"][1:2])
    unnamed = "x: node -> y: node, energy: scalar, message: scalar"  # edges take along what is not named, too
    assert SortingFrame(ge.group("S(6)")).diagnose(fields, "x: node").automorphisms.tolist() == [12, 72, 720, 1]
    wrapped = ge.FrameAveraging(OnEdges(), unnamed, "S(6)", "sorting")
    assert ge.equivariance_error(wrapped, fields, unnamed, "S(6)", num_samples=6).worst < 1e-10
    twice = {**fields, "edge_index": fields["edge_index"][:, [0, *range(len(fields["edge_attr"]) - 1)]]}
    with pytest.raises(BatchError, match="holds an edge twice, with 'edge_attr' for each"):
        wrapped(**twice)


def test_gradients_are_finite_differences_away_from_ties():
    wrapped = ge.FrameAveraging(MLP(4), SIGNATURE, "S(4)", "sorting")
    a = random_weights(4)[None].requires_grad_()
    slope = torch.func.grad(lambda adj: wrapped(adj)["energy"].sum())(a.detach())
    assert torch.allclose(slope, torch.autograd.grad(wrapped(a)["energy"].sum(), a)[0])
    assert torch.autograd.gradcheck(lambda adj: tuple(wrapped(adj).values()), a)
    loss = wrapped(PETERSEN[:4, :4])["energy"]
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in wrapped.parameters())


def test_tolerance():
    noisy = HEXAGON + 1e-9 * random_weights(6)
    frame = SortingFrame(ge.group("S(6)"))
    assert frame.diagnose({"adj": noisy}, "adj: adjacency").automorphisms == 1
    assert ge.equivariance_error(framed(6), {"adj": noisy[None]}, SIGNATURE, "S(6)", num_samples=12).worst < 1e-13
    tolerant = framed(6, tolerance=1e-6)
    assert tolerant.frame.diagnose({"adj": noisy}, "adj: adjacency").automorphisms == 12
    assert ge.equivariance_error(tolerant, {"adj": noisy[None]}, SIGNATURE, "S(6)", num_samples=12).worst < 1e-7
    exact, near = tolerant(HEXAGON), tolerant(noisy)
    assert all(torch.allclose(near[key], exact[key], atol=1e-7) for key in exact)


def test_isometries_and_relabellings_by_wrapping_twice():
    signature = "pos: point -> f: vector"
    torch.manual_seed(0)
    net = nn.Linear(18, 18).double()
    flat = lambda pos: net(pos.flatten(-2)).sin().unflatten(-1, (6, 3))  # noqa: E731
    angle = torch.arange(6).double() * math.pi / 3
    hexagon = torch.stack([angle.cos(), angle.sin(), 0 * angle], -1)
    inner = ge.FrameAveraging(flat, signature, "S(6)", SortingFrame(ge.group("S(6)"), tolerance=1e-6))
    wrapped = ge.FrameAveraging(inner, signature, "SE(3)", "minimal")
    for pos in (random_weights(6)[None, :, :3], hexagon[None]):
        assert ge.equivariance_error(wrapped, {"pos": pos}, signature, "SE(3)*S(6)", num_samples=20).worst < 1e-10
        assert ge.equivariance_error(flat, {"pos": pos}, signature, "SE(3)*S(6)", num_samples=3).relative > 0.1


def test_beyond_the_budget():
    with pytest.raises(BatchError, match="Graph 1 of the batch has ties that leave more than 3 open choices"):
        framed(6, budget=3)(torch.stack([random_weights(6), HEXAGON]))
    generator = torch.Generator().manual_seed(0)
    drawn = framed(6, budget=3, on_budget="sample", generator=generator)
    assert drawn.claims is None
    assert framed(6).claims == "S(6)"
    batch = torch.stack([random_weights(6), HEXAGON])
    assert drawn.frame.diagnose({"adj": batch}, "adj: adjacency").sampled.tolist() == [False, True]
    draws = drawn(HEXAGON.expand(2000, 6, 6))["y"][..., 0]
    assert draws.std(0).min() > 1e-3
    error = draws.std(0) / 2000**0.5
    expected = framed(6)(HEXAGON)["y"][:, 0]  # all leaves of a hexagon are equivalent, so the means agree
    assert ((draws.mean(0) - expected).abs() < 5 * error).all()


def test_decorated_copied_and_saved():
    @ge.frame_averaging("adj: adjacency -> z: adjacency", "S(6)", "sorting")
    def decorated(adj):
        return adj.cumsum(-1)

    x = {"adj": torch.stack([HEXAGON, TRIANGLES])}
    side = "adj: adjacency -> z: adjacency"
    assert ge.equivariance_error(decorated, x, side, "S(6)", num_samples=5).worst < 1e-12
    wrapped = framed(6)
    assert set(wrapped.state_dict()) == set(wrapped.model.state_dict())
    for other in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        assert torch.equal(other(x["adj"])["energy"], wrapped(x["adj"])["energy"])
    half = framed(6).bfloat16()
    out = half(x["adj"].bfloat16())
    assert out["y"].dtype == torch.bfloat16
    assert torch.allclose(out["y"].double(), wrapped(x["adj"])["y"], atol=0.05)


def test_degenerate():
    batch = torch.stack([random_weights(6), HEXAGON])
    with pytest.raises(BatchError, match="The graph of item 1 has 12 automorphisms"):
        framed(6, degenerate="error")(batch)
    framed(6, degenerate="error")(batch[:1])
    with pytest.raises(BatchError, match="The graph of item 1 has ties beyond the budget"):
        framed(6, degenerate="error", budget=2, on_budget="sample")(batch)
    careless = framed(6, degenerate="ignore")
    assert careless.claims is None
    assert ge.equivariance_error(careless, {"adj": batch[1:]}, SIGNATURE, "S(6)", num_samples=6).relative > 0.1
    assert ge.equivariance_error(careless, {"adj": batch[:1]}, SIGNATURE, "S(6)", num_samples=6).worst < 1e-12


def test_what_is_refused():
    with pytest.raises(GroupError, match=r"made for S\(n\); got SO\(3\)\. For a product wrap twice"):
        ge.FrameAveraging(MLP(4), SIGNATURE, "SO(3)*S(4)", "sorting")
    with pytest.raises(GroupError, match="made for"):
        ge.FrameAveraging(MLP(4), SIGNATURE, "S(4)", "pca")
    with pytest.raises(GroupError, match="budget must be"):
        framed(4, budget=0)
    with pytest.raises(GroupError, match="Did you mean 'sample'"):
        framed(4, on_budget="samples")
    with pytest.raises(GroupError, match="tolerance is relative"):
        framed(4, tolerance=2.0)
    with pytest.raises(GroupError, match="Did you mean 'ignore'"):
        framed(4, degenerate="ignor")
    with pytest.raises(BatchError, match="relabels 4 nodes, but the clouds of this batch have 5"):
        framed(4)(torch.zeros(2, 5, 5))
    with pytest.raises(BatchError, match="'adj' is not finite in item 1"):
        framed(2)(torch.tensor([[[0.0, 1.0], [1.0, 0.0]], [[0.0, math.nan], [1.0, 0.0]]]))
    image = ge.FrameAveraging(lambda image: image, "image: image -> y: scalar", "S(3)@plane", "sorting")
    with pytest.raises(SignatureError, match="nothing to order 3 nodes by"):
        image.frame({"image": torch.ones(2, 1, 4, 4)}, image.signature.inputs, Layout((2,), 3))


def test_search_of_nothing_to_search():
    """Discrete colours come back as they are."""
    colours = torch.tensor([[2, 0, 1]])
    found = search(colours, torch.zeros(1, 3, 3, dtype=torch.int64), budget=1)
    assert found.order.tolist() == [[1, 2, 0]]
    assert found.automorphisms.tolist() == [1.0]
