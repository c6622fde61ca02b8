"""Lie derivatives: by hand, against finite differences, layer by layer; no silent fallback."""

import math

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.errors import GeoequivError, GroupError
from geoequiv.metrics import DerivativeError

from . import planted_faults as models
from .planted_faults import SIGNATURE, clouds

VECTOR = "x: vector -> y: vector"
ONE = {"x": torch.randn(6, 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)}


def values(report, which="norm"):
    return [error.value for error in getattr(report, which).values()]


@pytest.mark.parametrize("method", ["forward-mode", "finite-difference"])
def test_by_hand(method):
    """f(x) = 3 e_x: L f = −3 A e_x, of norm 0 about x and 3 about y and z; relative to ‖f‖ 0, 1, 1."""
    three = lambda x: torch.tensor([3.0, 0.0, 0.0], dtype=torch.float64).expand_as(x)  # noqa: E731
    found = ge.lie_derivative(three, ONE, VECTOR, "SO(3)", method=method)
    assert list(found.norm) == ["rotation about x", "rotation about y", "rotation about z"]
    assert values(found) == pytest.approx([0, 3, 3], abs=1e-9)
    assert values(found, "relative") == pytest.approx([0, 1, 1], abs=1e-9)
    tilted = ge.lie_derivative(three, ONE, VECTOR, "SO(2)@(1,0,1)", method=method)
    assert values(tilted) == pytest.approx([3 / math.sqrt(2)])


def test_translations_by_hand():
    """f(x) = x declared as a vector translates with the points: L f = b at each of the 4 nodes, of norm 2."""
    cloud = {"x": torch.randn(5, 4, 3, dtype=torch.float64)}
    found = ge.lie_derivative(lambda x: x, cloud, "x: point -> y: vector", "T(3)")
    assert values(found) == pytest.approx([2, 2, 2])
    assert values(ge.lie_derivative(lambda x: x, cloud, "x: point -> y: point", "SE(3)")) == pytest.approx([0] * 6)


def test_other_types_turn_by_their_own_derivative():
    """The square of a vector as irreps, and as a tensor, is equivariant to the last digit."""
    from e3nn.o3 import spherical_harmonics

    harmonic = lambda x: spherical_harmonics([1, 2], x, normalize=False)  # noqa: E731
    found = ge.lie_derivative(harmonic, ONE, "x: vector -> y: 1x1o+1x2e", "SO(3)")
    assert max(values(found)) < 1e-12
    outer = lambda x: x.unsqueeze(-1) * x.unsqueeze(-2)  # noqa: E731
    assert max(values(ge.lie_derivative(outer, ONE, "x: vector -> y: tensor", "SO(3)"))) < 1e-12


class Tanh(nn.Module):
    def __init__(self, kind=nn.Tanh):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(7, 8), kind(), nn.Linear(8, 3)).double()

    def forward(self, pos, vel, charge):
        return pos + self.layers(torch.cat([pos, vel, charge], -1))


def test_equals_finite_differences():
    x = clouds(6, dtype=torch.float64)
    for group in ("SE(3)", "SO(2)@y"):
        forward, central = (
            ge.lie_derivative(Tanh(), x, SIGNATURE, group, method=method, layers=True)
            for method in ("forward-mode", "finite-difference")
        )
        assert values(forward) == pytest.approx(values(central), rel=1e-7)
        assert min(values(forward)) > 0.1
        for a, b in zip(forward.layers, central.layers, strict=True):
            assert (a.name, a.types_in, a.types_out) == (b.name, b.types_in, b.types_out)
            assert list(a.accumulated.values()) == pytest.approx(list(b.accumulated.values()), rel=1e-6)
            assert list(a.own.values()) == pytest.approx(list(b.own.values()), rel=1e-6, abs=1e-9)


def test_is_the_slope_of_the_equivariance_error():
    """‖f(gx) − g f(x)‖ / θ → ‖L f‖ for a rotation by a small θ about z."""
    x, small = clouds(6, dtype=torch.float64), 1e-5
    from geoequiv.metrics.measure import measure
    from geoequiv.metrics.profiles import rotation_about

    rotation = rotation_about(torch.tensor([0.0, 0.0, 1.0]).double(), torch.tensor([small]).double())
    error = measure(Tanh(), x, ge.Signature.parse(SIGNATURE), ge.Element(rotation)).distance.mean() / small
    found = ge.lie_derivative(Tanh(), x, SIGNATURE, "SO(2)@z")
    assert values(found) == pytest.approx([float(error)], rel=1e-4)


def test_exact_and_broken_models_in_both_dtypes():
    for dtype, limit in ((torch.float32, 1e-5), (torch.float64, 1e-13)):
        x = clouds(6, dtype=dtype)
        assert ge.lie_derivative(models.Exact().to(dtype), x, SIGNATURE, "SE(3)").largest < limit
        broken = ge.lie_derivative(models.Falls().to(dtype), x, SIGNATURE, "SE(3)").relative
        assert broken["rotation about z"].value < limit
        assert broken["rotation about x"].value > 1e-2
        assert broken["rotation about x"].items > 0


class Scale(nn.Module):
    """Multiplies by a diagonal matrix: own Lie derivative ‖[D, A] x‖ / ‖D x‖."""

    def __init__(self, *entries):
        super().__init__()
        self.register_buffer("entries", torch.tensor(entries, dtype=torch.float64))

    def forward(self, x):
        return x * self.entries


def test_layers_by_hand():
    """Three layers of which the second breaks rotations; diag(2, 2, 3) commutes with rotations about z only."""
    model = nn.Sequential(Scale(2, 2, 2), Scale(2, 2, 3), Scale(2, 2, 2))
    x = torch.tensor([[[0.0, 0.0, 1.0]]], dtype=torch.float64)
    found = ge.lie_derivative(model, {"input": x}, "input: vector -> y: vector", "SO(3)", layers=True)
    first, second, third = found.layers
    assert [layer.name for layer in found.layers] == ["0", "1", "2"]
    assert max(first.own.values()) == max(third.own.values()) == 0
    assert max(first.accumulated.values()) == 0
    # about x: A e_z = −e_y; D A e_z = −2 e_y, A D e_z = −3 e_y: ‖e_y‖ / ‖3 e_z‖
    assert list(second.own.values()) == pytest.approx([1 / 3, 1 / 3, 0])
    assert list(third.accumulated.values()) == pytest.approx([1 / 3, 1 / 3, 0])
    assert (first.fits, second.fits, third.fits) == (True, True, False)
    assert second.types_in == second.types_out == ("vector",)


def test_the_broken_layer_is_the_one_with_an_error_of_its_own():
    found = ge.lie_derivative(models.ReadsCoordinates(1), clouds(6), SIGNATURE, "SE(3)", layers=True)
    own = {layer.name: layer.largest_own for layer in found.layers}
    assert own["layers.0"] < 1e-5
    assert own["layers.1"] > 1e-2
    assert own["layers.1.look"] > 0.1
    assert found.layers[[layer.name for layer in found.layers].index("layers.0")].types_in == ("scalar", "point")
    healthy = ge.lie_derivative(models.ReadsCoordinates(None), clouds(6), SIGNATURE, "SE(3)", layers=True)
    assert max(layer.largest_own for layer in healthy.layers) < 1e-5
    assert all(layer.fits for layer in healthy.layers)


def test_layers_by_name_and_repeated_calls():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Scale(1, 2, 3)

        def forward(self, x):
            return self.inner(self.inner(x))

    found = ge.lie_derivative(Twice(), ONE, VECTOR, "SO(3)", layers=["inner"])
    assert [layer.name for layer in found.layers] == ["inner", "inner#2"]
    with pytest.raises(GeoequivError, match=r"Unknown layer 'iner'\. Did you mean 'inner'"):
        ge.lie_derivative(Twice(), ONE, VECTOR, "SO(3)", layers=["iner"])
    with pytest.raises(GeoequivError, match="is a function"):
        ge.lie_derivative(lambda x: x, ONE, VECTOR, "SO(3)", layers=True)


def test_in_place_layers_are_seen_as_they_were_called():
    plain, in_place = (
        ge.lie_derivative(Tanh(kind), clouds(4, dtype=torch.float64), SIGNATURE, "SO(3)", layers=True)
        for kind in (nn.ReLU, lambda: nn.ReLU(inplace=True))
    )
    assert values(plain) == pytest.approx(values(in_place))
    assert [layer.accumulated for layer in plain.layers] == [layer.accumulated for layer in in_place.layers]


class NoForwardRule(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


@pytest.mark.parametrize("model", [NoForwardRule.apply, lambda x: x.detach() * 2], ids=["no rule", "detached"])
def test_no_silent_fallback(model):
    with pytest.raises(DerivativeError, match="method='finite-difference'"):
        ge.lie_derivative(model, ONE, VECTOR, "SO(3)")
    assert max(values(ge.lie_derivative(model, ONE, VECTOR, "SO(3)", method="finite-difference"))) < 1e-8
    found = ge.certify(model, ONE, VECTOR, "SO(3)", num_samples=4)
    assert found.lie_derivative.method == "finite-difference"


def test_a_constant_model_that_never_sees_its_inputs_is_not_taken_for_detached():
    assert ge.lie_derivative(lambda x: torch.ones_like(x), ONE, VECTOR, "SO(3)").largest > 0.1


def test_what_cannot_be_differentiated_along():
    with pytest.raises(GroupError, match="no continuous part"):
        ge.lie_derivative(lambda x: x, ONE, VECTOR, "Oh")
    with pytest.raises(GeoequivError, match="method is"):
        ge.lie_derivative(lambda x: x, ONE, VECTOR, "SO(3)", method="symbolic")
