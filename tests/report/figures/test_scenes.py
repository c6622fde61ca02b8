"""Scenes: the right items, the right places, and what is drawn of them."""

import math

import numpy as np
import pytest
import torch

from geoequiv.errors import DataError
from geoequiv.fields import Signature
from geoequiv.groups import Element
from geoequiv.report.figures.camera import Camera, flat_view, plane_view, rotation, upright_view
from geoequiv.report.figures.predictions import drawable, extremes, predictions
from geoequiv.report.figures.scene import Scene
from geoequiv.tasks import Metric, Split, Task
from geoequiv.tasks.data.elements import bonded_pairs
from geoequiv.tasks.drawing import Drawing, recorded_paths

NODES = 4
QUARTER = Element(torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64))
RNG = np.random.default_rng(0)


class Drift(torch.nn.Module):
    """x + v, plus a push along x that no rotation turns."""

    def __init__(self, push=0.0):
        super().__init__()
        self.push = push

    def forward(self, pos, vel, **others):
        return pos + vel + self.push * torch.eye(pos.shape[-1])[0]


class Pull(torch.nn.Module):
    def forward(self, pos, **others):
        return -pos


def task(items=5, dim=3, signature="pos: point, vel: vector -> pos: point", drawing=None, **more):
    """Item i is wrong by i + 1 in the first coordinate of its first node, if the model is Drift."""
    generator = torch.Generator().manual_seed(0)
    pos, vel = torch.randn(2, items, NODES, dim, generator=generator)
    target = pos + vel
    target[:, 0, 0] += torch.arange(1.0, items + 1)[torch.tensor([2, 0, 4, 1, 3])[:items]]
    split = Split({"pos": pos, "vel": vel, **more}, {"pos": target, "force": target})
    return Task(
        name="made", protocol="made", description="", signature=Signature.parse(signature), symmetry=f"E({dim})",
        splits=dict.fromkeys(("train", "val", "test"), split), loss=torch.nn.functional.mse_loss,
        metric=Metric("mse", "", "lower", lambda p, t: sum((p[k] - t[k]).square().flatten(1).mean(1) for k in p)),
        references=(), checksum="", citation="", drawing=drawing or Drawing(),
    )  # fmt: skip


def test_best_median_and_worst():
    scenes = predictions(task(), Drift())
    assert [scene.title for scene in scenes] == ["best · item 1", "median · item 0", "worst · item 2"]
    assert extremes(torch.tensor([3.0, 1.0, 2.0]), "higher") == ([0, 2, 1], ["best", "median", "worst"])
    assert extremes(torch.tensor([3.0, 1.0]), "lower") == ([1, 0], ["best", "worst"])
    assert extremes(torch.tensor([3.0]), "lower") == ([0], ["best"])


def test_a_scene_holds_what_was_asked_for_in_units_of_length():
    made = task(drawing=Drawing(unit="cm", length=5.0))
    (scene,) = predictions(made, Drift(), items=[4])
    split = made.splits["test"]
    centre = split.targets["pos"][4].mean(0)
    for found, expected in ((scene.start, split.inputs["pos"][4]), (scene.true, split.targets["pos"][4]),
                            (scene.predicted, split.inputs["pos"][4] + split.inputs["vel"][4])):  # fmt: skip
        np.testing.assert_allclose(found, 5.0 * (expected - centre).double(), atol=1e-5)
    assert scene.title == "item 4"
    assert scene.caption == "mse 1.3, off by 5 cm"  # 4² over 12 coordinates; 4 at one of 4 nodes, times 5 cm
    assert scene.transformed is None


def test_the_prediction_transformed_back_shows_the_equivariance_error():
    for push, apart in ((0.0, 0.0), (0.5, 0.5 * math.sqrt(2))):  # x − R⁻¹x of a push along x, for a rotation by 90°
        (scene,) = predictions(task(), Drift(push), items=[0], transform=QUARTER)
        np.testing.assert_allclose(np.linalg.norm(scene.transformed - scene.predicted, axis=1), apart, atol=1e-5)


def test_padding_planes_and_features():
    mask = torch.ones(5, NODES, dtype=torch.bool)
    mask[:, 3] = False
    species = torch.eye(2)[[0, 1, 1, 0]].expand(5, NODES, 2)
    mass = torch.tensor([8.0, 1.0, 1.0, 0.0])[:, None].expand(5, NODES, 1)
    drawing = Drawing("molecule", elements=(1, 8), size="mass", sign="mass")
    made = task(dim=2, drawing=drawing, mask=mask, species=species, mass=mass)
    (scene,) = predictions(made, Drift(), items=[0])
    assert scene.flat
    assert scene.true.shape == (3, 3)
    assert (scene.true[:, 2] == 0).all()
    assert scene.elements == (1, 8, 8)
    np.testing.assert_allclose(scene.sizes, [1.5, 0.75, 0.75])
    assert scene.signs.tolist() == [1, 1, 1]


def test_bonds_are_the_tasks_own_or_near_atoms():
    bond = torch.zeros(5, NODES, NODES, 2)
    bond[:, 0, 1, 0] = bond[:, 1, 0, 0] = bond[:, 2, 3, 1] = 1  # the second relation is two bonds apart
    (scene,) = predictions(task(drawing=Drawing("skeleton", "bond"), bond=bond), Drift(), items=[0])
    assert scene.edges.tolist() == [[0, 1]]
    water = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    assert bonded_pairs(water, (8, 1, 1)).tolist() == [[0, 1], [0, 2]]


def test_vectors_are_arrows_at_the_input():
    made = task(signature="pos: point -> force: vector", drawing=Drawing(length=2.0, arrow_unit="N"))
    (scene,) = predictions(made, Pull(), items=[0])
    pos = made.splits["test"].inputs["pos"][0].double().numpy()
    assert scene.quantity == "arrows"
    np.testing.assert_allclose(scene.predicted, -pos, atol=1e-6)  # as they are: no length, no centre
    np.testing.assert_allclose(scene.start, 2.0 * (pos - pos.mean(0)), atol=1e-6)


@pytest.mark.parametrize(
    "signature",
    [
        "pos: point -> energy: scalar per graph",
        "vel: vector -> pos: point",
        "pos: point -> pos: point*2",
        "pos: point -> middle: point per graph",
    ],
)
def test_a_task_with_nothing_in_space(signature):
    with pytest.raises(DataError, match="Nothing to draw in"):
        drawable(Signature.parse(signature))


@pytest.mark.parametrize("item", [5, -1])
def test_an_item_out_of_range(item):
    with pytest.raises(DataError, match=f"no item {item} in split 'test': it has 5, 0 to 4"):
        predictions(task(), Drift(), items=[0, item])


def test_an_unknown_split():
    with pytest.raises(DataError, match="Did you mean 'test'"):
        predictions(task(), Drift(), split="tests")


def test_paths_are_centred_like_the_rest():
    path = np.zeros((1, 3, NODES, 3)) + np.arange(3.0)[:, None, None]
    made = task(drawing=Drawing(length=2.0, paths=lambda split, items: path))
    (scene,) = predictions(made, Drift(), items=[0])
    centre = made.splits["test"].targets["pos"][0].mean(0).double().numpy()
    np.testing.assert_allclose(scene.path[1], 2.0 * (np.ones((NODES, 3)) - centre), atol=1e-5)
    np.testing.assert_array_equal(scene.at(0.0), scene.path[0])
    np.testing.assert_array_equal(scene.at(0.5), scene.path[1])
    np.testing.assert_array_equal(scene.at(1.0), scene.true)


def test_recorded_paths_follow_the_order_of_the_items():
    trials = {"a": RNG.normal(size=(9, 2, 3)), "b": RNG.normal(size=(9, 2, 3))}
    starts = {"test": {"b": np.array([3, 0]), "a": np.array([5])}}
    found = recorded_paths(trials, starts, 2)("test", [2, 0])
    np.testing.assert_array_equal(found, np.stack([trials["a"][5:8], trials["b"][3:6]]))


def test_views_are_rotations_that_show_most():
    cloud = RNG.normal(size=(50, 3)) @ np.diag([0.1, 3.0, 1.0])
    travel = np.array([1.0, 0.5, -2.0])
    for camera in (flat_view(cloud), upright_view(travel, 1), upright_view(np.zeros(3), 2), plane_view(),
                   upright_view(travel, 0).rotated(1.0)):  # fmt: skip
        np.testing.assert_allclose(camera.axes @ camera.axes.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(camera.axes) == pytest.approx(1)
    spread = flat_view(cloud).project(cloud).std(axis=0)
    assert spread[0] > spread[1] > spread[2]
    seen = upright_view(travel, 1).project(np.stack([travel, np.eye(3)[1]]))
    assert seen[0, 0] > 1.5 * abs(seen[0, 2])  # goes to the right
    assert seen[1, 1] > 0.95  # and up is up
    assert abs(seen[1, 0]) < 1e-12


def test_a_full_turn_is_none():
    view = upright_view(np.array([1.0, 0, 0]), 1)
    np.testing.assert_allclose(view.rotated(2 * math.pi, np.eye(3)[1]).axes, view.axes, atol=1e-12)
    np.testing.assert_allclose(rotation(np.eye(3)[2], math.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    half = Camera(np.eye(3)).rotated(math.pi).project(np.array([1.0, 2.0, 0.0]))
    np.testing.assert_allclose(half, [-1, 2, 0], atol=1e-12)


def test_arrows_need_no_room_of_their_own():
    scene = Scene("", "", "molecule", "arrows", np.zeros((1, 3)), np.full((1, 3), 99.0), np.zeros((1, 3)))
    assert np.abs(scene.everything).max() == 0
