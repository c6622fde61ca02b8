"""S(n) on every type and dense layout: homomorphism, by hand, masks, what stays, and what is refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

import geoequiv as ge
from geoequiv.errors import BatchError
from geoequiv.fields import Layout, Signature, act, replicate, split_replicas
from geoequiv.fields.relabel import relabel
from geoequiv.groups import Element, compose, group, inverse

SIDE = Signature.parse(
    "pos: point, frame: vector*2, flat: vector*2, stress: tensor, latent: 2x0e+1x1o, charge: scalar, mass: scalar, "
    "chi: pseudoscalar, five: scalar*5, h: node, adj: adjacency, bonds: adjacency*2, dipole: vector, energy: scalar, "
    "label: scalar*5, total: 1x1o -> pos: point"
).inputs
SHAPES = {"pos": (5, 3), "frame": (5, 2, 3), "flat": (5, 6), "stress": (5, 3, 3), "latent": (5, 5), "charge": (5, 1),
          "mass": (5,), "chi": (5, 1), "five": (5, 5), "h": (5, 7), "adj": (5, 5), "bonds": (5, 5, 2), "dipole": (3,),
          "energy": (1,), "label": (5,), "total": (3,)}  # fmt: skip
STAY = ("dipole", "energy", "label", "total")


def dense(*shape: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(*shape, *trail, generator=generator).double() for name, trail in SHAPES.items()}


def equal(a, b, names=SIDE):
    return all(torch.equal(a[name], b[name]) for name in names)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31), shared=st.booleans())
def test_relabelling_is_a_homomorphism(shape, seed, shared):
    generator = torch.Generator().manual_seed(seed)
    fields = dense(*shape)
    g, h = (group("S(5)").sample(*(() if shared else shape), generator=generator) for _ in range(2))
    names = [name for name in SIDE if name not in ("latent", "total")]  # the basis of irreps costs round-off
    assert equal(act(g, act(h, fields, SIDE), SIDE), act(compose(g, h), fields, SIDE), names)
    assert equal(act(inverse(g), act(g, fields, SIDE), SIDE), fields, names)
    assert torch.allclose(act(inverse(g), act(g, fields, SIDE), SIDE)["latent"], fields["latent"])
    assert all(torch.allclose(act(g, fields, SIDE)[name], fields[name]) for name in STAY)


@pytest.mark.parametrize("name", ["E(3)*S(5)", "C2*SO(2)@y*S(5)", "Oh*S(5)"])
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_isometry_and_relabelling_at_once(name, seed):
    generator = torch.Generator().manual_seed(seed)
    fields = dense(4)
    g, h = (group(name).sample(4, generator=generator) for _ in range(2))
    twice, once = act(g, act(h, fields, SIDE), SIDE), act(compose(g, h), fields, SIDE)
    back = act(inverse(g), act(g, fields, SIDE), SIDE)
    for kind in SIDE:
        assert torch.allclose(twice[kind], once[kind], atol=1e-11)
        assert torch.allclose(back[kind], fields[kind], atol=1e-11)


def test_in_the_plane():
    side = Signature.parse("pos: point, frame: vector*2, adj: adjacency -> pos: point").inputs
    fields = {"pos": torch.randn(3, 4, 2), "frame": torch.randn(3, 4, 2, 2), "adj": torch.randn(3, 4, 4)}
    fields = {name: value.double() for name, value in fields.items()}
    for name in ("S(4)@plane", "E(2)*S(4)", "D4@plane*S(4)"):
        g, h = (group(name).sample(3) for _ in range(2))
        twice, once = act(g, act(h, fields, side), side), act(compose(g, h), fields, side)
        assert all(torch.allclose(twice[kind], once[kind]) for kind in side)


def test_by_hand():
    """Node i becomes node p(i), in every type that has nodes."""
    p = torch.tensor([2, 0, 1, 4, 3])
    g = Element(torch.eye(3, dtype=torch.float64), None, p)
    fields = dense(4)
    transformed = act(g, fields, SIDE)
    for i in range(5):
        for name in ("pos", "frame", "flat", "stress", "charge", "mass", "chi", "five", "h"):
            assert torch.equal(transformed[name][:, p[i]], fields[name][:, i]), name
        for j in range(5):
            assert torch.equal(transformed["adj"][:, p[i], p[j]], fields["adj"][:, i, j])
            assert torch.equal(transformed["bonds"][:, p[i], p[j]], fields["bonds"][:, i, j])


def test_mask_goes_along():
    g = group("S(5)").sample(2, generator=torch.Generator().manual_seed(3))
    side = Signature.parse("pos: point -> pos: point").inputs
    mask = torch.tensor([[True, True, False, False, False], [True, True, True, True, False]])
    fields = {"pos": torch.randn(2, 5, 3), "mask": mask}
    transformed = act(g, fields, side)
    assert torch.equal(transformed["mask"], relabel(mask, g.permutation, -1))
    assert torch.equal(transformed["pos"][transformed["mask"]].sort(0).values, fields["pos"][mask].sort(0).values)
    whole = replicate(g.reshape(1, 2), fields, side, Layout.of(fields, side))
    assert torch.equal(whole["mask"], transformed["mask"])


def test_replicas_are_relabelled_copies():
    g = group("S(5)").sample(6).reshape(2, 3)
    fields = dense(3)
    layout = Layout.of(fields, SIDE)
    whole = replicate(g, fields, SIDE, layout)
    for i in range(2):
        alone = act(g[i], fields, SIDE)
        assert all(torch.allclose(split_replicas(whole[name], 2, layout)[i], alone[name]) for name in SIDE)


def test_what_is_refused():
    side = Signature.parse("pos: point -> pos: point").inputs
    g = group("S(5)").sample()
    with pytest.raises(BatchError, match="relabels 5 nodes, but the clouds of this batch have 6"):
        act(g, {"pos": torch.randn(2, 6, 3)}, side)
    uneven = {"pos": torch.randn(14, 3), "batch": torch.tensor([0] * 5 + [1] * 4 + [2] * 5)}
    with pytest.raises(BatchError, match="relabels 5 nodes, but graph 1 of this batch has 4"):
        act(g, uneven, side)
    with pytest.raises(BatchError, match="relabels 5 nodes, but graph 0 of this batch has 3"):
        act(g, Data(pos=torch.randn(3, 3)), side)
    with pytest.raises(BatchError, match="relabels 3 nodes, but graph 0 of this batch has 5"):
        ge.GroupAveraging(lambda pos, batch: pos, "pos: point -> pos: point", "S(3)")(**uneven)
    with pytest.raises(BatchError, match="give the layout of the inputs"):
        act(g, {"dipole": torch.randn(4, 3)}, Signature.parse("pos: point -> dipole: vector").outputs)
    side = Signature.parse("pos: point, h: node*3, adj: adjacency, x: scalar -> pos: point").inputs
    good = {"pos": torch.randn(2, 5, 3), "h": torch.randn(2, 5, 3), "adj": torch.randn(2, 5, 5), "x": torch.ones(2, 5)}
    act(g, good, side)
    for name, shape, message in [
        ("h", (2, 5, 4), r"'h' is a node\*3: expected shape \[\.\.\., n, 3\], got \[2, 5, 4\]"),
        ("adj", (2, 5, 4), r"'adj' is an adjacency: expected shape \[\.\.\., n, n\]"),
        ("h", (2, 6, 3), r"'h' of shape \[2, 6, 3\] has 6 nodes \(axis 1\); the group relabels 5"),
        ("x", (2, 6, 1), "has 6 nodes"),
        ("h", (2, 3), "has no node axis after 1 batch axes"),
    ]:
        with pytest.raises(BatchError, match=message):
            act(g, good | {name: torch.ones(shape)}, side)


def test_gradients_flow():
    x = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    p = group("S(4)").sample(2).permutation
    assert torch.autograd.gradcheck(lambda x: relabel(x, p, 1), x)


class Ordered(torch.nn.Module):
    """Depends on the order of its nodes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.flat = torch.nn.Linear(4 * 6, 4 * 2 + 1).double()

    def forward(self, h, adj):
        out = torch.tanh(self.flat(torch.cat([h.flatten(-2), adj.flatten(-2)], -1)))
        return out[..., :8].unflatten(-1, (4, 2)), out[..., 8]


def test_averages_over_relabellings():
    signature = "h: node, adj: adjacency -> out: node, energy: scalar"
    torch.manual_seed(1)
    inputs = {"h": torch.randn(3, 4, 2).double(), "adj": torch.randn(3, 4, 4).double()}
    bare, averaged = Ordered(), ge.GroupAveraging(Ordered(), signature, "S(4)", chunk=10)
    assert ge.equivariance_error(bare, inputs, signature, "S(4)").relative > 0.1
    assert ge.equivariance_error(averaged, inputs, signature, "S(4)").worst < 1e-13
    again = ge.GroupAveraging(averaged, signature, "S(4)")
    assert all(torch.allclose(a, b) for a, b in zip(again(**inputs), averaged(**inputs), strict=True))
    twin = torch.zeros(3, dtype=torch.float64)  # the energy, by a plain loop
    elements = group("S(4)").elements()
    for i in range(24):
        q = elements[i].permutation
        twin += bare(inputs["h"][:, q], inputs["adj"][:, q][:, :, q])[1] / 24
    assert torch.allclose(averaged(**inputs)[1], twin)
    single = {name: value[0] for name, value in inputs.items()}
    assert torch.allclose(averaged(**single)[0], averaged(**inputs)[0][0])
    drawn = ge.GroupAveraging(bare, signature, "S(4)", num_samples=2)
    assert drawn(**inputs)[0].shape == (3, 4, 2)


def test_objectives_relabel_inputs_and_targets_alike():
    """The loss does not tell relabellings apart: an exactly equivariant model is as good on g x, g y as on x, y."""
    signature = "h: node, adj: adjacency -> out: node, energy: scalar"
    inputs = {"h": torch.randn(3, 4, 2).double(), "adj": torch.randn(3, 4, 4).double()}
    targets = {"out": torch.randn(3, 4, 2).double(), "energy": torch.randn(3).double()}

    def exact(h, adj):
        return adj @ h, adj.sum((-1, -2))

    generator = torch.Generator().manual_seed(0)
    loss = ge.REMUL(exact, signature, "S(4)", torch.nn.functional.mse_loss, generator=generator)(inputs, targets)
    assert torch.allclose(loss.equivariance, loss.objective)
    loss = ge.REMUL(Ordered(), signature, "S(4)", torch.nn.functional.mse_loss, generator=generator)(inputs, targets)
    assert not torch.allclose(loss.equivariance, loss.objective)


def test_averages_over_relabellings_with_a_mask():
    signature = "pos: point -> pos: point"
    pos = torch.randn(2, 3, 3, dtype=torch.float64)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    weight = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)[:, None]

    def model(pos, mask):
        return torch.cumsum(pos * weight * mask[..., None], -2) * mask[..., None]

    averaged = ge.GroupAveraging(model, signature, "S(3)")
    inputs = {"pos": pos, "mask": mask}
    assert ge.equivariance_error(model, inputs, signature, "S(3)").relative > 0.1
    assert ge.equivariance_error(averaged, inputs, signature, "S(3)").worst < 1e-13


RAGGED = "pos: point, h: node*2, q: scalar per node, edge_attr: scalar, total: vector, adj: adjacency -> y: node"


def ragged(seed=0, graphs=3, n=4):
    """Graphs of n nodes each whose rows lie mixed up, with as many edges as nodes."""
    generator = torch.Generator().manual_seed(seed)
    batch = torch.arange(graphs).repeat(n)[torch.randperm(graphs * n, generator=generator)]
    rows = batch.argsort(stable=True).reshape(graphs, n)
    edges = torch.stack([rows, rows.roll(1, -1)]).reshape(2, -1)
    edges[1, :3] = rows[0, torch.randint(0, n, (3,), generator=generator)]

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return {
        "pos": normal(graphs * n, 3), "h": normal(graphs * n, 2), "q": normal(graphs * n),
        "edge_attr": normal(edges.shape[1]), "total": normal(graphs, 3), "adj": normal(graphs, n, n),
        "edge_index": edges, "batch": batch, "face": rows[:, :3].T.clone(), "weights": normal(edges.shape[1]),
    }  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), shared=st.booleans())
def test_ragged_relabelling_by_hand(seed, shared):
    """Node i of a graph becomes node p(i) of it; edges keep their places and lead to the same nodes as before."""
    side = Signature.parse(RAGGED).inputs
    fields = ragged(seed)
    rows = fields["batch"].argsort(stable=True).reshape(3, 4)
    g = group("S(4)").sample(*(() if shared else (3,)), generator=torch.Generator().manual_seed(seed))
    transformed = act(g, fields, side)
    p = g.permutation.expand(3, 4)
    to = {int(rows[b, i]): int(rows[b, p[b, i]]) for b in range(3) for i in range(4)}
    for old, new in to.items():
        for name in ("pos", "h", "q"):
            assert torch.equal(transformed[name][new], fields[name][old])
    for name in ("edge_index", "face"):
        assert transformed[name].flatten().tolist() == [to[i] for i in fields[name].flatten().tolist()]
    for name in ("edge_attr", "weights", "total", "batch"):
        assert torch.equal(transformed[name], fields[name])
    for b in range(3):
        assert torch.equal(transformed["adj"][b][p[b]][:, p[b]], fields["adj"][b])
    back = act(inverse(g), transformed, side)
    assert all(torch.equal(back[name], fields[name]) for name in fields)


@pytest.mark.parametrize("name", ["S(4)", "SE(3)*S(4)"])
def test_ragged_replicas_are_relabelled_copies(name):
    side, fields = Signature.parse(RAGGED).inputs, ragged()
    layout = Layout.of(fields, side)
    for shape in ((2, 3), (2, 1)):
        g = group(name).sample(*shape, generator=torch.Generator().manual_seed(1))
        whole = replicate(g, fields, side, layout)
        more = replicate(g, fields, side, layout, original=True)
        for key in fields:
            step = 3 if key == "batch" else 12 if key in ("edge_index", "face") else 0
            axis = -1 if step == 12 else 0
            assert torch.equal(more[key], torch.cat([fields[key], whole[key] + step], axis))
        for i in range(2):
            alone = act(g[i], fields, side)
            for key in ("edge_index", "face"):
                assert torch.equal(whole[key].chunk(2, -1)[i], alone[key] + 12 * i)
            assert torch.equal(whole["batch"].chunk(2)[i], alone["batch"] + 3 * i)
            assert all(torch.allclose(whole[key].chunk(2)[i], alone[key]) for key in (*side, "weights"))


def test_graph_objects_are_relabelled():
    generator = torch.Generator().manual_seed(0)
    one = Data(pos=torch.randn(4, 3), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]), edge_attr=torch.arange(3.0))
    other = Data(pos=torch.randn(4, 3), edge_index=torch.tensor([[3, 0], [1, 2]]), edge_attr=torch.arange(2.0))
    side = Signature.parse("pos: point -> pos: point").inputs
    batch = Batch.from_data_list([one, other])
    g = group("S(4)").sample(2, generator=generator)
    transformed = act(g, batch, side)
    assert isinstance(transformed, Batch)
    for k, data in enumerate((one, other)):
        alone = act(g[k], data, side)
        assert torch.equal(transformed.get_example(k).pos, alone.pos)
        assert torch.equal(transformed.get_example(k).edge_index, alone.edge_index)
        assert torch.equal(alone.edge_index, g.permutation[k][data.edge_index])
        assert torch.equal(alone.edge_attr, data.edge_attr)
    assert torch.equal(batch.edge_index[:, :3], one.edge_index)  # what came in is left as it was
    single = act(g[0], Data(x=torch.eye(4), adj=torch.arange(16.0).reshape(4, 4)), Signature.parse(
        "x: node, adj: adjacency -> y: node").inputs)  # fmt: skip
    p = g.permutation[0]
    assert torch.equal(single.adj[p][:, p], torch.arange(16.0).reshape(4, 4))


class Walk(torch.nn.Module):
    """Depends on the numbers of the nodes."""

    def forward(self, pos, edge_index, batch):
        place = torch.zeros_like(batch)
        rows = batch.argsort(stable=True).reshape(-1, 4)
        place[rows] = torch.arange(1, 5).expand_as(rows)
        message = (pos[edge_index[1]] * place[edge_index[0], None]).sin()
        y = pos * place[:, None] + torch.zeros_like(pos).index_add(0, edge_index[0], message)
        return y, message, pos.new_zeros(len(rows), 3).index_add(0, batch, y)


def test_averages_over_relabellings_of_ragged_batches():
    signature = "pos: vector per node -> y: vector per node, message: vector per edge, total: vector"
    inputs = {name: value for name, value in ragged().items() if name in ("pos", "edge_index", "batch")}
    averaged = ge.GroupAveraging(Walk(), signature, "S(4)", chunk=7)
    assert ge.equivariance_error(Walk(), inputs, signature, "S(4)").relative > 0.1
    assert ge.equivariance_error(averaged, inputs, signature, "S(4)").worst < 1e-13
    rows = inputs["batch"].argsort(stable=True).reshape(3, 4)
    twin = torch.zeros(3, 3, dtype=torch.float64)  # the total, by a plain loop
    for i in range(24):
        p = group("S(4)").elements()[i].permutation
        to = torch.empty(12, dtype=torch.int64)
        to[rows] = rows[:, p]
        pos = torch.empty_like(inputs["pos"])
        pos[to] = inputs["pos"]
        twin += Walk()(pos, to[inputs["edge_index"]], inputs["batch"])[2] / 24
    assert torch.allclose(averaged(**inputs)[2], twin)


def test_average_over_5040_relabellings():
    """S(7) by chunks of calls, against a loop over single relabellings."""
    signature = "adj: adjacency -> y: node, energy: scalar"
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(49, 8, dtype=torch.float64, generator=generator)
    seen = []

    def model(adj):
        seen.append(len(adj))
        out = (adj.flatten(-2) @ weight).tanh()
        return out[..., :7, None], out[..., 7]

    adj = torch.randn(5, 7, 7, dtype=torch.float64, generator=generator)
    averaged = ge.GroupAveraging(model, signature, "S(7)")
    y, energy = averaged(adj)
    assert sum(seen) == 5 * 5040
    assert max(seen) * 7 <= 4096  # points of one call
    elements = group("S(7)").elements().permutation
    twin, twin_energy = torch.zeros(5, 7, 1).double(), torch.zeros(5).double()
    for q in elements:  # f(x relabelled by the inverse of q), put back
        here = model(adj[:, q][:, :, q])
        twin, twin_energy = twin + here[0][:, q.argsort()] / 5040, twin_energy + here[1] / 5040
    assert torch.allclose(y, twin, atol=1e-12)
    assert torch.allclose(energy, twin_energy, atol=1e-12)
    assert torch.allclose(ge.GroupAveraging(model, signature, "S(7)", chunk=999)(adj)[0], y, atol=1e-12)


def test_averages_over_more_relabellings_than_can_be_listed():
    signature = "adj: adjacency -> energy: scalar"
    with pytest.raises(ge.GeoequivError, match=r"S\(8\) has 40320 .*num_samples.*frame='sorting'"):
        ge.GroupAveraging(lambda adj: adj.sum((-1, -2)), signature, "S(8)")
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(8, 8, dtype=torch.float64, generator=generator)
    adj = torch.randn(8, 8, dtype=torch.float64, generator=generator)
    drawn = ge.GroupAveraging(
        lambda adj: (adj * weight).sum((-1, -2)), signature, "S(8)", num_samples=4000, generator=generator
    )
    # the mean over S(n) of Σ W_ij A_p(i)p(j): diagonals and off-diagonals are averaged apart
    off = 1 - torch.eye(8).double()
    exact = weight.trace() * adj.trace() / 8 + (weight * off).sum() * (adj * off).sum() / 56
    spread = torch.stack([(weight * adj[q][:, q]).sum() for q in torch.rand(4000, 8, generator=generator).argsort(-1)])
    assert (drawn(adj) - exact).abs() < 5 * spread.std() / 4000**0.5
