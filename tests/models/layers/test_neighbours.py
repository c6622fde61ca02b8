"""Neighbour lists against all pairs, and what models make of them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geoequiv.errors import BatchError
from geoequiv.measurements.cost import cost
from geoequiv.models import EGNN, GNN, NequIP, PaiNN, radius_graph
from geoequiv.models.layers import cloud
from geoequiv.models.layers.pairs import EdgeList

CHARGED = "pos: point, vel: vector, charge: scalar -> pos: point"


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 4), st.floats(0.1, 4.0), st.integers(0, 1000))
def test_radius_graph_equals_a_loop_over_all_pairs(nodes, clouds, cutoff, seed):
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(nodes, 3, generator=generator, dtype=torch.float64)
    batch = torch.randint(0, clouds, (nodes,), generator=generator)
    near = (torch.cdist(points, points) < cutoff) & (batch[:, None] == batch) & ~torch.eye(nodes, dtype=torch.bool)
    receivers, senders = near.nonzero().T
    assert torch.equal(radius_graph(points, cutoff, batch), torch.stack([senders, receivers]))


def test_coincident_nodes_are_neighbours_and_the_cutoff_itself_is_not():
    points = torch.tensor([[0.0, 0, 0], [0, 0, 0], [1, 0, 0]])
    assert radius_graph(points, 1.0).T.tolist() == [[1, 0], [0, 1]]
    assert radius_graph(torch.zeros(1, 3), 1.0).shape == (2, 0)


@pytest.mark.parametrize(
    ("points", "cutoff"), [(torch.zeros(2, 5, 3), 1.0), (torch.zeros(5, 3), 0.0), (torch.full((2, 3), torch.nan), 1.0)]
)
def test_radius_graph_says_what_it_needs(points, cutoff):
    with pytest.raises(BatchError, match="radius_graph needs"):
        radius_graph(points, cutoff)


def test_a_model_with_a_cutoff_needs_no_pairs_beyond_it():
    torch.manual_seed(0)
    model = PaiNN(CHARGED, width=8, depth=2, cutoff=1.5).double()
    fields = {name: torch.randn(2, 12, size, dtype=torch.float64) for name, size in (("pos", 3), ("vel", 3))}
    fields["charge"] = torch.ones(2, 12, 1, dtype=torch.float64)
    ragged = {name: values.flatten(0, 1) for name, values in fields.items()}
    batch = torch.arange(2).repeat_interleave(12)
    edges = radius_graph(ragged["pos"], 1.5, batch)
    assert 0 < edges.shape[1] < 2 * 12 * 11
    sparse = model(**ragged, batch=batch, edge_index=edges)
    torch.testing.assert_close(sparse, model(**fields).flatten(0, 1), rtol=1e-10, atol=1e-10)
    fewer = edges[:, 1:]
    assert not torch.allclose(model(**ragged, batch=batch, edge_index=fewer), sparse, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("model", [NequIP, PaiNN])
def test_large_clouds_leave_out_what_is_beyond_the_cutoff(model, monkeypatch):
    """Dense, padded, unbatched and ragged: the same energies and derivatives, from fewer pairs."""
    torch.manual_seed(0)
    built = model("pos: point, charge: scalar -> energy: scalar per graph", width=4, depth=1, cutoff=1.5).double()
    pos, charge = 4 * torch.rand(2, 20, 3, dtype=torch.float64), torch.randn(2, 20, 1, dtype=torch.float64)
    mask = torch.arange(20) < torch.tensor([[20], [17]])
    spoilt = pos.masked_fill(~mask.unsqueeze(-1), float("nan"))
    sizes: list[int] = []
    made = EdgeList.__init__

    def counting(self, *args, **kwargs):
        made(self, *args, **kwargs)
        sizes.append(len(self.senders))

    monkeypatch.setattr(EdgeList, "__init__", counting)

    def said() -> list[torch.Tensor]:
        position = spoilt.clone().requires_grad_()
        energy = built(pos=position, charge=charge, mask=mask)
        (force,) = torch.autograd.grad(energy.sum(), position, create_graph=True)
        (curve,) = torch.autograd.grad(force[mask].square().sum(), position)
        batch = mask.nonzero()[:, 0]
        ragged = built(pos=pos[mask], charge=charge[mask], batch=batch)
        return [energy, force[mask], curve[mask], ragged, built(pos=pos[0], charge=charge[0])]

    expected = said()
    assert sizes == [20 * 19 + 17 * 16]  # ragged, all pairs
    sizes.clear()
    monkeypatch.setattr(cloud, "MANY", 20)
    torch.testing.assert_close(said(), expected, rtol=1e-10, atol=1e-12)
    assert len(sizes) == 3
    assert max(sizes) < (20 * 19 + 17 * 16) / 2


def test_two_thousand_nodes_with_a_cutoff_take_memory_for_their_neighbours():
    torch.manual_seed(0)
    signature = "pos: point, charge: scalar -> energy: scalar per graph"
    built = PaiNN(signature, width=8, depth=1, cutoff=2.0)
    pos = (2048 / 16 * 4 / 3 * 3.14 * 8) ** (1 / 3) * torch.rand(1, 2048, 3)
    kept = cost(built, signature, {"pos": pos, "charge": torch.ones(1, 2048, 1)}, 1).saved_bytes
    assert kept < 2 * 2048 * 2047 * 4  # two numbers for each of all pairs would be more, and filters have dozens


def test_torch_func_differentiates_through_the_search():
    torch.manual_seed(0)
    built = PaiNN("pos: point -> energy: scalar per graph", width=4, depth=1, cutoff=1.5).double()
    pos = 3 * torch.rand(8, 3, dtype=torch.float64)

    def energy(position: torch.Tensor) -> torch.Tensor:
        return built(pos=position, edge_index=radius_graph(position, 1.5)).sum()

    expected = torch.autograd.functional.jacobian(energy, pos)
    torch.testing.assert_close(torch.func.grad(energy)(pos), expected)
    torch.testing.assert_close(torch.func.jvp(energy, (pos,), (pos,))[1], (expected * pos).sum())


@pytest.mark.parametrize("model", [EGNN, GNN, PaiNN])
def test_messages_stop_at_the_neighbours(model):
    """With a chain of edges, a change at one end has no effect further away than there are layers."""
    torch.manual_seed(0)
    built = model(CHARGED, width=8, depth=2).double()
    fields = {"pos": torch.randn(6, 3), "vel": torch.randn(6, 3), "charge": torch.ones(6, 1)}
    fields = {name: values.double() for name, values in fields.items()}
    chain = torch.tensor([[i, i + 1] for i in range(5)] + [[i + 1, i] for i in range(5)]).T
    transformed = {**fields, "vel": fields["vel"] + torch.tensor([[1.0], *[[0.0]] * 5], dtype=torch.float64)}
    changed = (built(**fields, edge_index=chain) - built(**transformed, edge_index=chain)).abs().amax(-1) > 1e-12
    assert changed.tolist() == [True, True, True, False, False, False]
