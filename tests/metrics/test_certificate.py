"""Certificates: planted faults are caught and named, exact models pass, every part is there and JSON-able."""

import json
import math

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

import geoequiv as ge
from geoequiv.errors import SignatureError
from geoequiv.metrics import Certificate, Skipped

from . import planted_faults as models
from .planted_faults import SIGNATURE, clouds

KEYS = [
    "measured", "floor", "verdict", "thresholds", "faults", "errors", "before", "worst_optimised", "parts",
    "angle_profile", "axis_profile", "translation_profile", "lie_derivative", "discovered", "relabelling",
    "determinism", "precision", "diagnosis",
]  # fmt: skip


def certificate(model, group="E(3)", inputs=None, **options):
    options = {"num_samples": 12, "steps": 3, "num_few": 4, **options}
    return ge.certify(model, clouds() if inputs is None else inputs, SIGNATURE, group, **options)


@pytest.fixture(scope="module")
def exact():
    return certificate(models.Exact(), before=models.Falls())


def test_an_exact_model(exact):
    assert exact.verdict == "exact"
    assert exact.passed
    assert exact.faults == ()
    assert exact.worst < 1e-6
    assert exact.discovered.largest == ("E(3)",)
    assert exact.lie_derivative.largest < 1e-5
    assert max(exact.angle_profile.values + exact.axis_profile.values) < 1e-6
    assert exact.precision.errors["float64"]["worst"] < 1e-14
    assert 1e-9 < exact.precision.errors["float32"]["worst"] < 1e-6
    assert exact.worst_optimised.value >= exact.errors.worst
    assert exact.before.relative > 0.05
    assert "up to round-off" in exact.diagnosis


def test_json_and_print_in_a_fixed_order(exact):
    plain = json.loads(json.dumps(exact.as_dict(), allow_nan=False))
    assert list(plain) == KEYS
    assert plain["measured"]["signature"] == SIGNATURE
    assert plain["measured"]["num_items"] == 24
    assert plain["measured"]["num_samples"] == 12
    assert plain["errors"]["standard_errors"]["relative"]["se_items"] > 0
    assert plain["worst_optimised"]["element"]["words"]
    heads = [line.partition(":")[0] for line in str(exact).splitlines()]
    order = ["verdict", "diagnosis", "signature", "measured on", "round-off", "E", "E′", "to average", "relative",
             "worst of M", "worst found", "before training", "parts", "by angle", "by axis", "by length",
             "Lie derivative", "discovered", "relabelling", "determinism", "precision", "versions"]  # fmt: skip
    assert [head for head in heads if head in order] == order
    assert str(exact).startswith("Certificate: Exact under E(3)\nverdict:           EXACT")


def test_it_can_be_repeated():
    first, second = (certificate(models.Halved(), num_few=4).as_dict() for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("model", "verdict", "code", "words"),
    [
        (models.ForgottenCentroid(), "broken", "forgotten-centroid", "does not translate with the inputs"),
        (models.Handed(), "approximate", "handedness", "Rotations are respected, but reflections are not"),
        (models.ReadsCoordinates(1), "approximate", "absolute-coordinates", "The layer 'layers.1.look' (Linear)"),
        (models.ReadsCoordinates(0), "approximate", "absolute-coordinates", "The layer 'layers.0.look' (Linear)"),
        (models.Truncated(), "approximate", "precision", "Exact in float64"),
        (models.Halved(), "approximate", "precision", "computes in float16 inside"),
        (models.Leaks(), "exact", "permutation-leak", "Relabelling the nodes"),
        (models.Drops(), "exact", "not-deterministic", "noise (Dropout, p = 0.3)"),
        (models.Noisy(), None, "not-deterministic", "different outputs in evaluation mode"),
        (models.Falls(), "broken", "preferred-direction", "down to O(2)@z"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_planted_faults_are_caught_and_named(model, verdict, code, words):
    found = certificate(model)
    assert verdict in (None, found.verdict)
    assert found.faults[0].code == code
    assert words in found.diagnosis
    if code != "not-deterministic":
        assert len(found.faults) == 1


def test_the_healthy_twin_of_the_layered_model_is_exact():
    found = certificate(models.ReadsCoordinates(None))
    assert found.verdict == "exact"
    assert found.faults == ()


def test_a_model_without_symmetry_is_told_from_one_with_a_fault():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(7, 8), nn.Tanh(), nn.Linear(8, 3))

        def forward(self, pos, vel, charge):
            return self.layers(torch.cat([pos, vel, charge], -1))

    found = certificate(Plain(), "SO(3)")
    assert found.verdict == "broken"
    assert [fault.code for fault in found.faults] == ["no-symmetry"]
    assert "'layers.0' (Linear)" in found.diagnosis
    assert found.discovered.largest == ()


def test_a_wrong_parity_is_named():
    found = ge.certify(
        lambda pos, vel: torch.linalg.cross(pos, vel), {"pos": clouds()["pos"], "vel": clouds()["vel"]},
        "pos: vector, vel: vector -> l: vector", "O(3)", num_samples=8,
    )  # fmt: skip
    assert [fault.code for fault in found.faults] == ["handedness"]
    assert "if the outputs have the other parity" in found.diagnosis
    fixed = ge.certify(
        lambda pos, vel: torch.linalg.cross(pos, vel), {"pos": clouds()["pos"], "vel": clouds()["vel"]},
        "pos: vector, vel: vector -> l: pseudovector", "O(3)", num_samples=8,
    )  # fmt: skip
    assert fixed.passed


def test_thresholds_decide():
    assert certificate(models.Halved(), approximate=1e-9).verdict == "broken"
    assert certificate(models.Halved(), tolerance=1.0).verdict == "exact"


def ragged(x):
    return {name: value.flatten(0, 1) for name, value in x.items()} | {"batch": torch.arange(6).repeat_interleave(5)}


class Ragged(models.Exact):
    def forward(self, pos, vel, charge, batch=None, mask=None):
        return self.net(pos=pos, vel=vel, charge=charge, batch=batch, mask=mask)


class Graph(Ragged):
    def forward(self, data):
        return super().forward(data.pos, data.vel, data.charge, data.batch)


def test_dense_masked_ragged_and_graph_batches_agree():
    x = clouds(6, dtype=torch.float64)
    graphs = [Data(**{name: value[i] for name, value in x.items()}) for i in range(6)]
    padded = {name: torch.cat([value, 9 * torch.ones(6, 2, value.shape[-1]).double()], 1) for name, value in x.items()}
    padded["mask"] = (torch.arange(7) < 5).expand(6, 7)

    class Broken(Ragged):
        def forward(self, pos, vel, charge, batch=None, mask=None):
            return super().forward(pos, vel, charge, batch, mask) * pos.new_tensor([1.0, 1.1, 1.0])

    class BrokenGraph(Graph):
        def forward(self, data):
            return super().forward(data) * data.pos.new_tensor([1.0, 1.1, 1.0])

    seen = [
        certificate(model.double(), inputs=inputs, num_few=6)
        for model, inputs in (
            (Broken(), x), (Broken(), ragged(x)), (Broken(), padded), (BrokenGraph(), Batch.from_data_list(graphs)),
        )
    ]  # fmt: skip
    first = seen[0]
    for other in seen[1:]:
        assert other.errors.E == pytest.approx(first.errors.E)
        assert other.errors.relative == pytest.approx(first.errors.relative)
        assert other.worst_optimised.value == pytest.approx(first.worst_optimised.value, rel=1e-6)
        assert other.angle_profile.values == pytest.approx(first.angle_profile.values)
        assert list(other.lie_derivative.relative) == list(first.lie_derivative.relative)
        for name, value in first.lie_derivative.relative.items():
            assert other.lie_derivative.relative[name].value == pytest.approx(value.value)
    assert [found.verdict for found in seen] == ["broken"] * 4


def test_other_groups_and_spaces():
    image = ge.certify(
        nn.Conv2d(1, 1, 3, padding=1), {"x": torch.randn(4, 1, 6, 6)}, "x: image -> y: image", "D4@plane"
    )
    assert image.verdict == "broken"
    assert isinstance(image.angle_profile, Skipped)
    assert image.worst_optimised.method == "enumeration"
    plane = ge.certify(lambda x: x * x.norm(dim=-1, keepdim=True), {"x": torch.randn(8, 3, 2)},
                       "x: vector -> y: vector", "SO(2)")  # fmt: skip
    assert plane.verdict == "exact"
    assert plane.discovered.largest == ("O(2)",)
    sets = ge.certify(lambda x: x.mean(-2), {"x": torch.randn(4, 5, 2)}, "x: node -> y: scalar", "S(5)")
    assert sets.verdict == "exact"
    json.dumps([image.as_dict(), plane.as_dict(), sets.as_dict()], allow_nan=False)


def test_a_model_keeps_its_mode_weights_and_random_state():
    model = models.Drops().train()
    model.net.eval()
    before = torch.random.get_rng_state()
    certificate(model, num_few=4)
    assert model.training
    assert not model.net.training
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_what_cannot_act_is_an_error():
    with pytest.raises(SignatureError):
        ge.certify(nn.Conv2d(1, 1, 3), {"x": torch.randn(4, 1, 6, 6)}, "x: image -> y: image", "SO(3)")


def test_it_has_a_stated_type():
    found = certificate(lambda pos, vel, charge: pos * 2, "SO(2)@z", num_few=4)
    assert isinstance(found, Certificate)
    assert found.angle_profile.at == pytest.approx([math.pi * k / 6 for k in range(1, 7)])
    assert found.measured["parameters"] is None


def test_a_permutation_leak_shows_in_ragged_batches_too():
    """Clouds of 5, 5 and 4 nodes with edges: those of the most frequent size are relabelled."""

    class Leaks(Ragged):
        def forward(self, pos, vel, charge, batch):
            place = torch.arange(len(pos)) - torch.searchsorted(batch, batch)
            return super().forward(pos, vel, charge + 0.1 * place.to(charge).unsqueeze(-1), batch)

    x = {name: value[:14] for name, value in ragged(clouds(6)).items()}
    assert [fault.code for fault in certificate(Leaks(), inputs=x).faults] == ["permutation-leak"]
    fine = certificate(Ragged(), inputs=x)
    assert fine.faults == ()
    assert fine.relabelling.group == "S(5)"
    assert fine.relabelling.num_items == 2


def test_outputs_of_whole_clouds():
    """One energy per cloud of as many channels as nodes, masked: the mask is none of its business."""
    x = {"pos": clouds(6)["pos"], "mask": (torch.arange(5) < 4).expand(6, 5)}

    def energies(pos, mask):
        distance = (pos.unsqueeze(-2) - pos.unsqueeze(-3)).norm(dim=-1) * mask[..., None, :] * mask[..., :, None]
        return distance.sum((-1, -2))[..., None] ** torch.linspace(0.1, 1, 5)

    found = ge.certify(energies, x, "pos: point -> e: scalar*5 per graph", "E(3)", num_samples=4)
    assert found.passed

    def broken(pos, mask):
        return energies(pos, mask) + torch.tensor([0.0, 0, 0, 0, 1]) * pos[..., 0, :1]  # the channel of the masked node

    assert ge.certify(broken, x, "pos: point -> e: scalar*5 per graph", "E(3)", num_samples=4).worst > 1e-3


def test_items_that_see_each_other_are_told():
    x = {"x": clouds(6)["pos"]}
    mixed = ge.certify(lambda x: x + 0.1 * x.norm(), x, "x: scalar -> y: scalar", "Ci")
    assert mixed.faults[0].code == "batch-leak"
    assert ge.certify(lambda x: 2 * x, x, "x: scalar -> y: scalar", "Ci").faults == ()


def test_the_inside_of_a_healthy_layer_is_not_blamed():
    """e3nn's products transform like no type inside; the layer at fault is beside them."""
    from e3nn.o3 import Linear

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.product = Linear("2x1o", "2x1o")
            self.squash = nn.Linear(3, 3)

        def forward(self, x):
            return self.squash(self.product(torch.cat([x, 2 * x], -1))[..., :3])

    found = ge.certify(Net(), {"x": clouds(6)["pos"]}, "x: vector -> y: vector", "SO(3)", num_samples=4)
    assert "The layer 'squash' (Linear) breaks it" in found.diagnosis
    layers = {layer.name: layer for layer in found.lie_derivative.layers}
    assert layers["product"].types_in == ("2x1o",)
    assert layers["product"].largest_own < 1e-5


SIDES = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 2.0, 3.0], [0.0, 2.0, 3.0]])


def parts_of(model, group, nodes=3):
    x = {"x": torch.randn(6, nodes, 3, generator=torch.Generator().manual_seed(0))}
    return ge.certify(model, x, "x: vector -> y: vector", group, steps=2, num_few=4, relabelling=False)


def test_a_reflection_coupled_to_a_permutation_is_measured_with_it():
    """{1, (mirror at x = 0, left ↔ right)}: neither the mirror nor the exchange is an element by itself."""
    exact = parts_of(lambda x: SIDES.expand_as(x), "Cs@x&(0 1)/3")
    assert exact.passed
    assert exact.parts.improper < 1e-6
    assert exact.parts.exchanging == ("improper",)
    assert (exact.parts.relabellings, exact.parts.proper) == (None, None)
    first = torch.tensor([[1.0], [0.0], [0.0]])
    broken = parts_of(lambda x: SIDES + 0.05 * first * x, "Cs@x&(0 1)/3")
    assert 1e-3 < broken.parts.improper < 0.1
    assert [fault.code for fault in broken.faults] == ["unlike-sides"]
    assert broken.diagnosis.startswith("Reflections that permute nodes fail")
    about_x = torch.tensor([1.0, 0.0, 0.0])
    turning = parts_of(lambda x: x * about_x + 0.05 * first * about_x, "SO(2)@x*Cs@x&(0 1)/3")
    assert turning.parts.proper < 1e-6
    assert "Rotations are respected, but reflections that permute nodes are not" in turning.diagnosis


def test_parts_of_other_groups_are_what_they_were():
    """Relabellings that are elements are still measured apart, and a lone mirror says nothing of rotations."""
    product = parts_of(lambda x: x * torch.tensor([[1.0], [2.0], [3.0]]), "O(3)*S(3)")
    assert product.parts.exchanging == ()
    assert max(product.parts.proper, product.parts.improper) < 1e-6
    assert product.parts.relabellings > 0.1
    mirror = parts_of(lambda x: torch.tensor([1.0, 0.0, 0.0]).expand_as(x), "Cs@x")
    assert [fault.code for fault in mirror.faults] == ["handedness"]
    assert mirror.diagnosis.startswith("Reflections fail")


class Choosy(nn.Module):
    """Equivariant, and an error of some class for what it does not like."""

    def __init__(self, error, refuses):
        super().__init__()
        torch.manual_seed(0)
        self.error, self.refuses, self.scale = error, refuses, nn.Linear(1, 1)

    def forward(self, x):
        if self.refuses(x):
            raise self.error
        return x * self.scale(x.norm(dim=-1, keepdim=True))


NOT_32 = lambda x: len(x) != 32  # noqa: E731


@pytest.mark.parametrize("error", [ValueError("float32 only"), RuntimeError(), KeyError("x")], ids=repr)
def test_a_dtype_that_a_model_refuses_is_skipped_whatever_it_raises(error):
    model = Choosy(error, lambda x: x.dtype != torch.float32)
    found = ge.certify(model, {"x": torch.randn(8, 5, 3)}, "x: vector -> y: vector", "SO(3)", steps=1, num_few=4)
    assert found.passed
    assert found.precision.errors["float64"]["skipped"].startswith("the model does not run in float64: ")
    assert type(error).__name__ in str(found)


@pytest.mark.parametrize("group", ["SO(3)", "O"])
def test_what_a_model_refuses_is_skipped_and_nothing_is_raised(group):
    """One that takes 32 items at a time: only what is measured on the whole batch is known."""
    model = Choosy(ValueError("32 only"), NOT_32)
    found = ge.certify(model, {"x": torch.randn(32, 300, 3)}, "x: vector -> y: vector", group, num_samples=3, num_few=4)
    assert found.passed
    for part in ("parts", "angle_profile", "axis_profile", "discovered", "relabelling", "determinism", "precision"):
        assert getattr(found, part) == Skipped("ValueError: 32 only")
    assert isinstance(found.lie_derivative, Skipped)
    assert found.worst_optimised.method == "draws"
    assert found.worst_optimised.note.endswith("on 8 items: ValueError: 32 only")
    json.dumps(found.as_dict(), allow_nan=False)


def test_layers_and_derivatives_that_fail_with_errors_of_their_own():
    """A layer that refuses dual numbers: the derivative is taken by differences, and the report holds all layers."""
    dual = lambda x: torch.autograd.forward_ad.unpack_dual(x).tangent is not None  # noqa: E731
    model = nn.Sequential(Choosy(AssertionError(), dual))
    found = ge.certify(model, {"input": torch.randn(8, 5, 3)}, "input: vector -> y: vector", "SO(3)", steps=1)
    assert found.lie_derivative.method == "finite-difference"
    assert found.lie_derivative.largest < 1e-2


class OffsetEnergy(torch.nn.Module):
    """An energy of MD17's size: −4·10⁵ and a variation of about 5; with ``slope`` it depends on x as well."""

    def __init__(self, slope: float = 0.0) -> None:
        super().__init__()
        self.slope = slope
        self.register_buffer("offset", torch.tensor(-4e5, dtype=torch.float64))

    def forward(self, pos: torch.Tensor) -> torch.Tensor:
        pairs = torch.linalg.vector_norm(pos.unsqueeze(-2) - pos.unsqueeze(-3) + 1e-9, dim=-1)
        energy = pairs.sum((-1, -2)) / 4 + self.slope * pos[..., 0].sum(-1)
        one = torch.nn.functional.normalize(pos[..., 0, :], dim=-1).square().sum(-1)  # up to round-off
        return (energy + self.offset.to(energy) * one).unsqueeze(-1)


ENERGY = "pos: vector -> energy: scalar per graph"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("slope", [1.0, 1e-3])
def test_an_offset_hides_no_dependence_on_orientation(slope, dtype):
    """Beside 4·10⁵ the error is below the tolerance; beside the variation of the energy it is not."""
    x = {"pos": clouds(24, dtype=dtype)["pos"]}
    report = ge.equivariance_error(OffsetEnergy(slope), x, ENERGY, "SO(3)", 32)
    assert report.worst_by_size < 1e-4
    spread = float(OffsetEnergy(slope)(x["pos"]).double().std(correction=0))
    assert report.relative == pytest.approx(report.E_prime / spread, rel=1e-3)
    found = ge.certify(OffsetEnergy(slope), x, ENERGY, "SO(3)", num_few=8, steps=4)
    assert found.verdict == ("broken" if slope == 1.0 else "approximate")
    by_offset = found.errors.worst_by_size <= found.floor["tolerance"]
    assert ("offset" in [fault.code for fault in found.faults]) == by_offset
    with pytest.raises(AssertionError, match="not equivariant to SO"):
        ge.testing.assert_equivariant(OffsetEnergy(slope), x, ENERGY, "SO(3)")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_invariant_energy_with_an_offset_is_exact(dtype):
    """Its round-off is above the tolerance of either dtype beside its variation, and shrinks as round-off does."""
    x = {"pos": clouds(24, dtype=dtype)["pos"]}
    found = ge.certify(OffsetEnergy(), x, ENERGY, "SO(3)", num_few=8, steps=4)
    assert found.verdict == "exact"
    assert found.discovered.largest == ("O(3)",)
    assert [fault.code for fault in found.faults] == ["offset"]
    assert found.relabelling.worst < 1e-8
    ge.testing.assert_equivariant(OffsetEnergy(), x, ENERGY, "SO(3)")


def test_a_small_violation_that_float64_does_not_shrink_is_no_round_off():
    x = {"pos": clouds(24)["pos"]}
    tilted = lambda pos: pos + 1e-6 * pos[..., :1]  # noqa: E731
    found = ge.certify(tilted, x, "pos: vector -> pos: vector", "SO(3)", num_few=8, steps=4)
    assert found.errors.worst < 1e-5
    assert found.verdict == "approximate"
    assert found.faults[0].code == "small-violation"
    assert "not round-off" in found.diagnosis
    given = ge.certify(tilted, x, "pos: vector -> pos: vector", "SO(3)", num_few=8, steps=4, tolerance=1e-5)
    assert given.verdict == "exact"


def test_invariant_parts_of_tensors_and_irreps_count_with_their_spread():
    """A polarizability 10⁴·1 + x xᵀ that is off by 1 along e_z e_zᵀ, as a matrix and as 0e + 2e."""
    from e3nn.io import CartesianTensor

    x = {"pos": clouds(24, dtype=torch.float64)["pos"][:, 0]}
    matrix = lambda pos: (  # noqa: E731
        pos.unsqueeze(-1) * pos.unsqueeze(-2) + torch.diag(torch.tensor([1e4, 1e4, 1e4 + 1])).to(pos)
    )
    basis = CartesianTensor("ij=ji").reduced_tensor_products().change_of_basis.double()
    irreps = lambda pos: torch.einsum("kij,...ij->...k", basis, matrix(pos))  # noqa: E731
    found = [
        ge.equivariance_error(matrix, x, "pos: vector -> a: tensor", "SO(3)", 32),
        ge.equivariance_error(irreps, x, "pos: vector -> a: 1x0e+1x2e", "SO(3)", 32),
    ]
    for report in found:
        assert report.worst_by_size < 1e-3
        assert report.worst > 0.1
    assert found[0].relative == pytest.approx(found[1].relative, rel=1e-6)


def test_constant_outputs_and_single_items_have_no_spread_to_be_measured_against():
    x = {"pos": clouds(24)["pos"]}
    constant = lambda pos: pos.new_full((len(pos), 1), 3.0) + 0 * pos.sum((-1, -2)).unsqueeze(-1)  # noqa: E731
    assert ge.equivariance_error(constant, x, ENERGY, "SO(3)").worst == 0
    one = {"pos": x["pos"][:1]}
    report = ge.equivariance_error(OffsetEnergy(1.0), one, ENERGY, "SO(3)")
    assert report.worst == report.worst_by_size
