"""Wrapped models keep the form in which they take inputs and return outputs, and what they return besides."""

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

import geoequiv as ge
from geoequiv.errors import ModelOutputError
from geoequiv.testing import assert_equivariant

SIGNATURE = "pos: point, vel: vector -> pos: point, energy: scalar per graph"


@dataclass
class Output:
    energy: Tensor
    pos: Tensor
    loss: Tensor | None = None
    note: str = "kept"


class Named(NamedTuple):
    pos: Tensor
    energy: Tensor
    loss: Tensor | None = None


def values(pos, vel):
    return pos + vel.roll(1, -1), (pos[..., 0] * vel[..., 1]).sin().sum(-1)


def loss(pos, vel):
    return (pos - vel).square().mean()


FORMS = {
    "dataclass": (lambda pos, vel: Output(*values(pos, vel)[::-1], loss(pos, vel)), lambda y: y.loss),
    "named tuple": (lambda pos, vel: Named(*values(pos, vel), loss(pos, vel)), lambda y: y.loss),
    "tuple": (lambda pos, vel: (loss(pos, vel), *values(pos, vel), None), lambda y: y[0]),
    "dict": (lambda pos, vel: dict(zip(("pos", "energy", "loss"), (*values(pos, vel), loss(pos, vel)), strict=True)),
             lambda y: y["loss"]),
}  # fmt: skip


def clouds():
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(3, 5, 3, generator=generator, dtype=torch.float64)  # noqa: E731
    return {"pos": draw() + 2, "vel": draw()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chunk", [None, 1, 3])
def test_outputs_in_the_models_own_form(form, chunk):
    model, loss_of = FORMS[form]
    x = clouds()
    averaged = ge.FrameAveraging(model, SIGNATURE, "SE(3)", chunk=chunk)
    out = averaged(**x)
    assert type(out) is type(model(**x))
    assert_equivariant(averaged, x, SIGNATURE, "SE(3)")
    plain = ge.FrameAveraging(values, SIGNATURE, "SE(3)")(**x)
    named = averaged(**x)
    pos = {"tuple": lambda: named[1], "dict": lambda: named["pos"]}.get(form, lambda: named.pos)()
    torch.testing.assert_close(pos, plain[0], atol=1e-12, rtol=1e-12)
    frame, _ = averaged.frame(x, "pos: point, vel: vector")
    one = ge.inverse(frame)
    each = [loss((x["pos"] @ one.linear[i].mT + one.translation[i].unsqueeze(1)), x["vel"] @ one.linear[i].mT)
            for i in range(4)]  # fmt: skip
    torch.testing.assert_close(loss_of(out), torch.stack(each).mean(), atol=1e-10, rtol=1e-10)


def test_a_dict_goes_in_and_comes_out():
    class Model(torch.nn.Module):
        def forward(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
            pos, energy = values(data["pos"], data["vel"])
            return {"pos": pos * data["factor"], "energy": energy}

    x = {**clouds(), "factor": 2.0}
    for averaged in (ge.FrameAveraging(Model(), SIGNATURE, "SE(3)"), ge.GroupAveraging(Model(), SIGNATURE, "C4")):
        given = dict(x)
        out = averaged(given)
        assert set(out) == {"pos", "energy"}
        assert given == x  # as it was
        assert_equivariant(averaged, x, SIGNATURE, averaged.group)
    assert ge.equivariance_error(Model(), x, SIGNATURE, "SE(3)", num_samples=4).relative > 0.1


def test_hidden_states_need_a_type():
    averaged = ge.FrameAveraging(
        lambda pos, vel: {"pos": pos, "energy": vel.sum((1, 2)), "hidden": pos}, SIGNATURE, "E(3)"
    )
    with pytest.raises(ModelOutputError, match="returns 'hidden'"):
        averaged(**clouds())
