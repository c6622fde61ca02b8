"""Invariance, profiles and the worst case: exact models, broken ones, values by hand."""

import math

import pytest
import torch

import geoequiv as ge
from geoequiv.errors import GroupError, SignatureError
from geoequiv.metrics import angle_profile, axis_profile, describe_element, translation_profile, worst_case
from geoequiv.metrics.generators import generators
from geoequiv.metrics.measure import measure

from . import planted_faults as models
from .planted_faults import SIGNATURE, clouds

UNIT = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
ONE = {"x": torch.randn(6, 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)}
VECTOR = "x: vector -> y: vector"


def constant(x):
    return UNIT.expand_as(x)


def test_invariance_by_hand():
    """f(x) = x in the plane under C4 about z: ‖x − gx‖ / ‖x‖ is 0, √2, 2, √2."""
    flat = {"x": ONE["x"] * torch.tensor([1.0, 1.0, 0.0])}
    found = ge.invariance_error(lambda x: x, flat, VECTOR, "C4")
    assert found.relative == pytest.approx((2 * math.sqrt(2) + 2) / 4)
    assert found.worst == pytest.approx(2.0)
    assert ge.equivariance_error(lambda x: x, flat, VECTOR, "C4").worst < 1e-15


def test_invariance_is_asked_of_all_outputs_or_of_the_scalars():
    model = lambda x: {"y": x, "s": x.norm(dim=-1, keepdim=True)}  # noqa: E731
    signature = "x: vector -> y: vector, s: scalar"
    assert ge.invariance_error(model, ONE, signature, "O(3)").relative > 0.3
    assert ge.invariance_error(model, ONE, signature, "O(3)", outputs="scalars").worst < 1e-14
    broken = lambda x: {"y": x, "s": x[..., :1]}  # noqa: E731
    assert ge.invariance_error(broken, ONE, signature, "O(3)", outputs="scalars").relative > 0.3
    with pytest.raises(SignatureError, match="None of the outputs"):
        ge.invariance_error(lambda x: x, ONE, VECTOR, "O(3)", outputs="scalars")


def test_angle_profile_by_hand():
    """f(x) = e_x about z: ‖e_x − R e_x‖ = 2 sin(θ/2)."""
    found = angle_profile(constant, ONE, VECTOR, axis=(0, 0, 2))
    assert found.values == pytest.approx([2 * math.sin(angle / 2) for angle in found.at])
    assert max(angle_profile(constant, ONE, VECTOR, axis=(1, 0, 0)).values) < 1e-15
    assert max(angle_profile(models.Exact().double(), clouds(4, dtype=torch.float64), SIGNATURE).values) < 1e-14
    flat = {"x": ONE["x"][..., :2]}
    plane = angle_profile(lambda x: UNIT[:2].expand_as(x), flat, VECTOR, dim=2)
    assert plane.values == pytest.approx([2 * math.sin(angle / 2) for angle in plane.at])


def test_axis_profile_by_hand():
    """f(x) = e_x under rotations by 180° about a: twice the sine of the angle between a and x."""
    found = axis_profile(constant, ONE, VECTOR, angles=[math.pi])
    assert found.at[:3] == ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    assert found.values == pytest.approx([2 * math.sqrt(1 - axis[0] ** 2) for axis in found.at], abs=1e-7)


def test_a_broken_axis_stands_out_of_the_profile():
    found = axis_profile(models.Falls(), clouds(4), SIGNATURE)
    assert min(range(len(found.at)), key=lambda i: found.values[i]) == 2
    assert found.values[2] < 1e-6
    assert min(found.values[:2] + found.values[3:]) > 1e-2


def test_translation_profile_by_hand():
    """f(x) = 0 declared a point: ‖0 − t‖ / (‖t‖ / 2) = 2 at any length."""
    found = translation_profile(lambda pos: 0 * pos, {"pos": ONE["x"]}, "pos: point -> pos: point", num_directions=3)
    assert found.at == (0.1, 1.0, 10.0, 100.0)
    assert found.values == pytest.approx([2.0] * 4)
    exact = translation_profile(lambda pos: pos, {"pos": ONE["x"]}, "pos: point -> pos: point")
    assert max(exact.values) < 1e-15


def test_profiles_of_bad_axes():
    with pytest.raises(GroupError, match="not all zero"):
        angle_profile(constant, ONE, VECTOR, axis=(0, 0, 0))
    with pytest.raises(GroupError, match="at least one axis"):
        axis_profile(constant, ONE, VECTOR, axes=0)


def test_the_worst_case_of_a_constant_is_the_half_turn():
    """‖e_x − R e_x‖ is largest, 2, where R reverses e_x: no draw hits it, the ascent comes close."""
    found = worst_case(constant, ONE, VECTOR, "SO(3)", num_samples=4, steps=30)
    assert found.method == "gradient"
    assert found.start < 1.99
    assert 1.9999 < found.value <= 2.0
    assert torch.allclose(found.element.linear @ UNIT, -UNIT, atol=0.03)
    assert torch.allclose(found.element.linear @ found.element.linear.mT, torch.eye(3).double(), atol=1e-12)


def test_the_worst_case_of_a_finite_group_is_enumerated():
    found = worst_case(constant, ONE, VECTOR, "Oh", num_samples=1)
    assert found.method == "enumeration"
    assert found.value == pytest.approx(2.0)
    everything = measure(models.Falls(), clouds(6), ge.Signature.parse(SIGNATURE), ge.group("O").elements())
    whole = worst_case(models.Falls(), clouds(6), SIGNATURE, "O", num_samples=2, num_items=None)
    assert whole.value == pytest.approx(float(everything.relative.max()), rel=1e-5)


def test_as_many_draws_as_elements_are_not_the_elements():
    """Draws come with replacement: all elements are tried whatever their number, unless they are what was given."""
    stretched = lambda x: x * x.new_tensor([1.0, 2.0, 3.0]) + x.norm(dim=-1, keepdim=True).tanh()  # noqa: E731
    x = {"x": torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)}
    listed = worst_case(stretched, x, VECTOR, "O")
    assert listed.value == listed.start
    for draws in (12, 24, 48):
        drawn = worst_case(stretched, x, VECTOR, "O", num_samples=draws)
        assert drawn.method == "enumeration"
        assert drawn.start < 0.95 * listed.value
        assert drawn.value == pytest.approx(listed.value)


@pytest.mark.parametrize("group", ["SO(3)", "E(3)", "SO(2)@y", "SE(3)*S(5)", "S(5)", "Ci*SO(2)@y"])
@pytest.mark.parametrize("model", [models.Exact(), models.Handed(), models.Leaks()], ids=lambda m: type(m).__name__)
def test_the_worst_case_is_never_below_the_draws(group, model):
    x = clouds(5)
    draws = ge.equivariance_error(model, x, SIGNATURE, group, 6, torch.Generator().manual_seed(3))
    found = worst_case(model, x, SIGNATURE, group, 6, torch.Generator().manual_seed(3), num_items=2, steps=3)
    assert found.value >= found.start == draws.worst
    assert bool(ge.group(group).contains(found.element, 1e-5))


def test_a_model_without_gradients_says_so():
    found = worst_case(lambda x: x.detach().round(), ONE, VECTOR, "SO(3)", num_samples=4)
    assert found.value >= found.start
    assert found.method in ("gradient", "draws")  # transformed outputs have a slope nevertheless


@pytest.mark.parametrize("name", ["SO(2)", "O(3)", "SE(2)", "E(3)", "SO(2)@(1,2,0)", "T(3)", "D2*T(3)", "SO(3)*S(4)"])
def test_generators_generate_the_group(name):
    group = ge.group(name)
    algebra = generators(group)
    c = torch.randn(20, len(algebra), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert bool(group.contains(algebra.exp(c), 1e-9).all())
    for i in range(len(algebra)):
        step = torch.zeros(len(algebra), dtype=torch.float64)
        step[i] = 1e-6
        ahead, first = algebra.exp(step), algebra.first_order(i, step[i])
        assert torch.allclose(ahead.linear, first.linear, atol=1e-11)


def test_finite_groups_have_no_generators():
    assert len(generators(ge.group("Oh"))) == len(generators(ge.group("S(4)"))) == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Ci", "inversion x ↦ −x"),
        ("Cs@y", "reflection in the plane across (0, 1, 0)"),
        ("C2@x", "rotation by 180.0° about (1, 0, 0)"),
        ("C4", "rotation by 90.0° about (0, 0, 1)"),
        ("S4", "rotation by 90.0° about (0, 0, -1) and inversion"),
        ("C4@plane", "rotation by 90.0°"),
        ("flip", "reflection in the line at 90.0°"),
        ("S(2)", "relabelling of nodes 0→1→0"),
    ],
)
def test_elements_in_words(name, words):
    assert describe_element(ge.group(name).elements()[0]) == "identity"
    assert words in {describe_element(g) for g in ge.group(name).elements()}


def test_a_translation_in_words():
    g = ge.Element(torch.eye(3).double(), torch.tensor([3.0, 0.0, 4.0]).double())
    assert describe_element(g) == "translation by (3, 0, 4) (length 5)"
