"""Products, the subgroup relation, cosets."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import geoequiv as ge
from geoequiv.errors import GroupError
from geoequiv.fields import Signature, act
from geoequiv.groups import Element, compose, cosets, group, inverse
from geoequiv.groups.base import fixes_nodes
from geoequiv.groups.left_cosets import coordinates

PRODUCTS = {
    "SO(3)*S(4)": None, "S(4)*SO(3)": None, "SE(3)*S(5)": None, "C2*SO(2)@y": None, "Ci*SO(2)@y": None,
    "SO(2)*S(3)": None, "T(3)*C4@y": None, "T(2)*D4": None, "SO(2)@y*S(3)*Ci": None, "Ci*O": 48, "O*S(3)": 144,
    "T(3)*SO(2)@y": None, "T(3)*O(2)@(0.0,0.6,0.8)*S(4)": None, "T(3)*C2*SO(2)@y": None, "Ci*SE(3)": None,
    "C4@plane*S(3)": 24, "flip*S(3)": 12, "C2*C2@x": 4, "C3*S(1)": 3, "SO(3)*S(9)": None, "T(2)*S(3)": None,
}  # fmt: skip


def same(g: Element, h: Element) -> bool:
    gap = compose(inverse(g), h)
    transformed = torch.zeros(1) if gap.translation is None else gap.translation.abs()
    eye = torch.eye(g.dim, dtype=torch.float64)
    return bool((gap.linear - eye).abs().max() < 1e-12 and transformed.max() < 1e-12 and fixes_nodes(gap).all())


@pytest.mark.parametrize("name", PRODUCTS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_axioms(name, seed):
    G = group(name)
    f, g, h = (G.sample(5, generator=torch.Generator().manual_seed(seed + i)) for i in range(3))
    assert G.contains(f).all()
    assert G.contains(compose(f, g)).all()
    assert G.contains(inverse(f)).all()
    assert G.contains(G.identity(5)).all()
    assert same(compose(compose(f, g), h), compose(f, compose(g, h)))
    assert same(compose(f, inverse(f)), G.identity(5))
    assert f.nodes == G.nodes
    assert (f.translation is not None) == G.translates


@pytest.mark.parametrize(("name", "order"), PRODUCTS.items())
def test_names_orders_and_lists(name, order):
    G = group(name)
    assert G.name == name
    assert group(G.name) == G
    assert G.order == order
    assert G.is_finite == (order is not None)
    if order is not None:
        elements = G.elements()
        assert elements.shape == (order,)
        assert same(elements[0], G.identity())
        numbers = coordinates(elements, G.nodes)
        assert (torch.cdist(numbers, numbers) < 1e-9).sum() == order
        assert G.contains(compose(elements.reshape(-1, 1), elements)).all()


def test_parts():
    assert group("SE(3)*S(5)").linear_part == group("SO(3)*S(5)")
    assert group("T(3)*S(5)").linear_part == group("S(5)")
    assert group("T(2)*S(5)").linear_part == group("S(5)@plane")
    assert group("SO(3)*S(5)").linear_part is not None
    assert group("T(3)*C2*SO(2)@y").linear_part == group("C2*SO(2)@y")
    assert group("SO(2)@y*T(3)").linear_part == group("SO(2)@y")
    assert group("SO(3)*S(5)").is_proper
    assert not group("Ci*SO(2)@y").is_proper
    assert group("SO(2)*S(5)").dim == group("C4*S(5)", dim=2).dim == 2
    assert group("C4*S(5)", dim=2).name == "C4@plane*S(5)"
    assert group("C4@plane*S(3)").permutes_pixels
    assert not group("SO(2)*S(3)").permutes_pixels
    outside = group("O(3)").sample(20, generator=torch.Generator().manual_seed(0))
    assert not group("C2*SO(2)@y").contains(outside).any()
    assert not group("SO(3)*S(4)").contains(group("SO(3)*S(5)").sample(3)).any()
    assert group("SO(3)*S(4)").contains(group("SO(3)").sample(3)).all()
    assert not group("SO(3)").contains(group("SO(3)*S(9)").sample(3)).any()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("C3@x*SO(2)@y", "is not a group: C3@x and SO.* do not commute, nor does one map the other to itself"),
        ("O*I", "share elements besides the identity"),
        ("C2@y*SO(2)@y", "share elements"),
        ("SO(2)@x*SO(2)@y", "has to be finite"),
        ("S(3)*S(4)", "only one factor can permute"),
        ("SO(2)*SO(3)", "acts on 3-space, not on 2-space"),
        ("SO(3)*flip", "the flip acts on the plane"),
        ("SO(3)*", "Unknown group ''"),
        ("SO(3)*S5x", "Unknown group 'S5x'"),
    ],
)
def test_products_that_are_none(name, message):
    with pytest.raises(GroupError, match=message):
        group(name)


def test_errors_of_use():
    with pytest.raises(GroupError, match=r"SO\(3\)\*S\(4\) is infinite"):
        group("SO(3)*S(4)").elements()
    with pytest.raises(GroupError, match=r"S\(9\) has 362880 elements"):
        group("Ci*S(9)").elements()
    with pytest.raises(GroupError, match="write the axis behind the factor"):
        group("Ci*SO(2)", axis="y")
    assert not group("Ci*S(9)").is_finite


def test_both_factors_act():
    side = Signature.parse("pos: point, adj: adjacency, energy: scalar -> pos: point").inputs
    fields = {"pos": torch.randn(2, 4, 3), "adj": torch.randn(2, 4, 4), "energy": torch.randn(2, 1)}
    g = group("SE(3)*S(4)").sample(2, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    transformed = act(g, fields, side)
    for item in range(2):
        for i in range(4):
            place = g.permutation[item, i]
            there = g.linear[item] @ fields["pos"][item, i] + g.translation[item]
            assert torch.allclose(transformed["pos"][item, place], there, atol=1e-5)
    assert torch.equal(transformed["energy"], fields["energy"])
    isometry, labels = Element(g.linear, g.translation), Element(torch.eye(3).expand(2, 3, 3), None, g.permutation)
    assert torch.allclose(act(isometry, act(labels, fields, side), side)["pos"], transformed["pos"], atol=1e-6)


def test_average_over_a_product():
    torch.manual_seed(0)
    layer = torch.nn.Linear(9, 9).double()
    signature, inputs = "v: vector -> v: vector", {"v": torch.randn(2, 3, 3, dtype=torch.float64)}

    def model(v):
        return layer(v.flatten(-2)).tanh().unflatten(-1, (3, 3))

    averaged = ge.GroupAveraging(model, signature, "D3*S(3)")
    assert ge.equivariance_error(model, inputs, signature, "D3*S(3)").relative > 0.1
    assert ge.equivariance_error(averaged, inputs, signature, "D3*S(3)").worst < 1e-12


def test_large_groups_are_sampled():
    signature, inputs = "v: vector, h: node -> v: vector", {"v": torch.randn(2, 9, 3), "h": torch.randn(2, 9, 1)}
    exact = lambda v, h: v * h.mean(-2, keepdim=True)  # noqa: E731
    for name in ("S(9)", "SO(3)*S(9)", "O*S(9)"):
        report = ge.equivariance_error(exact, inputs, signature, name)
        assert report.num_samples == 16
        assert report.worst < 1e-5
        averaged = ge.GroupAveraging(exact, signature, name, num_samples=3)
        assert torch.allclose(averaged(**inputs), exact(**inputs), atol=1e-5)


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        ("SO(3)", "O(3)", True), ("O(3)", "SO(3)", False), ("SO(3)", "SE(3)", True), ("SE(3)", "SO(3)", False),
        ("T(3)", "SE(3)", True), ("T(3)", "O(3)", False), ("SO(2)@y", "SO(3)", True), ("SO(2)@y", "SO(2)@z", False),
        ("O(2)@y", "SO(3)", False), ("C4@y", "SO(2)@y", True), ("C4", "SO(2)@y", False), ("T", "O", True),
        ("T", "I", True), ("O", "I", False), ("C4", "O", True), ("Oh", "O(3)", True), ("Oh", "O", False),
        ("SO(3)", "O", False), ("SO(2)", "SO(3)", False), ("flip", "D2@plane", True), ("flip", "SO(2)", False),
        ("SO(3)", "SO(3)*S(4)", True), ("S(4)", "SO(3)*S(4)", True), ("S(4)", "S(5)", False), ("S(9)", "S(9)", True),
        ("S(4)", "SO(3)", False), ("SO(2)@y*S(4)", "O(3)*S(4)", True), ("SO(2)@y", "C2*SO(2)@y", True),
        ("E(3)", "E(3)", True), ("E(3)", "SE(3)", False), ("C1", "T(3)", True), ("Ci*SO(2)@y", "C2*SO(2)@y", False),
    ],
)  # fmt: skip
def test_subgroups(part, whole, expected):
    assert group(part).is_subgroup_of(group(whole)) is expected


@pytest.mark.parametrize(
    ("whole", "part"), [("Oh", "O"), ("O", "T"), ("I", "T"), ("D4@plane", "flip"), ("S(4)", "S(4)"), ("O*S(3)", "O"),
                        ("O*S(3)", "S(3)"), ("C6", "C1")]
)  # fmt: skip
def test_cosets_cut_the_group_up(whole, part):
    G, H = group(whole), group(part)
    found = cosets(G, H)
    assert found.shape == (G.order // H.order, H.order)
    numbers = coordinates(found.reshape(-1), G.nodes)
    assert (torch.cdist(numbers, numbers) < 1e-6).sum() == G.order  # every element once
    assert same(found[0, 0], G.identity())
    first = found[:, :1].expand(*found.shape)
    assert H.contains(compose(inverse(first), found)).all()  # each row is g H …
    assert same(compose(first, H.elements().expand(*found.shape)), found)  # … in the order of H


def test_cosets_of_what_is_no_subgroup():
    with pytest.raises(GroupError, match="I is not a subgroup of O"):
        cosets(group("O"), group("I"))
    with pytest.raises(GroupError, match=r"SO\(3\) cannot be listed"):
        cosets(group("SO(3)"), group("I"))
