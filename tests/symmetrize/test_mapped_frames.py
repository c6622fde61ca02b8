"""Frames under torch.func and torch.compile: what a loop gives, to any order of derivatives."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, jvp, stack_module_state, vmap

import geoequiv as ge
from geoequiv.errors import BatchError

SIGNATURE = "pos: point -> pos: point, energy: scalar per graph"
FRAMES = pytest.mark.parametrize("frame", ["pca", "stochastic", "minimal", "weighted", "learned"])


class Net(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4)).double()

    def forward(self, pos, batch=None, mask=None):
        h = self.layers(pos)
        energy = h[..., 3].tanh() if mask is None else h[..., 3].tanh() * mask
        if batch is None:
            return pos + h[..., :3], energy.sum(-1)
        return pos + h[..., :3], energy.new_zeros(int(batch.max()) + 1).index_add(0, batch, energy)


def wrapped(frame, seed=0, **options):
    return ge.FrameAveraging(Net(seed), SIGNATURE, "E(3)", frame, **options).eval()


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def clouds():
    """Generic, a square with its centre, coincident, collinear."""
    square = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 0]]).double()
    line = torch.arange(5.0).double()[:, None] * torch.ones(3).double()
    return torch.stack([draw(5, 3), square, torch.ones(5, 3).double(), line])


@FRAMES
def test_vmap_in_every_layout(frame):
    model, x = wrapped(frame), clouds()
    alone = torch.stack([model(one)[0] for one in x])
    index = torch.arange(2).repeat_interleave(5)
    mask = torch.tensor([True] * 5 + [False])
    padded = torch.cat([x, torch.full((4, 1, 3), 7.0)], 1)
    for found in (
        vmap(model)(x)[0],
        vmap(vmap(model))(x.reshape(2, 2, 5, 3))[0].flatten(0, 1),
        vmap(model, in_dims=1, out_dims=0)(x.transpose(0, 1))[0],
        vmap(lambda pos: model(pos, index))(x.reshape(2, 10, 3))[0].reshape(4, 5, 3),
        vmap(lambda pos: model(pos, mask=mask))(padded)[0][:, :5],
    ):
        assert torch.allclose(found, alone, atol=1e-11)


@FRAMES
def test_gradients_of_an_energy_per_cloud(frame):
    """vmap(grad), with parameters by functional_call, against the loop; a loss of forces goes to second order."""
    model, x = wrapped(frame), clouds()
    parameters = dict(model.named_parameters())

    def energy(weights, pos):
        return functional_call(model, weights, (pos,))[1]

    def loss(weights, pos):
        return grad(energy, argnums=1)(weights, pos).square().sum()

    def by_autograd(pos):
        pos = pos.clone().requires_grad_()
        (force,) = torch.autograd.grad(model(pos)[1], pos, create_graph=True)
        return force, torch.autograd.grad(force.square().sum(), list(model.parameters()), allow_unused=True)

    forces = vmap(grad(energy, argnums=1), in_dims=(None, 0))(parameters, x)
    assert torch.allclose(forces, torch.stack([by_autograd(one)[0].detach() for one in x]), atol=1e-9)
    several = draw(3, 6, 3, seed=4)
    second = vmap(grad(loss), in_dims=(None, 0))(parameters, several)
    for k, one in enumerate(several):
        for name, expected in zip(parameters, by_autograd(one)[1], strict=True):
            found = second[name][k]
            assert torch.allclose(found, torch.zeros_like(found) if expected is None else expected, atol=1e-8), name


@FRAMES
def test_forward_mode_and_hessians(frame):
    model, x, along = wrapped(frame), draw(2, 5, 3), draw(5, 3, seed=7)

    def energy(pos):
        return model(pos)[1]

    forces = vmap(grad(energy))(x)
    forward = vmap(lambda pos: jvp(energy, (pos,), (along,))[1])(x)
    assert torch.allclose(forward, (forces * along).sum((1, 2)), atol=1e-9)
    assert torch.allclose(jvp(energy, (x[0],), (along,))[1], forward[0], atol=1e-9)
    hessians = vmap(jacrev(grad(energy)))(x)
    assert torch.allclose(hessians[0], torch.autograd.functional.hessian(energy, x[0]), atol=1e-7)


@FRAMES
def test_ensembles(frame):
    """Mapped over parameters, those of a learned frame with them."""
    models, x = [wrapped(frame, seed) for seed in range(3)], draw(4, 5, 3)
    weights, buffers = stack_module_state(models)
    together = vmap(lambda w, b: functional_call(models[0], (w, b), (x,)))(weights, buffers)
    assert torch.allclose(together[0], torch.stack([model(x)[0] for model in models]), atol=1e-11)


def test_errors_still_come_through_vmap():
    with pytest.raises(BatchError, match="coincide"):
        vmap(wrapped("pca", degenerate="error"))(clouds())
    with pytest.raises(BatchError, match="cannot look at learned vectors"):
        vmap(wrapped("learned", degenerate="error"))(clouds())
    assert vmap(wrapped("minimal", degenerate="ignore"))(clouds())[0].isfinite().all()


@pytest.mark.parametrize("frame", ["minimal", "weighted", "learned"])
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch's own, while it traces
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled_with_graph_breaks(frame):
    torch.compiler.reset()
    model, x = wrapped(frame), clouds().requires_grad_()
    compiled = torch.compile(model, backend="aot_eager")
    assert torch.allclose(compiled(x)[0], model(x)[0], atol=1e-10)
    gradients = [torch.autograd.grad(each(x)[1].sum(), x)[0] for each in (model, compiled)]
    assert torch.allclose(*gradients, atol=1e-8)
    torch.compiler.reset()
