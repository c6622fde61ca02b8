"""Architectures that average inside: FA-Local-PointNet."""

import pytest
import torch

import geoequiv as ge
from geoequiv.averaged import FAGNN, FALocalPointNet
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


def test_vectors_of_flat_neighbourhoods_lie_in_their_plane():
    flat = cloud(1, 11) * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    with torch.no_grad():
        vectors = net().local(pos=flat)
    assert float(vectors[..., 2].abs().max()) < 1e-12 < 1e-3 < float(vectors.abs().max())


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


class TestFAGNN:
    """FA-GNN: a GNN averaged layer by layer."""

    CHARGED = "pos: point, vel: vector, charge: scalar -> pos: point"

    def build(self, signature: str = CHARGED, **options) -> FAGNN:
        torch.manual_seed(0)
        return FAGNN(signature, width=8, depth=3, points=3, **options).double().eval()

    def fields(self, *shape):
        return {"pos": cloud(*shape), "vel": cloud(*shape).flip(-1), "charge": cloud(*shape)[..., :1]}

    @pytest.mark.parametrize("signature", [CHARGED, CHARGED + ", w: vector*2, e: scalar per graph"])
    def test_keeps_what_it_claims(self, signature):
        ge.testing.assert_equivariant(self.build(signature), self.fields(2, 5), signature, "E(3)")

    def test_is_not_the_network_averaged_as_a_whole(self):
        """Each layer has frames of its own: hidden points start near the positions, and are not them."""
        model, fields = self.build(), self.fields(2, 5)
        hidden = model.layers[0](**fields)
        own = model.layers[1].frame({"latent": hidden, **fields}, model.layers[1].signature.inputs)[0]
        first = model.layers[0].frame(fields, model.layers[0].signature.inputs)[0]
        assert not torch.allclose(own.linear.abs(), first.linear.abs(), atol=1e-4)

    def test_layouts_agree(self):
        model, fields = self.build(), self.fields(2, 5)
        mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
        padded = model(**{n: v.masked_fill(~mask[..., None], torch.nan) for n, v in fields.items()}, mask=mask)
        ragged = model(**{n: v[mask] for n, v in fields.items()}, batch=torch.tensor([0] * 5 + [1] * 3))
        torch.testing.assert_close(padded[mask], ragged)
        torch.testing.assert_close(model(**{n: v[1, :3] for n, v in fields.items()}), ragged[5:])

    def test_every_parameter_learns_in_stochastic_frames(self):
        model = self.build(frame="stochastic").train()
        model(**self.fields(2, 5)).square().sum().backward()
        assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []

    @pytest.mark.parametrize(
        ("signature", "options", "message"),
        [
            ("v: vector -> v: vector", {}, "point"),
            ("latent: point -> pos: vector", {}, "another name"),
            (CHARGED, {"depth": 1}, "two layers"),
            (CHARGED, {"frame": "pac"}, "Did you mean 'pca'"),
        ],
    )
    def test_what_cannot_be_is_refused(self, signature, options, message):
        with pytest.raises(SignatureError, match=message):
            FAGNN(signature, **options)
