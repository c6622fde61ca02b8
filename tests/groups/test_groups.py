"""Laws of groups, Haar moments with standard errors, names and their errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geoequiv.errors import GroupError
from geoequiv.groups import Element, compose, group, identity, inverse
from geoequiv.groups.base import fixes_nodes

CONTINUOUS = [
    "SO(2)",
    "O(2)",
    "SO(3)",
    "O(3)",
    "T(2)",
    "T(3)",
    "SE(2)",
    "SE(3)",
    "E(2)",
    "E(3)",
    "SO(2)@y",
    "O(2)@(1,2,0)",
]
ORDERS = {
    "C1": 1, "C4": 4, "C7": 7, "D2": 4, "D4": 8, "T": 12, "O": 24, "I": 60, "Ci": 2, "Cs": 2, "C3v": 6, "C4h": 8,
    "D3h": 12, "D3d": 12, "D4d": 16, "S4": 4, "S6": 6, "Td": 24, "Th": 24, "Oh": 48, "Ih": 120,
    "C3@x": 3, "D4@(1,1,1)": 8, "C4v@y": 8, "C4@plane": 4, "D4@plane": 8, "flip": 2, "S(1)": 1, "S(4)": 24,
}  # fmt: skip


def same(g: Element, h: Element) -> bool:
    zero = torch.zeros(g.dim, dtype=torch.float64)
    a = zero if g.translation is None else g.translation
    b = zero if h.translation is None else h.translation
    labels = [fixes_nodes(inverse(g) @ h).all()] if g.nodes or h.nodes else []
    return (
        all(labels)
        and torch.allclose(g.linear, h.linear, atol=1e-12)
        and torch.allclose(a.expand(*g.shape, -1), b, atol=1e-12)
    )


def numbers(g: Element) -> torch.Tensor:
    """What tells the elements of a compact group apart, ``[..., k]``."""
    parts = [g.linear.flatten(-2)] + ([] if g.permutation is None else [g.permutation.double()])
    return torch.cat(parts, -1)


@pytest.mark.parametrize("name", [*CONTINUOUS, *ORDERS])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_axioms(name, seed):
    G = group(name)
    f, g, h = (G.sample(5, generator=torch.Generator().manual_seed(seed + i)) for i in range(3))
    one = G.identity(5)
    assert G.contains(f).all()
    assert G.contains(compose(f, g)).all()
    assert G.contains(inverse(f)).all()
    assert G.contains(one).all()
    assert same(compose(compose(f, g), h), compose(f, compose(g, h)))
    assert same(compose(f, inverse(f)), one)
    assert same(compose(f, one), f)
    assert same(f @ g, compose(f, g))


@pytest.mark.parametrize(("name", "order"), ORDERS.items())
def test_finite_group_is_closed_and_complete(name, order):
    elements = group(name).elements()
    assert group(name).order == len(elements) == order
    assert torch.equal(elements.linear[0], torch.eye(elements.dim, dtype=torch.float64))
    assert same(elements[0], group(name).identity())
    products = numbers(compose(elements.reshape(order, 1), elements.reshape(1, order))).flatten(0, 1)
    gaps = torch.cdist(products, numbers(elements), p=float("inf"))
    hits = (gaps < 1e-9).sum(-1)
    assert (hits == 1).all()  # every product is exactly one element, so elements are distinct and the set is closed


@pytest.mark.parametrize("name", ["T", "O", "I", "C5", "D3", "SO(3)", "SE(3)", "SO(2)@x", "T(3)"])
def test_proper_groups_keep_handedness(name):
    G = group(name)
    assert G.is_proper
    assert (G.sample(50, generator=torch.Generator().manual_seed(0)).det > 0).all()


@pytest.mark.parametrize("name", ["Th", "Td", "Oh", "Ih", "C3v", "O(3)", "E(3)", "O(2)@x"])
def test_improper_groups_mirror_half_of_the_time(name):
    G = group(name)
    assert not G.is_proper
    det = G.sample(4000, generator=torch.Generator().manual_seed(0)).det
    assert abs(float(det.mean())) < 5 / math.sqrt(4000)


@pytest.mark.parametrize("name", ["SO(2)", "O(2)", "SO(3)", "O(3)"])
def test_haar_moments(name):
    """E[R] = 0 and E[R_ij R_kl] = δ_ik δ_jl / d, within five standard errors."""
    n = 20_000
    R = group(name).sample(n, generator=torch.Generator().manual_seed(1)).linear
    d = R.shape[-1]
    assert R.mean(0).abs().max() < 5 / math.sqrt(n)
    second = torch.einsum("nij,nkl->ijkl", R, R) / n
    expected = torch.einsum("ik,jl->ijkl", torch.eye(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64)) / d
    if name == "SO(2)":  # there R_11 = R_22 and R_12 = -R_21: the second moment has the further invariant ε_ik ε_jl
        eps = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
        expected = expected + torch.einsum("ik,jl->ijkl", eps, eps) / d
    assert (second - expected).abs().max() < 5 / math.sqrt(n)


@pytest.mark.parametrize(
    ("name", "rank"),
    [("SO(2)@y", 1), ("O(2)@(1,2,0)", 1), ("C2*SO(2)@y", 0), ("Ci*SO(2)@y", 0), ("SO(2)*S(3)", 0), ("SO(3)*S(3)", 0)],
)
def test_mean_of_draws_is_the_projection_onto_what_is_fixed(name, rank):
    """E[R] = P with P² = P, of the rank of the space that the group fixes; within five standard errors."""
    n = 20_000
    G = group(name)
    R = G.sample(n, generator=torch.Generator().manual_seed(3)).linear
    axis = getattr(G, "axis", None)
    fixed = torch.zeros(G.dim, G.dim, dtype=torch.float64)
    if rank:
        a = torch.tensor(axis, dtype=torch.float64)
        fixed = torch.outer(a, a)
    assert int(torch.linalg.matrix_rank(fixed)) == rank
    assert (R.mean(0) - fixed).abs().max() < 5 / math.sqrt(n)


@pytest.mark.parametrize(("name", "order"), ORDERS.items())
def test_mean_of_all_elements_is_a_projection(name, order):
    """Schur: the average over a finite group projects onto what it fixes; its trace is that dimension."""
    mean = group(name).elements().linear.mean(0)
    assert torch.allclose(mean @ mean, mean, atol=1e-12)
    fixed = {"C4": 1, "C7": 1, "C3v": 1, "C3@x": 1, "C4v@y": 1, "Cs": 2, "flip": 1, "C1": 3, "S(1)": 3, "S(4)": 3}
    assert abs(float(mean.trace()) - fixed.get(name, 0)) < 1e-12


def test_rotation_angle_density_on_so3():
    """The angle of a Haar rotation has mean π/2 + 2/π."""
    n = 20_000
    R = group("SO(3)").sample(n, generator=torch.Generator().manual_seed(2)).linear
    trace = R.diagonal(dim1=-2, dim2=-1).sum(-1)
    angle = ((trace - 1) / 2).clamp(-1, 1).acos()
    assert abs(float(angle.mean()) - (math.pi / 2 + 2 / math.pi)) < 5 * float(angle.std()) / math.sqrt(n)


def test_axial_group_fixes_its_axis():
    axis = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64) / math.sqrt(5)
    R = group("O(2)@(1,2,0)").sample(20, generator=torch.Generator().manual_seed(0)).linear
    assert torch.allclose(R @ axis, axis.expand(20, 3))


def test_compose_applies_its_second_argument_first():
    g = Element(torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64))  # rotation by 90°: x → y
    h = Element(torch.eye(2, dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64))
    both = compose(g, h)
    x = torch.zeros(2, dtype=torch.float64)
    assert torch.equal(x @ both.linear.mT + both.translation, torch.tensor([0.0, 1.0], dtype=torch.float64))


def test_sampling_is_reproducible_and_shaped():
    draw = lambda: group("SE(3)").sample(2, 3, generator=torch.Generator().manual_seed(7))  # noqa: E731
    assert draw().shape == (2, 3)
    assert torch.equal(draw().linear, draw().linear)
    assert torch.equal(draw().translation, draw().translation)
    assert group("O").sample().shape == ()


def test_an_axis_is_a_name_or_any_vector():
    wanted = group("SO(2)@(0,1,1)")
    numbers = (0.0, 2.0, 2.0)
    for axis in ("(0,1,1)", numbers, list(numbers), torch.tensor(numbers), torch.tensor(numbers).double().numpy()):
        found = group("SO(2)", axis=axis)
        assert torch.allclose(torch.tensor(found.axis), torch.tensor(wanted.axis), atol=1e-12)
        assert found.dim == 3
        assert group("C4v", axis=axis).order == 8
    assert group("O(2)", axis="y") == group("O(2)@y")
    for axis in ("", (1.0, 0.0), torch.zeros(3), (1.0, math.nan, 0.0)):
        with pytest.raises(GroupError, match=r"an axis is x, y, z or three numbers"):
            group("SO(2)", axis=axis)


def test_spaces_and_underscores_in_names():
    for written, name in (("T_h", "Th"), ("C_4", "C4"), ("SO(2) @ y", "SO(2)@y"), ("O_h*S(3)", "Oh*S(3)")):
        assert group(written) == group(name)


def test_plane_groups():
    assert group("C4", dim=2).elements().linear.shape == (4, 2, 2)
    assert group("D4", dim=2).order == 8
    assert not group("D4", dim=2).is_proper


@pytest.mark.parametrize("name", [*CONTINUOUS, *ORDERS])
def test_name_gives_the_group_back(name):
    assert group(group(name).name) == group(name)
    assert group(group(name)) is not None
    assert hash(group(name)) == hash(group(name))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SO3", r"Unknown group 'SO3'\. Did you mean 'SO\(3\)'"),
        ("so(3)", r"Did you mean 'SO\(3\)'"),
        ("C4d", "Unknown group 'C4d'"),
        ("SO(3)@y", r"only SO\(2\), O\(2\) and finite groups rotate about an axis"),
        ("SO(2)@w", "an axis is x, y, z or three numbers"),
        ("SO(2)@(0,0,0)", "not all zero"),
        ("SO(2)@up", "Where gravity points along −y, up is y: @y"),
        (3, "given by its name"),
        ("S(0)", "Unknown group"),
        ("S(5)@y", "no axis"),
        ("flip@y", "'Cs@x'"),
        ("O@plane", "not a group of the plane"),
        ("oh", "Did you mean 'Oh'"),
        ("S_5", r"Did you mean 'S\(5\)'"),
        ("C9999", "up to 2500-fold are listed"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(GroupError, match=message):
        group(name)


def test_errors_of_use():
    with pytest.raises(GroupError, match=r"SO\(3\) is infinite"):
        group("SO(3)").elements()
    with pytest.raises(GroupError, match="acts on 3-space"):
        group("SO(3)", dim=2)
    with pytest.raises(GroupError, match="not a group of the plane"):
        group("O", dim=2)
    with pytest.raises(GroupError, match=r"'SO\(2\)@x' names an axis, and axis='y' is another"):
        group("SO(2)@x", axis="y")
    with pytest.raises(GroupError, match=r"must be \[\.\.\., d, d\]"):
        Element(torch.zeros(3))
    with pytest.raises(GroupError, match="translation must be"):
        Element(torch.eye(3), torch.zeros(2))


def test_element_views():
    g = group("SE(3)").sample(4)
    assert len(g) == 4
    assert g[1:3].shape == (2,)
    assert g.reshape(2, 2).translation.shape == (2, 2, 3)
    assert g.to(torch.float32).linear.dtype == torch.float32
    with pytest.raises(TypeError, match="no length"):
        len(identity(3))


def test_element_views_carry_the_permutation():
    p = torch.stack([torch.randperm(5, generator=torch.Generator().manual_seed(i)) for i in range(4)])
    g = Element(group("SO(3)").sample(4).linear, torch.zeros(4, 3, dtype=torch.float64), p)
    assert g.nodes == 5
    assert torch.equal(g[2].permutation, p[2])
    assert g.reshape(2, 2).permutation.shape == (2, 2, 5)
    assert g[:1].expand(3).permutation.shape == (3, 5)
    assert g.to(torch.float32).permutation.dtype == torch.int64
    assert torch.equal(compose(g, inverse(g)).permutation, torch.arange(5).expand(4, 5))
    assert torch.equal(compose(g, group("O").sample()).permutation, p)
    assert torch.equal(identity(3, 2, nodes=4).permutation, torch.arange(4).expand(2, 4))
    with pytest.raises(GroupError, match=r"permutation must be int64 \[4, 'n'\]"):
        Element(g.linear, None, p.double())
    with pytest.raises(GroupError, match="5 nodes and the other 4"):
        compose(g, identity(3, nodes=4))


def test_permutations_compose_second_argument_first():
    eye = torch.eye(3, dtype=torch.float64)
    cycle = Element(eye, None, torch.tensor([1, 2, 0]))  # 0 → 1 → 2 → 0
    swap = Element(eye, None, torch.tensor([1, 0, 2]))
    assert compose(cycle, swap).permutation.tolist() == [2, 1, 0]  # 0 → 1 → 2
    assert not group("SO(3)").contains(cycle)


def test_symmetric_groups():
    """Sampled uniformly (each of 24 within five standard errors), listed up to n = 7; S4 is another group."""
    n = 4800
    G = group("S(4)")
    draws = G.sample(n, generator=torch.Generator().manual_seed(0)).permutation
    found, counts = draws.unique(dim=0, return_counts=True)
    assert len(found) == 24
    assert (counts - n / 24).abs().max() < 5 * math.sqrt(n / 24)
    assert group("S(7)").is_finite
    assert len(group("S(7)").elements()) == 5040
    assert group("S4").order == 4
    assert group("S(5)", dim=2).sample(3, dtype=torch.float32).linear.shape == (3, 2, 2)
    assert not G.contains(group("S(5)").sample(2)).any()
    assert not G.contains(group("SO(3)").sample(2)).any()
    assert not G.contains(Element(torch.eye(3), None, torch.tensor([0, 0, 1, 2])))
    assert not group("S(8)").is_finite
    assert group("S(8)").contains(group("S(8)").sample(3)).all()
    with pytest.raises(GroupError, match=r"S\(8\) has 40320 elements: too many to list \(n ≤ 7\). Draw"):
        group("S(8)").elements()


def test_the_order_of_a_large_group_is_told_as_a_power_of_ten():
    """5000! has 16326 digits, more than Python prints."""
    with pytest.raises(GroupError, match=r"S\(5000\) has about 10\^16326 elements: too many to list"):
        group("S(5000)").elements()
    assert (group("S(8)").order_text, group("SO(3)").order_text) == ("40320", "infinitely many")


def test_groups_that_permute_pixels():
    assert all(group(name).permutes_pixels for name in ("C1@plane", "C2@plane", "C4@plane", "D4@plane", "flip", "S(3)"))
    assert all(
        group(name).permutes_pixels for name in ("C4", "D4", "C4v", "Cs@x", "Ci")
    )  # they keep the plane of x and y
    assert not any(group(name).permutes_pixels for name in ("C3@plane", "D8@plane", "C3", "C4@x", "O", "SO(2)", "E(2)"))
