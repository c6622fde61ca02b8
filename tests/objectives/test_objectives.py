"""REMUL, augmentation and the plain objective, against the formula written out."""

import pytest
import torch
from torch.nn.functional import l1_loss, mse_loss
from torch_geometric.data import Batch, Data

import geoequiv as ge
from geoequiv.errors import ConfigError, GroupError, ModelOutputError
from geoequiv.fields import Signature, act
from geoequiv.objectives import Augmentation, TaskObjective

SIGNATURE = Signature.parse("pos: point, vel: vector -> pos: point")
GROUPS = ["SO(3)", "SE(3)", "O", "SO(2)@y"]


def model(pos, vel):
    return pos * pos.new_tensor([1.0, 2.0, 3.0]) + vel


def batch(n=8):
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(n, 4, 3, generator=generator, dtype=torch.float64)  # noqa: E731
    return {"pos": draw(), "vel": draw()}, {"pos": draw()}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("loss", [mse_loss, l1_loss])
def test_remul_is_its_formula(group, loss):
    x, y = batch()
    seeded = torch.Generator().manual_seed(3)
    value = ge.REMUL(model, SIGNATURE, group, loss, alpha=0.5, beta=2.0, generator=seeded)(x, y)
    g = ge.group(group).sample(8, generator=torch.Generator().manual_seed(3))  # one element per item
    transformed, target = act(g, x, SIGNATURE.inputs), act(g, y, SIGNATURE.outputs)
    assert value.objective == pytest.approx(float(loss(model(**x), y["pos"])))
    assert value.equivariance == pytest.approx(float(loss(model(**transformed), target["pos"])))
    assert value.total == pytest.approx(0.5 * float(value.objective) + 2.0 * float(value.equivariance))
    assert (value.alpha, value.beta) == (0.5, 2.0)


def test_remul_without_beta_is_the_task_loss():
    x, y = batch()
    plain = TaskObjective(model, SIGNATURE, mse_loss)(x, y).total
    assert ge.REMUL(model, SIGNATURE, "SO(3)", mse_loss, beta=0.0)(x, y).total == plain
    assert plain == mse_loss(model(**x), y["pos"])


def test_augmentation_is_the_equivariance_term_alone():
    x, y = batch()
    both = [torch.Generator().manual_seed(5) for _ in range(2)]
    augmented = Augmentation(model, SIGNATURE, ge.group("SO(3)"), mse_loss, both[0])(x, y)
    assert augmented.total == ge.REMUL(model, SIGNATURE, "SO(3)", mse_loss, generator=both[1])(x, y).equivariance


def test_an_equivariant_model_on_symmetric_labels_sees_both_terms_alike():
    x, _ = batch()
    equivariant = lambda pos, vel: pos + vel  # noqa: E731
    value = ge.REMUL(equivariant, SIGNATURE, "SE(3)", mse_loss)(x, {"pos": x["pos"] + 2 * x["vel"]})
    assert value.equivariance == pytest.approx(float(value.objective))


def test_draws_are_new_each_call_and_gradient_flows():
    x, y = batch()
    net = torch.nn.Linear(3, 3).double()
    objective = ge.REMUL(lambda pos, vel: net(pos), SIGNATURE, "SO(3)", mse_loss)
    first, second = objective(x, y), objective(x, y)
    assert first.equivariance != second.equivariance
    first.total.backward()
    assert net.weight.grad.abs().sum() > 0
    assert not first.objective.requires_grad


def test_ragged_batches_and_pyg_objects():
    x, y = batch()
    flat = {name: value.flatten(0, 1) for name, value in x.items()} | {"batch": torch.arange(8).repeat_interleave(4)}
    targets = {"pos": y["pos"].flatten(0, 1)}
    values = []
    for inputs, target, net in (
        (x, y, model),
        (flat, targets, lambda pos, vel, batch: model(pos, vel)),
        (
            Batch.from_data_list([Data(pos=p, vel=v) for p, v in zip(x["pos"], x["vel"], strict=True)]),
            targets,
            lambda data: model(data.pos, data.vel),
        ),
    ):
        values.append(
            ge.REMUL(net, SIGNATURE, "SE(3)", mse_loss, generator=torch.Generator().manual_seed(1))(inputs, target)
        )
    assert float(values[0].total) == pytest.approx(float(values[1].total))
    assert float(values[0].total) == pytest.approx(float(values[2].total))


def test_several_outputs_add_up_and_a_bare_target_is_the_only_one():
    x, y = batch()
    two = Signature.parse("pos: point, vel: vector -> pos: point, vel: vector")
    value = TaskObjective(lambda pos, vel: (pos, vel), two, mse_loss)(x, {"pos": y["pos"], "vel": y["pos"]}).total
    assert value == mse_loss(x["pos"], y["pos"]) + mse_loss(x["vel"], y["pos"])
    assert TaskObjective(model, SIGNATURE, mse_loss)(x, y["pos"]).total == mse_loss(model(**x), y["pos"])
    with pytest.raises(ModelOutputError, match="Give the targets by name"):
        TaskObjective(lambda pos, vel: (pos, vel), two, mse_loss)(x, y["pos"])


def test_errors():
    x, y = batch()
    with pytest.raises(ConfigError, match="must not both be 0"):
        ge.REMUL(model, SIGNATURE, "SO(3)", mse_loss, alpha=0, beta=0)
    with pytest.raises(ConfigError, match="Unknown weighting 'gradnrm'"):
        ge.REMUL(model, SIGNATURE, "SO(3)", mse_loss, weighting="gradnrm")
    with pytest.raises(GroupError, match="Unknown group"):
        ge.REMUL(model, SIGNATURE, "SO3", mse_loss)
    with pytest.raises(ModelOutputError, match=r"'pos' has shape \[8, 4, 1\], its target \[8, 4, 3\]"):
        TaskObjective(lambda pos, vel: pos[..., :1], SIGNATURE, mse_loss)(x, y)
    with pytest.raises(ModelOutputError, match="no target for output 'pos'"):
        TaskObjective(model, SIGNATURE, mse_loss)(x, {"y": y["pos"]})


def test_the_norm_of_values_per_graph_is_that_of_the_metric():
    """A vector per graph of padded clouds of three nodes has the shape of their mask, and counts in full."""
    signature = Signature.parse("pos: point -> dipole: vector per graph")
    generator = torch.Generator().manual_seed(0)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    inputs = {"pos": torch.randn(2, 3, 3, generator=generator), "mask": mask}
    model = lambda pos, mask: (pos * mask[..., None]).sum(1) * pos.new_tensor([1.0, 2.0, 3.0])  # noqa: E731
    targets = {"dipole": torch.zeros(2, 3)}
    group = ge.group("O")
    draws = [group.sample(1, 2, generator=torch.Generator().manual_seed(5))[0, i] for i in range(2)]
    expected = []
    with torch.no_grad():
        here = model(**inputs)
        for i, g in enumerate(draws):
            transformed = ge.transform(g, inputs, signature.inputs)
            expected.append((model(**transformed)[i] - g.linear.float() @ here[i]).norm())
    found = ge.InvarianceLoss(
        model, signature, group, mse_loss, fused=False, generator=torch.Generator().manual_seed(5)
    )(inputs, targets)
    assert float(found.equivariance) == pytest.approx(float(torch.stack(expected).mean()), rel=1e-5)
