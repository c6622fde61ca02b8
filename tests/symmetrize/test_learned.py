"""Learned frames: exact whatever their weights, trained along with the backbone."""

import copy
import pickle

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.errors import BatchError
from geoequiv.symmetrize import LearnedFrame
from geoequiv.testing import assert_equivariant

SIGNATURE = "pos: point -> pos: point, y: vector, spin: pseudovector"
GROUPS = pytest.mark.parametrize("group", ["SO(3)", "O(3)", "SE(3)", "E(3)"])


class Net(nn.Module):
    def __init__(self, dim=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, 8), nn.Tanh(), nn.Linear(8, 3 * dim))

    def forward(self, pos, batch=None, mask=None):
        a, b, c = self.layers(pos).chunk(3, -1)
        return {"pos": pos + a, "y": b, "spin": c}


def wrapped(group, **options):
    torch.manual_seed(0)
    return ge.FrameAveraging(Net().double(), SIGNATURE, group, "learned", **options)


def cloud(*shape, seed=0):
    return torch.randn(*shape, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 2


@GROUPS
def test_exact_for_generic_and_symmetric_clouds(group):
    square = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 0]]).double()
    line = torch.arange(5.0).double()[:, None] * torch.ones(3).double()
    x = torch.cat([cloud(4, 5), square[None], line[None], torch.ones(1, 5, 3).double()])
    assert_equivariant(wrapped(group), {"pos": x}, SIGNATURE, group, 1e-10)
    assert_equivariant(wrapped(group).float(), {"pos": cloud(8, 6).float()}, SIGNATURE, group, 2e-5)


@GROUPS
def test_knows_no_order_of_points_and_layouts_agree(group):
    model, x = wrapped(group), cloud(3, 5)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(1))
    whole = model(x)
    assert torch.allclose(model(x[:, order])["y"], whole["y"][:, order], atol=1e-11)
    ragged = model(x.flatten(0, 1), batch=torch.arange(3).repeat_interleave(5))
    assert torch.allclose(ragged["y"], whole["y"].flatten(0, 1), atol=1e-11)
    padded = torch.cat([x, torch.full((3, 2, 3), 9.0).double()], 1)
    masked = model(padded, mask=torch.arange(7).expand(3, 7) < 5)
    assert torch.allclose(masked["y"][:, :5], whole["y"], atol=1e-11)


@GROUPS
def test_one_element_and_one_call(group):
    calls = []
    model = lambda pos: (calls.append(len(pos)), {"pos": pos, "y": pos, "spin": pos})[1]  # noqa: E731
    ge.FrameAveraging(model, SIGNATURE, group, "learned")(cloud(6, 5))
    assert calls == [6]


def test_is_equivariant_on_many_clouds_in_float32():
    """With a limit for the side of the third vector that depends on the cloud's position, one in 1400 jumps."""
    torch.manual_seed(0)
    frame, generator = LearnedFrame(ge.group("E(3)")), torch.Generator().manual_seed(100)
    x = torch.randn(20_000, 5, 3, generator=generator)
    g = ge.group("E(3)").sample(20_000, generator=generator)
    with torch.no_grad():
        (here, weights), (there, _) = (
            frame.forward({"pos": pos}, ge.fields.Side.parse("pos: point"), ge.fields.Layout((20_000,), 5))
            for pos in (x, (x.double() @ g.linear.mT + g.translation.unsqueeze(1)).float())
        )
    gaps = (there.linear[0] - (g.linear @ here.linear[0].double())).norm(dim=(-2, -1))
    assert gaps[weights[0] == 1].max() < 1e-4


def test_in_the_plane():
    x = cloud(4, 5)[..., :2]
    signature = "x: point -> y: vector"
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    for group in ("SO(2)", "O(2)", "SE(2)", "E(2)"):
        assert_equivariant(ge.FrameAveraging(net, signature, group, "learned"), {"x": x}, signature, group, 1e-9)


def test_trains_along_with_the_model():
    model, x = wrapped("SE(3)"), cloud(8, 5)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    before = copy.deepcopy(model.frame.state_dict())
    losses = []
    for _ in range(10):
        loss = model(x)["y"].sub(x.roll(1, 1) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    after = model.frame.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in after if name.endswith("weight"))
    assert_equivariant(model, {"pos": x}, SIGNATURE, "SE(3)", 1e-9)


def test_state_and_copies():
    model, x = wrapped("E(3)"), cloud(2, 5)
    keys = model.state_dict().keys()
    assert any(key.startswith("frame.first") for key in keys)
    assert {key for key in keys if not key.startswith("frame.")} == set(Net().state_dict())
    bare = Net().double()
    bare.load_state_dict({key: value for key, value in model.state_dict().items() if not key.startswith("frame.")})
    torch.manual_seed(1)
    other = ge.FrameAveraging(Net().double(), SIGNATURE, "E(3)", LearnedFrame(ge.group("E(3)")))
    other.load_state_dict(model.state_dict())
    for same in (other, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert torch.equal(same(x)["y"], model(x)["y"])
    assert "learned" in repr(model).lower()


def test_gradient_equals_finite_differences():
    model = wrapped("SE(3)")
    x = cloud(1, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda pos: model(pos)["y"].square().sum(-1), x, atol=1e-6)


def test_gradients_are_finite_on_symmetric_clouds():
    for pos in (torch.eye(3), torch.zeros(3, 3), torch.ones(1, 3), torch.arange(3.0)[:, None] * torch.ones(3)):
        x = pos.double().requires_grad_()
        model = wrapped("E(3)")
        model(x)["y"].square().sum().backward()
        assert torch.isfinite(x.grad).all()
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_errors():
    with pytest.raises(BatchError, match="vectors of item 1 are dependent"):
        wrapped("E(3)", degenerate="error")(torch.stack([cloud(4), torch.zeros(4, 3).double()]))
    with pytest.raises(TypeError, match="parameters of its own"):
        ge.frame_averaging(SIGNATURE, "E(3)", "learned")(lambda pos: pos)
