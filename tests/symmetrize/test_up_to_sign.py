"""Outputs of type "vector up to sign": parsed, averaged as projectors, compared without their sign."""

import math

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.errors import SignatureError
from geoequiv.fields import FieldType, Layout, Side, projected, projected_side
from geoequiv.groups import group
from geoequiv.metrics.lie_derivative import lie_derivative
from geoequiv.models import EGNN, DeepSets
from geoequiv.objectives.distance import item_distance
from geoequiv.symmetrize.leading import leading_vectors

NORMALS = "pos: point -> normal: vector up to sign"
ORIENTED = "pos: point -> normal: vector"


def net(signature: str = NORMALS, kind: type[nn.Module] = DeepSets) -> nn.Module:
    torch.manual_seed(0)
    return kind(signature, width=8, depth=2).double()


def cloud(items: int = 3, nodes: int = 7) -> torch.Tensor:
    return torch.randn(items, nodes, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class RandomSigns(nn.Module):
    """A model whose signs are a matter of chance: what unsigned losses train."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pos: torch.Tensor) -> torch.Tensor:
        normals = self.model(pos=pos)
        return normals * (2 * torch.randint(0, 2, (*normals.shape[:-1], 1)) - 1)


def same_up_to_sign(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a.unsqueeze(-1) * a.unsqueeze(-2), b.unsqueeze(-1) * b.unsqueeze(-2), atol=1e-9)


@pytest.mark.parametrize("text", ["vector up to sign", "vector*4 up to sign", "vector up to sign per graph"])
def test_parses_and_prints_back(text):
    kind = FieldType.parse(text)
    assert kind.kind == "vector up to sign"
    assert str(kind) == text
    assert FieldType.parse(str(kind)) == kind


def test_other_types_have_signs_and_inputs_too():
    with pytest.raises(SignatureError, match="tensor up to sign"):
        FieldType.parse("tensor up to sign")
    with pytest.raises(SignatureError, match="type of outputs"):
        ge.Signature.parse("n: vector up to sign -> e: scalar")


def test_projectors_by_hand():
    side = Side.parse("n: vector up to sign, s: scalar")
    made = projected({"n": torch.tensor([[0.0, -3.0, 4.0]]), "s": torch.ones(1)}, side)
    expected = torch.tensor([[0, 0, 0], [0, 9, -12], [0, -12, 16]]) / 5
    torch.testing.assert_close(made["n"][0], expected)
    assert made["s"] is not None
    assert str(projected_side(side)) == "n: tensor, s: scalar"
    vector = leading_vectors(made["n"])[0]
    torch.testing.assert_close(vector * vector[2].sign(), torch.tensor([0.0, -3.0, 4.0]))


def test_leading_vector_of_two_directions_is_their_bisector():
    """60° apart: λ₁ = cos² 30° of unit vectors."""
    directions = torch.tensor([[1.0, 0.0, 0.0], [0.5, math.sqrt(0.75), 0.0]])
    found = leading_vectors((directions.unsqueeze(-1) * directions.unsqueeze(-2)).mean(0))
    bisector = torch.tensor([math.cos(math.pi / 6), 0.5, 0.0])
    assert same_up_to_sign(found, 0.75 * bisector)
    assert leading_vectors(torch.full((3, 3), torch.nan)).isnan().all()


@pytest.mark.parametrize("averaged", ["frames", "group"])
def test_average_is_the_naive_loop(averaged):
    model, pos = net(), cloud()
    if averaged == "frames":
        whole = ge.FrameAveraging(model, NORMALS, "O(3)")
        elements = whole.frame({"pos": pos}, "pos: point")[0]
    else:
        whole = ge.GroupAveraging(model, NORMALS, "O")
        elements = whole.group.elements().reshape(24, 1)
    total = torch.zeros(3, 7, 3, 3, dtype=torch.float64)
    for i in range(len(elements)):
        for b in range(3):
            linear = elements.linear[i, b if averaged == "frames" else 0]
            normals = model(pos=(pos[b] @ linear)[None])[0] @ linear.mT
            total[b] += normals.unsqueeze(-1) * normals.unsqueeze(-2) / normals.norm(dim=-1)[:, None, None]
    values, vectors = torch.linalg.eigh(total / len(elements))
    assert same_up_to_sign(whole(pos=pos), values[..., -1:] * vectors[..., -1])


def test_averages_do_not_mind_signs_and_plain_means_do():
    model, pos = net(), cloud()
    expected = ge.FrameAveraging(model, NORMALS, "O(3)")(pos=pos)
    torch.manual_seed(3)
    assert same_up_to_sign(ge.FrameAveraging(RandomSigns(model), NORMALS, "O(3)")(pos=pos), expected)
    mean = ge.FrameAveraging(RandomSigns(model), ORIENTED, "O(3)")(pos=pos)
    assert not same_up_to_sign(mean, ge.FrameAveraging(model, ORIENTED, "O(3)")(pos=pos))


def test_averaging_twice_is_averaging_once_and_chunks_do_not_matter():
    once = ge.FrameAveraging(net(), NORMALS, "O(3)")
    pos = cloud()
    assert same_up_to_sign(ge.FrameAveraging(once, NORMALS, "O(3)")(pos=pos), once(pos=pos))
    assert same_up_to_sign(ge.FrameAveraging(net(), NORMALS, "O(3)", chunk=3)(pos=pos), once(pos=pos))


@pytest.mark.parametrize(
    "signature", ["pos: point -> n: vector*2 up to sign", "pos: point -> n: vector up to sign per graph"]
)
def test_copies_and_graphs_keep_their_shape(signature):
    averaged = ge.FrameAveraging(net(signature), signature, "SO(3)")
    pos = cloud()
    assert averaged(pos=pos).shape == net(signature)(pos=pos).shape
    ge.testing.assert_equivariant(averaged, {"pos": pos}, signature, "SO(3)")


def test_gradients_are_those_of_finite_differences():
    averaged, pos = ge.FrameAveraging(net(), NORMALS, "SO(3)"), cloud(1, 4).requires_grad_()
    square = lambda x: projected({"n": averaged(pos=x)}, Side.parse("n: vector up to sign"))["n"]  # noqa: E731
    assert torch.autograd.gradcheck(square, (pos,), atol=1e-4, rtol=1e-3)


def test_stochastic_frames_pass_one_element_on():
    averaged = ge.FrameAveraging(net(), NORMALS, "O(3)", "stochastic").train()
    torch.manual_seed(0)
    lengths = averaged(pos=cloud()).norm(dim=-1)
    assert lengths.shape == (3, 7)
    assert bool((lengths > 0).all())


class TestErrors:
    """The measurements see no sign, and see everything else."""

    exact = staticmethod(lambda: ge.FrameAveraging(RandomSigns(net(kind=EGNN)), NORMALS, "O(3)"))

    def test_random_signs_of_an_equivariant_model_are_no_error(self):
        model = RandomSigns(net(kind=EGNN))
        for report in (
            ge.equivariance_error(model, {"pos": cloud()}, NORMALS, "O(3)"),
            ge.equivariance_error(self.exact(), {"pos": cloud()}, NORMALS, "O(3)"),
        ):
            assert report.worst < 1e-9
            assert report.E_prime < 1e-9
            assert report.to_average < 1e-9

    def test_with_a_sign_they_are(self):
        report = ge.equivariance_error(RandomSigns(net(kind=EGNN)), {"pos": cloud()}, ORIENTED, "O(3)")
        assert report.relative > 0.5

    def test_a_model_that_is_not_equivariant_fails(self):
        assert ge.equivariance_error(net(), {"pos": cloud()}, NORMALS, "SO(3)").relative > 0.1
        assert ge.invariance_error(net(kind=EGNN), {"pos": cloud()}, NORMALS, "SO(3)").relative > 0.1

    def test_right_angles_by_hand(self):
        """f(x) = e₁ whatever x is: a rotation by 90° about z makes ‖e₁e₁ᵀ − e₂e₂ᵀ‖ = √2 of it."""
        constant = lambda pos: torch.tensor([1.0, 0.0, 0.0], dtype=pos.dtype).expand_as(pos)  # noqa: E731
        report = ge.equivariance_error(constant, {"pos": cloud(2, 1)}, NORMALS, "C4@z")
        assert sorted(report.per_element) == pytest.approx([0.0, 0.0, math.sqrt(2), math.sqrt(2)], abs=1e-9)

    def test_lie_derivatives_and_certificates(self):
        found = lie_derivative(net(kind=EGNN), {"pos": cloud()}, NORMALS, "SO(3)")
        assert found.largest < 1e-9
        assert lie_derivative(net(), {"pos": cloud()}, NORMALS, "SO(3)").largest > 0.05
        certificate = ge.certify(net(kind=EGNN), {"pos": cloud()}, NORMALS, "O(3)", steps=2, layers=False)
        assert certificate.verdict == "exact"
        assert ge.certify(net(), {"pos": cloud()}, NORMALS, "O(3)", steps=2, layers=False).verdict == "broken"

    def test_distance_of_an_objective(self):
        side, layout = Side.parse("n: vector up to sign"), Layout.of({"n": cloud()}, Side.parse("n: vector"))
        one = group("SO(3)").sample(3)
        assert float(item_distance({"n": cloud()}, {"n": -cloud()}, side, one, layout).max()) < 1e-9
        assert float(item_distance({"n": cloud()}, {"n": 2 * cloud()}, side, one, layout).min()) > 0.5
