"""The laws of every frame at once: groups × frames × layouts × generic, symmetric, flat and nearly symmetric clouds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Batch, Data

import geoequiv as ge
from geoequiv.fields import Layout, act
from geoequiv.groups import inverse

from . import molecules

FRAMES = ["pca", "stochastic", "minimal", "weighted", "learned"]
FRAMED = {3: ["SO(3)", "O(3)", "SE(3)", "E(3)"], 2: ["SO(2)", "O(2)", "SE(2)", "E(2)"]}
FINITE = {3: ["O", "Oh", "I", "D4", "T(3)"], 2: ["C4", "D4"]}
LAYOUTS = ["single", "dense", "masked", "ragged", "pyg"]
#: largest relative error; what a network magnifies is not bounded by the frame
LIMITS = {torch.float64: 1e-10, torch.float32: 1e-5}

SPATIAL = {name: cloud for name, (cloud, _, _) in molecules.CLOUDS.items()} | molecules.NEAR
PLANAR = {
    "generic": molecules.random(6)[:, :2],
    "pentagon": molecules.ring(5)[:, :2],
    "square": molecules.ring(4)[:, :2],
    "square off by 1e-3": molecules.ring(4)[:, :2] + 1e-3 * molecules.random(4, 5)[:, :2],
    "two points": torch.tensor([[0.0, 0], [1, 2]]).double(),
    "coincident": torch.ones(3, 2).double(),
    "one point": torch.ones(1, 2).double(),
}
CLOUDS = {3: SPATIAL, 2: PLANAR}
OUTPUTS = {
    3: "pos: point, energy: scalar per graph, spin: pseudovector, stress: tensor, multipole: 1x2e+1x5o",
    2: "pos: point, energy: scalar per graph, stress: tensor",
}
SIGNATURES = {dim: f"pos: point, vel: vector, charge: scalar -> {outputs}" for dim, outputs in OUTPUTS.items()}
PER_GRAPH = ("energy",)

FRAME = pytest.mark.parametrize("frame", FRAMES)
DIM = pytest.mark.parametrize("dim", [3, 2])


class Net(nn.Module):
    """Permutation-equivariant and nothing else; tensors or a PyG object."""

    def __init__(self, dim):
        super().__init__()
        torch.manual_seed(0)
        self.dim = dim
        self.layers = nn.Sequential(nn.Linear(2 * dim + 1, 16), nn.Tanh(), nn.Linear(16, 29), nn.Tanh())

    def forward(self, pos, vel, charge, batch=None, mask=None):
        h, d = self.layers(torch.cat([pos, vel, charge], -1)), self.dim
        energy = h[..., 0] if mask is None else h[..., 0] * mask
        if batch is None:
            energy = energy.sum(-1)
        else:
            energy = energy.new_zeros(int(batch.max()) + 1).index_add(0, batch, energy)
        out = {"pos": pos + h[..., 1 : 1 + d], "energy": energy, "stress": h[..., 4 : 4 + d * d].unflatten(-1, (d, d))}
        return out if d == 2 else out | {"spin": h[..., 1:4].square(), "multipole": h[..., 13:29]}


class GraphNet(Net):
    def forward(self, data):
        return super().forward(data.pos, data.vel, data.charge, data.batch)


def averaged(model, group, frame, dim):
    """By a frame of the group, or over the group where ``frame`` is None."""
    torch.manual_seed(1)  # of a learned frame
    if frame is None:
        return ge.GroupAveraging(model, SIGNATURES[dim], ge.group(group, dim=dim)).eval()
    return ge.FrameAveraging(model, SIGNATURES[dim], group, frame).eval()


def item(pos, with_velocity, seed):
    """A cloud somewhere, at rest or not."""
    vel = torch.randn(pos.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * with_velocity
    return {"pos": pos - 0.7, "vel": vel, "charge": torch.ones(len(pos), 1, dtype=torch.float64)}


def transformed(element, x, order, dim):
    side = ge.Signature.parse(SIGNATURES[dim]).inputs
    return act(element, {name: value[order] for name, value in x.items()}, side)


def outputs_in(layout, model, items):
    """What a model returns for each item, all of them in one batch of a layout."""
    sizes = [len(x["pos"]) for x in items]
    if layout == "single" or (layout == "dense" and len(set(sizes)) > 1):
        return [model(**x) for x in items]
    if layout == "dense":
        out = model(**{name: torch.stack([x[name] for x in items]) for name in items[0]})
        return [{name: value[i] for name, value in out.items()} for i in range(len(items))]
    if layout == "masked":
        most = max(sizes) + 1
        pad = lambda value: torch.cat([value, value.new_full((most - len(value), value.shape[1]), 7.0)])  # noqa: E731
        stacked = {name: torch.stack([pad(x[name]) for x in items]) for name in items[0]}
        out = model(**stacked, mask=torch.arange(most) < torch.tensor(sizes)[:, None])
        cut = lambda name, i: slice(None) if name in PER_GRAPH else slice(sizes[i])  # noqa: E731
        return [
            {name: value[i] if name in PER_GRAPH else value[i][cut(name, i)] for name, value in out.items()}
            for i in range(len(items))
        ]
    if layout == "ragged":
        index = torch.repeat_interleave(torch.arange(len(items)), torch.tensor(sizes))
        out = model(**{name: torch.cat([x[name] for x in items]) for name in items[0]}, batch=index)
    else:
        out = model(Batch.from_data_list([Data(**x, edge_index=torch.zeros(2, 1, dtype=torch.int64)) for x in items]))
    parts = {name: value.split(1 if name in PER_GRAPH else sizes) for name, value in out.items()}
    return [{n: p[i][0] if n in PER_GRAPH else p[i] for n, p in parts.items()} for i in range(len(items))]


def distance(a, b):
    return torch.stack([(a[name] - b[name]).detach().double().norm() for name in b]).norm()


def relative_error(model, pos, group, layout, dtype, with_velocity, seed, dim):
    """Of the model on a rotated, reflected, translated and relabelled copy, beside the cloud itself in one batch."""
    generator = torch.Generator().manual_seed(seed)
    G = ge.group(group, dim=dim)
    g, h = G.sample(generator=generator), ge.group("O(3)" if dim == 3 else "O(2)").sample(generator=generator)
    order = torch.randperm(len(pos), generator=generator)
    x = transformed(h, item(pos, with_velocity, seed), torch.arange(len(pos)), dim)
    other = item(molecules.random(4, 3)[:, :dim], True, 1)
    cast = lambda fields: {name: value.to(dtype) for name, value in fields.items()}  # noqa: E731
    here, _, there = outputs_in(layout, model, [cast(x), cast(other), cast(transformed(g, x, order, dim))])
    wanted = act(g, here, ge.Signature.parse(SIGNATURES[dim]).outputs)
    wanted = {name: value if name in PER_GRAPH else value[order] for name, value in wanted.items()}
    return float(distance(there, wanted) / distance(wanted, {name: 0 * value for name, value in wanted.items()}))


def draws(dim):
    return {
        "cloud": st.sampled_from(sorted(CLOUDS[dim])),
        "layout": st.sampled_from(LAYOUTS),
        "dtype": st.sampled_from(list(LIMITS)),
        "with_velocity": st.booleans(),
        "seed": st.integers(0, 2**31),
    }


def check_exact(frame, group, dim, cloud, layout, dtype, with_velocity, seed):
    net = (GraphNet if layout == "pyg" else Net)(dim).to(dtype)
    model = averaged(net, group, frame, dim)
    error = relative_error(model, CLOUDS[dim][cloud], group, layout, dtype, with_velocity, seed, dim)
    assert error < LIMITS[dtype]


@FRAME
@pytest.mark.parametrize("group", FRAMED[3])
@settings(max_examples=25, deadline=None)
@given(**draws(3))
def test_exact_in_space(frame, group, **drawn):
    check_exact(frame, group, 3, **drawn)


@FRAME
@pytest.mark.parametrize("group", FRAMED[2])
@settings(max_examples=12, deadline=None)
@given(**draws(2))
def test_exact_in_the_plane(frame, group, **drawn):
    check_exact(frame, group, 2, **drawn)


@pytest.mark.parametrize(("group", "dim"), [(g, dim) for dim, groups in FINITE.items() for g in groups])
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_group_averages_are_exact(group, dim, data):
    check_exact(None, group, dim, **{name: data.draw(s, label=name) for name, s in draws(dim).items()})


@DIM
@FRAME
def test_every_cloud_once(frame, dim):
    """No cloud is left to chance: all of them in float64 and float32 under the largest group."""
    group = FRAMED[dim][-1]
    for dtype in LIMITS:
        for cloud in CLOUDS[dim]:
            check_exact(frame, group, dim, cloud, "masked", dtype, False, 7)


def test_the_check_fails_without_a_frame():
    error = relative_error(Net(3).double(), SPATIAL["benzene"], "E(3)", "dense", torch.float64, False, 0, 3)
    assert error > 1e-2
    ignoring = ge.FrameAveraging(Net(3).double(), SIGNATURES[3], "E(3)", degenerate="ignore")
    assert relative_error(ignoring, SPATIAL["benzene"], "E(3)", "dense", torch.float64, False, 0, 3) > 1e-3


@DIM
@FRAME
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_against_a_naive_loop(frame, dim, data):
    """Element by element, as the formula is written; symmetrizing twice equals once."""
    # thousands of elements take a loop too long
    clouds = [name for name in sorted(CLOUDS[dim]) if name != "C60" or frame != "weighted"]
    cloud = data.draw(st.sampled_from(clouds))
    group = data.draw(st.sampled_from(FRAMED[dim]))
    model = averaged(Net(dim).double(), group, frame, dim)
    x, signature = item(CLOUDS[dim][cloud], True, 3), model.signature
    elements, weights = model.frame(x, signature.inputs, Layout.of(x, signature.inputs, dim))
    total = None
    for i in range(len(elements)):
        weight = 1 / len(elements) if weights is None else weights[i]
        back = act(elements[i], model.model(**act(inverse(elements[i]), x, signature.inputs)), signature.outputs)
        total = {name: weight * v + (0 if total is None else total[name]) for name, v in back.items()}
    once = model(**x)
    assert float(distance(once, total)) < 1e-11
    assert float(distance(averaged(model, group, frame, dim)(**x), once)) < 1e-9


@DIM
@FRAME
def test_an_equivariant_backbone_is_left_unchanged(frame, dim):
    def equivariant(pos, vel, charge):
        x = pos - pos.mean(-2, keepdim=True)
        size = x.norm(dim=-1, keepdim=True)
        stress = x.unsqueeze(-1) * vel.unsqueeze(-2)
        return {"pos": pos + size * vel, "energy": size.sum((-1, -2)), "stress": stress}

    signature = "pos: point, vel: vector, charge: scalar -> pos: point, energy: scalar per graph, stress: tensor"
    for group in FRAMED[dim][1::2]:
        model = ge.FrameAveraging(equivariant, signature, group, frame).eval()
        for pos in CLOUDS[dim].values():
            x = item(pos, True, 2)
            assert float(distance(model(**x), equivariant(**x))) < 1e-10


@DIM
@FRAME
def test_gradients_are_finite_and_equal_finite_differences(frame, dim):
    """Finite on every cloud; of clouds away from ties equal to central differences."""
    model = averaged(Net(dim).double(), FRAMED[dim][-1], frame, dim)
    for cloud, pos in CLOUDS[dim].items():
        x = item(pos, False, 0)
        pos = x["pos"].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(pos, x["vel"], x["charge"])["energy"], pos)
        assert gradient.isfinite().all(), cloud
        if cloud == "generic":
            along = torch.randn(pos.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
            energies = [model(pos.detach() + s * along, x["vel"], x["charge"])["energy"] for s in (1e-6, -1e-6)]
            slope = float((energies[0] - energies[1]).detach() / 2e-6)
            assert slope == pytest.approx(float((gradient * along).sum()), rel=1e-5, abs=1e-7)
