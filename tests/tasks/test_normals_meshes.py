"""Meshes of a user's own: every format reads the same, splits are those that are named, faults have file and line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import geoequiv as ge
from geoequiv.errors import ConfigError, DataError
from geoequiv.tasks.data.mesh_files import read_mesh
from geoequiv.tasks.data.mesh_folders import mesh_parts

OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"  # a tetrahedron
SHARED = Path("/work/shared/data/normals/mesh_normals.npz")


def written(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_formats_agree(tmp_path):
    expected = read_mesh(written(tmp_path, "a.obj", OBJ))
    off = "OFF # a tetrahedron\n4 4 6\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
    np.testing.assert_array_equal(read_mesh(written(tmp_path, "a.off", off)), expected)
    trimesh = pytest.importorskip("trimesh", reason=".ply and .stl are read by trimesh")
    mesh = trimesh.Trimesh(expected.reshape(-1, 3), np.arange(12).reshape(-1, 3), process=False)
    for name in ("a.ply", "a.stl"):
        mesh.export(tmp_path / name)
        np.testing.assert_allclose(read_mesh(tmp_path / name), expected)


def test_polygons_are_fans_and_indices_may_be_negative(tmp_path):
    path = written(tmp_path, "a.obj", "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1/1 3//1 -1\n")
    corners = read_mesh(path)
    assert corners[:, :, :2].tolist() == [[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]]


PLANE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.obj", PLANE, "3 vertices and no faces"),
        ("a.obj", PLANE.replace("0 1 0", "0 nan 0") + "f 1 2 3\n", "line 3: a coordinate of the vertex is not finite"),
        ("a.obj", PLANE.replace("1 0 0", "1 x 0") + "f 1 2 3\n", "line 2: expected 3 numbers, got '1 x 0'"),
        ("a.obj", PLANE + "f 1 2 9\n", "line 4: the face names a vertex that does not exist; there are 3"),
        ("a.obj", PLANE + "f 1 2\n", "line 4: a face has three vertices"),
        ("a.obj", PLANE + "f 1 2 two\n", "line 4: expected a whole number, got 'two'"),
        ("a.obj", PLANE + "v 2 0 0\nf 1 2 3\nf 1 2 4\n", "line 6: a face of area 0 has no normal"),
        ("a.obj", PLANE + "v 0 0 1\nv 0 0 -1\nf 1 2 3\nf 1 2 4\nf 1 2 5\n", "line 6: an edge of the face has 3 faces"),
        ("a.obj", PLANE.replace("0 0 0", "1e9 0 0").replace("1 0 0", "1000000001 0 0", 1).replace("0 1 0", "1e9 1 0")
         + "f 1 2 3\n", "Units of shape and place may differ"),
        ("a.off", "3 1 0\n", "line 1: an .off file begins with OFF"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n", "announces 3 vertices and 1 faces, and has 2 lines"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1\n", "line 6: a face has its number of vertices"),
    ],
)  # fmt: skip
def test_faults_have_file_and_line(tmp_path, name, text, message):
    path = written(tmp_path, name, text)
    with pytest.raises(DataError) as error:
        read_mesh(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_damaged_binary_files_are_named(tmp_path):
    pytest.importorskip("trimesh", reason=".ply and .stl are read by trimesh")
    path = tmp_path / "a.ply"
    path.write_bytes(b"ply\nformat ascii 1.0\nelement vertex 3\n")
    with pytest.raises(DataError, match=r"a\.ply"):
        read_mesh(path)


def test_what_is_not_strict_leaves_flat_faces_out(tmp_path):
    path = written(tmp_path, "a.obj", PLANE + "v 2 0 0\nf 1 2 3\nf 1 2 4\n")
    assert len(read_mesh(path, strict=False)) == 1
    fan = written(tmp_path, "b.obj", PLANE + "v 0 0 1\nv 0 0 -1\nf 1 2 3\nf 1 2 4\nf 1 2 5\n")
    assert len(read_mesh(fan, strict=False)) == 3
    flat = written(tmp_path, "c.obj", PLANE + "v 2 0 0\nf 1 2 4\n")
    with pytest.raises(DataError, match="all 1 faces have area 0"):
        read_mesh(flat, strict=False)


def folder_of(tmp_path, names):
    for name in names:
        written(tmp_path, f"{name}.obj", OBJ)
    return tmp_path


def test_splits_by_lists_by_folders_and_by_the_seed(tmp_path):
    names = [f"{k:03d}_512" for k in range(12)]
    folder = folder_of(tmp_path / "abc", names)
    for part, some in (("train", names[:8]), ("test", names[8:10])):
        written(folder, f"splits/abc_512_10k/{part}.json", json.dumps({"scans": {"all": some}}))
    parts = mesh_parts(folder, "abc_512_10k", 0)
    assert [path.stem for path in parts["test"]] == names[8:10]
    assert sorted(path.stem for part in ("train", "val") for path in parts[part]) == names[:8]
    assert len(parts["val"]) == 1
    drawn = mesh_parts(folder, None, 0)
    assert sorted(path.stem for part in drawn.values() for path in part) == names
    with pytest.raises(DataError, match="Did you mean 'abc_512_10k'"):
        mesh_parts(folder, "abc_512_100k", 0)
    written(folder, "splits/abc_512_10k/test.json", json.dumps(["gone"]))
    with pytest.raises(DataError, match=r"1 are not in .*such as 'gone'"):
        mesh_parts(folder, "abc_512_10k", 0)
    named = folder_of(tmp_path / "own", ["train/a", "train/b", "val/c", "test/d"])
    parts = mesh_parts(named, None, 0)
    assert [[path.stem for path in parts[part]] for part in ("train", "val", "test")] == [["a", "b"], ["c"], ["d"]]
    with pytest.raises(DataError, match="holds no mesh"):
        mesh_parts(tmp_path / "abc" / "splits", None, 0)


def test_task_of_a_folder(tmp_path):
    folder = folder_of(tmp_path, ["train/a", "train/b", "val/c", "test/d"])
    task = ge.task("normals/meshes", path=str(folder), points=16, regime="SO(3)/SO(3)")
    assert {name: len(split) for name, split in task.splits.items()} == {"train": 2, "val": 1, "test": 1}
    assert task.protocol.startswith("normals/meshes/")
    assert "SO(3)→SO(3)/2-1-1/points16/sin2" in task.protocol
    with pytest.raises(ConfigError, match="train must lie between 1 and 2"):
        ge.task("normals/meshes", path=str(folder), train=3)


def test_units_do_not_matter(tmp_path):
    small, large = folder_of(tmp_path / "m", "abc"), tmp_path / "mm"
    for path in small.glob("*.obj"):
        written(
            large, path.name, OBJ.replace("1 0 0", "1000 0 0").replace("0 1 0", "0 1000 0").replace("0 0 1", "0 0 1000")
        )
    first, second = (ge.task("normals/meshes", path=str(f), points=16).splits["test"] for f in (small, large))
    torch.testing.assert_close(first.inputs["pos"], second.inputs["pos"])


def stock(tmp_path, **changes):
    generator = np.random.default_rng(0)
    normals = generator.standard_normal((5, 20, 3))
    arrays = {
        "points": generator.standard_normal((5, 20, 3)),
        "normals": normals / np.linalg.norm(normals, axis=-1, keepdims=True),
    }
    path = tmp_path / "stock.npz"
    np.savez(path, **{**arrays, **changes})
    return str(path)


def test_task_of_points_and_normals(tmp_path):
    task = ge.task("normals/meshes", path=stock(tmp_path), points=8)
    assert {name: len(split) for name, split in task.splits.items()} == {
        "train": 3,
        "val": 1,
        "test": 1,
        "test_rotated": 1,
    }
    inputs, targets = task.splits["train"].redraw(torch.Generator().manual_seed(0))
    assert inputs["pos"].shape == targets["normal"].shape == (3, 8, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normals": np.zeros((5, 20, 3))}, "normals have length 1; item 0 has one of 0"),
        ({"normals": np.zeros((5, 20, 2))}, r"must both be \[n, N, 3\]"),
        ({"points": np.full((5, 20, 3), np.nan)}, "'points' is not finite, first in item 0"),
        ({"points": np.zeros((5, 4, 3)), "normals": np.eye(3)[np.zeros((5, 4), dtype=int)]}, "fewer than points=8"),
    ],
)
def test_faults_of_points_are_named(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        ge.task("normals/meshes", path=stock(tmp_path, **changes), points=8)


@pytest.mark.skipif(not SHARED.exists(), reason=f"there is no {SHARED}")
def test_shared_points_read():
    task = ge.task("normals/meshes", path=str(SHARED), points=64)
    assert sum(len(task.splits[name]) for name in ("train", "val", "test")) == 93
