"""The suite that every architecture inherits: a row of CASES declares it, each test runs on each row."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from geoequiv.errors import SignatureError
from geoequiv.fields import Signature, act, call_model
from geoequiv.groups import group
from geoequiv.models import (
    DGCNN,
    EGNN,
    GNN,
    MLP,
    PONITA,
    SEGNN,
    TFN,
    VNDGCNN,
    DeepSets,
    GATr,
    Integrator,
    Linear,
    NequIP,
    PaiNN,
    PointNet,
    PublishedGATr,
    RadialField,
    SE3Transformer,
    SecondOrder,
    Transformer,
    VNPointNet,
)

CHARGED = "pos: point, vel: vector, charge: scalar -> pos: point"
SEVERAL = "a: point, b: point*2, v: vector*2, s: scalar*3 -> a: point, b: point*2, w: vector, v: vector*2, e: scalar*2"
KINDS = "p: pseudoscalar*2, w: pseudovector, t: tensor, h: 2x0e+1x1o+1x2e"
EVERY_KIND = f"x: point, {KINDS} -> x: point, {KINDS}"
POTENTIAL = "x: point, species: scalar*2 -> e: scalar, forces: vector"
NO_SCALARS = SEVERAL.replace(", e: scalar*2", "")


@dataclass(frozen=True)
class Case:
    model: type[nn.Module]
    signature: str = CHARGED
    options: dict = field(default_factory=dict)
    permutes: bool = True
    ragged: bool = True
    id: str = ""
    #: None for architectures of fixed depth, which normalise over the batch and are therefore evaluated
    depth: int | None = 2
    #: largest error in float32: lengths that are normalised in every layer keep fewer digits
    float32: float = 1e-5
    #: False where round-off grows from layer to layer or with positions: collinear clouds, half precision
    stable: bool = True
    #: module whose scalars go nowhere, as published
    unused: str = ""

    def build(self, seed: int = 0, dtype: torch.dtype = torch.float64, width: int = 16) -> nn.Module:
        torch.manual_seed(seed)
        depth = {} if self.depth is None else {"depth": self.depth}
        model = self.model(self.signature, width=width, **depth, **self.options).to(dtype)
        model.train(self.depth is not None)
        with torch.no_grad():  # leave the small initial steps, so that no test passes because displacements are 0
            for parameter in model.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
        return model

    @property
    def parsed(self) -> Signature:
        return Signature.parse(self.signature)


CASES = [
    Case(Linear, id="linear"),
    Case(Linear, SEVERAL, id="linear-several"),
    Case(RadialField, id="radial_field"),
    Case(RadialField, NO_SCALARS, id="radial_field-several"),
    Case(RadialField, "x: point -> x: point", id="radial_field-bare"),
    Case(EGNN, id="egnn"),
    Case(EGNN, options={"node_scalars": False}, id="egnn-products"),
    Case(EGNN, options={"attention": True, "tanh": True, "normalize": True}, id="egnn-options"),
    Case(EGNN, options={"velocity": False}, id="egnn-still"),
    Case(EGNN, SEVERAL, id="egnn-several"),
    Case(EGNN, "x: point -> x: point", id="egnn-bare"),
    Case(GATr, id="gatr"),
    Case(GATr, SEVERAL, {"heads": 1, "multivectors": 8}, id="gatr-several"),
    Case(GATr, "x: point -> x: point", id="gatr-bare"),
    Case(PublishedGATr, options={"heads": 2, "multivectors": 4}, id="gatr_published", stable=False, unused="leave"),
    Case(
        PublishedGATr,
        "x: point*2, z: scalar -> x: point, e: scalar*3",
        {"heads": 2},
        id="gatr_published-several",
        unused="leave",
    ),
    Case(PaiNN, id="painn"),
    Case(PaiNN, SEVERAL, {"cutoff": 8.0, "basis": 6}, id="painn-several"),
    Case(PaiNN, "x: point -> x: point", id="painn-bare"),
    Case(PaiNN, "x: point, z: scalar*2 -> e: scalar", {"cutoff": 3.0}, id="painn-energy"),
    Case(PONITA, id="ponita"),
    Case(PONITA, SEVERAL, {"orientations": 6}, id="ponita-several"),
    Case(PONITA, "x: point -> x: point", {"orientations": 20}, id="ponita-bare"),
    Case(DeepSets, id="deepsets"),
    Case(DeepSets, SEVERAL, {"pool": "sum"}, id="deepsets-several"),
    Case(GNN, id="gnn"),
    Case(GNN, options={"relative": False}, id="gnn-absolute"),
    Case(GNN, SEVERAL, id="gnn-several"),
    Case(Transformer, id="transformer"),
    Case(Transformer, options={"norm": "rms", "distance_bias": True}, id="transformer-distances"),
    Case(Transformer, SEVERAL, id="transformer-several"),
    Case(TFN, id="tfn"),
    Case(TFN, EVERY_KIND, id="tfn-kinds"),
    Case(TFN, EVERY_KIND, {"parity": False, "l_max": 1}, id="tfn-so3"),
    Case(SecondOrder, options={"steps": 2}, id="second_order", depth=None),
    Case(SecondOrder, "x: point -> x: point", {"steps": 2}, id="second_order-bare", depth=None),
    Case(Integrator, options={"steps": 2, "state": 4}, id="integrator"),
    Case(SEGNN, id="segnn"),
    Case(SEGNN, EVERY_KIND, id="segnn-kinds"),
    Case(SEGNN, EVERY_KIND, {"parity": False, "l_max_attributes": 3}, id="segnn-so3"),
    Case(SE3Transformer, options={"heads": 2}, id="se3_transformer"),
    Case(SE3Transformer, EVERY_KIND, id="se3_transformer-kinds"),
    Case(SE3Transformer, EVERY_KIND, {"parity": True, "nonlinearity": "norm"}, id="se3_transformer-o3"),
    Case(Transformer, SEVERAL, {"distance_bias": True}, id="transformer-several-distances"),
    Case(NequIP, POTENTIAL, id="nequip"),
    Case(NequIP, "x: point -> e: scalar*2", {"parity": False, "cutoff": 2.0}, id="nequip-energies"),
    Case(PointNet, id="pointnet", depth=None),
    Case(PointNet, EVERY_KIND, {"transforms": False}, id="pointnet-kinds", depth=None),
    Case(DGCNN, options={"neighbours": 4}, id="dgcnn", depth=None),
    Case(DGCNN, SEVERAL, {"neighbours": 3, "pool": "mean"}, id="dgcnn-several", depth=None),
    Case(VNPointNet, options={"neighbours": 4}, id="vn_pointnet", depth=None, float32=1e-4, stable=False),
    Case(VNPointNet, SEVERAL, {"neighbours": 3}, id="vn_pointnet-several", depth=None, float32=1e-4),
    Case(VNDGCNN, options={"neighbours": 4}, id="vn_dgcnn", depth=None, float32=1e-4, stable=False),
    Case(
        VNDGCNN, "x: point -> n: vector up to sign", {"neighbours": 3}, id="vn_dgcnn-normals", depth=None, float32=1e-4
    ),
    Case(MLP, options={"nodes": 5}, permutes=False, ragged=False, id="mlp"),
    Case(MLP, SEVERAL, {"nodes": 5}, permutes=False, ragged=False, id="mlp-several"),
]


def each(cases: list[Case]):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.id)


CLAIMING = [case for case in CASES if case.model.claims]
CLAIMLESS = [case for case in CASES if not case.model.claims]
PERMUTING = [case for case in CASES if case.permutes]
RAGGED = [case for case in CASES if case.ragged]


def draw(signature: Signature, *lead: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> dict[str, Tensor]:
    """Random fields of the signature's inputs with these leading axes."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {}
    for name, kind in signature.inputs.items():
        copies = (kind.multiplicity,) * (kind.multiplicity > 1)
        shapes[name] = (kind.size(),) if kind.is_scalar or kind.irreps else (*copies, *(3,) * kind.rank)
    return {name: torch.randn(*lead, *shape, generator=generator, dtype=dtype) for name, shape in shapes.items()}


def graphs_of(items: list[dict[str, Tensor]]) -> Batch:
    """Clouds as a PyG batch."""
    return Batch.from_data_list([Data(**item, num_nodes=len(next(iter(item.values())))) for item in items])


def run(case: Case, model: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return call_model(model, case.parsed, inputs)


@torch.no_grad()
def worst_error(case: Case, name: str, dtype: torch.dtype) -> float:
    """Largest relative error over the outputs, ‖f(gx) − gf(x)‖ / ‖f(x)‖."""
    model, signature, sampled = case.build(dtype=dtype), case.parsed, group(name)
    inputs = draw(signature, 4, 5, dtype=dtype)
    element = sampled.sample(4, generator=torch.Generator().manual_seed(2))
    before = act(element, run(case, model, inputs), signature.outputs)
    after = run(case, model, act(element, inputs, signature.inputs))
    return max(float((after[key] - before[key]).norm() / before[key].norm()) for key in before)


@each(CLAIMING)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_keeps_what_it_claims(case, dtype, tolerance):
    tolerance = case.float32 if dtype == torch.float32 else tolerance
    assert worst_error(case, case.build().claims, dtype) < tolerance


@pytest.mark.parametrize("model", [EGNN, RadialField])
def test_small_first_steps_keep_their_digits(model):
    """Displacements of an untrained model are small; a vector computed from them rotates all the same."""
    case = Case(model, "x: point, s: scalar -> x: point, w: vector")
    torch.manual_seed(0)
    built, inputs = model(case.signature), draw(case.parsed, 8, 9, dtype=torch.float32)
    element = group("E(3)").sample(8, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        before = run(case, built, inputs)
        after = run(case, built, act(element, inputs, case.parsed.inputs))["w"]
    expected = act(element, before, case.parsed.outputs)["w"]
    assert float((after - expected).norm() / expected.norm()) < 1e-5
    assert float(before["w"].norm(dim=-1).mean()) < 0.03


@each(CLAIMLESS)
def test_measurably_fails_what_it_does_not_claim(case):
    assert worst_error(case, "SO(3)", torch.float64) > 1e-2


@each(PERMUTING)
def test_order_of_nodes_does_not_matter(case):
    model, inputs, order = case.build(), draw(case.parsed, 2, 5), torch.tensor([3, 0, 4, 1, 2])
    plain = run(case, model, inputs)
    mixed = run(case, model, {name: values[:, order] for name, values in inputs.items()})
    for name, values in plain.items():
        torch.testing.assert_close(mixed[name], values[:, order], rtol=1e-10, atol=1e-10)


@each([case for case in CASES if not case.permutes])
@torch.no_grad()
def test_order_of_nodes_matters(case):
    model, inputs = case.build(), draw(case.parsed, 2, 5)
    plain = run(case, model, inputs)
    mixed = run(case, model, {name: values.flip(1) for name, values in inputs.items()})
    assert all(float((mixed[name] - values.flip(1)).abs().max()) > 1e-2 for name, values in plain.items())


@each(RAGGED)
def test_dense_ragged_padded_and_single_clouds_agree(case):
    model, sizes = case.build(), [5, 1 if case.stable else 4, 3]
    padded = draw(case.parsed, 3, 5)
    mask = torch.arange(5) < torch.tensor(sizes)[:, None]
    spoilt = {
        name: values.masked_fill(~mask.reshape(3, 5, *[1] * (values.ndim - 2)), float("nan"))
        for name, values in padded.items()
    }
    from_padded = run(case, model, {**spoilt, "mask": mask})
    batch = torch.arange(3).repeat_interleave(torch.tensor(sizes))
    flat = {name: values[mask] for name, values in padded.items()}
    from_ragged = run(case, model, {**flat, "batch": batch})
    mixed = torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))
    from_mixed = run(case, model, {**{name: values[mixed] for name, values in flat.items()}, "batch": batch[mixed]})
    pairs = ((batch[:, None] == batch) & ~torch.eye(len(batch), dtype=torch.bool)).nonzero().T
    from_edges = run(case, model, {**flat, "batch": batch, "edge_index": pairs})
    items = [{name: values[i, :size] for name, values in padded.items()} for i, size in enumerate(sizes)]
    from_graphs = run(case, model, graphs_of(items))
    singles = [run(case, model, item) for item in items]
    for name in from_ragged:
        expected = torch.cat([single[name] for single in singles])
        for found in (from_padded[name][mask], from_ragged[name], from_edges[name], from_graphs[name]):
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(from_mixed[name], expected[mixed], rtol=1e-10, atol=1e-10)
        assert (from_padded[name][~mask] == 0).all()


@each(CASES)
def test_batch_axes_are_free(case):
    model, inputs = case.build(), draw(case.parsed, 2, 3, 5)
    together = run(case, model, inputs)
    flat = run(case, model, {name: values.flatten(0, 1) for name, values in inputs.items()})
    for name, kind in case.parsed.outputs.items():
        assert together[name].shape[:3] == (2, 3, 5)
        assert together[name].flatten(3).shape[-1] == kind.size()
        torch.testing.assert_close(together[name].flatten(0, 1), flat[name], rtol=1e-10, atol=1e-10)


@each(CASES)
def test_coincident_nodes_and_resting_ones_give_finite_derivatives(case):
    model = case.build()
    inputs = {name: torch.zeros_like(values).requires_grad_() for name, values in draw(case.parsed, 2, 5).items()}
    outputs = run(case, model, inputs)
    first = torch.autograd.grad(
        sum(values.square().sum() + values.sum() for values in outputs.values()),
        list(inputs.values()), create_graph=True, materialize_grads=True,
    )  # fmt: skip
    sum(values.square().sum() for values in first).backward()
    assert all(torch.isfinite(values).all() for values in [*outputs.values(), *first])
    for tensor in [*inputs.values(), *model.parameters()]:
        assert tensor.grad is None or torch.isfinite(tensor.grad).all()


@each([case for case in CASES if case.ragged])
@pytest.mark.parametrize("ragged", [False, True])
def test_single_node_clouds_are_finite(case, ragged):
    model, inputs = case.build(), draw(case.parsed, 3)
    inputs = {name: values.requires_grad_() for name, values in inputs.items()}
    batch = {"batch": torch.arange(3)} if ragged else {}
    fields = inputs if ragged else {name: values.unsqueeze(1) for name, values in inputs.items()}
    outputs = run(case, model, {**fields, **batch})
    sum(values.square().sum() for values in outputs.values()).backward()
    assert all(torch.isfinite(values).all() for values in outputs.values())
    assert all(values.grad is None or torch.isfinite(values.grad).all() for values in inputs.values())


TWICE = {"egnn-options", "painn-energy", "transformer-distances"}


@each([case for case in CASES if "-" not in case.id or case.id in TWICE])
def test_second_derivatives_match_finite_differences(case):
    model, names = case.build(width=4), list(case.parsed.inputs)
    inputs = {name: values.requires_grad_() for name, values in draw(case.parsed, 1, 5).items()}

    def total(*values: Tensor) -> Tensor:
        outputs = run(case, model, dict(zip(names, values, strict=True)))
        return sum(each.square().sum() for each in outputs.values())

    assert torch.autograd.gradgradcheck(total, tuple(inputs.values()), atol=1e-3, rtol=1e-3, fast_mode=True)


@each([case for case in CASES if "-" not in case.id and case.stable])
@pytest.mark.parametrize("training", [False, True])
def test_autocast_rounds_and_does_no_more(case, training):
    """Mixed precision, with and without gradients: the displacements of float32 to a few per cent."""
    model, inputs = case.build(dtype=torch.float32), draw(case.parsed, 2, 5, dtype=torch.float32)
    with torch.set_grad_enabled(training):
        expected = run(case, model, inputs)
        with torch.autocast("cpu", torch.bfloat16):
            found = run(case, model, inputs)
    start = {name: inputs[name] if kind.translates else 0.0 for name, kind in case.parsed.outputs.items()}
    for name, values in expected.items():
        error = (found[name].float() - values).detach().norm() / (values - start[name]).detach().norm()
        assert float(error) < 0.1, name
    if training:
        sum(values.float().square().sum() for values in found.values()).backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@each([case for case in CASES if case.id == "nequip-energies" or ("-" not in case.id and case.id != "nequip")])
@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of the fused operations that torch loops over
def test_vmap_over_clouds_is_the_batch(case):
    """Outputs and their gradients to the inputs, cloud by cloud."""
    model, inputs = case.build(), draw(case.parsed, 3, 5)

    def total(fields: dict[str, Tensor]) -> Tensor:
        return sum(values.square().sum() for values in run(case, model, fields).values())

    leaves = {name: values.clone().requires_grad_() for name, values in inputs.items()}
    expected = torch.autograd.grad(total(leaves), list(leaves.values()), materialize_grads=True)
    found = torch.func.vmap(torch.func.grad(total))(inputs)
    torch.testing.assert_close(list(found.values()), list(expected), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(
        torch.func.vmap(lambda fields: run(case, model, fields))(inputs), run(case, model, inputs)
    )


@each(CASES)
def test_every_parameter_learns(case):
    model = case.build()
    sum(values.square().sum() for values in run(case, model, draw(case.parsed, 2, 5)).values()).backward()
    silent = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    silent = [name for name in silent if not case.unused or not name.startswith(case.unused)]
    assert silent == []


@each(CASES)
def test_seed_decides_the_weights_and_state_travels(case):
    first, again, other = case.build(0), case.build(0), case.build(1)
    inputs = draw(case.parsed, 2, 5)
    expected = run(case, first, inputs)
    for name, values in run(case, again, inputs).items():
        assert torch.equal(values, expected[name])
    assert any(not torch.equal(values, expected[name]) for name, values in run(case, other, inputs).items())
    other.load_state_dict(first.state_dict())
    for name, values in run(case, other, inputs).items():
        assert torch.equal(values, expected[name])


@pytest.mark.parametrize(
    ("model", "option"),
    [
        (EGNN, {"tanh": True}),
        (EGNN, {"normalize": True}),
        (EGNN, {"attention": True}),
        (EGNN, {"velocity": False}),
        (EGNN, {"node_scalars": False}),
        (Transformer, {"norm": "rms"}),
        (Transformer, {"distance_bias": True}),
        (DeepSets, {"pool": "sum"}),
    ],
    ids=str,
)
def test_an_option_changes_what_the_same_weights_say(model, option):
    plain, other = Case(model).build(), Case(model, options=option).build()
    shared = {
        name: weights
        for name, weights in plain.state_dict().items()
        if name in other.state_dict() and other.state_dict()[name].shape == weights.shape
    }
    other.load_state_dict(shared, strict=False)
    inputs = draw(Signature.parse(CHARGED), 2, 5)
    assert float((plain(**inputs) - other(**inputs)).detach().abs().max()) > 1e-3


def test_transformer_names_the_nearest_norm():
    with pytest.raises(SignatureError, match="Did you mean 'layer'"):
        Transformer(CHARGED, norm="layr")
    with pytest.raises(SignatureError, match="Did you mean 'mean'"):
        DeepSets(CHARGED, pool="men")
