"""Every weighting against steps computed by hand."""

from math import cos, exp, log, pi

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

import geoequiv as ge
from geoequiv.errors import ConfigError
from geoequiv.fields import Signature, act
from geoequiv.objectives.constrained import DAMPING, LIMIT
from geoequiv.objectives.gradnorm import FLOOR, GradNorm
from geoequiv.objectives.step_progress import StepProgress

SIGNATURE = Signature.parse("pos: point -> pos: point")
LEARNED = [{"weighting": "gradnorm"}, {"weighting": "uncertainty"}, {"weighting": "constrained", "epsilon": 0.1}]


def batch(items=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [{"pos": torch.randn(items, 4, 3, generator=generator, dtype=torch.float64)} for _ in range(2)]


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def remul(model, **options):
    options = {"group": "SO(3)", "loss": mse_loss, "generator": torch.Generator().manual_seed(1), **options}
    return ge.REMUL(model, SIGNATURE, **options)


@pytest.mark.parametrize(
    ("weighting", "over", "step", "expected"),
    [
        ("linear", None, 0, 0.5),
        ("linear", None, 25, 0.5 + 2.5 * 0.25),
        ("linear", 0.5, 25, 0.5 + 2.5 * 0.5),
        ("linear", 0.5, 80, 3.0),
        ("cosine", None, 25, 0.5 + 2.5 * (1 - cos(pi / 4)) / 2),
        ("cosine", 0.2, 10, 0.5 + 2.5 * 0.5),
        ("cosine", None, 100, 3.0),
    ],
)
def test_schedules_are_their_formula(weighting, over, step, expected):
    objective = remul(network(), weighting=weighting, alpha=0.7, beta=3.0, beta_start=0.5, over=over)
    objective.at_step(step, 100)
    value = objective(*batch())
    assert value.beta == pytest.approx(expected)
    assert value.total.item() == pytest.approx(0.7 * float(value.objective) + expected * float(value.equivariance))


def test_a_schedule_counts_its_own_calls_and_skips_evaluations():
    objective = remul(network(), weighting="linear", total_steps=4)
    betas = []
    for _ in range(6):
        betas.append(objective(*batch()).beta)
        with torch.no_grad():
            objective(*batch())
    assert betas == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    again = remul(network(), weighting="linear", total_steps=4)
    again.load_state_dict({**objective.state_dict(), "step": 2})
    assert again(*batch()).beta == 0.5
    again.at_step(1, 1000)  # the given length stays
    assert again(*batch()).beta == 0.25


def test_a_schedule_wants_to_know_the_length():
    with pytest.raises(ConfigError, match=r"linear schedule of β needs the length .* give total_steps="):
        remul(network(), weighting="linear")(*batch())


def test_gradnorm_step_by_hand():
    """Norms and losses are chosen, so that every number can be followed on paper."""
    weighting = GradNorm(1.0, 1.0, network(), lr=0.1, asymmetry=1.0)
    weighting.first = torch.tensor([2.0, 1.0], dtype=torch.float64)
    losses, norms = torch.tensor([1.0, 1.0]).double(), torch.tensor([3.0, 1.0]).double()
    # ratios (½, 1), rates (⅔, 4/3); G = (3, 1), mean 2, targets (4/3, 8/3): the first is too large, the second small
    expected = torch.tensor([1 - 0.1 * 3.0, 1 + 0.1 * 1.0]).double()
    expected = 2 * expected / expected.sum()
    torch.testing.assert_close(weighting.stepped(losses, norms), expected)


def test_gradnorm_of_a_network_against_autograd_on_the_weights():
    """The step is gradient descent on Σ|G_i − Ḡ r_i^a| as autograd sees it, with G formed from whole gradients."""
    x, y = batch()
    model, a, lr = network(), 1.5, 0.3
    objective = remul(model, weighting="gradnorm", alpha=0.5, beta=1.5, lr=lr)
    generator = torch.Generator().manual_seed(1)
    weights, first = torch.tensor([0.5, 1.5]).double(), None
    for step in range(3):
        value = objective(x, y)
        assert [float(value.alpha), float(value.beta)] == pytest.approx(weights.tolist()), step
        g = ge.group("SO(3)").sample(6, generator=generator)
        transformed, target = (act(g, each, SIGNATURE.inputs) for each in (x, y))
        losses = [mse_loss(model(x["pos"]), y["pos"]), mse_loss(model(transformed["pos"]), target["pos"])]
        first = first if first is not None else [each.item() for each in losses]
        total = weights[0] * losses[0] + weights[1] * losses[1]
        torch.testing.assert_close(value.total, total)
        w = weights.clone().requires_grad_()
        norms = []
        for i, each in enumerate(losses):
            gradients = torch.autograd.grad(w[i] * each, list(model[2].parameters()), create_graph=True)
            norms.append(torch.cat([part.flatten() for part in gradients]).norm())
        balanced = torch.stack(norms)
        rates = torch.tensor([each.item() / start for each, start in zip(losses, first, strict=True)]).double()
        target = (balanced.mean() * (rates / rates.mean()) ** a).detach()
        (slope,) = torch.autograd.grad((balanced - target).abs().sum(), w)
        weights = weights - lr * slope
        weights = 2.0 * weights / weights.sum()
        with torch.no_grad():  # the model changes between the steps
            for each in model.parameters():
                each.mul_(1.1)


def test_gradnorm_changes_no_gradient_of_the_model_and_keeps_weights_positive():
    x, y = batch()
    model = network()
    objective = remul(model, weighting="gradnorm", lr=1e6)
    objective(x, y).total.backward()
    own = [each.grad.clone() for each in model.parameters()]
    model.zero_grad()
    remul(model, alpha=1.0, beta=1.0)(x, y).total.backward()
    assert all(torch.allclose(a, each.grad) for a, each in zip(own, model.parameters(), strict=True))
    for _ in range(5):
        value = objective(x, y)
        assert float(value.alpha + value.beta) == pytest.approx(2.0)
        assert min(float(value.alpha), float(value.beta)) > 0.9 * FLOOR


def test_gradnorm_finds_and_takes_shared_parameters():
    x, y = batch()
    model = network()
    chosen = {}
    for name, shared in {"none": None, "prefix": "2", "tensors": list(model[2].parameters()), "first": "0"}.items():
        objective = remul(model, weighting="gradnorm", shared=shared)
        objective(x, y)
        chosen[name] = {id(each) for each in objective.weighting.shared}
    assert chosen["none"] == chosen["prefix"] == chosen["tensors"] == {id(each) for each in model[2].parameters()}
    assert chosen["first"] == {id(each) for each in model[0].parameters()}

    model.unused = nn.Linear(2, 2)  # registered last, but no part of the output
    objective = remul(lambda pos: network()(pos), weighting="gradnorm", shared=list(network().parameters()))
    with pytest.raises(ConfigError, match="depends on none of gradnorm's shared parameters"):
        objective(x, y)

    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.unused = model, nn.Linear(2, 2)

        def forward(self, pos):
            return self.body[2](self.body[1](self.body[0](pos)))

    objective = remul(Wrapper(), weighting="gradnorm")
    objective(x, y)
    assert {id(each) for each in objective.weighting.shared} == chosen["none"]
    with pytest.raises(ConfigError, match=r"Did you mean 'body\.0"):
        remul(Wrapper(), weighting="gradnorm", shared="bodi.0")
    with pytest.raises(ConfigError, match=r"a function, .* shared=list\(net\[-1\].parameters\(\)\)"):
        remul(lambda pos: pos, weighting="gradnorm")
    with pytest.raises(ConfigError, match="no parameter that requires grad"):
        remul(nn.Identity(), weighting="gradnorm")


def test_uncertainty_by_hand():
    x, y = batch()
    objective = remul(network(), weighting="uncertainty", alpha=1.0, beta=0.5, lr=0.1)
    value = objective(x, y)
    task, symmetry = float(value.objective), float(value.equivariance)
    assert (float(value.alpha), float(value.beta)) == pytest.approx((1.0, 0.5))
    assert value.total.item() == pytest.approx(task + 0.5 * symmetry + 0.0 + log(2))
    clip = lambda slope: max(-1.0, min(1.0, slope))  # noqa: E731
    after = objective(x, y)
    assert -log(float(after.alpha)) == pytest.approx(0.0 - 0.1 * clip(1 - task))
    assert -log(float(after.beta)) == pytest.approx(log(2) - 0.1 * clip(1 - 0.5 * symmetry))


def test_uncertainty_settles_where_each_weighted_term_is_one():
    x, y = batch()
    objective = remul(network(), weighting="uncertainty", lr=0.05, group="C1")
    for _ in range(400):
        value = objective(x, y)
    assert float(value.alpha * value.objective) == pytest.approx(1.0, rel=1e-3)
    assert float(value.beta * value.equivariance) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("bound", ["relative", "E_prime"])
def test_constrained_by_hand(bound):
    x, y = batch()
    model = network()
    objective = remul(model, weighting="constrained", epsilon=0.5, bound=bound, alpha=2.0, beta=0.3, lr=0.1)
    value = objective(x, y)
    g = ge.group("SO(3)").sample(6, generator=torch.Generator().manual_seed(1))
    here, there = model(x["pos"]), model(act(g, x, SIGNATURE.inputs)["pos"])
    rotated = act(g, {"pos": here}, SIGNATURE.outputs)["pos"]
    norm = lambda each: each.flatten(1).norm(dim=1)  # noqa: E731
    error = norm(there - rotated)
    if bound == "relative":
        error = error / (0.5 * norm(there) + 0.5 * norm(rotated))
    error = error.mean().item()
    assert float(value.equivariance) == pytest.approx(error)
    assert value.total.item() == pytest.approx(2.0 * float(value.objective) + float(value.beta) * (error / 0.5 - 1))
    clipped = max(-1.0, min(1.0, error / 0.5 - 1))
    assert float(value.beta) == pytest.approx(0.3 * exp(DAMPING * clipped))
    assert float(objective.weighting.log_multiplier) == pytest.approx(log(0.3) + 0.1 * clipped)
    expected = torch.autograd.grad(2.0 * mse_loss(here, y["pos"]), list(model.parameters()), retain_graph=True)
    violation = norm(there - rotated)
    if bound == "relative":
        violation = violation / (0.5 * norm(there) + 0.5 * norm(rotated))
    bounded = torch.autograd.grad(violation.mean() / 0.5, list(model.parameters()))
    got = torch.autograd.grad(value.total, list(model.parameters()))
    for a, b, c in zip(expected, bounded, got, strict=True):
        torch.testing.assert_close(a + float(value.beta) * b, c)


def test_the_bound_is_the_error_that_the_metric_reports():
    """Over a finite group with every element drawn once, the batch's E′ is that of `equivariance_error`."""
    x, y = batch()
    model = network()
    report = ge.equivariance_error(model, x, SIGNATURE, "O")
    for bound, expected in (("relative", report.relative), ("E_prime", report.E_prime)):
        objective = remul(model, weighting="constrained", epsilon=1.0, bound=bound, group="O", num_samples=24)
        elements = ge.group("O").elements().reshape(24, 1).expand(24, 6)
        objective._elements = lambda *_, elements=elements: elements
        assert float(objective(x, y).equivariance) == pytest.approx(expected)


def test_constrained_multiplier_rises_above_falls_below_and_stays_in_range():
    x, y = batch()
    for epsilon, sign in ((1e-3, 1), (1e3, -1)):
        objective = remul(network(), weighting="constrained", epsilon=epsilon, lr=1.0)
        seen = []
        for _ in range(30):
            objective(x, y)
            seen.append(float(objective.weighting.log_multiplier))
        assert seen == sorted(seen, reverse=sign < 0)
        assert sign * seen[0] == pytest.approx(1.0, abs=2e-3)  # clipped at 1; E′ / 1000 − 1 is nearly −1
        assert seen[-1] == pytest.approx(sign * LIMIT)


def test_constrained_training_ends_at_its_bound():
    """A linear map fitted to labels that are not symmetric, with the least cost that the bound allows."""
    generator = torch.Generator().manual_seed(0)
    x = {"pos": torch.randn(256, 1, 3, generator=generator)}
    y = {"pos": x["pos"] * torch.tensor([1.0, 2.0, 3.0])}
    torch.manual_seed(0)
    model = nn.Linear(3, 3, bias=False)
    objective = remul(model, weighting="constrained", epsilon=0.1, beta=0.01)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(700):
        optimizer.zero_grad()
        objective(x, y).total.backward()
        optimizer.step()
    relative = ge.equivariance_error(model, x, SIGNATURE, "SO(3)", num_samples=64).relative
    assert relative == pytest.approx(0.1, rel=0.1)
    diagonal = model.weight.diag()
    assert diagonal[0] < diagonal[1] < diagonal[2], "as much of the labels' asymmetry as the bound allows"


@pytest.mark.parametrize("options", LEARNED, ids=lambda options: options["weighting"])
def test_learned_state_continues_bit_for_bit(options):
    def run(stop=None):
        model = network()
        objective = remul(model, **options)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        values = []
        for step in range(8):
            if step == stop:
                saved = objective.state_dict()
                objective = remul(model, **options)
                objective.load_state_dict(saved)
            objective.generator.manual_seed(step)
            value = objective(*batch(seed=step))
            optimizer.zero_grad()
            value.total.backward()
            optimizer.step()
            values.append([value.total.item(), *(float(each) for each in value[1:])])
        return values, objective

    whole, objective = run()
    assert whole == run(stop=3)[0]
    assert len({row[4] for row in whole}) == 8, "β changes at every step"
    assert objective.state_dict()["step"] == 8
    with pytest.raises(ValueError, match="the weighting's state is"):
        remul(network()).load_state_dict(objective.state_dict())


@pytest.mark.parametrize("options", LEARNED, ids=lambda options: options["weighting"])
def test_nothing_is_learned_without_gradients(options):
    objective = remul(network(), **options)
    objective(*batch())
    before = {name: value.clone() for name, value in objective.weighting.state_dict().items()}
    with torch.no_grad():
        objective(*batch())
    after = objective.weighting.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert objective.state_dict()["step"] == 1


def test_step_progress():
    assert StepProgress(30, 100).passed(0.5, "It") == 0.6
    assert StepProgress(99, 100).passed(0.5, "It") == 1.0
    assert StepProgress(0, 1).passed(0.1, "It") == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weighting": "gradnrm"}, "Did you mean 'gradnorm'"),
        ({"weighting": "gradnorm", "alpha": 0.0}, "positive weights"),
        ({"weighting": "uncertainty", "beta": 0.0}, "start positive"),
        ({"weighting": "constrained"}, "needs epsilon"),
        ({"weighting": "constrained", "epsilon": -1.0}, "epsilon must be greater than 0"),
        ({"beta": -1.0}, r"REMUL: beta must be greater than or equal to 0, got -1\.0"),
        ({"beta": float("nan")}, "beta must be a finite number, got nan"),
        ({"weighting": "constrained", "epsilon": 0.1, "anchor": "label"}, "anchored at the prediction"),
        ({"weighting": "constrained", "epsilon": 0.1, "bound": "absolute"}, "Unknown bound 'absolute'"),
        ({"epsilon": 0.1}, "epsilon=0.1 has no effect .* belongs to constrained"),
        ({"weighting": "gradnorm", "beta_start": 0.1}, "belongs to linear, cosine"),
        ({"bound": "relative"}, "belongs to constrained"),
        ({"sigma": 0.1}, "belongs to small-angle"),
        ({"over": 0.5}, "over=0.5 has no effect"),
        ({"weighting": "linear", "over": 1.5}, "over must be less than or equal to 1, got 1.5"),
        ({"sampling": "small-angle", "sigma": 4.0}, "sigma must be less than or equal to 3.14.*, got 4.0"),
        ({"sampling": "small-angle", "group": "O"}, "does not allow"),
        ({"sampling": "small-angle", "group": "O(3)"}, "Use SO"),
        ({"sampling": "adversary"}, "Did you mean 'adversarial'"),
        ({"sampling": "adversarial"}, "give two or more"),
        ({"anchor": "target"}, "Unknown anchor 'target'"),
        ({"num_samples": 0}, "num_samples must be .* 1, got 0"),
        ({"total_steps": 0}, "total_steps must be .* 1, got 0"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ConfigError, match=message):
        remul(network(), **options)
