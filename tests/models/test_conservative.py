"""Forces as a gradient: by hand, against finite differences, differentiated again, wrapped; changes of units."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

import geoequiv as ge
from geoequiv.errors import SignatureError
from geoequiv.models import EGNN, GNN, NequIP
from geoequiv.models.conservative import Conservative, energy_signature
from geoequiv.models.scaled import Scaled

SIGNATURE = "pos: point, kind: scalar*2 -> energy: scalar per graph, forces: vector"
ENERGY = "pos: point, kind: scalar*2 -> energy: scalar per graph"


class Springs(nn.Module):
    """E = k/2 Σ_{i<j} ‖x_i − x_j‖², whose forces are known."""

    claims = "E(3)"

    def __init__(self):
        super().__init__()
        self.k = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, pos, kind):
        gap = pos.unsqueeze(-2) - pos.unsqueeze(-3)
        return self.k / 4 * gap.square().sum((-1, -2, -3))[..., None]


def clouds(items=3, nodes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pos = torch.randn(items, nodes, 3, generator=generator, dtype=torch.float64)
    return {"pos": pos, "kind": torch.rand(items, nodes, 2, generator=generator, dtype=torch.float64)}


def test_forces_of_springs_by_hand():
    inputs = clouds()
    outputs = Conservative(Springs(), SIGNATURE)(**inputs)
    pos = inputs["pos"]
    expected = -2.0 * (4 * pos - pos.sum(1, keepdim=True))
    torch.testing.assert_close(outputs["forces"], expected)
    assert outputs["energy"].shape == (3, 1)


@pytest.mark.parametrize("wrapped", [False, True])
def test_forces_are_the_finite_difference_of_the_energy(wrapped):
    torch.manual_seed(0)
    model = GNN(ENERGY, width=8, depth=2).double()
    inner = ge.FrameAveraging(model, ENERGY, "E(3)") if wrapped else model
    field = Conservative(inner, SIGNATURE).eval()
    inputs = clouds(items=2)
    with torch.no_grad():
        forces = field(**inputs)["forces"]
        step = 1e-5
        for node, axis in ((0, 0), (3, 2)):
            shift = torch.zeros_like(inputs["pos"])
            shift[:, node, axis] = step
            ahead, behind = (
                field(**{**inputs, "pos": inputs["pos"] + sign * shift})["energy"][:, 0] for sign in (1, -1)
            )
            torch.testing.assert_close(-(ahead - behind) / (2 * step), forces[:, node, axis], atol=1e-7, rtol=1e-5)
    assert not forces.requires_grad
    if wrapped:
        ge.testing.assert_equivariant(field, inputs, SIGNATURE, "E(3)", tolerance=1e-9)


def test_training_on_forces_reaches_the_weights():
    """The gradient of a loss on forces alone, against a finite difference in a weight."""
    torch.manual_seed(0)
    field = Conservative(Scaled(GNN(ENERGY, width=6, depth=1).double(), ENERGY, outputs={"energy": 3.0}), SIGNATURE)
    inputs = clouds(items=2)
    weight = next(field.parameters())

    def loss():
        return field(**inputs)["forces"].square().mean()

    (slope,) = torch.autograd.grad(loss(), weight)
    with torch.no_grad():
        values = []
        for sign in (1, -1):
            weight[0, 0] += sign * 1e-6
            values.append(float(loss()))
            weight[0, 0] -= sign * 1e-6
    assert slope[0, 0] != 0
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(float(slope[0, 0]), rel=1e-4, abs=1e-10)


def test_forces_where_gradients_are_off():
    field = Conservative(Springs(), SIGNATURE)
    inputs = clouds()
    here = field(**inputs)["forces"].detach()
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            same = {name: values.clone() for name, values in inputs.items()}
            assert torch.equal(field(**same)["forces"], here)


@pytest.mark.parametrize("direct", [False, True])
def test_pyg_objects_in_forces_out(direct):
    """Forces as a gradient, of units and of NequIP, for graphs as they come from a loader."""
    torch.manual_seed(0)
    inputs = clouds(items=2)
    if direct:
        field = NequIP(SIGNATURE, width=4, depth=1, l_max=1).double()
    else:
        field = Conservative(Scaled(EGNN(ENERGY, width=4, depth=1).double(), ENERGY, {"pos": 2.0}), SIGNATURE)
    graphs = Batch.from_data_list([Data(pos=inputs["pos"][i], kind=inputs["kind"][i]) for i in range(2)])
    found, expected = field(graphs), field(**inputs)
    torch.testing.assert_close(found["energy"], expected["energy"])
    torch.testing.assert_close(found["forces"], expected["forces"].flatten(0, 1))


def test_positions_of_the_caller_stay_in_the_graph():
    inputs = clouds(items=1)
    inputs["pos"].requires_grad_()
    forces = Conservative(Springs(), SIGNATURE)(**inputs)["forces"]
    (row,) = torch.autograd.grad(forces[0, 0, 0], inputs["pos"])
    assert row[0, 0, 0] == pytest.approx(-2.0 * 3)  # a column of the Hessian: −k (N − 1)


def test_operations_can_be_counted_through_modules_that_see_positions():
    from geoequiv.measurements.cost import cost

    energy = ge.FrameAveraging(GNN(ENERGY, width=4, depth=1).double(), ENERGY, "E(3)", frame="learned").double()
    counted = cost(Conservative(energy, SIGNATURE), SIGNATURE, clouds(), 3)
    assert counted.backward > counted.forward > 0


def test_it_claims_what_the_energy_claims():
    assert Conservative(Scaled(Springs(), ENERGY), SIGNATURE).claims == "E(3)"
    assert Conservative(GNN(ENERGY, width=4, depth=1), SIGNATURE).claims is None


@pytest.mark.parametrize(
    "signature",
    [
        "pos: point -> energy: scalar, forces: vector",
        "pos: point -> forces: vector",
        "pos: point, at: point -> energy: scalar per graph, forces: vector",
        "pos: point -> energy: scalar per graph, forces: vector, more: scalar",
        "pos: point -> energy: scalar*2 per graph, forces: vector",
    ],
)
def test_other_signatures_are_refused(signature):
    with pytest.raises(SignatureError, match="Forces as a gradient need one input point"):
        energy_signature(signature)


def test_scales_divide_and_multiply():
    signature = "pos: point, vel: vector -> pos: point"

    class Sum(nn.Module):
        def forward(self, pos, vel):
            return pos + vel

    model = Scaled(Sum(), signature, {"pos": 2.0, "vel": 4.0}, {"pos": 2.0})
    pos, vel = torch.randn(2, 3, 3), torch.randn(2, 3, 3)
    torch.testing.assert_close(model(pos=pos, vel=vel)["pos"], 2 * (pos / 2 + vel / 4))
    ge.testing.assert_equivariant(model, {"pos": pos, "vel": vel}, signature, "E(3)", tolerance=1e-5)


def test_scales_are_in_the_checkpoint():
    signature = "pos: point, vel: vector -> energy: scalar per graph"
    model = Scaled(nn.Linear(1, 1), signature, {"vel": 4.0}, {"energy": 3.0}, {"energy": -123456.789012})
    state = model.state_dict()
    assert {name for name in state if not name.startswith("model.")} == {
        "input_scale_vel", "output_scale_energy", "zero_energy",
    }  # fmt: skip
    other = Scaled(nn.Linear(1, 1), signature, {"vel": 1.0}, {"energy": 1.0}, {"energy": 0.0})
    other.load_state_dict(state)
    assert float(other.scale("output", "energy")) == 3.0
    assert float(other.zero_energy) == -123456.789012


def test_each_column_of_a_scalar_has_its_scale():
    signature = "charge: scalar*2 -> charge: scalar*2"
    model = Scaled(nn.Identity(), signature, {"charge": [2.0, 4.0]}, {"charge": [1.0, 8.0]}, {"charge": [5.0, 6.0]})
    assert model(charge=torch.ones(3, 2))["charge"].tolist() == [[0.5, 2.0]] * 3
    assert model.zero_charge.tolist() == [5.0, 6.0]
    assert "output_scale_charge=[1.0, 8.0]" in repr(model)
    with pytest.raises(SignatureError, match=r"is a scalar\*2, which cannot have scales of shape \[3\]"):
        Scaled(nn.Identity(), signature, {"charge": [2.0, 4.0, 1.0]})
    with pytest.raises(SignatureError, match="must be positive"):
        Scaled(nn.Identity(), signature, {"charge": [2.0, 0.0]})


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ({"inputs": {"ps": 1.0}}, "Unknown input 'ps'. Did you mean 'pos'"),
        ({"inputs": {"pos": 0.0}}, "must be positive, got 0.0"),
        ({"inputs": {"pos": 2.0}}, "translate together and need one scale"),
        ({"inputs": {"pos": [2.0, 2.0, 2.0]}}, r"Input 'pos' is a point, which cannot have scales of shape \[3\]"),
        ({"zeros": {"energy": 0.0}}, "Unknown output 'energy'"),
    ],
)
def test_scales_that_cannot_be(scales, message):
    with pytest.raises(SignatureError, match=message):
        Scaled(nn.Linear(1, 1), "pos: point -> pos: point", **scales)


PERIODIC = "pos: point, cell: vector*3 per graph -> energy: scalar per graph"


class Crystal(nn.Module):
    """A Gaussian pair potential over the nearest images."""

    def forward(self, pos, cell, batch=None):
        steps = torch.cartesian_prod(*[torch.arange(-1, 2, dtype=pos.dtype)] * 3)
        if batch is None:
            gap = (pos.unsqueeze(-2) - pos.unsqueeze(-3)).unsqueeze(-2) + (steps @ cell)[..., None, None, :, :]
            return (-gap.square().sum(-1)).exp().sum((-1, -2, -3)).unsqueeze(-1)
        alone = [Crystal.forward(self, pos[batch == k], cell[k]) for k in range(len(cell))]
        return torch.stack(alone)


def crystals(items=2, nodes=4):
    generator = torch.Generator().manual_seed(0)
    cell = 2 * torch.eye(3, dtype=torch.float64) + 0.3 * torch.randn(
        items, 3, 3, generator=generator, dtype=torch.float64
    )
    return {"pos": torch.rand(items, nodes, 3, generator=generator, dtype=torch.float64) @ cell, "cell": cell}


def test_stress_is_the_derivative_by_strain():
    field, x = Conservative(Crystal(), PERIODIC), crystals()
    assert str(field.signature) == f"{PERIODIC}, forces: vector, stress: tensor per graph"
    out = field(**x)
    torch.testing.assert_close(out["stress"], out["stress"].mT)
    step = 1e-5
    for i, j in ((0, 0), (1, 2), (2, 0)):
        strain = torch.zeros(3, 3, dtype=torch.float64)
        strain[i, j] += step / 2
        strain[j, i] += step / 2
        ahead, behind = (
            field(**{name: value @ (torch.eye(3).double() + sign * strain) for name, value in x.items()})["energy"]
            for sign in (1, -1)
        )
        slope = ((ahead - behind) / (2 * step)).squeeze(-1) / torch.linalg.det(x["cell"]).abs()
        torch.testing.assert_close(out["stress"][:, i, j], slope, atol=1e-8, rtol=1e-6)
    ge.testing.assert_equivariant(field, x, field.signature, "E(3)", tolerance=1e-8)
    flat = field(x["pos"].flatten(0, 1), x["cell"], torch.arange(2).repeat_interleave(4))
    torch.testing.assert_close(flat["stress"], out["stress"])
    torch.testing.assert_close(flat["forces"], out["forces"].flatten(0, 1))
    with pytest.raises(SignatureError, match=r"three vectors for each cloud, 'cell: vector\*3 per graph'"):
        Conservative(Crystal(), "pos: point, cell: vector -> energy: scalar per graph")


def test_energy_in_and_forces_out_as_the_model_is_called():
    inputs = clouds()
    named = Conservative(Springs(), ENERGY)
    assert str(named.signature) == SIGNATURE
    expected = Conservative(Springs(), SIGNATURE)(**inputs)
    for found in (named(**inputs), named(inputs["pos"], inputs["kind"]), named(inputs["pos"], kind=inputs["kind"])):
        assert torch.equal(found["forces"], expected["forces"])
    wrapped = ge.Conservative(ge.FrameAveraging(Springs(), ENERGY, "SE(3)"))  # the signature is the wrapper's
    torch.testing.assert_close(wrapped(**inputs)["forces"], expected["forces"])
    with pytest.raises(SignatureError, match="Springs has no signature of its own"):
        Conservative(Springs())
