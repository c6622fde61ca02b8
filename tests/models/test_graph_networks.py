"""The suite that every network of graphs inherits: a row of CASES declares it, each test runs on each row."""

from dataclasses import dataclass, field

import networkx as nx
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from geoequiv.errors import BatchError, SignatureError
from geoequiv.models import GAT, GCN, GIN, GNNML1, GNNML3, PPGN, ChebNet

SIGNATURE = "x: node, adj: adjacency -> y: scalar*3 per graph"
EDGES = "x: scalar -> y: scalar*3 per graph"
SIZE = 6


@dataclass(frozen=True)
class Case:
    model: type[nn.Module]
    options: dict = field(default_factory=dict)
    id: str = ""
    permutes: bool = True
    #: pairs of connected graphs on six nodes that it cannot tell apart: 3 by colour refinement, 0 by 2-FWL
    failures: int = 3
    #: parameters at the published sizes, two features of a node and ten outputs
    params: int = 0

    def build(self, seed: int = 0, signature: str = SIGNATURE, dtype: torch.dtype = torch.float64) -> nn.Module:
        torch.manual_seed(seed)
        return self.model(signature, **self.options).to(dtype)


CASES = [
    Case(GCN, id="gcn", params=9162),
    Case(GCN, {"pool": "mean", "activation": "relu", "head": 4}, id="gcn-head"),
    Case(GAT, id="gat", params=35466),
    Case(GIN, {"output": "tanh"}, id="gin", params=9165),
    Case(ChebNet, id="chebnet", params=25642, failures=1),
    Case(ChebNet, {"depth": 1, "terms": 2, "width": 8}, id="chebnet-shallow", failures=1),
    Case(GNNML1, id="gnnml1", params=34698),
    Case(GNNML3, id="gnnml3", params=23714, failures=0),
    Case(GNNML3, {"pool": "mean", "head": 4}, id="gnnml3-head", failures=0),
    Case(PPGN, id="ppgn", failures=0),
    Case(PPGN, {"pool": "mean", "bias": False, "init": "xavier", "head": 4}, id="ppgn-head", failures=0),
    Case(GIN, {"positions": SIZE}, id="gin-positions", permutes=False, failures=0),
]


def each(cases: list[Case]):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.id)


def draw(*lead: int, seed: int = 1) -> dict[str, Tensor]:
    """Random simple graphs with one feature a node."""
    generator = torch.Generator().manual_seed(seed)
    upper = (torch.rand(*lead, SIZE, SIZE, generator=generator, dtype=torch.float64) < 0.5).double().triu(1)
    return {"x": torch.randn(*lead, SIZE, 1, generator=generator, dtype=torch.float64), "adj": upper + upper.mT}


@each(CASES)
@torch.no_grad()
def test_order_of_nodes(case):
    """It does not matter, or where nodes know their place measurably does."""
    inputs, order = draw(3), torch.tensor([3, 0, 4, 5, 1, 2])
    model = case.build()
    found = model(x=inputs["x"][:, order], adj=inputs["adj"][:, order][:, :, order])
    error = float((found - model(**inputs)).abs().max())
    assert error < 1e-10 if case.permutes else error > 1e-3


@each([case for case in CASES if case.permutes])
@torch.no_grad()
def test_padded_ragged_and_single_graphs_agree(case):
    inputs, sizes = draw(3), [6, 1, 4]
    mask = torch.arange(SIZE) < torch.tensor(sizes)[:, None]
    hidden = {"x": inputs["x"].masked_fill(~mask.unsqueeze(-1), 7.0), "adj": inputs["adj"]}
    model = case.build()
    padded = model(**hidden, mask=mask)
    graphs, singles = [], []
    for i, n in enumerate(sizes):
        adj = inputs["adj"][i, :n, :n]
        graphs.append(Data(x=inputs["x"][i, :n], edge_index=adj.nonzero().T, num_nodes=n))
        singles.append(model(x=inputs["x"][i, :n], adj=adj))
    ragged = case.build(signature=EDGES)(Batch.from_data_list(graphs))
    torch.testing.assert_close(padded, torch.stack(singles), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ragged, padded, rtol=1e-10, atol=1e-10)


@each(CASES)
@torch.no_grad()
def test_batch_axes_are_free(case):
    inputs, model = draw(2, 3), case.build()
    found = model(**inputs)
    assert found.shape == (2, 3, 3)
    flat = model(**{name: values.flatten(0, 1) for name, values in inputs.items()})
    torch.testing.assert_close(found.flatten(0, 1), flat, rtol=1e-10, atol=1e-10)


@each(CASES)
def test_every_parameter_learns_and_gradients_are_finite_without_edges(case):
    model, inputs = case.build(), draw(2)
    inputs["x"].requires_grad_()
    model(**inputs).square().sum().backward()
    assert [name for name, each in model.named_parameters() if each.grad is None] == []
    model(x=torch.zeros(2, SIZE, 1).double(), adj=torch.zeros(2, SIZE, SIZE).double()).sum().backward()
    assert all(bool(each.grad.isfinite().all()) for each in model.parameters())


@each(CASES)
def test_seed_decides_the_weights_and_state_travels(case):
    inputs, first, other = draw(2), case.build(0), case.build(1)
    expected = first(**inputs)
    assert torch.equal(case.build(0)(**inputs), expected)
    assert not torch.equal(other(**inputs), expected)
    other.load_state_dict(first.state_dict())
    assert torch.equal(other(**inputs), expected)


@each(CASES)
@torch.no_grad()
def test_what_it_tells_apart_is_what_theory_says(case):
    """Of the connected graphs on six nodes 1-WL leaves three pairs; one of them has one largest eigenvalue."""
    graphs = [g for g in nx.graph_atlas_g() if len(g) == SIZE and nx.is_connected(g)]
    adj = torch.stack([torch.from_numpy(nx.to_numpy_array(g)) for g in graphs])
    found = case.build()(x=torch.ones(len(adj), SIZE, 1).double(), adj=adj)
    assert int((torch.pdist(found, p=1) < 1e-9).sum()) == case.failures


@each([case for case in CASES if case.params])
def test_parameters_are_those_of_the_published_sizes(case):
    model = case.build(signature=SIGNATURE.replace("*3", "*10"))
    assert sum(each.numel() for each in model.parameters()) == case.params


@each([case for case in CASES if "-" not in case.id])
def test_what_is_not_a_graph_is_refused(case):
    for wrong, message in (
        ("x: node, adj: adjacency -> y: node", "predicts one 'scalar"),
        ("x: point, adj: adjacency -> y: scalar per graph", "'x' is a point"),
        ("x: node, a: adjacency, b: adjacency -> y: scalar per graph", "reads one adjacency"),
    ):
        with pytest.raises(SignatureError, match=message):
            case.build(signature=wrong)
    model, inputs = case.build(), draw(2)
    with pytest.raises(BatchError, match=r"Input 'x' .* is missing"):
        model(adj=inputs["adj"])
    with pytest.raises(BatchError, match=r"Field 'x' is a node: expected shape \[2, 6, 1\]"):
        model(x=inputs["x"][:, :5], adj=inputs["adj"])
    with pytest.raises(BatchError, match="'mask' must be bool"):
        model(**inputs, mask=torch.ones(2, SIZE))
    with pytest.raises(SignatureError, match="Did you mean 'mean'"):
        case.model(SIGNATURE, **{**case.options, "pool": "men"})


def test_more_nodes_than_positions_are_refused():
    with pytest.raises(BatchError, match="has 4 positions; it got graphs of 6 nodes"):
        GIN(SIGNATURE, positions=4).double()(**draw(1))


def test_ppgn_in_parts_is_ppgn_at_once(monkeypatch):
    """Two graphs at a time, computed again in the backward pass: the same outputs and gradients."""
    model, inputs, found = PPGN(SIGNATURE, width=4).double(), draw(5), []
    for entries in (2**22, 2 * 4 * SIZE**2):
        monkeypatch.setattr("geoequiv.models.ppgn.ENTRIES", entries)
        values = model(**inputs)
        found.append([values, *torch.autograd.grad(values.square().sum(), list(model.parameters()))])
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)


def test_ppgn_by_hand_on_one_edge():
    """Width 1, weights of 1, no bias: M = A + I, M M = 2 (A + I), X = M M + A + I = 3 (A + I)."""
    model = PPGN("adj: adjacency -> y: scalar*2 per graph", width=1, depth=1, bias=False).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
        model.readout.last.weight.copy_(torch.eye(2))
        model.readout.last.bias.zero_()
    edge = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 5.0]]).double()
    found = model(adj=edge, mask=torch.tensor([True, True, False]))
    assert found.tolist() == [6.0, 6.0]
