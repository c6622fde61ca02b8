"""Made solids, points drawn from them, and the task that asks for their normals."""

import numpy as np
import pytest
import torch

import geoequiv as ge
from geoequiv.errors import ConfigError, GeoequivError
from geoequiv.tasks.limit import limited
from geoequiv.tasks.simulation.solids import FAMILIES, make_solids, solid
from geoequiv.tasks.surfaces import PointSets, TriangleMeshes, normalised
from geoequiv.tasks.unoriented import degrees_per_item, sines_per_item, squared_sines, unoriented_loss
from geoequiv.training.data import TaskData
from geoequiv.training.progress import Progress

pytest.importorskip("manifold3d", reason="solids are made by manifold3d")
SIZES = {"train": 8, "val": 2, "test": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def task(folder, **options):
    return ge.task("normals/shapes", data_dir=folder, **{"points": 64, **SIZES, **options})


@pytest.mark.parametrize("item", range(8), ids=list(FAMILIES))
def test_solids_are_closed_and_face_outwards(item):
    """By the divergence theorem: the area vectors of a closed surface add up to 0, its signed volume is positive."""
    a, b, c = solid(0, 0, item).swapaxes(0, 1)
    across = np.cross(b - a, c - a)
    assert np.linalg.norm(across.sum(0)) < 1e-6 * np.linalg.norm(across, axis=1).sum()
    assert (a * across).sum() / 6 > 0.05


def test_solids_are_a_function_of_seed_split_and_item():
    small = make_solids({"train": 3, "val": 1, "test": 1}, 0)
    large = make_solids({"train": 5, "val": 1, "test": 1}, 0)
    count = small["train_counts"].sum()
    np.testing.assert_array_equal(small["train_triangles"], large["train_triangles"][:count])
    assert not np.array_equal(small["val_triangles"][:100], small["test_triangles"][:100])
    assert not np.array_equal(solid(1, 0, 0)[:50], solid(0, 0, 0)[:50])


def two_triangles():
    """A mesh of two triangles of areas 1/2 and 3/2, at right angles."""
    corners = [[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, 0], [0, 0, 1], [3, 0, 0]]]
    single = [[[0, 0, 5], [1, 0, 5], [0, 1, 5]]]
    return TriangleMeshes(torch.tensor(corners + single, dtype=torch.float64), torch.tensor([2, 1]))


def test_points_are_uniform_by_area_and_lie_in_their_triangle():
    points, normals = two_triangles().draw(4000, torch.Generator().manual_seed(0))
    on_second = normals[0, :, 1].abs() > 0.5
    assert float(on_second.double().mean()) == pytest.approx(0.75, abs=3 * (0.75 * 0.25 / 4000) ** 0.5)
    assert bool((points[0, on_second, 1] == 0).all())
    assert bool((points[0, ~on_second, 2] == 0).all())
    assert bool((points[1, :, 2] == 5).all())
    first = points[1, :, :2]
    assert bool((first.sum(1) <= 1).all())
    assert bool((first >= 0).all())
    torch.testing.assert_close(first.mean(0), torch.full((2,), 1 / 3, dtype=torch.float64), atol=0.015, rtol=0)


def test_stocks_of_points_give_different_ones():
    stock = torch.randn(2, 9, 3, dtype=torch.float64)
    points, normals = PointSets(stock, -stock).draw(5, torch.Generator().manual_seed(0))
    assert torch.equal(points, -normals)
    assert all(len(cloud.unique(dim=0)) == 5 for cloud in points)


def test_clouds_are_scaled_as_published_unless_they_are_spheres():
    cloud = torch.tensor([[[1.0, 0, 0], [-1, 0, 0], [0, 3, 0], [0, -3, 0]]])  # distances 1, 1, 3, 3
    torch.testing.assert_close(normalised(cloud + 7), cloud)
    sphere = torch.tensor([[[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]]])
    torch.testing.assert_close(normalised(sphere), 20 * sphere)


def test_squared_sine_by_hand():
    e1, e2 = torch.eye(3)[0], torch.eye(3)[1]
    found = squared_sines(torch.stack([e1, -2 * e1, e2, e1 + e2, 0 * e1]), e1.expand(5, 3))
    torch.testing.assert_close(found, torch.tensor([0, 0, 1, 0.5, 1]), atol=1e-6, rtol=0)
    assert float(unoriented_loss(e1, e1)) == pytest.approx(0, abs=1e-6)
    cloud = {"normal": torch.stack([e1, e1 + e2, e2])[None]}
    assert float(sines_per_item(cloud, {"normal": e1.expand(1, 3, 3)})) == pytest.approx(0.5)
    assert float(degrees_per_item(cloud, {"normal": e1.expand(1, 3, 3)})) == pytest.approx(45, abs=1e-4)


def test_regimes_rotate_what_they_say(folder):
    plain, turned, both = (task(folder, regime=each).splits for each in ("I/I", "I/SO(3)", "SO(3)/SO(3)"))
    assert torch.equal(plain["train"].inputs["pos"], turned["train"].inputs["pos"])
    assert torch.equal(plain["val"].inputs["pos"], turned["val"].inputs["pos"])
    assert torch.equal(plain["test_rotated"].inputs["pos"], turned["test"].inputs["pos"])
    assert torch.equal(turned["test"].inputs["pos"], both["test"].inputs["pos"])
    assert "test_rotated" not in both
    for splits, split, aligned in ((plain, "test", True), (turned, "test", False), (both, "train", False)):
        share = float((splits[split].targets["normal"].abs().amax(-1) > 1 - 1e-6).double().mean())
        assert (share > 0.3) == aligned, (split, share)  # faces along the axes of coordinates
    lengths = [each["test"].inputs["pos"].norm(dim=-1) for each in (plain, turned)]
    torch.testing.assert_close(*lengths)


def test_protocols_say_what_departs(folder):
    assert task(folder).protocol == "normals/shapes/I→I/8-2-2/points64/sin2"
    published = task(folder, regime="SO(3)/SO(3)", select="test", seed=3)
    assert published.protocol == "normals/shapes/SO(3)→SO(3)/8-2-2/points64/sin2/best-on-test/seed3"
    assert "best of many" in published.description
    assert torch.equal(published.splits["val"].inputs["pos"], published.splits["test"].inputs["pos"])
    with pytest.raises(ConfigError, match="Did you mean 'I/SO"):
        task(folder, regime="I/SO3")
    with pytest.raises(GeoequivError, match="points"):
        task(folder, points=0)


def test_training_draws_new_points_in_every_epoch_and_the_same_again(folder):
    split, progress = task(folder).splits["train"], Progress()
    data = TaskData(split, 4, 0, progress, torch.device("cpu"))
    index = torch.arange(8)
    first = data.select(index)[0]["pos"]
    assert torch.equal(first, data.select(index)[0]["pos"])
    progress.epoch = 1
    second = data.select(index)[0]["pos"]
    assert not torch.equal(first, second)
    resumed = TaskData(split, 4, 0, progress, torch.device("cpu"))
    assert torch.equal(second, resumed.select(index)[0]["pos"])


def test_a_quick_look_draws_fewer(folder):
    few = limited(task(folder), 3).splits["train"]
    inputs, targets = few.redraw(torch.Generator().manual_seed(0))
    assert len(inputs["pos"]) == len(targets["normal"]) == 3
    whole = task(folder).splits["train"].redraw(torch.Generator().manual_seed(0))
    assert torch.equal(inputs["pos"], whole[0]["pos"][:3])
