"""Test the tester: exact models, broken models, values by hand."""

import math

import pytest
import torch

import geoequiv as ge
from geoequiv.errors import BatchError, GroupError

SIGNATURE = "x: vector -> y: vector"


def cloud(n=6, seed=0):
    return {"x": torch.randn(n, 4, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)}


def test_an_equivariant_model_has_no_error():
    report = ge.equivariance_error(lambda x: 2 * x + x.norm(dim=-1, keepdim=True) * x, cloud(), SIGNATURE, "O(3)")
    assert max(report.E, report.E_prime, report.relative, report.worst, report.to_average) < 1e-14
    assert report.num_items == 6
    assert report.num_samples == 16
    assert report.dtype == "float64"


def test_values_by_hand():
    """f(x) = e_x for one particle under C4 about z: |f(gx) - g f(x)| is 0, √2, 2, √2; the means of g f(x) and of
    g⁻¹f(gx) are 0, that of f(gx) is e_x."""
    unit = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    report = ge.equivariance_error(lambda x: unit.expand_as(x), {"x": cloud()["x"][:, :1]}, SIGNATURE, "C4")
    assert report.num_samples == 4
    assert report.E == pytest.approx(1.0)
    assert report.to_average == pytest.approx(1.0)
    assert report.E_prime == pytest.approx((0 + math.sqrt(2) + 2 + math.sqrt(2)) / 4)
    assert report.relative == pytest.approx((0 + math.sqrt(2) + 2 + math.sqrt(2)) / 4)
    assert report.worst == pytest.approx(2.0)
    assert sorted(report.per_element) == pytest.approx([0, math.sqrt(2), math.sqrt(2), 2])


def test_E_is_blind_to_linear_maps_over_a_group_with_mean_zero():
    """f(x) = diag(1, 2, 3) x over O: the mean of g⁻¹Ag is 2, so f(x) is diag(1, 0, 1) |x| from its average."""
    x = cloud()
    report = ge.equivariance_error(lambda x: x * x.new_tensor([1.0, 2.0, 3.0]), x, SIGNATURE, "O")
    assert report.E < 1e-14
    assert report.to_average == pytest.approx(float(x["x"][..., [0, 2]].flatten(1).norm(dim=1).mean()))
    assert report.E_prime > 1
    assert report.standard_errors["E"].value == report.E
    assert report.standard_errors["to_average"].items > 0


@pytest.mark.parametrize(
    ("group", "samples", "signature"),
    [("SE(3)", 20, "x: point -> y: point"), ("O", None, SIGNATURE), ("C4", None, SIGNATURE)],
)
def test_the_formulas_by_a_loop(group, samples, signature):
    """E as published, E′ and the distance to the average, one element and one item at a time."""
    model = lambda x: x * x.new_tensor([1.0, 2.0, 3.0]) + (3 * x).sin().roll(1, -2)  # noqa: E731
    x, acting = cloud()["x"], ge.group(group)
    report = ge.equivariance_error(model, {"x": x}, signature, group, samples, torch.Generator().manual_seed(1))
    elements = (
        acting.elements() if samples is None else acting.sample(samples, generator=torch.Generator().manual_seed(1))
    )
    shift = signature != SIGNATURE
    E = E_prime = to_average = 0.0
    for item in x:
        transformed, there, back = [], [], []
        for g in (elements[i] for i in range(len(elements))):
            t = g.translation if shift else torch.zeros(3)
            transformed.append(model(item) @ g.linear.mT + t)
            there.append(model(item @ g.linear.mT + t))
            back.append((there[-1] - t) @ g.linear)
        E += float((sum(transformed) - sum(there)).norm()) / len(elements) / len(x)
        E_prime += sum(float((a - b).norm()) for a, b in zip(transformed, there, strict=True)) / len(elements) / len(x)
        to_average += float((model(item) - sum(back) / len(back)).norm()) / len(x)
    assert report.E == pytest.approx(E)
    assert report.E_prime == pytest.approx(E_prime)
    assert report.to_average == pytest.approx(to_average)
    assert report.E < 0.9 * report.to_average  # the three are three numbers


def test_E_does_not_mix_masked_out_nodes_into_relabelled_means():
    """f gives each node its number: over S(3) on 2 nodes and a hidden one, computed by listing the elements."""
    numbers = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    inputs = {"h": torch.ones(1, 3, 1, dtype=torch.float64), "mask": torch.tensor([[True, True, False]])}
    model = lambda h, mask: numbers.expand_as(h)  # noqa: E731
    report = ge.equivariance_error(model, inputs, "h: scalar -> y: scalar", "S(3)")
    total, side = torch.zeros(3, 1, dtype=torch.float64), ge.Signature.parse("h: scalar -> y: scalar").inputs
    for element in (ge.group("S(3)").elements()[i] for i in range(6)):
        relabelled = ge.transform(element, inputs | {"h": numbers[None]}, side)
        total += torch.where(relabelled["mask"][0, :, None], numbers - relabelled["h"][0], 0) / 6
    assert report.E == pytest.approx(float(total.norm()))
    assert report.E > 0.1


def test_norm_is_per_item_over_all_nodes_and_outputs():
    """f(x) = e_x at each of 4 nodes, twice: the norm of an item grows by √8."""
    unit = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    two = ge.equivariance_error(lambda x: (unit.expand_as(x),) * 2, cloud(), "x: vector -> y: vector, z: vector", "C4")
    assert two.E == pytest.approx(math.sqrt(8))
    assert two.relative == pytest.approx((0 + math.sqrt(2) + 2 + math.sqrt(2)) / 4)


@pytest.mark.parametrize("group", ["SO(3)", "O", "SO(2)@z"])
def test_a_broken_model_is_caught_and_E_is_below_E_prime(group):
    report = ge.equivariance_error(lambda x: x * x.new_tensor([1.0, 2.0, 3.0]), cloud(), SIGNATURE, group)
    assert report.relative > 0.1
    assert report.E <= report.E_prime
    assert report.worst >= report.relative


def test_a_symmetry_that_is_there_is_seen_beside_one_that_is_not():
    gravity = lambda x: x + x.new_tensor([0.0, 0.0, 1.0])  # noqa: E731
    assert ge.equivariance_error(gravity, cloud(), SIGNATURE, "SO(2)@z").worst < 1e-14
    assert ge.equivariance_error(gravity, cloud(), SIGNATURE, "SO(3)").relative > 0.1
    assert ge.equivariance_error(lambda x: torch.cross(x, x.roll(1, -2), -1), cloud(), SIGNATURE, "SO(3)").worst < 1e-13
    assert ge.equivariance_error(lambda x: torch.cross(x, x.roll(1, -2), -1), cloud(), SIGNATURE, "Ci").worst > 1.9


def test_batches_masks_and_ragged_layouts_agree():
    broken = lambda x, batch=None, mask=None: x * x.new_tensor([1.0, 2.0, 3.0])  # noqa: E731
    x = cloud(7)
    whole = ge.equivariance_error(broken, x, SIGNATURE, "SO(3)")
    flat = {"x": x["x"].flatten(0, 1), "batch": torch.arange(7).repeat_interleave(4)}
    padded = {"x": torch.cat([x["x"], 9 * torch.ones(7, 2, 3)], 1), "mask": (torch.arange(6) < 4).expand(7, 6)}
    for inputs, batch_size in ((x, 3), (flat, None), (padded, None)):
        report = ge.equivariance_error(broken, inputs, SIGNATURE, "SO(3)", batch_size=batch_size)
        for name, error in whole.standard_errors.items():
            assert report.standard_errors[name].as_dict() == pytest.approx(error.as_dict()), name
    with pytest.raises(BatchError, match="dense batches only"):
        ge.equivariance_error(broken, flat, SIGNATURE, "SO(3)", batch_size=2)


def test_bad_inputs_are_named():
    bad = cloud()
    bad["x"][3, 1, 2] = float("nan")
    with pytest.raises(BatchError, match=r"'x' is not finite in item 3"):
        ge.equivariance_error(lambda x: x, bad, SIGNATURE, "SO(3)")


def test_report_can_be_repeated_and_model_keeps_its_mode():
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout(0.5)).double().train()
    first = ge.equivariance_error(model, cloud(), SIGNATURE, "SO(3)")
    assert first == ge.equivariance_error(model, cloud(), SIGNATURE, "SO(3)")
    assert model.training
    assert first.as_dict()["group"] == "SO(3)"
    with pytest.raises(GroupError, match="num_samples must be a positive"):
        ge.equivariance_error(model, cloud(), SIGNATURE, "SO(3)", num_samples=0)
