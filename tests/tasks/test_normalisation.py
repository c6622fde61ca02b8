"""Scales of a training split by hand, and that a task's models use them."""

import dataclasses

import pytest
import torch

from geoequiv.fields import Signature
from geoequiv.models import GNN
from geoequiv.models.scaled import Scaled
from geoequiv.tasks import Split
from geoequiv.tasks.normalisation import centred, normalising_head, scales_of
from geoequiv.testing import assert_equivariant

SIGNATURE = Signature.parse("pos: point, vel: vector, kind: scalar -> pos: point")


def split(seed=0, far=100.0):
    generator = torch.Generator().manual_seed(seed)
    pos = far + torch.randn(6, 5, 3, generator=generator)
    vel = 0.01 * torch.randn(6, 5, 3, generator=generator)
    return Split({"pos": pos, "vel": vel, "kind": torch.ones(6, 5, 1)}, {"pos": pos + vel})


def test_scales_by_hand():
    pos = torch.tensor([[[0.0, 0, 0], [2, 0, 0]], [[10.0, 0, 0], [10, 4, 0]]])
    vel = torch.full((2, 2, 3), 3.0)
    train = Split({"pos": pos, "vel": vel, "kind": torch.zeros(2, 2, 1)}, {"pos": pos})
    inputs, outputs = scales_of(SIGNATURE, train)
    assert inputs == {"vel": pytest.approx(3.0), "pos": pytest.approx((10 / 12) ** 0.5)}  # 1, 1, 4, 4 over 12 numbers
    assert outputs == {"pos": inputs["pos"]}


def test_padding_and_several_points():
    pos = torch.randn(2, 3, 2, 3)
    mask = torch.tensor([[True, True, True], [True, True, False]])
    found = centred(pos, mask)
    assert found.shape == (5, 2, 3)
    expected = pos[1, :2].double() - pos[1, :2].double().mean((0, 1))
    torch.testing.assert_close(found[3:], expected)


def test_padding_does_not_touch_fields_of_graphs():
    signature = Signature.parse("pos: point, field: vector per graph -> force: vector")
    mask = torch.tensor([[True, True, True], [True, True, False]])  # of the shape of field
    field = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
    force = torch.tensor([[2.0] * 3, [2.0] * 3, [7.0] * 3]).expand(2, 3, 3).clone()
    force[0, 2] = 2.0
    inputs, outputs = scales_of(
        signature, Split({"pos": torch.randn(2, 3, 3), "field": field, "mask": mask}, {"force": force})
    )
    assert inputs["field"] == pytest.approx((91 / 6) ** 0.5)
    assert outputs == {"force": pytest.approx(2.0)}


def test_a_field_of_zeros_is_left_alone():
    still = split()
    still = dataclasses.replace(still, inputs={**still.inputs, "vel": torch.zeros(6, 5, 3)})
    assert set(scales_of(SIGNATURE, still)[0]) == {"pos"}


def test_units_do_not_depend_on_the_place_and_keep_the_symmetry():
    near, far = (scales_of(SIGNATURE, split(far=at))[0] for at in (0.0, 100.0))
    assert far["pos"] == pytest.approx(near["pos"], rel=1e-4)
    head = normalising_head(SIGNATURE, split())
    assert head.signature == SIGNATURE
    torch.manual_seed(0)
    model = head.wrap(GNN(SIGNATURE, width=4, depth=1))
    assert isinstance(model, Scaled)
    assert_equivariant(model, split(far=0.0).inputs, SIGNATURE, "S(5)", tolerance=1e-4)
