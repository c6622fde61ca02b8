"""The assertions that users put in their own suites: silent on what is right, telling on what is wrong."""

from dataclasses import dataclass, replace

import pytest
import torch

import geoequiv as ge
from geoequiv.groups import Element
from geoequiv.groups.finite import ListedGroup
from geoequiv.symmetrize import FRAMES, Frame
from geoequiv.symmetrize.frames import GroupFrame
from geoequiv.testing import TOLERANCES, assert_equivariant, assert_frame_laws, assert_group_axioms

X = {"x": torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)}
POS = {"pos": 3 + X["x"], "vel": X["x"].flip(0)}
SIGNATURE = "pos: point, vel: vector -> pos: point"
GROUPS = [
    "SO(2)", "O(2)", "SO(3)", "O(3)", "T(3)", "SE(3)", "E(3)", "SO(2)@y", "O(2)@(1,2,0)", "Oh", "I", "D3d", "S4",
    "C4@plane", "flip", "S(4)", "SO(3)*S(5)", "C2*SO(2)@y",
]  # fmt: skip


def test_an_equivariant_model_passes_and_gives_the_report():
    report = assert_equivariant(lambda x: 2 * x, X, "x: vector -> y: vector", "O(3)")
    assert report.worst < 1e-14
    assert TOLERANCES["float64"] == 1e-10


def test_the_message_names_output_element_and_size():
    """y = x + e_z, s = ‖x‖: y is off, s is fine; C2 about x reverses e_z."""
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    model = lambda x: (x + up, x.norm(dim=-1, keepdim=True))  # noqa: E731
    with pytest.raises(AssertionError) as caught:
        assert_equivariant(model, X, "x: vector -> y: vector, s: scalar", "C2@x")
    said = str(caught.value)
    assert "not equivariant to C2@x: worst relative error" in said
    assert "worst element: rotation by 180.0° about (1, 0, 0) (number 1), on item" in said
    assert "output 'y' (vector) is off: ‖f(gx) − g f(x)‖ = 4.00e+00" in said  # 2 at each of 4 nodes
    assert "output 's' (scalar) is fine" in said


def test_the_message_tells_the_very_element_that_was_drawn():
    draws = torch.Generator().manual_seed(5)
    with pytest.raises(AssertionError) as caught:
        assert_equivariant(lambda pos, vel: pos.flip(-2) * 2, POS, SIGNATURE, "T(3)", num_samples=3, generator=draws)
    report = ge.equivariance_error(
        lambda pos, vel: pos.flip(-2) * 2, POS, SIGNATURE, "T(3)", 3, torch.Generator().manual_seed(5)
    )
    element = ge.group("T(3)").sample(3, generator=torch.Generator().manual_seed(5))[report.worst_element]
    assert f"(length {float(element.translation.norm()):.3g})" in str(caught.value)
    with pytest.raises(AssertionError, match="relabelling of nodes"):
        assert_equivariant(lambda x: x[..., :1, :].expand_as(x), X, "x: vector -> y: vector", "S(4)")


def test_tolerance_is_that_of_the_dtype_or_given():
    noisy = lambda x: x * (1 + 1e-6 * x[..., :1].sign())  # noqa: E731
    single = {"x": X["x"].float()}
    assert_equivariant(noisy, single, "x: vector -> y: vector", "SO(3)")
    with pytest.raises(AssertionError):
        assert_equivariant(noisy, X, "x: vector -> y: vector", "SO(3)")
    assert_equivariant(noisy, X, "x: vector -> y: vector", "SO(3)", tolerance=1e-4)


@pytest.mark.parametrize("name", GROUPS)
def test_groups_keep_the_axioms(name):
    assert_group_axioms(name)


@dataclass(frozen=True)
class NotClosed(ListedGroup):
    """Two rotations by 90° and the identity: no group."""

    def _matrices(self):
        turns = ge.group("C4@plane").elements().linear
        return turns[[0, 1, 3]]


@dataclass(frozen=True)
class Doubled(ListedGroup):
    """The identity twice."""

    def _matrices(self):
        return torch.eye(2, dtype=torch.float64).repeat(2, 1, 1)


@dataclass(frozen=True)
class LateIdentity(ListedGroup):
    """A group whose list does not begin with the identity."""

    def _matrices(self):
        return ge.group("C4@plane").elements().linear.roll(1, 0)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (NotClosed("broken", 2), "product of two draws does not belong"),
        (Doubled("broken", 2), "listed 2 times"),
        (LateIdentity("broken", 2), "first element listed is rotation"),
    ],
)
def test_what_is_no_group_is_told(broken, message):
    with pytest.raises(AssertionError, match=message):
        assert_group_axioms(broken)


@pytest.mark.parametrize("name", [name for name in FRAMES if name != "sorting"])
@pytest.mark.parametrize("group", ["SO(3)", "O(3)", "SE(3)", "E(3)"])
def test_frames_keep_their_laws(name, group):
    torch.manual_seed(0)
    frame = ge.FrameAveraging(torch.nn.Identity(), SIGNATURE, group, name).double().frame
    assert_frame_laws(frame, POS, SIGNATURE, tolerance=1e-6)


def test_frames_of_relabellings_keep_their_laws():
    assert_frame_laws(FRAMES["sorting"](ge.group("S(4)")), {"x": X["x"]}, "x: node -> y: node")


def test_frames_in_ragged_batches_and_of_finite_groups():
    flat = {name: value.flatten(0, 1) for name, value in POS.items()} | {"batch": torch.arange(6).repeat_interleave(4)}
    assert_frame_laws(FRAMES["pca"](ge.group("E(3)")), flat, SIGNATURE)
    assert_frame_laws(GroupFrame(ge.group("Oh")), POS, "pos: vector, vel: vector -> pos: vector")


@dataclass(frozen=True)
class Spoilt(Frame):
    """Principal axes, with something wrong."""

    fault: str = ""

    def __call__(self, fields, side, layout, *, training=False):
        elements, _ = FRAMES["pca"](self.group)(fields, side, layout)
        weights = torch.full(elements.shape, 1 / len(elements), dtype=torch.float64)
        if self.fault == "weights":
            weights = 2 * weights
        if self.fault == "one":
            elements, weights = elements[:1], torch.ones(1, *elements.shape[1:], dtype=torch.float64)
        if self.fault == "uneven":
            weights = weights * torch.linspace(0.5, 1.5, len(elements)).double()[:, None]
        if self.fault == "centre":
            elements = replace(elements, translation=0 * elements.translation)
        if self.fault == "outside":
            elements = Element(1.1 * elements.linear, elements.translation)
        return elements, weights


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("weights", "add up to one"),
        ("one", r"F\(gx\) = g F\(x\) fails"),
        ("uneven", r"F\(gx\) = g F\(x\) fails"),
        ("centre", r"F\(gx\) = g F\(x\) fails"),
        ("outside", r"is not in E\(3\)"),
    ],
)
def test_what_is_no_frame_is_told(fault, message):
    assert_frame_laws(Spoilt(ge.group("E(3)")), POS, SIGNATURE)
    with pytest.raises(AssertionError, match=message):
        assert_frame_laws(Spoilt(ge.group("E(3)"), fault), POS, SIGNATURE)
