"""What tells nodes apart: features, positions, masks, edges of ragged batches and graph objects."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Batch, Data

import geoequiv as ge
from geoequiv.errors import BatchError
from geoequiv.symmetrize import SortingFrame

from .small_graphs import HEXAGON, MLP, TRIANGLES, blocks, complete, random_weights, ring


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), shape=st.sampled_from([(), (3,), (2, 2)]))
def test_every_kind_of_input_tells_nodes_apart(seed, shape):
    """Features that are equal in part, vectors and positions; outputs of every kind."""
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
