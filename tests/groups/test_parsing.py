"""Names of groups without torch: equal to the groups built from them, and products decided as on their elements."""

import subprocess
import sys
from contextlib import nullcontext
from itertools import product as pairs

import pytest
import torch

from geoequiv.errors import GroupError
from geoequiv.groups import Group, compose, group, inverse, parse_name
from geoequiv.groups.finite import matrices
from geoequiv.groups.named_product import check_isometries
from geoequiv.groups.parsing import EXAMPLES
from geoequiv.groups.point_groups import elements

POINT_GROUPS = [
    "C1", "C2", "C5", "Ci", "Cs", "C3h", "C4v", "S3", "S4", "S6", "D2", "D3", "D4h", "D2d", "D5d", "T", "Td", "Th",
    "O", "Oh", "I", "Ih",
]  # fmt: skip
NAMES = [
    "T(3)", "T(2)*S(3)", "SE(2)", "S(5)@plane", "C4@plane", "D3@(0.6,0.0,0.8)", "SO(2)@y", "O(2)@x", "T(3)*C2*SO(2)@y",
    "SO(2)@y*Cs@x&(0 1)(2 3)/5", "flip*S(3)", "Ci*SE(3)", "SE(3)*S(4)", *EXAMPLES,
]  # fmt: skip
FACTORS = [
    "SO(3)", "O(3)", "SO(2)@y", "O(2)@y", "SO(2)@x", "SE(3)", "T(3)", "Ci", "Cs", "Cs@x", "C2", "C2@y", "C3@x", "D2",
    "D3", "T", "O", "I", "S4", "Cs@x&(0 1)/3", "C2@y&(0 1)/3", "Ci*SO(2)@y", "T(3)*O(2)@y", "Ci*C2",
]  # fmt: skip
PLANAR = ["SO(2)", "O(2)", "SE(2)", "T(2)", "flip", "C3@plane", "C2@plane", "D2@plane", "D1@plane"]


@pytest.mark.parametrize("name", NAMES)
def test_a_parsed_name_says_what_its_group_says(name):
    parsed, built = parse_name(name), group(name)
    assert (parsed.name, parsed.dim, parsed.translates, parsed.nodes) == (
        built.name, built.dim, built.translates, built.nodes,
    )  # fmt: skip
    assert parse_name(parsed.name) == parsed


@pytest.mark.parametrize("symbol", POINT_GROUPS)
@pytest.mark.parametrize("axis", [(0.0, 0.0, 1.0), (0.6, 0.0, 0.8)])
def test_elements_in_plain_python_are_those_of_torch(symbol, axis):
    plain, listed = torch.tensor(elements(symbol, 3, axis), dtype=torch.float64), matrices(symbol, 3, axis)
    gaps = torch.cdist(plain.flatten(1), listed.flatten(1), p=float("inf"))
    assert len(plain) == len(listed)
    assert float(gaps.min(0).values.max()) < 1e-12
    assert float(gaps.min(1).values.max()) < 1e-12


@pytest.mark.parametrize("symbol", ["C1", "C5", "D1", "D4"])
def test_elements_of_the_plane_fix_z(symbol):
    plain, listed = torch.tensor(elements(symbol, 2), dtype=torch.float64), matrices(symbol, 2, (0.0, 0.0, 1.0))
    assert len(plain) == len(listed)
    assert float(torch.cdist(plain[:, :2, :2].flatten(1), listed.flatten(1)).min(0).values.max()) < 1e-12
    torch.testing.assert_close(plain[:, 2], torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64).expand(len(plain), 3))


def verdict_of_elements(first: Group, second: Group) -> str:
    """Why the products of two groups are no group, from all elements of a finite one and 16 draws of the other."""
    if not (first.is_finite or second.is_finite):
        return "finite"
    finite, other = (first, second) if first.is_finite else (second, first)
    e = finite.elements()
    if bool(other.contains(e[1:]).any()):
        return "share elements"
    k = other.elements() if other.is_finite else other.sample(16, generator=torch.Generator().manual_seed(0))
    e, k = e.reshape(-1, 1), k.reshape(1, -1)
    maps = other.contains(compose(compose(e, k), inverse(e))).all()
    return "" if bool(maps | finite.contains(compose(compose(k, e), inverse(k))).all()) else "not a group"


@pytest.mark.parametrize("names", [FACTORS, PLANAR], ids=["space", "plane"])
def test_products_are_decided_as_by_their_elements(names):
    found = {"": 0, "finite": 0, "share elements": 0, "not a group": 0}
    for first, second in pairs(names, names):
        if parse_name(first).nodes is not None:  # a permutation is always the last factor
            continue
        expected = verdict_of_elements(group(first), group(second))
        found[expected] += 1
        with pytest.raises(GroupError, match=expected) if expected else nullcontext():
            check_isometries(parse_name(first), parse_name(second), "it")
    assert min(found.values()) > 0 or names is PLANAR


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 10])
@pytest.mark.parametrize("name", ["S({})", "C{}", "D{}h", "Cs@x&(0 1)/{}", "Cs@x&(0 {})/5", "SO({})"])
def test_a_number_too_long_is_a_plain_error(name, number):
    with pytest.raises(GroupError, match=r"Unknown group|listed|stand the pairs"):
        parse_name(name.format(number))


def test_checking_a_name_does_not_import_torch():
    code = (
        "import sys; from geoequiv.groups import parse_name; "
        "assert parse_name('T(3) * SO(2)@y*Cs@x&(0 1)/2').name == 'T(3)*SO(2)@y*Cs@x&(0 1)/2'; "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
