"""Quadrature rules: exact up to their degree, on Wigner matrices and harmonics, and not beyond it."""

import math

import pytest
import torch
from scipy.integrate import lebedev_rule

from geoequiv.errors import GroupError
from geoequiv.groups import group
from geoequiv.groups.quadrature_rule import (
    LEBEDEV_ORDERS,
    lebedev_product_rule,
    product_rule,
    quadrature,
    rotation_rule,
)
from geoequiv.groups.representations import harmonics, wigner

SIZES = {0: 1, 1: 4, 2: 12, 3: 24, 4: 60, 5: 60, 6: 182, 7: 208, 8: 342, 9: 380, 11: 600}


def worst(name, degree, ell):
    """Largest entry of the average of D_l, of both parities; zero for an exact rule and l > 0."""
    elements, weights = quadrature(group(name), degree)
    det = elements.det[:, None, None]
    D = wigner(ell, elements.linear * det)
    return max(float((weights[:, None, None] * part).sum(0).abs().max()) for part in (D, det * D))


@pytest.mark.parametrize("degree", SIZES)
@pytest.mark.parametrize("name", ["SO(3)", "O(3)"])
def test_exact_up_to_its_degree_and_not_beyond(name, degree):
    elements, weights = quadrature(group(name), degree)
    assert len(elements) == SIZES[degree] * (1 if name == "SO(3)" else 2)
    assert abs(float(weights.sum()) - 1) < 1e-14
    assert (weights > 0).all()
    assert group(name).contains(elements, 1e-12).all()
    for ell in range(1, degree + 1):
        assert worst(name, degree, ell) < 1e-12, ell
    served = 5 if degree == 4 else degree
    assert worst(name, degree, served + 1) > 1e-2


@pytest.mark.parametrize("rule", [product_rule, lebedev_product_rule])
def test_both_product_rules_are_exact_up_to_their_degree(rule):
    linear, weights = rule(6)
    averages = [float((weights[:, None, None] * wigner(ell, linear)).sum(0).abs().max()) for ell in range(1, 8)]
    assert max(averages[:6]) < 1e-12
    assert averages[6] > 1e-2


@pytest.mark.parametrize("degree", [6, 12, 13, 24, 27])
def test_the_smaller_rule_is_taken(degree):
    weights = rotation_rule(degree)[1]
    assert len(weights) == min(len(product_rule(degree)[1]), len(lebedev_product_rule(degree)[1]))
    assert (weights > 0).all()


def test_weights_of_every_lebedev_rule_of_the_table_are_positive():
    for order in LEBEDEV_ORDERS:
        assert (lebedev_rule(order)[1] > 0).all(), order
    for order in (13, 25, 27):  # the tester: these are left out of the table
        assert (lebedev_rule(order)[1] < 0).any(), order


@pytest.mark.parametrize("degree", [0, 2, 5, 6, 7])
def test_spherical_harmonics_integrate_to_zero(degree):
    """The orbit of any direction is a rule on the sphere."""
    elements, weights = quadrature(group("SO(3)"), degree)
    direction = torch.nn.functional.normalize(torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64), dim=0)
    for ell in range(1, degree + 1):
        assert float((weights[:, None] * harmonics(ell, elements.linear @ direction)).sum(0).abs().max()) < 1e-12
    assert abs(float((weights[:, None] * harmonics(0, elements.linear @ direction)).sum()) - 1) < 1e-12


@pytest.mark.parametrize("name", ["SO(3)", "O(3)"])
def test_determinant_averages_to_zero_over_the_full_group(name):
    elements, weights = quadrature(group(name), 0)
    assert float((weights * elements.det).sum()) == (1 if name == "SO(3)" else 0)


@pytest.mark.parametrize("name", ["SO(2)", "O(2)", "SO(2)@y", "O(2)@(1,2,2)", "SO(2)@z"])
@pytest.mark.parametrize("degree", [0, 1, 4])
def test_circles(name, degree):
    """Powers of an off-axis coordinate, against many equal steps, and inexact one degree further."""
    G = group(name)
    elements, weights = quadrature(G, degree)
    assert len(elements) == (degree + 1) * (1 if G.is_proper else 2)
    assert G.contains(elements, 1e-12).all()
    x = torch.tensor([0.9, 0.2, -0.4][: G.dim], dtype=torch.float64)
    probe = torch.tensor([0.7, -0.6, 0.3][: G.dim], dtype=torch.float64)
    dense, dense_weights = quadrature(G, 64)

    def average(rule, weight, power):
        return float((weight * (rule.linear @ x @ probe) ** power).sum())

    for power in range(degree + 1):
        assert math.isclose(
            average(elements, weights, power), average(dense, dense_weights, power), rel_tol=0, abs_tol=1e-13
        )
    assert abs(average(elements, weights, degree + 1) - average(dense, dense_weights, degree + 1)) > 1e-3


def test_finite_groups_give_all_elements():
    elements, weights = quadrature(group("Td"), 1)
    assert torch.equal(elements.linear, group("Td").elements().linear)
    assert torch.equal(weights, torch.full((24,), 1 / 24, dtype=torch.float64))


def test_changing_a_rule_does_not_change_the_next():
    quadrature(group("SO(3)"), 3)[0].linear.zero_()
    assert worst("SO(3)", 3, 0) == pytest.approx(1)


def test_errors():
    with pytest.raises(GroupError, match=r"a whole number from 0 on, got -1"):
        quadrature(group("SO(3)"), -1)
    with pytest.raises(GroupError, match=r"from 0 on, got 2\.5"):
        quadrature(group("SO(3)"), 2.5)
    with pytest.raises(GroupError, match=r"SE\(3\) translates: .* its linear part, SO\(3\)"):
        quadrature(group("SE(3)"), 2)
