"""``chunk`` bounds the peak of memory in a training step, and changes no number."""

import gc

import pytest
import torch
from torch import nn
from torch.func import grad
from torch.profiler import ProfilerActivity, profile
from torch_geometric.data import Data

import geoequiv as ge

SIGNATURE = "pos: point -> pos: point, energy: scalar"


class Net(nn.Module):
    def __init__(self, width=32, depth=3, dropout=0.0):
        super().__init__()
        layers = [nn.Linear(3, width)]
        for _ in range(depth):
            layers += [nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, width)]
        self.layers = nn.Sequential(*layers)
        self.calls = 0

    def forward(self, pos):
        self.calls += 1
        hidden = self.layers(pos)
        return pos + hidden[..., :3], hidden[..., 3].sum(-1)


def net(**options):
    torch.manual_seed(0)
    return Net(**options).double()


def cloud(*shape, seed=0):
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def step(model, x):
    model.zero_grad(set_to_none=True)
    pos, energy = model(x)
    (pos.square().sum() + energy.square().sum()).backward()


def peak(model, x):
    """Largest number of bytes allocated at one time within a training step."""
    step(model, x)
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step(model, x)
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = torch.tensor([e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]).cumsum(0)
    return int(live.max())


def test_peak_of_a_training_step():
    """Below (chunk + 1) × bare, for a frame and for a group; without ``chunk`` all activations are kept."""
    x, model = cloud(16, 40), net()
    bare = peak(model, x)
    for wrap, size in (
        (lambda **o: ge.FrameAveraging(model, SIGNATURE, "E(3)", **o), 8),
        (lambda **o: ge.GroupAveraging(model, SIGNATURE, "T", **o), 12),
    ):
        for chunk in (1, 3):
            assert peak(wrap(chunk=chunk), x) < (chunk + 1) * bare
        assert peak(wrap(), x) > 0.8 * size * bare


@pytest.mark.parametrize("chunk", [1, 3, 8, None])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradients_are_the_same(chunk, dropout):
    """Of the parameters and the inputs; dropout draws the same in the second pass as in the first."""
    x = cloud(4, 5).requires_grad_()
    gradients = []
    for recompute in (True, False):
        model = net(dropout=dropout)
        wrapped = ge.FrameAveraging(model, SIGNATURE, "E(3)", chunk=chunk)
        torch.manual_seed(1)
        if recompute:
            pos, energy = wrapped(x)
        else:  # under torch.func nothing is left to be computed again
            pos, energy = torch.func.vjp(lambda x: wrapped(x), x)[0]  # noqa: B023
        loss = pos.square().sum() + energy.square().sum()
        gradients.append(torch.autograd.grad(loss, [x, *model.parameters()]))
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(*gradients, strict=True))


def test_calls_of_the_model():
    """All but the last chunk run twice with gradients, once without them; ``None`` and a whole frame run once."""
    x, model = cloud(2, 5), net()
    for chunk, calls in ((1, 8 + 7), (3, 3 + 2), (8, 1), (None, 1)):
        model.calls = 0
        wrapped = ge.FrameAveraging(model, SIGNATURE, "E(3)", chunk=chunk)
        step(wrapped, x)
        assert model.calls == calls
    model.calls = 0
    with torch.no_grad():
        ge.FrameAveraging(model, SIGNATURE, "E(3)", chunk=1)(x)
    assert model.calls == 8


def test_double_backward():
    x = cloud(2, 4).requires_grad_()
    wrapped = ge.FrameAveraging(net(width=6, depth=1), SIGNATURE, "SE(3)", chunk=1)
    assert torch.autograd.gradcheck(lambda x: wrapped(x)[1], x, atol=1e-6)
    assert torch.autograd.gradgradcheck(lambda x: wrapped(x)[1], x, atol=1e-5)


def test_training_on_forces():
    """Gradients of a loss on gradients, chunked and whole."""
    found = []
    for chunk in (None, 2):
        model = net()
        wrapped = ge.FrameAveraging(model, SIGNATURE, "SE(3)", chunk=chunk)
        x = cloud(3, 5).requires_grad_()
        forces = torch.autograd.grad(wrapped(x)[1].sum(), x, create_graph=True)[0]
        forces.square().sum().backward()
        found.append([p.grad for p in model.parameters() if p.grad is not None])
    assert found[0]
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(*found, strict=True))


def test_other_callers():
    """PyG objects, autocast, torch.func and decorated functions, chunked."""

    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, data):
            return self.net(data.pos)[0]

    graph = Data(pos=cloud(4), edge_index=torch.zeros(2, 1, dtype=torch.int64))
    one, other = (Graph(), Graph())
    for model, chunk in ((one, 3), (other, None)):
        ge.FrameAveraging(model, "pos: point -> pos: point", "E(3)", chunk=chunk)(graph).square().sum().backward()
    assert torch.allclose(one.net.layers[0].weight.grad, other.net.layers[0].weight.grad, atol=1e-12)
    model = net().float()
    wrapped = ge.GroupAveraging(model, SIGNATURE, "O", chunk=5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wrapped(cloud(2, 3).float())[1].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.layers[:4].parameters())
    double, x = ge.GroupAveraging(net(), SIGNATURE, "O", chunk=5), cloud(2, 3).requires_grad_()
    expected = torch.autograd.grad(double(x)[1].sum(), x)[0]
    assert torch.allclose(grad(lambda x: double(x)[1].sum())(x), expected, atol=1e-12)
    decorated = ge.group_averaging("x: vector -> y: vector", "O", chunk=5)(lambda x: x.tanh())
    assert torch.autograd.gradcheck(decorated, cloud(2, 3).requires_grad_())
