"""Individualization and refinement: automorphisms, orbits and one order, against all relabellings."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import geoequiv as ge
from geoequiv.fields import Layout, Side
from geoequiv.symmetrize import SortingFrame
from geoequiv.symmetrize.frames.refinement import refine
from geoequiv.symmetrize.frames.search import search
from geoequiv.symmetrize.frames.structure import Structure

from .small_graphs import GRAPHS, HEXAGON, ROOK, SHRIKHANDE, TRIANGLES, framed, fuerer, relabelled, relabellings


@pytest.mark.parametrize("name", GRAPHS)
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


def cells(adjacency):
    structure = Structure.of(
        {"adj": adjacency}, Side.parse("adj: adjacency"), Layout((), len(adjacency)), len(adjacency), 3, 0.0
    )
    return refine(structure.nodes, structure.pairs, torch.zeros(1, dtype=torch.int64))


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


def test_search_of_nothing_to_search():
    """Discrete colours come back as they are."""
    colours = torch.tensor([[2, 0, 1]])
    found = search(colours, torch.zeros(1, 3, 3, dtype=torch.int64), budget=1)
    assert found.order.tolist() == [[1, 2, 0]]
    assert found.automorphisms.tolist() == [1.0]
