"""Frames from more than positions: which inputs decide what, and what a report says about them."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

import geoequiv as ge
from geoequiv.errors import BatchError, GroupError, SignatureError
from geoequiv.fields import Side, act
from geoequiv.symmetrize import FRAMES, LearnedFrame, MinimalFrame, PCAFrame, WeightedFrame
from geoequiv.testing import assert_equivariant

SIGNATURE = (
    "pos: point, vel: vector, spin: pseudovector, mass: scalar, field: vector per graph, stress: tensor "
    "-> pos: point, force: vector, torque: pseudovector"
)
SIDE = ge.Signature.parse(SIGNATURE).inputs
NAMED = ["pos", "vel", "spin", "mass", "field"]


def benzene():
    angle = torch.arange(6).double() * torch.pi / 3
    ring = torch.stack([angle.cos(), angle.sin(), 0 * angle], -1)
    return torch.cat([1.39 * ring, 2.48 * ring])


def fields(pos, **others):
    n = len(pos)
    zero = {"vel": torch.zeros(n, 3), "spin": torch.zeros(n, 3), "mass": torch.ones(n, 1), "field": torch.zeros(3)}
    zero |= {"stress": torch.zeros(n, 3, 3)}
    return {"pos": pos} | {name: others.get(name, value).double() for name, value in zero.items()}


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def one(length, *places):
    values = torch.ones(length, 1).double()
    values[list(places)] = 13.0
    return values


def size(frame, x):
    return int(frame.diagnose(x, SIDE).size)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(13, 16), nn.Tanh(), nn.Linear(16, 9))

    def forward(self, pos, vel, spin, mass, field, stress):
        across = field.unsqueeze(-2).expand_as(pos)
        h = self.layers(torch.cat([pos, vel, spin, mass, across], -1))
        return {"pos": pos + h[..., :3], "force": h[..., 3:6] + stress[..., 0], "torque": h[..., 6:] ** 2}


BROKEN = {
    "one heavy atom": ({"mass": one(12, 0)}, 4, 2),
    "a heavy pair": ({"mass": one(12, 0, 1)}, 4, 2),
    "three alternate": ({"mass": one(12, 0, 2, 4)}, 12, 6),
    "with velocities": ({"vel": draw(12, 3)}, 1, 1),
    "with velocities in its plane": ({"vel": draw(12, 3) * torch.tensor([1.0, 1.0, 0.0])}, 2, 1),
    "a field across": ({"field": torch.tensor([0.0, 0.0, 1.0])}, 12, 6),
    "an axial vector across": ({"spin": torch.tensor([[0.0, 0.0, 1.0]]).expand(12, 3)}, 12, 6),
    "spinning": ({"spin": draw(12, 3)}, 2, 1),  # inversion leaves points and axial vectors, as sets
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("frame", [PCAFrame, MinimalFrame, LearnedFrame])
def test_what_is_named_shrinks_the_orbit_of_benzene(name, frame):
    """24 elements under O(3) and 12 under SO(3) become the symmetries that the named inputs leave."""
    others, full, proper = BROKEN[name]
    x = fields(benzene(), **others)
    for group, wanted, whole in (("E(3)", full, 24), ("SE(3)", proper, 12)):
        assert size(frame(ge.group(group), frame_from=NAMED), x) == wanted
        assert size(frame(ge.group(group)), x) == whole  # unnamed inputs do not count


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("frame", ["pca", "minimal", "weighted", "learned"])
def test_exact_with_named_inputs(name, frame):
    x = fields(benzene(), **BROKEN[name][0])
    for group in ("SO(3)", "E(3)"):
        rotated = act(ge.group("O(3)").sample(generator=torch.Generator().manual_seed(1)), x, SIDE)
        rotated = {key: value.unsqueeze(0) for key, value in rotated.items()}
        model = ge.FrameAveraging(Net().double(), SIGNATURE, group, frame, frame_from=NAMED)
        assert_equivariant(model, rotated, SIGNATURE, group, 1e-10, num_samples=6)
        order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
        shuffled = {key: value if key == "field" else value[:, order] for key, value in rotated.items()}
        assert torch.allclose(model(**shuffled)["force"], model(**rotated)["force"][:, order], atol=1e-11)


def test_units_do_not_matter():
    x = fields(benzene(), vel=draw(12, 3), mass=one(12, 3))
    scaled = {**x, "vel": 1e6 * x["vel"], "mass": 1e-3 * x["mass"]}
    for frame in ("minimal", "weighted"):
        model = lambda pos, **_: {"pos": pos, "force": pos**3, "torque": pos**2}  # noqa: E731
        wrapped = ge.FrameAveraging(model, SIGNATURE, "E(3)", frame, frame_from=["pos", "vel", "mass"])
        assert torch.allclose(wrapped(**x)["force"], wrapped(**scaled)["force"], atol=1e-10)


def test_generic_clouds_keep_the_axes_of_the_first_named():
    x = fields(draw(7, 3), vel=draw(7, 3, seed=1))
    sizes = {n: size(FRAMES[n](ge.group("E(3)"), frame_from=["pos", "vel"]), x) for n in ("pca", "minimal")}
    assert sizes == {"pca": 8, "minimal": 1}
    report = PCAFrame(ge.group("SE(3)"), frame_from=["vel", "pos"]).diagnose(x, SIDE)
    values = torch.linalg.eigvalsh(x["vel"].mT @ x["vel"])
    assert torch.allclose(report.gaps, values.diff() / values[-1])


def test_errors():
    make = lambda frame_from, signature=SIGNATURE: ge.FrameAveraging(  # noqa: E731
        Net(), signature, "E(3)", "minimal", frame_from=frame_from
    )
    with pytest.raises(SignatureError, match=r"Unknown input 'velo'\. Did you mean 'vel'"):
        make(["pos", "velo"])
    with pytest.raises(SignatureError, match="names 'stress', of type tensor"):
        make(["pos", "stress"])
    with pytest.raises(SignatureError, match="names no point or vector input"):
        make(["mass", "spin"])
    with pytest.raises(SignatureError, match="names an input twice"):
        make(["pos", "pos"])
    with pytest.raises(SignatureError, match=r"a list of input names, such as \['pos'\]"):
        make("pos")
    with pytest.raises(SignatureError, match="only a scalar of each node tells nodes apart"):
        make(["pos", "t"], "pos: point, t: scalar per graph -> y: vector")
    with pytest.raises(GroupError, match="frame_from goes to the frame itself"):
        ge.FrameAveraging(Net(), SIGNATURE, "E(3)", PCAFrame(ge.group("E(3)")), frame_from=["pos"])
    with pytest.raises(BatchError, match="does not have one value for each node"):
        PCAFrame(ge.group("E(3)"), frame_from=["pos", "mass"]).diagnose(fields(benzene(), mass=torch.ones(3)), SIDE)


def test_about_an_axis_the_first_point_that_is_named_is_the_centre():
    signature = "pos: point, site: point -> y: vector"
    seen = []
    model = ge.FrameAveraging(
        lambda pos, site: seen.append(site) or pos, signature, "T(3)*SO(2)@y", "minimal", frame_from=["site"]
    )
    model(draw(2, 5, 3) + 7, draw(2, 5, 3, seed=1))
    assert seen[0].mean(-2).abs().max() < 1e-12
    assert_equivariant(model, {"pos": draw(2, 5, 3), "site": draw(2, 5, 3, seed=1)}, signature, "T(3)*SO(2)@y", 1e-10)


# reports


def flips(frame, start, end, steps=2000):
    """Where along a straight path the frame jumps first, as a displacement; None if it does not."""
    t = torch.linspace(0, 1, steps).double()[:, None, None]
    path = start + t * (end - start)
    with torch.no_grad():
        side = Side.parse("pos: point")
        found, _ = frame({"pos": path}, side, ge.fields.Layout.of({"pos": path}, side))
    torn = found.linear[0].diff(dim=0).flatten(1).norm(dim=1) > 0.5
    return float((path[int(torn.nonzero()[0])] - start).norm()) if bool(torn.any()) else None


@pytest.mark.parametrize("make", [MinimalFrame, LearnedFrame])
def test_distance_is_where_the_frame_jumps(make):
    """Nothing jumps nearer than nine tenths of it; along the way that it points to, something does soon after."""
    torch.manual_seed(0)
    frame = make(ge.group("SE(3)"))
    checked = 0
    for seed in range(12):
        start = draw(6, 3, seed=seed)
        distance = float(frame.diagnose(start).distance)
        if not 1e-3 < distance < 0.3:
            continue
        checked += 1
        for k in range(4):
            away = draw(6, 3, seed=100 * seed + k)
            hit = flips(frame, start, start + distance * away / away.norm())
            assert hit is None or hit > 0.8 * distance
    assert checked > 1


def test_distance_shrinks_linearly_towards_a_sign_jump():
    """A moment passes through zero on this path, far from any crossing of eigenvalues."""
    frame, base = MinimalFrame(ge.group("E(3)")), draw(6, 3) * torch.tensor([3.0, 2.0, 1.0]).double()
    even = torch.cat([base, -base])
    near = [float(frame.diagnose(even + s * draw(12, 3, seed=2)).distance) for s in (4e-3, 2e-3, 1e-3)]
    assert near[0] > near[1] > near[2] > 0
    assert near[0] / near[1] == pytest.approx(2, rel=0.2)
    assert float(PCAFrame(ge.group("E(3)")).diagnose(even).distance) > 10 * near[0]
    assert float(frame.diagnose(even).distance) == 0


def test_reports_of_pyg_objects():
    graphs = Batch.from_data_list([Data(pos=draw(7, 3)), Data(pos=benzene())])
    for frame in (PCAFrame, MinimalFrame, WeightedFrame, LearnedFrame):
        assert frame(ge.group("SE(3)")).diagnose(graphs).size.tolist()[1] == (24 if frame is WeightedFrame else 12)


def test_reports_of_learned_and_weighted_frames():
    torch.manual_seed(0)
    learned = LearnedFrame(ge.group("E(3)"))
    batch = torch.stack([draw(12, 3), benzene()])
    report = learned.diagnose(batch)
    assert report.degenerate.tolist() == [False, True]
    assert report.size.tolist() == [1, 24]
    assert (report.distance > 0).tolist() == [True, False]
    line = torch.arange(4.0).double()[:, None] * torch.ones(3).double()
    weighted = WeightedFrame(ge.group("E(3)"))
    off = torch.zeros(4, 3).double()
    off[0, 0], off[3, 1] = 0.3, 0.3
    report = weighted.diagnose(torch.stack([line, line + off]))
    assert report.degenerate.tolist() == [True, False]
    assert 0 < float(report.distance[1]) <= float(off.norm())
