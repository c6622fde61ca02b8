"""Models are called the way they are written."""

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch_geometric.data import Data

from geoequiv.errors import ModelOutputError, SignatureError
from geoequiv.fields import BoundCall, Signature, call_model, extra_outputs, name_outputs, restore_outputs

TWO = Signature.parse("pos: point, vel: vector -> pos: point, energy: scalar")
X = {"pos": torch.randn(2, 4, 3), "vel": torch.randn(2, 4, 3)}


def by_name(vel, pos, extra=None):
    return pos + vel, vel.sum((1, 2))


def by_order(x, v):
    return {"energy": v.sum((1, 2)), "pos": x + v}


def by_keywords(**fields):
    return [fields["pos"] + fields["vel"], fields["vel"].sum((1, 2))]


def by_position(*fields):
    return fields[0] + fields[1], fields[1].sum((1, 2))


class Module(torch.nn.Module):
    def forward(self, pos, vel):
        return by_name(vel, pos)


@pytest.mark.parametrize("model", [by_name, by_order, by_keywords, by_position, Module()])
def test_every_way_of_writing_a_model(model):
    out = call_model(model, TWO, X)
    assert list(out) == ["pos", "energy"]
    assert torch.equal(out["pos"], X["pos"] + X["vel"])


@pytest.mark.parametrize(
    ("model", "args", "kwargs"),
    [
        (by_name, (), X),
        (by_name, (X["vel"], X["pos"]), {}),
        (by_order, (X["pos"], X["vel"]), {}),
        (by_order, (), X),
        (by_keywords, (), X),
        (by_position, (X["pos"], X["vel"]), {}),
        (Module(), (X["pos"],), {"vel": X["vel"]}),
    ],
)
def test_arguments_are_bound_to_fields_and_can_be_swapped(model, args, kwargs):
    call = BoundCall.bind(model, TWO, args, kwargs)
    assert torch.equal(call.fields["vel"], X["vel"])
    doubled = call({name: 2 * value for name, value in call.fields.items()})
    pos = doubled["pos"] if isinstance(doubled, dict) else doubled[0]
    assert torch.equal(pos, 2 * X["pos"] + 2 * X["vel"])


def test_pyg_objects_are_passed_whole():
    data = Data(pos=torch.randn(4, 3), vel=torch.randn(4, 3))
    out = call_model(lambda data: (data.pos, data.vel.sum()), TWO, data)
    assert out["pos"] is data.pos


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda pos, velocity: pos, "Unknown parameter 'vel'. Did you mean 'velocity'"),
        (lambda pos: pos, "Unknown parameter 'vel'"),
    ],
)
def test_inputs_that_a_model_does_not_take(model, message):
    with pytest.raises(SignatureError, match=message):
        call_model(model, TWO, X)


def test_binding_errors():
    with pytest.raises(SignatureError, match="input 'vel' is not among the arguments"):
        BoundCall.bind(lambda pos, velocity: pos, TWO, (X["pos"], X["vel"]), {})
    with pytest.raises(SignatureError, match="cannot be called this way"):
        BoundCall.bind(by_name, TWO, (), {"pos": X["pos"]})
    with pytest.raises(SignatureError, match="not among the inputs"):
        call_model(by_name, TWO, {"pos": X["pos"]})


@pytest.mark.parametrize("name", ["mask", "batch"])
def test_a_layout_the_model_cannot_be_told(name):
    with pytest.raises(SignatureError, match=f"hold a '{name}', but .* has no parameter"):
        call_model(by_name, TWO, X | {name: torch.ones(2, 4, dtype=torch.bool)})


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (torch.ones(3), "returned 1 outputs"),
        ((torch.ones(3),) * 3, "returned 3 outputs"),
        ({"pos": torch.ones(3)}, "'energy' is missing"),
        (None, "returned NoneType"),
        ((torch.ones(3), 1.0), "'energy' of .* is float, not a tensor"),
    ],
)
def test_outputs_that_do_not_fit(returned, message):
    with pytest.raises(ModelOutputError, match=message):
        call_model(lambda pos, vel: returned, TWO, X)


def takes_a_dict(data: dict[str, torch.Tensor]):
    return {"pos": data["pos"] + data["vel"], "energy": data["vel"].sum((1, 2)), "loss": data["vel"].mean()}


def takes_something(data):
    return takes_a_dict(data)


@pytest.mark.parametrize("model", [takes_a_dict, takes_something])
def test_a_dict_argument(model):
    assert torch.equal(call_model(model, TWO, X)["pos"], X["pos"] + X["vel"])
    for args, kwargs in (((X,), {}), ((), {"data": X}), ((), X)):
        call = BoundCall.bind(model, TWO, args, kwargs)
        doubled = call({name: 2 * value for name, value in call.fields.items()})
        assert torch.equal(doubled["pos"], 2 * X["pos"] + 2 * X["vel"])
    with pytest.raises(SignatureError, match="as one 'data', but is also given a tensor 'shift'"):
        BoundCall.bind(lambda data, shift: data, TWO, (X, torch.ones(3)), {})


class Shaped(NamedTuple):
    pos: torch.Tensor
    energy: torch.Tensor
    loss: torch.Tensor | None = None


@dataclass
class Output:
    energy: torch.Tensor
    pos: torch.Tensor
    loss: torch.Tensor | None = None
    note: str = "kept"


@pytest.mark.parametrize(
    "returned",
    [
        lambda pos, energy: Shaped(pos, energy),
        lambda pos, energy: Output(energy, pos),
        lambda pos, energy: {"loss": None, "energy": energy, "pos": pos, "count": 3},
        lambda pos, energy: (pos, energy, None),
        lambda pos, energy: [torch.tensor(0.5), pos, energy, {"steps": 3}],
    ],
)
def test_forms_of_output_and_what_stands_beside(returned):
    raw = returned(X["pos"], X["vel"].sum((1, 2)))
    named = call_model(lambda pos, vel: raw, TWO, X)
    assert named["pos"] is X["pos"]
    back = restore_outputs(TWO, raw, {name: 2 * value for name, value in named.items()}, X, by_name)
    assert type(back) is type(raw)
    again = name_outputs(TWO, back, by_name)
    assert torch.equal(again["pos"], 2 * X["pos"])
    assert torch.equal(again["energy"], 2 * named["energy"])
    assert extra_outputs(TWO, back, by_name) == extra_outputs(TWO, raw, by_name) != {}


def test_arrays_beside_the_outputs_cannot_be_averaged():
    for beside in (torch.ones(2, 4, 8), {"attention": [torch.ones(2, 4, 4)]}):
        with pytest.raises(ModelOutputError, match="returns 'hidden', which the signature's outputs"):
            extra_outputs(TWO, {"pos": X["pos"], "energy": X["pos"], "hidden": beside}, by_name)


def test_an_optional_graph_does_not_take_the_only_field():
    """Models of this package are called with a graph or with fields: forward(graph=None, /, **fields)."""

    def model(graph=None, /, **fields):
        assert graph is None
        return {"energy": fields["pos"].sum((-1, -2)).unsqueeze(-1)}

    pos = torch.ones(2, 3, 3)
    found = call_model(model, Signature.parse("pos: point -> energy: scalar per graph"), {"pos": pos})
    assert found["energy"].tolist() == [[9.0], [9.0]]


@pytest.mark.parametrize("builtin", [torch.sin, dict])
def test_a_builtin_without_parameters_is_named(builtin):
    with pytest.raises(SignatureError, match=r"(sin|dict) has no parameters .*Wrap it: lambda pos: f\(pos\)"):
        call_model(builtin, Signature.parse("pos: vector -> out: vector"), {"pos": torch.randn(2, 4, 3)})
