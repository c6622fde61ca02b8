"""Anchors, draws and samplings of REMUL, against the formula written out, on all field types and layouts."""

import re
from math import pi
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import l1_loss, mse_loss
from torch_geometric.data import Batch, Data

import geoequiv as ge
from geoequiv.fields import Layout, Signature, act
from geoequiv.objectives.remul import WEIGHTINGS
from geoequiv.objectives.sampling import largest_angle, shrink

EVERY = (
    "pos: point, vel: vector*2, spin: pseudovector, stress: tensor, charge: scalar*2, chiral: pseudoscalar, "
    "hidden: 2x0e+1x1o+1x2e"
)
SHAPES = {"pos": (3,), "vel": (2, 3), "spin": (3,), "stress": (3, 3), "charge": (2,), "chiral": (1,), "hidden": (10,)}
ALL_TYPES = Signature.parse(f"{EVERY} -> {EVERY}")
CLOUDS = Signature.parse("pos: point, vel: vector -> pos: point")


def fields(seed, items=5, nodes=4):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda shape: torch.randn(items, nodes, *shape, generator=generator, dtype=torch.float64)  # noqa: E731
    return {name: draw(shape) for name, shape in SHAPES.items()}


def uneven(**inputs):
    """Not equivariant in any field: each component is stretched by a factor of its own, and bent."""
    outputs = {}
    for name in SHAPES:
        value = inputs[name]
        stretch = torch.linspace(0.5, 1.5, value[0, 0].numel(), dtype=value.dtype).reshape(value.shape[2:])
        outputs[name] = (stretch * value).sin() + 0.1
    return outputs


def clouds(seed=0, items=6):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda: torch.randn(items, 4, 3, generator=generator, dtype=torch.float64)  # noqa: E731
    return {"pos": draw(), "vel": draw()}, {"pos": draw()}


def bent(pos, vel):
    return (pos * pos.new_tensor([1.0, 2.0, 3.0])).tanh() + vel


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


def by_hand(model, signature, group, loss, x, y, draws, anchor):
    """The two terms, one draw after the other."""
    g = ge.group(group).sample(draws, *next(iter(x.values())).shape[:1], generator=seeded())
    named = lambda inputs: {**inputs, **model(**inputs)} if len(signature.outputs) > 1 else {"pos": model(**inputs)}  # noqa: E731
    here = named(x)
    terms = []
    for k in range(draws):
        there = named(act(g[k], x, signature.inputs))
        goal = act(g[k], y if anchor == "label" else here, signature.outputs)
        terms.append(sum(loss(there[name], goal[name]) for name in signature.outputs))
    return sum(loss(here[name], y[name]) for name in signature.outputs), sum(terms) / draws


@pytest.mark.parametrize("anchor", ["label", "prediction"])
@pytest.mark.parametrize("group", ["SO(3)", "O(3)", "SE(3)", "SO(2)@y", "Oh", "S(4)", "SO(3)*S(4)"])
@pytest.mark.parametrize(("draws", "fused"), [(1, True), (3, True), (3, False)])
def test_every_field_type_group_and_anchor_is_the_formula(anchor, group, draws, fused):
    x, y = fields(0), fields(1)
    options = {"anchor": anchor, "num_samples": draws, "fused": fused, "alpha": 0.5, "beta": 2.0, "generator": seeded()}
    value = ge.REMUL(uneven, ALL_TYPES, group, mse_loss, **options)(x, y)
    task, symmetry = by_hand(uneven, ALL_TYPES, group, mse_loss, x, y, draws, anchor)
    assert float(value.objective) == pytest.approx(float(task))
    assert float(value.equivariance) == pytest.approx(float(symmetry))
    assert float(value.total) == pytest.approx(0.5 * float(task) + 2.0 * float(symmetry))


@pytest.mark.parametrize("anchor", ["label", "prediction"])
def test_an_equivariant_model_is_seen_to_be_one(anchor):
    """The tester tested: nothing to say against it by the prediction, and by symmetric labels just the task's loss."""
    x, _ = clouds()
    model = lambda pos, vel: pos + 2 * vel  # noqa: E731
    value = ge.REMUL(model, CLOUDS, "SE(3)", mse_loss, anchor=anchor, num_samples=2)(x, {"pos": x["pos"] + x["vel"]})
    expected = 0.0 if anchor == "prediction" else float(value.objective)
    assert float(value.equivariance) == pytest.approx(expected, rel=1e-12, abs=1e-20)


def test_the_prediction_anchor_pulls_at_both_sides():
    """Finite differences of the loss, with f(x) varied as well."""
    x, y = clouds()
    scale = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)

    def term(factors):
        model = lambda pos, vel: pos * factors  # noqa: E731
        objective = ge.REMUL(model, CLOUDS, "SO(3)", mse_loss, alpha=0.0, anchor="prediction", generator=seeded())
        return objective(x, y).total

    (slope,) = torch.autograd.grad(term(scale), scale)
    for i in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[i] = 1e-5
        numeric = (term(scale.detach() + step) - term(scale.detach() - step)) / 2e-5
        assert float(slope[i]) == pytest.approx(float(numeric), rel=1e-6)


def test_k_draws_are_the_mean_of_k_single_ones_and_of_their_gradients():
    x, y = clouds()
    torch.manual_seed(0)
    net = nn.Linear(3, 3).double()
    model = lambda pos, vel: net(pos).tanh() + vel  # noqa: E731
    drawn = ge.group("SE(3)").sample(4, 6, generator=seeded())
    several = ge.REMUL(model, CLOUDS, "SE(3)", mse_loss, alpha=0.0, num_samples=4, generator=seeded())
    single = ge.REMUL(model, CLOUDS, "SE(3)", mse_loss, alpha=0.0)
    values = []
    for k in range(4):
        single._elements = lambda *_, k=k: drawn[k : k + 1]
        values.append(single(x, y).total)
    whole = several(x, y).total
    torch.testing.assert_close(whole, torch.stack(values).mean())
    gradients = [torch.autograd.grad(each, net.weight)[0] for each in (whole, torch.stack(values).mean())]
    torch.testing.assert_close(*gradients)


def test_ragged_batches_and_graphs_fused_and_not():
    x, y = clouds()
    flat = {name: value.flatten(0, 1) for name, value in x.items()}
    edges = torch.cat([torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]) + 4 * i for i in range(6)], dim=1)
    ragged = {**flat, "batch": torch.arange(6).repeat_interleave(4), "edge_index": edges}
    graphs = Batch.from_data_list(
        [Data(pos=p, vel=v, edge_index=edges[:, :4]) for p, v in zip(x["pos"], x["vel"], strict=True)]
    )

    def messages(pos, vel, edge_index, batch=None):
        return bent(pos, vel).index_add(0, edge_index[1], 0.1 * pos[edge_index[0]])

    dense = lambda pos, vel: bent(pos, vel) + 0.1 * pos.roll(1, dims=1)  # noqa: E731
    targets = {"pos": y["pos"].flatten(0, 1)}
    values = [
        ge.REMUL(model, CLOUDS, "SE(3)", mse_loss, num_samples=2, fused=fused, generator=seeded())(inputs, target)
        for model, inputs, target in (
            (dense, x, y),
            (messages, ragged, targets),
            (lambda data: messages(data.pos, data.vel, data.edge_index), graphs, targets),
        )
        for fused in (True, False)
    ]
    for value in values:
        assert float(value.objective) == pytest.approx(float(values[0].objective))
        assert float(value.equivariance) == pytest.approx(float(values[0].equivariance))


def test_padding_counts_for_nothing_in_the_bound():
    x, y = clouds()
    mask = torch.tensor([[True] * 4, [True, True, True, False]] * 3)
    model = lambda pos, vel, mask: bent(pos, vel) * mask.unsqueeze(-1) + 100 * pos * ~mask.unsqueeze(-1)  # noqa: E731
    errors = []
    for rubbish in (0.0, 7.0):
        padded = {name: value.masked_fill(~mask.unsqueeze(-1), rubbish) for name, value in x.items()}
        objective = ge.REMUL(
            model, CLOUDS, "SE(3)*S(4)", mse_loss, weighting="constrained", epsilon=1.0, generator=seeded()
        )
        errors.append(float(objective({**padded, "mask": mask}, y).equivariance))
    assert errors[0] == pytest.approx(errors[1])
    assert errors[0] > 0.01


def test_without_beta_the_task_alone_is_trained_bit_for_bit():
    x, y = clouds()
    torch.manual_seed(0)
    net = nn.Linear(3, 3).double()
    model = lambda pos, vel: net(pos) + vel  # noqa: E731
    value = ge.REMUL(model, CLOUDS, "SO(3)", mse_loss, beta=0.0)(x, y)
    plain = mse_loss(model(**x), y["pos"])
    assert torch.equal(value.total, plain)
    assert value.equivariance > 0
    assert torch.equal(torch.autograd.grad(value.total, net.weight)[0], torch.autograd.grad(plain, net.weight)[0])


def test_layers_that_look_at_the_batch_can_be_kept_apart():
    x, y = clouds()
    x["pos"] *= torch.linspace(0.1, 3.0, 6, dtype=torch.float64)[:, None, None]
    net = nn.BatchNorm1d(3).double()
    model = lambda pos, vel: net(pos.flatten(0, 1)).reshape(pos.shape) + 0 * vel  # noqa: E731
    plain = mse_loss(model(**x), y["pos"])
    apart, together = (ge.REMUL(model, CLOUDS, "SO(3)", mse_loss, fused=fused)(x, y) for fused in (False, True))
    assert float(apart.objective) == pytest.approx(plain.item())
    assert float(together.objective) != pytest.approx(plain.item())


@pytest.mark.parametrize("anchor", ["label", "prediction"])
@pytest.mark.parametrize("loss", [mse_loss, l1_loss])
def test_adversarial_takes_each_items_worst_draw(anchor, loss):
    x, y = clouds()
    options = {"anchor": anchor, "num_samples": 5}
    worst = ge.REMUL(bent, CLOUDS, "SE(3)", loss, sampling="adversarial", generator=seeded(), **options)(x, y)
    mean = ge.REMUL(bent, CLOUDS, "SE(3)", loss, generator=seeded(), **options)(x, y)
    assert worst.equivariance > mean.equivariance
    g = ge.group("SE(3)").sample(5, 6, generator=seeded())
    goal = y if anchor == "label" else {"pos": bent(**x)}
    parts = []
    for item in range(6):
        one = {name: value[item : item + 1] for name, value in x.items()}
        aim = {"pos": goal["pos"][item : item + 1]}
        transformed = [
            (bent(**act(g[k : k + 1, item], one, CLOUDS.inputs)), act(g[k : k + 1, item], aim, CLOUDS.outputs)["pos"])
            for k in range(5)
        ]
        there, label = max(transformed, key=lambda pair: float((pair[0] - pair[1]).norm()))
        parts.append(float(loss(there, label)))
    assert float(worst.equivariance) == pytest.approx(sum(parts) / 6)


def test_adversarial_draws_need_no_graph_of_their_own():
    x, y = clouds()
    torch.manual_seed(0)
    net = nn.Linear(3, 3).double()
    sizes = []

    def model(pos, vel):
        sizes.append((len(pos), torch.is_grad_enabled()))
        return net(pos) + vel

    ge.REMUL(model, CLOUDS, "SO(3)", mse_loss, sampling="adversarial", num_samples=4)(x, y).total.backward()
    assert sizes == [(24, False), (12, True)]


def angles(linear):
    if linear.shape[-1] == 2:
        return torch.atan2(linear[..., 1, 0], linear[..., 0, 0])
    trace = linear.diagonal(dim1=-2, dim2=-1).sum(-1)
    return ((trace - 1) / 2).clamp(-1, 1).arccos()


@pytest.mark.parametrize("scale", [0.05, 0.5, 1.0])
def test_small_angles_of_so3_have_their_law(scale):
    """Kolmogorov: the angles' distribution is (u − sin u)/π with u = θ/s; 20 000 draws, 1.63/√n at a level of 1 %."""
    drawn = ge.group("SO(3)").sample(20_000, generator=seeded())
    u = angles(shrink(drawn, scale).linear).sort().values / scale
    assert float(u.max()) <= pi + 1e-6
    law = (u - u.sin()) / pi
    assert float((law - torch.linspace(0, 1, 20_000, dtype=torch.float64)).abs().max()) < 1.63 / 20_000**0.5


@pytest.mark.parametrize("name", ["SO(2)", "SO(2)@y"])
def test_small_angles_about_an_axis_are_uniform(name):
    group = ge.group(name)
    drawn = shrink(group.sample(20_000, generator=seeded()), 0.2)
    assert bool(group.contains(drawn).all())
    u = angles(drawn.linear).abs().sort().values / (0.2 * pi)
    assert float((u - torch.linspace(0, 1, 20_000, dtype=torch.float64)).abs().max()) < 1.63 / 20_000**0.5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.01, 1.0), st.sampled_from(["SO(3)", "SE(3)", "SO(2)@y", "SE(2)", "T(3)"]))
def test_shrunk_elements_stay_in_the_group_and_add_up(seed, scale, name):
    group = ge.group(name)
    g = group.sample(3, generator=torch.Generator().manual_seed(seed))
    small = shrink(g, scale)
    assert bool(group.contains(small, 1e-9).all())
    half = shrink(small, 0.5).linear
    torch.testing.assert_close(half @ half, small.linear)
    torch.testing.assert_close(shrink(g, 1.0).linear, g.linear)
    if g.translation is not None:
        torch.testing.assert_close(small.translation, scale * g.translation)


def test_the_curriculum_grows_to_haar():
    x, y = clouds(items=200)
    objective = ge.REMUL(
        bent, CLOUDS, "SO(3)", mse_loss, sampling="small-angle", sigma=0.3, over=0.5, generator=seeded()
    )
    layout = Layout.of(x, CLOUDS.inputs)
    for step, largest in ((0, 0.3), (25, 0.3 + (pi - 0.3) / 2), (50, pi), (99, pi)):
        objective.at_step(step, 100)
        objective.generator.manual_seed(0)
        found = angles(objective._elements(x, y, layout).linear)
        assert float(found.max()) <= largest + 1e-6
        assert float(found.max()) > 0.9 * largest
    assert torch.equal(
        objective._elements(x, y, layout).linear, ge.group("SO(3)").sample(1, 200, generator=rest()).linear
    )
    assert largest_angle(0.3, 0.0) == 0.3


def rest():
    """The stream after the first draw of the curriculum's last step."""
    generator = torch.Generator().manual_seed(0)
    ge.group("SO(3)").sample(1, 200, generator=generator)
    return generator


def test_the_example_of_the_documentation_learns():
    text = (Path(__file__).parents[2] / "docs/how-to/learn-a-symmetry.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    torch.manual_seed(0)
    exec(compile(code, "learned-symmetry.md", "exec"), names)
    assert float(names["loss"].objective) < 1.0 < float(names["x"].norm(dim=-1).square().mean())
    assert float(names["loss"].beta) != 1.0
    rows = set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
    assert rows - {"weighting"} | {"cosine"} == set(WEIGHTINGS)
