"""Frames of symmetric, flat and coincident clouds are exact: rotated, translated and permuted at once."""

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.errors import BatchError, GroupError, SignatureError
from geoequiv.fields import Layout, Side, Signature
from geoequiv.symmetrize import MinimalFrame, PCAFrame

from . import molecules

CLOUDS = molecules.CLOUDS

FRAMES = pytest.mark.parametrize("frame", ["pca", "minimal"])

SIGNATURE = Signature.parse(
    "pos: point, vel: vector, charge: scalar -> pos: point, energy: scalar, spin: pseudovector, stress: tensor, "
    "chirality: pseudoscalar, multipole: 1x3o+1x5e"
)
EACH = pytest.mark.parametrize("name", CLOUDS)


class Net(nn.Module):
    """Permutation-equivariant and nothing else."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(7, 16), nn.Tanh(), nn.Linear(16, 36))

    def forward(self, pos, vel, charge, batch=None, mask=None):
        h = self.layers(torch.cat([pos, vel, charge], -1))
        pooled = h.tanh()
        if mask is not None:
            pooled = pooled * mask.unsqueeze(-1)
        if batch is None:
            pooled = pooled.sum(-2)
        else:
            pooled = pooled.new_zeros(int(batch.max()) + 1, 36).index_add(0, batch, pooled)
        return {
            "pos": pos + h[..., :3], "energy": pooled[..., 0], "spin": h[..., 3:6],
            "stress": h[..., 6:15].unflatten(-1, (3, 3)), "chirality": pooled[..., 16], "multipole": pooled[..., 18:],
        }  # fmt: skip


def net():
    torch.manual_seed(0)
    return Net().double()


def batch_of(name, with_velocity=False, seed=0):
    pos = CLOUDS[name][0]
    generator = torch.Generator().manual_seed(seed)
    vel = torch.randn(len(pos), 3, generator=generator, dtype=torch.float64) if with_velocity else torch.zeros_like(pos)
    return {"pos": pos - 1.5, "vel": vel, "charge": torch.ones(len(pos), 1, dtype=torch.float64)}


def relative(a, b):
    a, b = ({name: value.detach() for name, value in side.items()} for side in (a, b))
    error = torch.stack([(a[k] - b[k]).norm() for k in b]).norm()
    return float(error / torch.stack([b[k].norm() for k in b]).norm())


def error(wrapped, x, group, seed, dtype=torch.float64):
    """Of f(g x) against g f(x), g a random isometry times a random relabelling of the points."""
    generator = torch.Generator().manual_seed(seed)
    g = ge.group(group).sample(generator=generator)
    order = torch.randperm(len(x["pos"]), generator=generator)
    x = ge.transform(ge.group("O(3)").sample(generator=generator), x, SIGNATURE.inputs)
    there = ge.transform(g, {name: value[order] for name, value in x.items()}, SIGNATURE.inputs)
    cast = lambda fields: {name: value.to(dtype) for name, value in fields.items()}  # noqa: E731
    here = ge.transform(g, wrapped(**cast(x)), SIGNATURE.outputs)
    here = {name: here[name][order] if name in ("pos", "spin", "stress") else here[name] for name in here}
    return relative(wrapped(**cast(there)), here)


@EACH
def test_sizes(name):
    cloud, full, proper = CLOUDS[name]
    for group, size in (("E(3)", full), ("SE(3)", proper)):
        report = PCAFrame(ge.group(group)).diagnose(cloud)
        assert int(report.size) == size
        assert bool(report.degenerate) == (name not in ("generic", "planar"))
        assert (report.distance > 0) != report.degenerate


@pytest.mark.parametrize("name", molecules.SIGNED)
def test_minimal_frames_count_the_symmetries(name):
    cloud, full, proper = molecules.SIGNED[name]
    for group, size in (("E(3)", full), ("SE(3)", proper)):
        rotated = ge.transform(ge.group("E(3)").sample(), {"pos": cloud}, Side.parse("pos: point"))["pos"]
        report = MinimalFrame(ge.group(group)).diagnose(rotated)
        assert int(report.size) == size
        assert not report.degenerate
        x = {"pos": cloud, "vel": molecules.random(len(cloud)), "charge": torch.ones(len(cloud), 1).double()}
        assert error(ge.FrameAveraging(net(), SIGNATURE, group, "minimal"), x, group, 0) < 1e-10


@pytest.mark.parametrize("group", ["SE(3)", "E(3)"])
def test_minimal_gradient_equals_finite_differences(group):
    wrapped, x = ge.FrameAveraging(net(), SIGNATURE, group, "minimal"), batch_of("generic", with_velocity=True)
    energy = lambda pos: wrapped(pos, x["vel"], x["charge"])["energy"]  # noqa: E731
    assert torch.autograd.gradcheck(energy, x["pos"].requires_grad_(), atol=1e-6)
    assert torch.autograd.gradgradcheck(energy, x["pos"], atol=1e-5)


def test_ignoring_ties_is_not_exact():
    """The tester tested: the classical frame fails on benzene as published ones do."""
    wrapped = ge.FrameAveraging(net(), SIGNATURE, "E(3)", degenerate="ignore")
    assert error(wrapped, batch_of("benzene"), "E(3)", 0) > 1e-3
    assert error(wrapped, batch_of("generic"), "E(3)", 0) < 1e-12


@FRAMES
@pytest.mark.parametrize("group", ["SE(3)", "E(3)"])
def test_a_mixed_batch_in_every_layout(frame, group):
    """Degenerate and generic clouds side by side give what each gives alone."""
    wrapped = ge.FrameAveraging(net(), SIGNATURE, group, frame)
    names = ("generic", "methane", "collinear", "planar", "one point")
    x = [batch_of(name, with_velocity=name == "collinear") for name in names]
    alone = [wrapped(**one) for one in x]
    sizes = [len(one["pos"]) for one in x]
    flat = {name: torch.cat([one[name] for one in x]) for name in x[0]}
    ragged = wrapped(**flat, batch=torch.repeat_interleave(torch.arange(len(x)), torch.tensor(sizes)))
    pad = lambda value: torch.cat([value, value.new_full((max(sizes) - len(value), value.shape[1]), 7.0)])  # noqa: E731
    stacked = {name: torch.stack([pad(one[name]) for one in x]) for name in x[0]}
    masked = wrapped(**stacked, mask=torch.arange(max(sizes)) < torch.tensor(sizes)[:, None])
    starts = [sum(sizes[:i]) for i in range(len(x))]
    for i, one in enumerate(alone):
        for name in one:
            per_node = name in ("pos", "spin", "stress")
            here = ragged[name][starts[i] : starts[i] + sizes[i]] if per_node else ragged[name][i]
            there = masked[name][i, : sizes[i]] if per_node else masked[name][i]
            assert torch.allclose(here, one[name], atol=1e-11)
            assert torch.allclose(there, one[name], atol=1e-11)


def test_batches_with_several_axes_and_chunks():
    x = batch_of("methane")
    many = {name: value.expand(2, 3, *value.shape) for name, value in x.items()}
    one = ge.FrameAveraging(net(), SIGNATURE, "SE(3)", chunk=5)(**x)
    for name, value in ge.FrameAveraging(net(), SIGNATURE, "SE(3)")(**many).items():
        assert torch.allclose(value, one[name].expand_as(value), atol=1e-12)


@EACH
def test_frame_law(name):
    """frame(g x) = g frame(x) as sets, wherever the frame is not an arbitrary member of a continuous family."""
    if name in ("collinear", "two points", "coincident", "one point"):
        return
    for group in ("SE(3)", "E(3)"):
        frame, g = PCAFrame(ge.group(group)), ge.group(group).sample(generator=torch.Generator().manual_seed(0))
        side, x = SIGNATURE.inputs, batch_of(name)
        transformed = ge.transform(g, x, side)
        a = frame(x, side, Layout.of(x, side))[0].linear
        b = frame(transformed, side, Layout.of(transformed, side))[0].linear
        gap = ((g.linear @ a).unsqueeze(1) - b).abs().amax((-1, -2))
        assert len(a) == len(b)
        assert gap.amin(0).max() < 1e-7
        assert gap.amin(1).max() < 1e-7


@EACH
@FRAMES
def test_gradients_are_finite_and_are_equivariant(name, frame):
    wrapped, x = ge.FrameAveraging(net(), SIGNATURE, "E(3)", frame), batch_of(name)

    def force(pos):
        pos = pos.clone().requires_grad_()
        wrapped(pos, x["vel"], x["charge"])["energy"].backward()
        return pos.grad

    g = ge.group("O(3)").sample(generator=torch.Generator().manual_seed(3)).linear
    here, there = force(x["pos"]) @ g.mT, force(x["pos"] @ g.mT)
    assert torch.isfinite(here).all()
    assert torch.allclose(here, there, atol=1e-6 * (1 + float(here.abs().max())))


def test_stochastic_draws_from_the_orbit():
    torch.manual_seed(0)
    x = batch_of("methane")
    wrapped = ge.FrameAveraging(net(), SIGNATURE, "SO(3)", "stochastic")
    full = wrapped.eval()(**x)["spin"]
    draws = torch.stack([wrapped.train()(**x)["spin"] for _ in range(300)])
    assert ((draws.mean(0) - full).abs() <= 5 * draws.std(0) / 300**0.5 + 1e-12).all()


def test_tolerance_and_errors():
    rough = torch.round(CLOUDS["benzene"][0] * 1e3) / 1e3
    assert not PCAFrame(ge.group("E(3)")).diagnose(rough).degenerate
    assert PCAFrame(ge.group("E(3)"), tolerance=5e-3).diagnose(rough).size == 24
    assert PCAFrame(ge.group("E(3)")).diagnose({"pos": CLOUDS["methane"][0].float()}).size == 24
    x = torch.stack([molecules.random(5), CLOUDS["methane"][0]])
    with pytest.raises(BatchError, match="item 1 has covariance eigenvalues"):
        ge.FrameAveraging(lambda pos: pos, "pos: point -> pos: point", degenerate="error")(x)
    with pytest.raises(GroupError, match="Did you mean 'orbit'"):
        ge.FrameAveraging(net(), SIGNATURE, degenerate="orbits")
    with pytest.raises(GroupError, match="degenerate='enlarge' is now called degenerate='orbit'"):
        ge.FrameAveraging(net(), SIGNATURE, degenerate="enlarge")
    with pytest.raises(GroupError, match="tolerance is relative"):
        ge.FrameAveraging(net(), SIGNATURE, tolerance=-1.0)
    with pytest.raises(SignatureError, match="exact up to degree 5"):
        ge.FrameAveraging(net(), "pos: point -> h: 1x6e")
    strained = ge.FrameAveraging(lambda pos, t: pos, "pos: point, t: tensor -> y: vector")
    line = CLOUDS["collinear"][0]
    with pytest.raises(BatchError, match=r"input 't' .* is not symmetric"):
        strained(line, torch.randn(3, 3, 3).double())
    assert torch.isfinite(strained(line, torch.eye(3).double().expand(3, 3, 3))).all()


@FRAMES
@pytest.mark.parametrize("off", [1e-3, 1e-5, 1e-6, 1e-7])
def test_frames_of_nearly_straight_clouds_are_orthogonal(frame, off):
    """What a short leg has left of the line after cancellation is not part of the frame."""
    u, _, v = torch.linalg.svd(molecules.random(7) - molecules.random(7).mean(0), full_matrices=False)
    line = u @ torch.diag(torch.tensor([2.0, off, off]).double()) @ v
    linear = ge.FrameAveraging(net(), "pos: point -> y: vector", "E(3)", frame).frame(line)[0].linear
    assert (linear.mT @ linear - torch.eye(3).double()).abs().max() < 1e-14
