"""Partial symmetry, products and nesting: frames about an axis, frames of one factor averaged over the other."""

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
from geoequiv.fields import Layout, Signature, act
from geoequiv.groups import inverse
from geoequiv.symmetrize import AxialFrame, Frame, GroupFrame, MinimalFrame, PCAFrame, ProductFrame, Symmetrizer
from geoequiv.testing import assert_equivariant

SIGNATURE = Signature.parse(
    "pos: point, vel: vector, charge: scalar -> pos: point, energy: scalar, spin: pseudovector, stress: tensor, "
    "multipole: 1x3o+1x2e"
)
AXIAL = ["SO(2)@y", "O(2)@y", "SO(2)@(1,2,2)", "O(2)@(1,2,2)", "T(3)*SO(2)@z", "T(3)*O(2)@(1,2,2)"]
#: product → number of points that it relabels
PRODUCTS = {
    "C2*SO(2)@y": None, "Ci*SO(2)@y": None, "Ci*SO(3)": None, "Ci*SE(3)": None, "SO(3)*S(3)": 3, "E(3)*S(3)": 3,
    "T(3)*C2*SO(2)@y": None, "SO(2)@y*S(3)*Ci": 3, "T(3)*O(2)@y*S(3)": 3,
}  # fmt: skip
EXACT = pytest.mark.parametrize("frame", ["pca", "minimal", "weighted"])


class Net(nn.Module):
    """No symmetry at all where ``ordered``; else that of relabelling."""

    def __init__(self, ordered=False):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(7, 16), nn.Tanh(), nn.Linear(16, 37))
        self.ordered = ordered

    def forward(self, pos, vel, charge, batch=None, mask=None):
        h = self.layers(torch.cat([pos, vel, charge], -1))
        if self.ordered:
            h = h * torch.linspace(0.5, 2, h.shape[-2]).to(h).unsqueeze(-1)
        pooled = h.tanh() if mask is None else h.tanh() * mask.unsqueeze(-1)
        if batch is None:
            pooled = pooled.sum(-2)
        else:
            pooled = pooled.new_zeros(int(batch.max()) + 1, 37).index_add(0, batch, pooled)
        return {
            "pos": pos + h[..., :3], "energy": pooled[..., 0], "spin": h[..., 3:6],
            "stress": h[..., 6:15].unflatten(-1, (3, 3)), "multipole": pooled[..., 16:28],
        }  # fmt: skip


def net(ordered=False):
    torch.manual_seed(0)
    return Net(ordered).double()


def clouds(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda k: torch.randn(*shape, k, generator=generator, dtype=torch.float64).to(dtype)  # noqa: E731
    return {"pos": draw(3) + 1, "vel": draw(3), "charge": draw(1)}


def ring(n, height=0.0, radius=1.0, angle0=0.0):
    angle = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n + angle0
    return torch.stack([radius * angle.cos(), radius * angle.sin(), torch.full_like(angle, height)], -1)


heights = torch.tensor([[0.0, 0, 0.3], [0, 0, -1.2], [0, 0, 2.0]], dtype=torch.float64)
#: clouds about z: all on the axis, at the origin, one ring, rings that only the view along the axis confuses, …
SYMMETRIC = {
    "on the axis": heights,
    "one point on the axis": heights[:1],
    "at the origin": torch.zeros(2, 3).double(),
    "ring": ring(5, 0.4),
    "prism": torch.cat([ring(4, 0.3), ring(4, -0.5)]),
    "square of different heights": torch.cat([ring(2, 0.3), ring(2, 0.7, angle0=math.pi / 2)]),
    "ring and the axis": torch.cat([ring(6), heights]),
    "coaxial rings": torch.cat([ring(3, 0.1), ring(3, 0.8, 0.5, 0.4), ring(3, -0.3, 1.7, 0.9)]),
    "beside the axis": heights + torch.tensor([1.0, 0.4, 0.0]).double(),
    "two points": torch.tensor([[1.0, 0, 0.2], [-1.0, 0, 0.6]]).double(),
}


def standing(cloud, group):
    """A cloud about z, stood up along the axis of the group."""
    axis = torch.tensor(ge.group(group).linear_part.axis, dtype=torch.float64)
    z = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    half = (axis + z) / (axis + z).norm()
    return cloud @ (2 * torch.outer(half, half) - torch.eye(3).double()).mT


def still(pos):
    return {"pos": pos, "vel": torch.zeros_like(pos), "charge": torch.ones_like(pos[..., :1])}


# about an axis


@EXACT
@pytest.mark.parametrize("group", AXIAL)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_exact_about_an_axis_and_no_further(frame, group, seed):
    wrapped, x = ge.FrameAveraging(net(), SIGNATURE, group, frame), clouds(4, 5, seed=seed)
    assert_equivariant(wrapped, x, SIGNATURE, group, 1e-9)
    assert wrapped.claims == ge.group(group).name
    assert ge.equivariance_error(wrapped, x, SIGNATURE, "O(3)").relative > 0.02


@EXACT
@pytest.mark.parametrize("group", ["O(2)@y", "SO(2)@(1,2,2)", "T(3)*SO(2)@z", "T(3)*O(2)@(1,2,2)"])
@pytest.mark.parametrize("name", SYMMETRIC)
def test_exact_on_clouds_symmetric_about_the_axis(frame, group, name):
    """Turned, relabelled and, where the group translates, far off the axis."""
    generator = torch.Generator().manual_seed(1)
    wrapped = ge.FrameAveraging(net(), SIGNATURE, group, frame)
    shift = 3.0 if ge.group(group).translates else 0.0
    pos = standing(SYMMETRIC[name], group) + shift * torch.tensor([0.3, 1.0, -0.7]).double()
    for dtype, limit in ((torch.float64, 1e-10), (torch.float32, 2e-5)):
        x = {key: value.to(dtype) for key, value in still(pos).items()}
        order = torch.randperm(len(pos), generator=generator)
        wrapped.to(dtype)
        g = ge.group(group).sample(generator=generator)
        here = act(g, wrapped(**x), SIGNATURE.outputs)
        there = wrapped(**act(g, {key: value[order] for key, value in x.items()}, SIGNATURE.inputs))
        for key, value in there.items():
            expected = here[key][order] if key in ("pos", "spin", "stress") else here[key]
            assert torch.allclose(value, expected, atol=limit, rtol=limit), (key, dtype)


def test_sizes_about_an_axis():
    size = lambda cloud, group: int(ge.FrameAveraging(net(), SIGNATURE, group).frame.diagnose(cloud).size)  # noqa: E731
    assert size(clouds(5)["pos"], "SO(2)@z") == 2
    assert size(clouds(5)["pos"], "O(2)@z") == 4
    assert size(SYMMETRIC["ring"], "SO(2)@z") == 5
    assert size(SYMMETRIC["ring"], "O(2)@z") == 10
    assert size(SYMMETRIC["on the axis"], "SO(2)@z") == 6
    assert size(SYMMETRIC["beside the axis"], "T(3)*O(2)@z") == 12
    minimal = ge.FrameAveraging(net(), SIGNATURE, "SO(2)@z", "minimal").frame
    assert int(minimal.diagnose(clouds(5)["pos"]).size) == 1


@pytest.mark.parametrize("group", ["SO(2)@(1,2,2)", "T(3)*O(2)@y"])
def test_frame_elements_lie_in_the_group_and_are_equivariant(group):
    G, side, x = ge.group(group), SIGNATURE.inputs, clouds(7, 5)
    frame = ge.FrameAveraging(net(), SIGNATURE, group).frame
    a, _ = frame(x, side, Layout.of(x, side))
    assert G.contains(a).all()
    g = G.sample(7, generator=torch.Generator().manual_seed(0))
    transformed = act(g, x, side)
    a, b = ge.compose(g, a), frame(transformed, side, Layout.of(transformed, side))[0]
    gap = (a.linear.unsqueeze(1) - b.linear.unsqueeze(0)).abs().amax((-1, -2))
    assert (gap.amin(0) < 1e-9).all()
    if G.translates:
        assert torch.allclose(a.translation, b.translation)


@pytest.mark.parametrize("group", ["T(3)*SO(2)@y", "T(3)*C2*SO(2)@y", "SO(2)@(1,2,2)"])
def test_layouts_agree(group):
    wrapped = ge.FrameAveraging(net(), SIGNATURE, group)
    x = [clouds(4, seed=1), still(standing(SYMMETRIC["prism"], "SO(2)@y")), still(torch.zeros(1, 3).double())]
    alone, sizes = [wrapped(**one) for one in x], [len(one["pos"]) for one in x]
    flat = {name: torch.cat([one[name] for one in x]) for name in x[0]}
    ragged = wrapped(**flat, batch=torch.repeat_interleave(torch.arange(3), torch.tensor(sizes)))
    pad = lambda v: torch.cat([v, v.new_full((max(sizes) - len(v), v.shape[1]), 7.0)])  # noqa: E731
    stacked = {name: torch.stack([pad(one[name]) for one in x]) for name in x[0]}
    masked = wrapped(**stacked, mask=torch.arange(max(sizes)) < torch.tensor(sizes)[:, None])
    starts = [sum(sizes[:i]) for i in range(3)]
    for i, one in enumerate(alone):
        for name in one:
            per_node = name in ("pos", "spin", "stress")
            here = ragged[name][starts[i] : starts[i] + sizes[i]] if per_node else ragged[name][i]
            there = masked[name][i, : sizes[i]] if per_node else masked[name][i]
            assert torch.allclose(here, one[name], atol=1e-10)
            assert torch.allclose(there, one[name], atol=1e-10)
    several = {name: torch.stack([clouds(4, seed=s)[name] for s in range(6)]).unflatten(0, (2, 3)) for name in x[0]}
    many = wrapped(**several)
    for name, value in wrapped(**{key: v.flatten(0, 1) for key, v in several.items()}).items():
        assert torch.allclose(many[name].flatten(0, 1), value, atol=1e-10)


def test_pyg_objects():
    class Graph(nn.Module):
        def forward(self, data):
            source, target = data.edge_index
            message = (data.pos[source] - data.pos[target]) * data.pos.new_tensor([1.0, 2.0, 3.0]) + data.pos[source]
            return data.pos + torch.zeros_like(data.pos).index_add(0, target, message.sin())

    signature = "pos: point -> pos: point"
    graphs = [Data(pos=clouds(n, seed=n)["pos"], edge_index=torch.randint(0, n, (2, 8))) for n in (4, 6)]
    for group in ("T(3)*SO(2)@y", "Ci*SE(3)"):
        wrapped = ge.FrameAveraging(Graph(), signature, group)
        batch = Batch.from_data_list(graphs)
        assert torch.allclose(wrapped(batch), torch.cat([wrapped(graph) for graph in graphs]))
        assert_equivariant(wrapped, batch, signature, group, 1e-9)


@pytest.mark.parametrize("group", ["T(3)*SO(2)@y", "O(2)@(1,2,2)"])
def test_gradients_about_an_axis(group):
    """Equal to finite differences on a generic cloud; finite and equivariant on symmetric ones."""
    wrapped, x = ge.FrameAveraging(net(), SIGNATURE, group), clouds(4)
    energy = lambda pos: wrapped(pos, x["vel"], x["charge"])["energy"]  # noqa: E731
    assert torch.autograd.gradcheck(energy, x["pos"].requires_grad_(), atol=1e-6)
    g = ge.group(group).sample(generator=torch.Generator().manual_seed(2)).linear
    for name, cloud in SYMMETRIC.items():
        there, forces = standing(cloud, group), []
        for pos in (there, there @ g.mT):
            x = still(pos)
            x["pos"].requires_grad_()
            wrapped(**x)["energy"].backward()
            forces.append(x["pos"].grad)
        assert torch.isfinite(forces[0]).all()
        assert torch.allclose(forces[0] @ g.mT, forces[1], atol=1e-6), name


def test_errors_about_an_axis():
    with pytest.raises(GroupError, match="'learned' is not made for SO"):
        ge.FrameAveraging(net(), SIGNATURE, "SO(2)@y", "learned")
    with pytest.raises(GroupError, match=r"made for SO\(2\)@axis and O\(2\)@axis"):
        AxialFrame(ge.group("SO(3)"), PCAFrame(ge.group("SO(2)")))
    with pytest.raises(GroupError, match=r"takes a frame of SE\(2\)"):
        AxialFrame(ge.group("T(3)*SO(2)@y"), PCAFrame(ge.group("SO(2)")))
    with pytest.raises(SignatureError, match="exact up to degree 5"):
        ge.FrameAveraging(net(), "pos: point -> h: 1x6e", "SO(2)@y")
    strained = ge.FrameAveraging(lambda pos, t: pos, "pos: point, t: tensor -> y: vector", "SO(2)@z")
    ragged = lambda pos, t, batch: pos  # noqa: E731
    strained_ragged = ge.FrameAveraging(ragged, "pos: point, t: tensor -> y: vector", "SO(2)@z")
    line = SYMMETRIC["on the axis"]
    with pytest.raises(BatchError, match=r"the cloud are collinear along the axis of SO\(2\)@z, but its input 't'"):
        strained(line, torch.randn(3, 3, 3).double())
    with pytest.raises(BatchError, match="points of item 1 are collinear"):
        strained(torch.stack([clouds(3)["pos"], line]), torch.randn(2, 3, 3, 3).double())
    with pytest.raises(BatchError, match="points of item 1 are collinear"):
        strained_ragged(torch.cat([clouds(3)["pos"], line]), torch.randn(6, 3, 3).double(), torch.arange(6) // 3)
    uniaxial = torch.diag(torch.tensor([1.0, 1.0, 2.0])).double().expand(3, 3, 3)
    assert torch.isfinite(strained(line, uniaxial)).all()
    assert torch.isfinite(strained(clouds(3)["pos"], torch.randn(3, 3, 3).double())).all()
    with pytest.raises(BatchError, match=r"The cloud has covariance eigenvalues 0, 0, which \(nearly\) coincide"):
        ge.FrameAveraging(lambda pos: pos, "pos: point -> y: vector", "SO(2)@z", degenerate="error")(line)


# products


@EXACT
@pytest.mark.parametrize("group", PRODUCTS)
def test_products_are_exact(frame, group):
    wrapped, x = ge.FrameAveraging(net(ordered=True), SIGNATURE, group, frame), clouds(2, PRODUCTS[group] or 5)
    assert isinstance(wrapped.frame, ProductFrame)
    assert wrapped.group == ge.group(group)
    assert wrapped.claims == group
    assert ge.equivariance_error(net(ordered=True), x, SIGNATURE, group).relative > 0.02
    assert_equivariant(wrapped, x, SIGNATURE, group, 1e-9)


@pytest.mark.parametrize("group", ["C2*SO(2)@y", "Ci*SO(3)", "SO(3)*S(3)", "Ci*SE(3)"])
@EXACT
def test_product_frame_is_the_nested_average(group, frame):
    """Averaging over the finite factor around frame averaging over the other, by hand and by nested wrappers."""
    first, second = group.split("*")
    finite, framed = (first, second) if ge.group(first).is_finite else (second, first)
    x = clouds(2, 3)
    once = ge.FrameAveraging(net(ordered=True), SIGNATURE, group, frame)(**x)
    inner = ge.FrameAveraging(net(ordered=True), SIGNATURE, framed, frame)
    nested = ge.GroupAveraging(inner, SIGNATURE, finite)(**x)
    elements = ge.group(finite).elements()
    total = {}
    for i in range(len(elements)):
        here = act(elements[i], inner(**act(inverse(elements[i]), x, SIGNATURE.inputs)), SIGNATURE.outputs)
        total = {name: total.get(name, 0) + value / len(elements) for name, value in here.items()}
    for name, value in once.items():
        assert torch.allclose(value, nested[name], atol=1e-11)
        assert torch.allclose(value, total[name], atol=1e-11)


def test_the_other_nesting_is_exact_only_where_frames_do_not_see_the_finite_group():
    """PCA of SO(3) is blind to inversion and relabelling; the signs of minimal frames are not blind to inversion."""
    x, group = clouds(3, 3), "Ci*SO(3)*S(3)"
    averaged = ge.GroupAveraging(net(ordered=True), SIGNATURE, "Ci*S(3)")
    blind = ge.FrameAveraging(averaged, SIGNATURE, "SO(3)", "pca")
    assert_equivariant(blind, x, SIGNATURE, group, 1e-9)
    product = ge.FrameAveraging(net(ordered=True), SIGNATURE, group, "pca")
    assert all(torch.allclose(product(**x)[name], value, atol=1e-11) for name, value in blind(**x).items())
    sees = ge.FrameAveraging(averaged, SIGNATURE, "SO(3)", "minimal")
    assert_equivariant(sees, x, SIGNATURE, "SO(3)*S(3)", 1e-9)
    assert ge.equivariance_error(sees, x, SIGNATURE, "Ci").relative > 0.02
    assert_equivariant(ge.FrameAveraging(net(True), SIGNATURE, group, "minimal"), x, SIGNATURE, group, 1e-9)


def test_an_average_inside_is_left_alone():
    """What is equivariant to the larger group already comes out of any average over a part unchanged."""
    x = clouds(3, 5)
    whole = ge.FrameAveraging(net(), SIGNATURE, "O(3)")
    for again in (
        ge.GroupAveraging(whole, SIGNATURE, "Oh"),
        ge.FrameAveraging(whole, SIGNATURE, "SO(2)@y"),
        ge.FrameAveraging(whole, SIGNATURE, "Ci*SO(3)", "minimal"),
        ge.GroupAveraging(whole, SIGNATURE, "SO(3)", num_samples=3),
    ):
        for name, value in again(**x).items():
            assert torch.allclose(value, whole(**x)[name], atol=1e-11)


def test_quotient_of_the_full_group():
    """O(3) = Ci × SO(3): frames of the quotient and the average over inversion make the same average."""
    x = clouds(3, 5)
    full, product = (ge.FrameAveraging(net(), SIGNATURE, group, "pca") for group in ("O(3)", "Ci*SO(3)"))
    assert all(torch.allclose(full(**x)[name], value, atol=1e-11) for name, value in product(**x).items())


def test_products_of_symmetric_clouds_chunks_and_decorators():
    square = still(standing(SYMMETRIC["prism"], "SO(2)@y"))
    x = {name: torch.stack([value, clouds(8)[name]]) for name, value in square.items()}
    wrapped = ge.FrameAveraging(net(ordered=True), SIGNATURE, "C2*SO(2)@y")
    assert_equivariant(wrapped, x, SIGNATURE, "C2*SO(2)@y", 1e-9)
    for other in (
        ge.FrameAveraging(net(ordered=True), SIGNATURE, "C2*SO(2)@y", chunk=3),
        ge.frame_averaging(SIGNATURE, "C2*SO(2)@y")(net(ordered=True)),
        ge.frame_averaging(SIGNATURE, "C2*SO(2)@y")(net(ordered=True).forward),
    ):
        assert all(torch.allclose(other(**x)[name], value, atol=1e-12) for name, value in wrapped(**x).items())


def test_monte_carlo_over_a_factor_too_large_to_list():
    """SO(3)*S(9): exact under rotations, relabellings in expectation."""
    group, x = ge.group("SO(3)*S(9)"), clouds(2, 9)
    draws = GroupFrame(ge.group("S(9)"), num_samples=4, generator=torch.Generator().manual_seed(0))
    wrapped = Symmetrizer(net(ordered=True), SIGNATURE, ProductFrame(group, draws, MinimalFrame(ge.group("SO(3)"))))
    assert wrapped.claims is None
    blind = Symmetrizer(net(), SIGNATURE, ProductFrame(group, draws, MinimalFrame(ge.group("SO(3)"))))
    assert_equivariant(blind, x, SIGNATURE, group, 1e-9)
    assert ge.equivariance_error(wrapped, x, SIGNATURE, group).relative > 0.01


@pytest.mark.parametrize("group", ["SO(3)", "D2", "SO(2)@y"])
def test_isometries_around_sorted_nodes(group):
    """Two wrappers, as the errors advise."""
    x = clouds(2, 6)
    inner = ge.FrameAveraging(net(ordered=True), SIGNATURE, "S(6)", "sorting")
    average = ge.GroupAveraging if ge.group(group).is_finite else ge.FrameAveraging
    assert_equivariant(average(inner, SIGNATURE, group), x, SIGNATURE, f"{group}*S(6)", 1e-9)
    for name in (f"{group}*S(6)", "SO(3)*S(9)"):
        with pytest.raises(GroupError, match="rap twice"):
            ge.FrameAveraging(net(), SIGNATURE, name, "sorting")


def test_errors_of_products():
    with pytest.raises(GroupError, match=r"SO\(3\) and S\(9\) are both too large to list"):
        ge.FrameAveraging(net(), SIGNATURE, "SO(3)*S(9)")
    with pytest.raises(GroupError, match="O does not map SO"):
        ProductFrame(
            ge.group("SO(3)"), GroupFrame(ge.group("O")), AxialFrame(ge.group("SO(2)@y"), PCAFrame(ge.group("SO(2)")))
        )
    with pytest.raises(GroupError, match="Unknown frame 'pac'"):
        ge.FrameAveraging(net(), SIGNATURE, "Ci*SO(3)", "pac")
    with pytest.raises(GroupError, match="Did you mean 'orbit'"):
        ge.FrameAveraging(net(), SIGNATURE, "Ci*SO(3)", degenerate="orbits")
    with pytest.raises(GroupError, match="PCA frames are made for"):
        ge.FrameAveraging(net(), SIGNATURE, "O*S(3)")


@pytest.mark.parametrize("group", ["SO(2)@y", "T(3)*C2*SO(2)@y", "SE(3)*S(3)"])
def test_frames_of_compositions_are_frozen_values(group):
    one, other = (ge.FrameAveraging(net(), SIGNATURE, group).frame for _ in range(2))
    assert isinstance(one, Frame)
    assert one == other
    assert hash(one) == hash(other)
    assert pickle.loads(pickle.dumps(one)) == one
    assert group.split("*")[0] in repr(one)
