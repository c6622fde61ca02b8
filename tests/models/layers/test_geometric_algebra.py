"""The algebra against its axioms, and the network's parts against what they should commute with."""

import pytest
import torch

from geoequiv.models.gatr import TINY, EquivariantLinear
from geoequiv.models.layers.geometric_algebra import BLADES, bilinear, table, terms
from geoequiv.models.layers.multivector_distances import key_features, query_features

FLOAT = torch.float64
REVERSE = torch.tensor([(-1.0) ** (len(blade) * (len(blade) - 1) // 2) for blade in BLADES], dtype=FLOAT)[:, None]
INVOLUTE = torch.tensor([(-1.0) ** len(blade) for blade in BLADES], dtype=FLOAT)[:, None]


def geometric(left, right):
    return bilinear(left.unsqueeze(1), right.unsqueeze(1), ("geometric",)).squeeze(1)


def joined(left, right):
    return bilinear(left.unsqueeze(1), right.unsqueeze(1), ("join",)).squeeze(1)


def some(*shape, seed=0):
    return torch.randn(16, *shape, dtype=FLOAT, generator=torch.Generator().manual_seed(seed))


def vector(*components):
    """A plane n · x = 0, as a multivector ``[16, 1]``."""
    values = torch.zeros(16, 1, dtype=FLOAT)
    values[1:4, 0] = torch.tensor(components)
    return values


def point(*position):
    values = torch.zeros(16, 1, dtype=FLOAT)
    values[7] = 1.0
    values[12:15, 0] = torch.tensor(position)
    return values


def motion():
    """A rotation and a translation as an even versor of length 1, and what it does."""
    first = vector(0.6, 0.8, 0.0)
    second = vector(0.0, 0.6, -0.8)
    shift = torch.zeros(16, 1, dtype=FLOAT)
    shift[0], shift[9:12, 0] = 1.0, torch.tensor([0.5, -1.0, 2.0]) / 2
    return geometric(shift, geometric(first, second))


def transformed(versor, values):
    return geometric(geometric(versor.expand(16, values.shape[1]), values), (versor * REVERSE).expand_as(values))


def test_geometric_product_is_associative_and_has_the_metric_of_pga():
    a, b, c = some(3), some(3, seed=1), some(3, seed=2)
    torch.testing.assert_close(geometric(geometric(a, b), c), geometric(a, geometric(b, c)))
    for component, square in ((1, 1.0), (2, 1.0), (3, 1.0), (8, 0.0)):
        basis = torch.zeros(16, 1, dtype=FLOAT)
        basis[component] = 1.0
        expected = torch.zeros(16, 1, dtype=FLOAT)
        expected[0] = square
        assert torch.equal(geometric(basis, basis), expected)


def test_join_of_two_points_is_the_line_through_them_and_of_three_their_plane():
    line = joined(point(0.0, 0.0, 0.0), point(2.0, 0.0, 0.0))
    assert line[4:7, 0].abs().tolist() == [2.0, 0.0, 0.0]  # its direction
    assert float(joined(line, point(5.0, 0.0, 0.0)).abs().max()) == 0.0
    plane = joined(line, point(0.0, 3.0, 0.0))
    assert plane[1:4, 0].abs().tolist() == [0.0, 0.0, 6.0]


def test_points_move_as_points_and_a_mirror_turns_their_sign():
    versor = motion()
    here, there = point(1.0, 2.0, -1.0), point(-2.0, 0.5, 1.0)
    now, then = transformed(versor, here), transformed(versor, there)
    torch.testing.assert_close(now[7], here[7])
    torch.testing.assert_close((now - then)[12:15].norm(), (here - there)[12:15].norm())
    assert float((now - here).abs().max()) > 0.5
    mirror = vector(1.0, 0.0, 0.0)
    torch.testing.assert_close(geometric(geometric(mirror, here * INVOLUTE), mirror), -point(-1.0, 2.0, -1.0))


@pytest.mark.parametrize("product", [geometric, joined])
def test_products_commute_with_motions(product):
    a, b, versor = some(4), some(4, seed=1), motion()
    torch.testing.assert_close(
        product(transformed(versor, a), transformed(versor, b)), transformed(versor, product(a, b))
    )


@pytest.mark.parametrize("product", [geometric, joined])
def test_a_mirror_turns_the_sign_of_joins_only(product):
    a, b, mirror = some(1), some(1, seed=1), vector(0.6, 0.0, 0.8)

    def reflected(values):
        return geometric(geometric(mirror, values * INVOLUTE), mirror)

    sign = -1 if product is joined else 1
    torch.testing.assert_close(product(reflected(a), reflected(b)), sign * reflected(product(a, b)))


@pytest.mark.parametrize("name", ["geometric", "join"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_terms_and_tables_agree_and_have_derivatives_of_both_orders(name, which):
    left, right = some(1, 2, 2).requires_grad_(), some(1, 1, 2, seed=1).requires_grad_()
    expected = bilinear(left, right, (name,), which)
    torch.testing.assert_close(table(name, which, left.device)(left, right), expected)
    assert len(terms(name)[which]) == {"geometric": 192, "join": 81}[name]

    def apply(a, b):
        return bilinear(a, b, (name,), which)

    assert torch.autograd.gradcheck(apply, (left, right), check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(apply, (left, right), fast_mode=True)


def test_linear_maps_commute_with_motions_and_read_nine_numbers_a_pair_of_channels():
    torch.manual_seed(0)
    layer, versor = EquivariantLinear(2, 3, 4, 5).double(), motion()
    values, scalars = some(2, 2, 6), torch.randn(6, 4, dtype=FLOAT)

    def transform(each):
        return transformed(versor, each.flatten(1)).view_as(each)

    result, free = layer(values, scalars)
    rotated, same = layer(transform(values), scalars)
    torch.testing.assert_close(rotated, transform(result))
    torch.testing.assert_close(same, free)
    assert layer.weight.numel() == 2 * 9 * 2 * 3  # for each parity
    flipped, _ = layer(values * torch.tensor([1.0, -1.0])[:, None, None], scalars)
    torch.testing.assert_close(flipped[:, 1], -result[:, 1])
    torch.testing.assert_close(flipped[:, 0], result[:, 0])


def test_attention_between_points_is_minus_their_squared_distance():
    here, there = point(1.0, 2.0, -1.0), point(-2.0, 0.5, 1.0)
    product = (query_features(here, TINY) * key_features(there, TINY)).sum()
    near = (1 / 1.01) ** 4  # of the softened 1/w
    assert float(product) == pytest.approx(-near * (9 + 2.25 + 4))
