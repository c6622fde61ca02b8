"""The relatives of REMUL: augmentation with several draws, the invariance loss and equivariance of hidden features."""

import pytest
import torch
from e3nn.nn import BatchNorm as IrrepsNorm
from torch import nn
from torch.nn.functional import mse_loss

import geoequiv as ge
from geoequiv.errors import ConfigError, ModelOutputError
from geoequiv.fields import FieldType, Signature, act
from geoequiv.models import MLP, Transformer
from geoequiv.objectives.measuring import measuring

SIGNATURE = Signature.parse("pos: point, vel: vector -> pos: point")


def batch(items=6):
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(items, 4, 3, generator=generator)  # noqa: E731
    return {"pos": draw(), "vel": draw()}, {"pos": draw()}


def bent(pos, vel):
    return (pos * pos.new_tensor([1.0, 2.0, 3.0])).tanh() + vel


def seeded():
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("fused", [True, False])
def test_augmentation_with_k_draws_is_their_mean(fused):
    x, y = batch()
    value = ge.Augmentation(bent, SIGNATURE, "SE(3)", mse_loss, seeded(), num_samples=3, fused=fused)(x, y).total
    g = ge.group("SE(3)").sample(3, 6, generator=seeded())
    terms = [mse_loss(bent(**act(g[k], x, SIGNATURE.inputs)), act(g[k], y, SIGNATURE.outputs)["pos"]) for k in range(3)]
    torch.testing.assert_close(value, torch.stack(terms).mean())
    with pytest.raises(ConfigError, match="Augmentation: num_samples must be greater than or equal to 1, got 0"):
        ge.Augmentation(bent, SIGNATURE, "SO(3)", mse_loss, num_samples=0)


@pytest.mark.parametrize("fused", [True, False])
def test_the_invariance_loss_is_the_mean_distance(fused):
    x, y = batch()
    value = ge.InvarianceLoss(bent, SIGNATURE, "SE(3)", mse_loss, weight=0.3, fused=fused, generator=seeded())(x, y)
    g = ge.group("SE(3)").sample(6, generator=seeded())
    expected = act(g, {"pos": bent(**x)}, SIGNATURE.outputs)["pos"]
    distance = (bent(**act(g, x, SIGNATURE.inputs)) - expected).flatten(1).norm(dim=1).mean()
    assert float(value.equivariance) == pytest.approx(float(distance))
    assert float(value.total) == pytest.approx(float(mse_loss(bent(**x), y["pos"])) + 0.3 * float(distance))


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_the_invariance_loss_at_augmented_items(start):
    """Both terms at h x, with h drawn before g, also before the second term counts."""
    x, y = batch()
    options = {"weight": 0.3, "augment": True, "start": start, "total_steps": 10, "generator": seeded()}
    value = ge.InvarianceLoss(bent, SIGNATURE, "SE(3)", mse_loss, **options)(x, y)
    generator = seeded()
    h, g = (ge.group("SE(3)").sample(6, generator=generator) for _ in range(2))
    there, label = act(h, x, SIGNATURE.inputs), act(h, y, SIGNATURE.outputs)
    expected = act(g, {"pos": bent(**there)}, SIGNATURE.outputs)["pos"]
    distance = (bent(**act(g, there, SIGNATURE.inputs)) - expected).flatten(1).norm(dim=1).mean()
    assert float(value.objective) == pytest.approx(float(mse_loss(bent(**there), label["pos"])))
    assert float(value.equivariance) == pytest.approx(float(distance))
    assert float(value.total) == pytest.approx(float(value.objective + (0.3 if start == 0 else 0.0) * distance))


def test_the_invariance_loss_of_an_invariant_output():
    """Bökman and Kahl's form, ‖f(x) − f(τx)‖, and nothing for an invariant model."""
    signature = Signature.parse("pos: vector -> energy: scalar")
    x = {"pos": torch.randn(5, 4, 3)}
    y = {"energy": torch.zeros(5, 4, 1)}
    model = lambda pos: pos[..., :1]  # noqa: E731
    value = ge.InvarianceLoss(model, signature, "O", mse_loss, generator=seeded())(x, y)
    rotated = act(ge.group("O").sample(5, generator=seeded()), x, signature.inputs)["pos"]
    assert float(value.equivariance) == pytest.approx(
        float((model(**x) - model(rotated)).flatten(1).norm(dim=1).mean())
    )
    symmetric = lambda pos: pos.norm(dim=-1, keepdim=True)  # noqa: E731
    assert float(ge.InvarianceLoss(symmetric, signature, "O(3)", mse_loss)(x, y).equivariance) < 1e-5


def test_the_invariance_loss_has_a_finite_gradient_where_it_vanishes():
    x, y = batch()
    scale = torch.ones(1, requires_grad=True)
    model = lambda pos, vel: scale * vel + pos  # noqa: E731
    ge.InvarianceLoss(model, SIGNATURE, "C1", mse_loss)(x, y).total.backward()
    assert scale.grad.isfinite().all()


def test_a_late_start():
    x, y = batch()
    torch.manual_seed(0)
    net = nn.Linear(3, 3)
    objective = ge.InvarianceLoss(lambda pos, vel: net(pos), SIGNATURE, "SO(3)", mse_loss, start=0.2, total_steps=10)
    seen = []
    for _ in range(4):
        value = objective(x, y)
        assert value.equivariance > 0, "measured before it counts"
        seen.append(value.beta)
        plain = mse_loss(net(x["pos"]), y["pos"])
        same = torch.equal(value.total, plain)
        assert same == (value.beta == 0)
    assert seen == [0.0, 0.0, 1.0, 1.0]
    assert objective.state_dict() == {"step": 4}
    objective.load_state_dict({"step": 1})
    assert objective(x, y).beta == 0.0
    objective.at_step(5, 1000)  # the given length stays
    assert objective(x, y).beta == 1.0
    with pytest.raises(ConfigError, match="needs the length of the training"):
        ge.InvarianceLoss(bent, SIGNATURE, "SO(3)", mse_loss, start=0.2)(x, y)
    with pytest.raises(ConfigError, match="start must be less than 1"):
        ge.InvarianceLoss(bent, SIGNATURE, "SO(3)", mse_loss, start=1.0)


class Hidden(nn.Module):
    """Two vectors and one invariant, hidden; ``broken`` adds a fixed direction to the vectors."""

    def __init__(self, broken=0.0):
        super().__init__()
        self.broken = broken
        self.features, self.head = nn.Identity(), nn.Linear(7, 3)

    def forward(self, pos, vel):
        away = pos - pos.mean(-2, keepdim=True)
        hidden = torch.cat([away.square().sum(-1, keepdim=True), away, vel + self.broken], dim=-1)
        return pos + self.head(self.features(hidden))


@pytest.mark.parametrize(("layer", "kind"), [("features", "1x0e+2x1o"), (None, "1x0e+2x1o"), (None, None)])
def test_hidden_features_that_transform_as_told_cost_nothing(layer, kind):
    x, y = batch()
    options = {"layer": layer, "type": kind, "generator": seeded()}
    good = ge.LatentEquivariance(Hidden(), SIGNATURE, "SE(3)", mse_loss, **options)(x, y)
    # the default for 7 features is one vector among four scalars, which this model has not
    assert (float(good.equivariance) < 1e-9) == (kind is not None)
    broken = ge.LatentEquivariance(Hidden(0.5), SIGNATURE, "SE(3)", mse_loss, **options)(x, y)
    assert float(broken.equivariance) > 0.01


def test_hidden_equivariance_by_hand_and_its_gradient_stays_below_the_layer():
    x, y = batch()
    torch.manual_seed(0)
    model = Transformer(SIGNATURE, width=8, depth=1, heads=2)
    objective = ge.LatentEquivariance(
        model, SIGNATURE, "SO(3)", mse_loss, weight=2.0, layer="norm", type="2x0e+2x1o", generator=seeded()
    )
    value = objective(x, y)
    seen = []
    handle = model.norm.register_forward_hook(lambda module, args, output: seen.append(output))
    g = ge.group("SO(3)").sample(6, generator=seeded())
    prediction = model(**x)
    model(**act(g, x, SIGNATURE.inputs))
    handle.remove()
    transformed = FieldType.parse("2x0e+2x1o").act(g, seen[0])
    penalty = (seen[1] - transformed).square().mean()
    torch.testing.assert_close(value.equivariance, penalty.detach(), rtol=1e-5, atol=1e-7)
    expected = mse_loss(prediction, y["pos"]) + 2.0 * penalty
    torch.testing.assert_close(value.total, expected, rtol=1e-5, atol=1e-6)
    objective.weight = 0.0
    head = torch.autograd.grad(value.total, model.head.weight)[0]
    torch.testing.assert_close(head, torch.autograd.grad(objective(x, y).total, model.head.weight)[0])
    assert not model.norm._forward_hooks, "no hook is left behind"


def test_training_hidden_features_makes_them_invariant():
    x, _ = batch(items=32)
    torch.manual_seed(0)
    model = nn.Sequential()
    model.body, model.head = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 4)), nn.Linear(4, 1)
    function = type("Net", (nn.Module,), {"forward": lambda self, vel: self.net.head(self.net.body(vel))})()
    function.net = model
    signature = Signature.parse("vel: vector -> energy: scalar")
    objective = ge.LatentEquivariance(function, signature, "SO(3)", mse_loss, weight=10.0)
    optimizer = torch.optim.Adam(function.parameters(), lr=1e-2)
    inputs, target = {"vel": x["vel"]}, {"energy": x["vel"].norm(dim=-1, keepdim=True)}
    start = float(objective(inputs, target).equivariance)
    for _ in range(60):
        optimizer.zero_grad()
        value = objective(inputs, target)
        value.total.backward()
        optimizer.step()
    assert float(value.equivariance) < 0.1 * start
    assert value._fields == ("total", "objective", "equivariance", "alpha", "beta")


def test_items_of_hidden_features_without_nodes():
    """An MLP on the whole cloud has one hidden vector an item."""
    x, y = batch()
    model = MLP(SIGNATURE, width=12, nodes=4)
    value = ge.LatentEquivariance(model, SIGNATURE, "SO(3)", mse_loss)(x, y)
    assert value.equivariance > 0


def test_hidden_errors():
    x, y = batch()
    make = lambda model, **options: ge.LatentEquivariance(model, SIGNATURE, "SO(3)", mse_loss, **options)  # noqa: E731
    with pytest.raises(ConfigError, match="Did you mean 'features'"):
        make(Hidden(), layer="feature")
    with pytest.raises(ConfigError, match=r"read from an nn\.Module"):
        make(bent)
    with pytest.raises(ConfigError, match=r"has no nn.Linear: name the layer"):
        make(nn.Identity())
    with pytest.raises(ge.GeoequivError, match="Unknown field type 'vectr'"):
        make(Hidden(), type="vectr")
    with pytest.raises(ConfigError, match="weight must be greater than or equal to 0"):
        make(Hidden(), weight=-1.0)
    idle = Hidden()
    idle.unused = nn.Linear(2, 2)
    with pytest.raises(ModelOutputError, match="did not run"):
        make(idle)(x, y)
    flat = Signature.parse("pos: vector -> pos: vector")
    plane = type("Plane", (nn.Module,), {"forward": lambda self, pos: self.net(pos)})()
    plane.net = nn.Linear(2, 2)
    objective = ge.LatentEquivariance(plane, flat, "SO(2)", mse_loss)
    with pytest.raises(ConfigError, match="no default type"):
        objective({"pos": x["pos"][..., :2]}, {"pos": y["pos"][..., :2]})


class Normed(nn.Module):
    """Batch normalisation of torch and of e3nn in front of a layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.BatchNorm1d(3), IrrepsNorm("3x0e"), nn.Linear(3, 3)

    def forward(self, pos, vel):
        rows = self.second(self.first(pos.flatten(0, 1)))
        return self.last(rows).reshape(pos.shape) + vel


def trained(objective_of, steps=3):
    net = Normed()
    objective, optimizer = objective_of(net), torch.optim.SGD(net.parameters(), lr=0.1)
    for step in range(steps):
        x, y = batch(4 + step)
        total = objective(x, y)
        optimizer.zero_grad()
        getattr(total, "total", total).backward()
        optimizer.step()
    return net.state_dict()


@pytest.mark.parametrize(
    "measured",
    [
        lambda net: ge.REMUL(net, SIGNATURE, "SO(3)", mse_loss, beta=0.0),
        lambda net: ge.REMUL(net, SIGNATURE, "SO(3)", mse_loss, beta=0.0, fused=False, num_samples=2),
        lambda net: ge.REMUL(net, SIGNATURE, "SO(3)", mse_loss, beta=0.0, sampling="adversarial", num_samples=2),
        lambda net: ge.InvarianceLoss(net, SIGNATURE, "SO(3)", mse_loss, start=0.5, total_steps=100),
    ],
    ids=["remul", "apart", "adversarial", "late"],
)
def test_what_is_only_measured_leaves_no_trace_in_running_statistics(measured):
    """β = 0 trains the task and nothing else, bit for bit, batch normalisation included."""
    plain = trained(lambda net: lambda x, y: mse_loss(net(**x), y["pos"]))
    found = trained(measured)
    assert int(plain["first.num_batches_tracked"]) == 3
    assert plain["second.running_mean"].abs().max() > 0
    assert all(torch.equal(found[name], value) for name, value in plain.items())


def test_the_search_for_the_worst_draw_leaves_no_trace_either():
    """The fused pass that is trained is the only one that counts, and gradients still flow through it."""
    net = Normed()
    x, y = batch()
    objective = ge.REMUL(net, SIGNATURE, "SO(3)", mse_loss, sampling="adversarial", num_samples=3)
    before = net.first.running_mean
    objective(x, y).total.backward()
    assert int(net.first.num_batches_tracked) == 1
    assert net.first.running_mean is before
    with pytest.raises(RuntimeError, match="size of tensor"), measuring(net):
        net(pos=x["pos"], vel=x["vel"][:, :2])  # an error behind the normalisation
    assert int(net.first.num_batches_tracked) == 1
    assert net.first.running_mean is before
