"""Second-order integrators: their steps, their bound, their symmetry, and the law that any architecture may be."""

import math

import pytest
import torch
from torch import Tensor, nn

import geoequiv as ge
from geoequiv.errors import GeoequivError, SignatureError
from geoequiv.fields import Signature
from geoequiv.models import Integrator, SecondOrder
from geoequiv.models.second_order import bounded

CHARGED = "pos: point, vel: vector, charge: scalar -> pos: point"
CLOUDS = ["gnn", "transformer", "deepsets", "egnn", "painn", "segnn", "tfn", "se3_transformer", "gatr", "ponita"]


def bodies(count: int = 6, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    pos, vel = torch.randn(2, count, 5, 3, generator=draw, dtype=dtype)
    return {"pos": pos, "vel": vel, "charge": torch.randn(count, 5, 1, generator=draw, dtype=dtype).sign()}


class Oscillator(nn.Module):
    """A law given by hand: a = −x, and 0.001 more in the state each step."""

    def __init__(self, signature: Signature, width: int) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, pos: Tensor, state: Tensor, **fields: Tensor) -> dict[str, Tensor]:
        self.seen.append(state)
        return {"acceleration": -pos, "state": torch.full_like(state, 1e-3)}


def test_steps_are_symplectic_euler_with_the_law_of_the_backbone():
    model = Integrator("pos: point, vel: vector -> pos: point", backbone=f"{__name__}:Oscillator", steps=400)
    model.span.data.fill_(torch.pi).log_()  # half a period
    one = torch.tensor([[[1.0, 0.0, 0.5]]])
    after = model(pos=one, vel=torch.zeros_like(one))
    torch.testing.assert_close(after, -one, atol=1e-2, rtol=0)
    assert float(model.law.seen[0].max()) == 0
    assert float(model.law.seen[-1].min()) == pytest.approx(math.tanh(0.399), rel=1e-5)


@pytest.mark.parametrize("backbone", CLOUDS)
def test_any_backbone_keeps_its_symmetry(backbone):
    torch.manual_seed(0)
    model = Integrator(CHARGED, 8, 1, backbone=backbone, steps=2, state=4).double()
    group = model.claims or "E(3)"
    error = ge.equivariance_error(model, bodies(), CHARGED, group, num_samples=3).E_prime
    assert error < 1e-9 if model.claims else error > 1e-4
    model(**bodies()).sum().backward()
    assert all(each.grad is None or bool(each.grad.isfinite().all()) for each in model.parameters())


def test_frames_make_an_integrator_of_a_plain_backbone_equivariant():
    framed = ge.FrameAveraging(Integrator(CHARGED, 8, steps=2).double(), CHARGED, "E(3)")
    assert ge.equivariance_error(framed, bodies(), CHARGED, "E(3)", num_samples=3).E_prime < 1e-9


@pytest.mark.parametrize("model", [SecondOrder, Integrator])
def test_the_weights_do_not_grow_with_the_steps(model):
    count = {sum(each.numel() for each in model(CHARGED, 8, steps=steps).parameters()) for steps in (1, 9)}
    assert len(count) == 1


@pytest.mark.parametrize("model", [SecondOrder, Integrator])
def test_huge_weights_stay_finite(model):
    built = model(CHARGED, 8, steps=6, max_acceleration=10.0)
    with torch.no_grad():
        for name, weights in built.named_parameters():
            if name != "span":
                weights *= 3.0
    fields = bodies(dtype=torch.float32)
    fields["pos"][:, 1] = fields["pos"][:, 0]  # coincident
    after = built(**fields)
    moved = (after - fields["pos"]).norm(dim=-1)
    assert bool((moved <= fields["vel"].norm(dim=-1) + 10.0).all())  # |v| T + A T² (1 + 1/K) / 2, T = 1
    after.sum().backward()
    assert all(bool(each.grad.isfinite().all()) for each in built.parameters())


def test_the_bound_by_hand():
    long = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1e30, 0.0]])  # whose square is no float32
    assert bounded(long, 5.0).norm(dim=-1).tolist() == pytest.approx([5 / 2**0.5, 0.0, 5.0])


@pytest.mark.parametrize("model", [SecondOrder, Integrator])
def test_outputs_may_be_the_last_velocity_too(model):
    out = model("x: point, v: vector -> x: point, v: vector", 8, steps=1)(x=torch.randn(2, 4, 3), v=torch.ones(2, 4, 3))
    assert {name: tuple(values.shape) for name, values in out.items()} == {"x": (2, 4, 3), "v": (2, 4, 3)}


@pytest.mark.parametrize("model", [SecondOrder, Integrator])
@pytest.mark.parametrize(
    "signature", ["x: point*2 -> x: point*2", "x: point, v: vector*2 -> x: point", "x: point -> e: scalar"]
)
def test_what_does_not_move_is_refused(model, signature):
    with pytest.raises(SignatureError, match="one point of each node"):
        model(signature)


def test_unknown_backbones_and_taken_names_are_refused():
    with pytest.raises(GeoequivError, match="gnn"):
        Integrator(CHARGED, backbone="gn")
    with pytest.raises(SignatureError, match="'state' of its own"):
        Integrator("x: point, state: scalar -> x: point")
