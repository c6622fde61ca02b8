"""Groups of one isometry that swaps nodes: axioms, names, products, and names that cannot be."""

import pytest
import torch

from geoequiv.errors import GroupError
from geoequiv.groups import compose, group, inverse
from geoequiv.groups.element import Element

NAME = "Cs@x&(0 1)(2 3)/5"


def same(a, b):
    return torch.allclose(a.linear, b.linear) and torch.equal(a.permutation, b.permutation)


def test_two_elements_by_hand():
    found = group(NAME)
    listed = found.elements()
    assert (found.order, found.nodes, found.is_proper, found.dim) == (2, 5, False, 3)
    torch.testing.assert_close(listed.linear[1], torch.diag(torch.tensor([-1.0, 1, 1], dtype=torch.float64)))
    assert listed.permutation.tolist() == [[0, 1, 2, 3, 4], [1, 0, 3, 2, 4]]
    g = listed[1]
    assert same(compose(g, g), listed[0])
    assert same(inverse(g), g)


def test_what_belongs_to_it():
    found = group(NAME)
    listed = found.elements()
    assert found.contains(listed).all()
    assert found.contains(found.sample(20)).all()
    half = Element(listed.linear[[1]], None, listed.permutation[[0]])  # the mirror without the swap
    assert not found.contains(half).any()
    assert not found.contains(group("Cs@x").elements())[1]
    assert group("C1").is_subgroup_of(found)
    draws = found.sample(400, generator=torch.Generator().manual_seed(0))
    assert 150 < int((draws.linear[:, 0, 0] < 0).sum()) < 250


@pytest.mark.parametrize("name", [NAME, "C2@y&(0 1)/2", " Cs@x & (0 1)(2 3) / 5 ", "Ci&(0 3)/4", "SO(2)@y*" + NAME])
def test_names_are_read_back(name):
    found = group(name)
    assert group(found.name).name == found.name
    assert group(found.name) == found


def test_products_with_rotations_about_an_axis_of_the_mirror():
    """SO(2)@y and the mirror: every second element reflects in an upright plane, and swaps."""
    found = group("SO(2)@y*" + NAME)
    draws = found.sample(60, generator=torch.Generator().manual_seed(1))
    improper = draws.det < 0
    assert 15 < int(improper.sum()) < 45
    swapped = (draws.permutation != torch.arange(5)).any(-1)
    assert torch.equal(improper, swapped)
    torch.testing.assert_close(draws.linear[:, 1, 1], torch.ones(60, dtype=torch.float64))
    assert found.contains(compose(draws[:30], draws[30:]), 1e-9).all()
    assert found.contains(inverse(draws), 1e-9).all()
    assert not found.contains(Element(draws.linear[improper]), 1e-9).any()
    tilted = group("SO(3)").sample(8, generator=torch.Generator().manual_seed(2))
    assert not found.contains(tilted, 1e-9).any()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Cs@x&(0 1)", "behind the & stand the pairs"),
        ("Cs@x&(0 1)(1 2)/5", "may stand in one pair"),
        ("Cs@x&(0 5)/5", "each of the nodes 0 to 4"),
        ("C4@y&(0 1)/5", "a group of two isometries, such as Cs@x, not C4@y"),
        ("SO(3)&(0 1)/5", "a group of two isometries"),
        ("Cx@x&(0 1)/5", "Unknown group"),
    ],
)
def test_names_that_cannot_be(name, message):
    with pytest.raises(GroupError, match=message):
        group(name)
