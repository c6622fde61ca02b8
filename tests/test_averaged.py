"""Architectures that average inside: FA-Local-PointNet."""

import pytest
import torch

import geoequiv as ge
from geoequiv.averaged import FALocalPointNet
from geoequiv.errors import SignatureError

NORMALS = "pos: point -> normal: vector up to sign"


def net(signature: str = NORMALS, **options) -> FALocalPointNet:
    torch.manual_seed(0)
    return FALocalPointNet(signature, width=6, neighbours=5, **options).double().eval()


def cloud(*shape):
    return torch.randn(*shape, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_published_size():
    assert sum(parameter.numel() for parameter in FALocalPointNet(NORMALS).parameters()) == 2_776_318


@pytest.mark.parametrize("signature", [NORMALS, "pos: point -> v: vector*2, w: pseudovector, s: scalar*2"])
def test_keeps_what_it_claims(signature):
    ge.testing.assert_equivariant(net(signature), {"pos": cloud(2, 11)}, signature, "E(3)")


def test_order_of_nodes_and_layout_do_not_matter():
    model, pos = net("pos: point -> v: vector"), cloud(2, 11)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(pos=pos[:, order]), model(pos=pos)[:, order])
    batch = torch.arange(2).repeat_interleave(11)
    torch.testing.assert_close(model(pos=pos.flatten(0, 1), batch=batch), model(pos=pos).flatten(0, 1))
    mask = torch.ones(2, 11, dtype=torch.bool)
    mask[0, 8:] = False
    padded = model(pos=pos.masked_fill(~mask[..., None], torch.nan), mask=mask)
    torch.testing.assert_close(padded[0, :8], model(pos=pos[0, :8]))
    assert bool((padded[0, 8:] == 0).all())


def test_stochastic_frames_train_and_evaluate_in_full():
    stochastic, full = net(frame="stochastic"), net()
    pos = cloud(2, 11)
    torch.testing.assert_close(stochastic(pos=pos), full(pos=pos))
    stochastic.train()
    stochastic(pos=pos).square().sum().backward()
    assert all(
        parameter.grad is not None and bool(parameter.grad.isfinite().all()) for parameter in stochastic.parameters()
    )


@pytest.mark.parametrize(
    "signature",
    [
        "pos: point, vel: vector -> n: vector",
        "pos: point*2 -> n: vector",
        "pos: point -> p: point",
        "pos: point -> e: scalar per graph",
    ],
)
def test_other_fields_are_refused(signature):
    with pytest.raises(SignatureError, match="FALocalPointNet"):
        net(signature)
