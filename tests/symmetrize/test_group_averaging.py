"""Averages over infinite groups: quadrature for band-limited models, draws times a finite subgroup."""

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.errors import GroupError
from geoequiv.testing import assert_equivariant

SIGNATURE = "x: vector -> y: vector"


def cloud(*shape, seed=0):
    return torch.randn(*shape, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def quadratic(x):
    """Degree 2 in x, and so 3 in the group element with its vector output."""
    skew = x.new_tensor([[0.3, 1.0, -0.2], [0.5, -0.7, 0.4], [0.1, 0.2, 0.9]])
    return (x @ skew) * x.sum(-2, keepdim=True).roll(1, -1) + x @ skew


class Rough(nn.Module):
    """Not band-limited."""

    def forward(self, x):
        return torch.tanh(2 * x @ x.new_tensor([[0.3, 1.0, -0.2], [0.5, -0.7, 0.4], [0.1, 0.2, 0.9]]) + 0.3)


@pytest.mark.parametrize("group", ["SO(3)", "O(3)"])
def test_band_limited_model_is_averaged_exactly(group):
    x = {"x": cloud(4, 5)}
    wrapped = ge.GroupAveraging(quadratic, SIGNATURE, group, quadrature=3)
    assert_equivariant(wrapped, x, SIGNATURE, group, 1e-10)
    assert torch.allclose(wrapped(**x), ge.GroupAveraging(quadratic, SIGNATURE, group, quadrature=6)(**x), atol=1e-12)
    if group == "SO(3)":  # over O(3) the quadratic part averages to zero by inversion alone
        coarse = ge.GroupAveraging(quadratic, SIGNATURE, group, quadrature=2)
        assert ge.equivariance_error(coarse, x, SIGNATURE, group).relative > 1e-2
    assert wrapped.claims is None
    assert ge.GroupAveraging(quadratic, SIGNATURE, "O", quadrature=3).claims == "O"


def test_points_and_other_types():
    signature = "pos: point -> pos: point, energy: scalar, stress: tensor"

    def model(pos):
        square = quadratic(pos)
        return pos + square, (square * pos.roll(2, -1)).sum((-1, -2)), pos.unsqueeze(-1) * pos.roll(1, -1).unsqueeze(-2)

    wrapped = ge.GroupAveraging(model, signature, "SE(3)", quadrature=4)
    assert_equivariant(wrapped, {"pos": cloud(3, 4) + 5}, signature, "SE(3)", 1e-10)
    assert wrapped(cloud(4))[0].shape == (4, 3)


def test_weighted_rules_in_ragged_batches():
    """Unequal weights, clouds of different sizes, points and a scalar per graph."""

    def model(pos, batch):
        return Rough()(pos), pos.new_zeros(int(batch.max()) + 1).index_add(0, batch, Rough()(pos).sum(-1))

    wrapped = ge.GroupAveraging(model, "pos: point -> pos: point, energy: scalar", "SE(3)", quadrature=6)
    x, y = cloud(3, seed=1), cloud(5, seed=2)
    pos, energy = wrapped(torch.cat([x, y]), torch.tensor([0] * 3 + [1] * 5))
    alone = [wrapped(each, torch.zeros(len(each), dtype=torch.int64)) for each in (x, y)]
    assert torch.allclose(pos, torch.cat([one[0] for one in alone]), atol=1e-12)
    assert torch.allclose(energy, torch.cat([one[1] for one in alone]), atol=1e-12)


def test_weighted_rule_agrees_with_a_loop_and_with_the_decorator():
    """The product rule (degree 6) has unequal weights."""
    x = cloud(2, 4)
    elements, weights = ge.GroupAveraging(Rough(), SIGNATURE, "SO(3)", quadrature=6).frame.elements()
    assert weights.std() > 1e-4
    loop = sum(w * Rough()(x @ R) @ R.mT for R, w in zip(elements.linear, weights, strict=True))
    for wrapped in (
        ge.GroupAveraging(Rough(), SIGNATURE, "SO(3)", quadrature=6),
        ge.GroupAveraging(Rough(), SIGNATURE, "SO(3)", quadrature=6, chunk=50),
        ge.group_averaging(SIGNATURE, "SO(3)", quadrature=6)(Rough()),
        ge.group_averaging(SIGNATURE, "SO(3)", quadrature=6)(Rough().forward),
    ):
        assert torch.allclose(wrapped(x), loop, atol=1e-13)


def test_error_of_a_rough_model_falls_with_the_degree():
    errors = [
        ge.equivariance_error(
            ge.GroupAveraging(Rough(), SIGNATURE, "SO(3)", quadrature=degree), {"x": cloud(20, 3)}, SIGNATURE, "SO(3)"
        ).relative
        for degree in (1, 3, 7)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_rules_about_an_axis_and_in_the_plane():
    axial = ge.GroupAveraging(quadratic, SIGNATURE, "O(2)@y", quadrature=3)
    assert_equivariant(axial, {"x": cloud(4, 5)}, SIGNATURE, "O(2)@y", 1e-10)
    signature = "pos: point -> pos: point"
    flat = ge.GroupAveraging(lambda pos: pos**3 + pos, signature, "SE(2)", quadrature=4)
    assert_equivariant(flat, {"pos": cloud(4, 5)[..., :2]}, signature, "SE(2)", 1e-10)


def test_subgroup_reduces_the_variance_at_equal_cost():
    """5 × 24 elements against 120 independent draws, 300 times each.

    The relative standard error of a variance from 300 draws is √(2/299) = 8 %; the two differ by far more. Both means
    agree within 5 standard errors.
    """
    x = cloud(1, 3)
    generator = torch.Generator().manual_seed(0)
    options = {"generator": generator, "chunk": 10**6}
    plain = ge.GroupAveraging(Rough(), SIGNATURE, "SO(3)", num_samples=120, **options)
    reduced = ge.GroupAveraging(Rough(), SIGNATURE, "SO(3)", num_samples=5, subgroup="O", **options)
    one, other = (torch.stack([model(x) for _ in range(300)]) for model in (plain, reduced))
    error = ((one.var(0) + other.var(0)) / 300).sqrt()
    assert ((one.mean(0) - other.mean(0)).abs() < 5 * error).all()
    assert other.var(0).sum() < 0.5 * one.var(0).sum()


def test_each_draw_is_exactly_equivariant_to_the_subgroup():
    signature = "pos: point -> pos: point"
    wrapped = ge.GroupAveraging(lambda pos: Rough()(pos) + pos, signature, "SE(3)", num_samples=1, subgroup="O")
    g = ge.group("O").elements()
    x = cloud(5)
    transformed = wrapped(x @ g.linear.mT)  # one call, and so one draw, for the 24 rotated copies
    assert torch.allclose(transformed, transformed[0] @ g.linear.mT, atol=1e-13)
    seen = []
    model = lambda pos: (seen.append(len(pos)), pos)[1]  # noqa: E731
    ge.GroupAveraging(model, signature, "E(3)", num_samples=2, subgroup="Th", chunk=10**6)(x[None])
    assert seen == [48]
    decorated = ge.group_averaging(signature, "SE(2)", num_samples=1, subgroup="C4")(model)
    decorated(x[None, :, :2])
    assert seen == [48, 4]


def test_errors():
    def make(group, **options):
        return ge.GroupAveraging(Rough(), SIGNATURE, group, **options)

    with pytest.raises(GroupError, match="quadrature and num_samples exclude each other"):
        make("SO(3)", quadrature=3, num_samples=4)
    with pytest.raises(GroupError, match="quadrature and subgroup exclude each other"):
        make("SO(3)", quadrature=3, subgroup="O")
    with pytest.raises(GroupError, match="give num_samples too, or average over the group 'O'"):
        make("SO(3)", subgroup="O")
    with pytest.raises(GroupError, match=r"Oh is not a subgroup of SO\(3\)"):
        make("SO(3)", subgroup="Oh", num_samples=1)
    with pytest.raises(GroupError, match=r"subgroup must be finite, such as 'O', got SO\(2\)@y"):
        make("SO(3)", subgroup="SO(2)@y", num_samples=1)
    with pytest.raises(GroupError, match=r"Unknown group 'Q'"):
        make("SO(3)", subgroup="Q", num_samples=1)
    with pytest.raises(GroupError, match="a whole number from 0 on"):
        make("SO(3)", quadrature=-1)
    with pytest.raises(GroupError, match="give num_samples for a Monte-Carlo average, quadrature for a rule"):
        make("SO(3)")


@pytest.mark.parametrize("group", ["T(3)*S(3)", "O*S(3)", "T(3)*O"])
def test_relabellings_and_translations_are_averaged_together(group):
    signature = "pos: point, charge: scalar -> pos: point"
    model = torch.nn.Linear(12, 9, dtype=torch.float64)

    def flat(pos, charge):
        return pos + torch.tanh(model(torch.cat([pos.flatten(-2), charge.flatten(-2)], -1))).unflatten(-1, (3, 3))

    x = {"pos": torch.randn(5, 3, 3, dtype=torch.float64) + 3, "charge": torch.randn(5, 3, 1, dtype=torch.float64)}
    assert ge.equivariance_error(flat, x, signature, group).relative > 1e-3
    assert ge.equivariance_error(ge.GroupAveraging(flat, signature, group), x, signature, group).worst < 1e-10
    sampled = ge.GroupAveraging(flat, signature, "SE(3)*S(3)", num_samples=2)
    assert sampled(**x).shape == (5, 3, 3)
    with pytest.raises(GroupError, match=r"S\(9\) has 362880 elements, too many to list"):
        ge.GroupAveraging(flat, signature, "S(9)")
