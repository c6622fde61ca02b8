"""Planted representations are found, and networks without one are recognised."""

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.alignment import apply, hidden_representation, permutation_spec
from geoequiv.alignment.derive import with_state
from geoequiv.alignment.representation import consistent, homomorphism_error, multiplication_table, order_of
from geoequiv.errors import GroupError

SIGNATURE = "x: vector -> y: vector"


def batches(count=2):
    generator = torch.Generator().manual_seed(0)
    return [{"x": torch.randn(32, 4, 3, dtype=torch.float64, generator=generator)} for _ in range(count)]


def lifted(group, seeds=2, invariant=1, dead=1):
    """A network whose units are regular orbits of a finite group, some invariant units and some dead ones."""
    elements = ge.group(group).elements().linear
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(seeds, 3, dtype=torch.float64, generator=generator)
    orbit = torch.cat([rows @ g for g in elements])
    axis = torch.zeros(invariant, 3, dtype=torch.float64)
    axis[:, 2] = 1.0  # the axis that C_n about z keeps
    model = nn.Sequential(
        nn.Linear(3, len(orbit) + invariant + dead), nn.SiLU(), nn.Linear(len(orbit) + invariant + dead, 3)
    )
    model = model.double()
    bias = torch.randn(seeds, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        model[0].weight.copy_(torch.cat([orbit, axis, torch.zeros(dead, 3, dtype=torch.float64)]))
        model[0].bias.copy_(torch.cat([bias.repeat(len(elements)), torch.ones(invariant + dead).double()]))
        model[2].weight.copy_(torch.cat([orbit, axis, torch.zeros(dead, 3, dtype=torch.float64)]).mT)
        model[2].bias.zero_()
    return model


@pytest.mark.parametrize("group", ["C4", "C6"])
def test_regular_invariant_and_dead_units_are_counted(group):
    model = lifted(group)
    order = len(ge.group(group).elements())
    spec = permutation_spec(model, batches()[0])
    model = with_state(model, apply(spec, spec.random(torch.Generator().manual_seed(0)), model.state_dict()))
    found = hidden_representation(model, SIGNATURE, group, batches())
    size = 2 * order + 2
    assert found.error == 0.0
    assert found.regular["0"] == pytest.approx(2 * order / size)
    assert found.invariant["0"] == pytest.approx(1 / size)
    assert found.zero["0"] == pytest.approx(1 / size)
    assert found.correlation > 0.9 * (size - 1) / size
    assert found.orders["0"][0] == 1
    assert max(found.orders["0"]) == order


def test_a_random_network_has_no_representation():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 24), nn.SiLU(), nn.Linear(24, 3)).double()
    found = hidden_representation(model, SIGNATURE, "C4", batches(), consistency=0.0)
    assert found.error == found.error_independent > 0.2
    assert found.correlation < 0.98
    assert hidden_representation(model, SIGNATURE, "C4", batches(), consistency=5.0).error <= found.error


def test_consistency_mends_a_planted_mistake():
    elements = ge.group("C4").elements()
    table = multiplication_table(elements)
    shift = torch.stack([(torch.arange(8) % 4 + int(g)) % 4 + torch.arange(8) // 4 * 4 for g in steps(table)])
    assert homomorphism_error({"a": shift}, table) == 0.0
    scores = torch.stack([torch.eye(8, dtype=torch.float64)[p] for p in shift])
    broken = shift.clone()
    broken[1] = torch.arange(8)
    assert homomorphism_error({"a": broken}, table) > 0.2
    scores[1] = torch.eye(8)[broken[1]] * 0.2  # one element's correlations are weak and wrong
    mended = consistent(scores, broken, table, 1.0, 20)
    assert torch.equal(mended, shift)


def steps(table):
    """By how many times 90° each element rotates, from the table alone."""
    quarter = next(g for g in range(4) if table[g, g] != 0 and table[table[g, g], table[g, g]] == 0)
    found, here = torch.zeros(4, dtype=torch.int64), 0
    for k in range(4):
        found[here] = k
        here = int(table[quarter, here])
    return found


def test_the_table_of_a_group_that_relabels_nodes():
    for name, order in [("S(3)", 6), ("Cs@x&(0 1)/3", 2)]:
        elements = ge.group(name).elements()
        table = multiplication_table(elements)
        assert table[0].tolist() == list(range(order))
        assert all(sorted(row) == list(range(order)) for row in table.tolist())
        for i in range(order):
            for j in range(order):
                product = elements[i] @ elements[j]
                assert torch.equal(product.permutation, elements[int(table[i, j])].permutation)


def test_heads_are_part_of_the_representation():
    """Two heads that a rotation by 90° permutes are hard to plant; this tests only that heads are compared."""
    from .networks import SIGNATURE as CLOUD
    from .networks import make
    from .test_barrier import data

    model, _ = make("transformer")
    found = hidden_representation(model, CLOUD, "C2", [inputs for inputs, _ in data(model, batches=1)])
    heads = found.permutations["blocks.0.query_key_value"]
    assert heads.shape == (2, 2)
    assert heads[0].tolist() == [0, 1]
    assert found.zero["blocks.0.query_key_value"] == 0


def test_orders_by_hand():
    assert order_of(torch.tensor([0, 1, 2])) == 1
    assert order_of(torch.tensor([1, 0, 3, 4, 2])) == 6


def test_infinite_groups_have_no_list():
    with pytest.raises(GroupError, match="is infinite"):
        hidden_representation(nn.Linear(3, 3), SIGNATURE, "SO(3)", batches())
