"""A folder of .bvh, .c3d or .amc trials as a task: written here, read back, dealt whole; and all that can be wrong."""

import sys

import numpy as np
import pytest

from geoequiv import catalog
from geoequiv.bench.suite import read_suite
from geoequiv.errors import ConfigError, DataError, GroupError, SignatureError
from geoequiv.models import EGNN
from geoequiv.tasks.data.bvh import read_bvh
from geoequiv.tasks.data.c3d import read_c3d
from geoequiv.tasks.motion_files import trials

BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Thigh
  {
    OFFSET 1 0 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT Shin
    {
      OFFSET 0 -2 0
      CHANNELS 1 Xrotation
      End Site
      {
        OFFSET 0 -3 0
      }
    }
  }
}
MOTION
"""
ASF = """:units
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     name thigh
     direction 0 -1 0
     length 2
     axis 0 0 90 XYZ
     dof rx ry rz
  end
  begin
     name shin
     direction 0 -1 0
     length 3
     axis 0 0 0 XYZ
     dof rx
  end
:hierarchy
  begin
    root thigh
    thigh shin
  end
"""
LABELS = ("LASI", "RASI", "LKNE", "LANK")
SMALL = {"train": 20, "val": 10, "test": 10, "horizon": 5}


def bvh_folder(folder, count=6, frames=40):
    rng = np.random.default_rng(0)
    for k in range(count):
        values = rng.normal(size=(frames, 10)).cumsum(0)
        head = f"{BVH}Frames: {frames}\nFrame Time: 0.008\n"
        rows = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in values)
        (folder / f"walk_{k}.bvh").write_text(head + rows + "\n")


def write_c3d(path, points, labels=LABELS, rate=100.0, unit="mm", unseen=()):
    """points [T, M, 3]; unseen: pairs (frame, marker)."""
    ezc3d = pytest.importorskip("ezc3d")
    file = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [rate]
    file["parameters"]["POINT"]["LABELS"]["value"] = list(labels)
    file["parameters"]["POINT"]["UNITS"]["value"] = [unit]
    values = np.ones((4, points.shape[1], len(points)))
    values[:3] = points.transpose(2, 1, 0)
    residuals = np.zeros((1, points.shape[1], len(points)))
    for frame, marker in unseen:
        residuals[0, marker, frame] = -1
        values[:3, marker, frame] = np.nan
    file["data"]["points"] = values
    file["data"]["meta_points"]["residuals"] = residuals
    file.write(str(path))


def c3d_folder(folder, count=6, frames=40, **options):
    rng = np.random.default_rng(0)
    kept = {}
    for k in range(count):
        kept[f"t{k}"] = 100 * rng.normal(size=(frames, len(LABELS), 3)).cumsum(0)
        write_c3d(folder / f"t{k}.c3d", kept[f"t{k}"], **options)
    return kept


def windows_are_of(task, motions, horizon=5):
    """Every item is a window of one trial, and no trial is in two splits; returns how many trials are used."""
    used = {}
    for name, split in task.splits.items():
        for i in range(len(split)):
            pos = split.inputs["pos"][i].numpy()
            poses = {trial: motion - motion.mean(1, keepdims=True) for trial, motion in motions.items()}
            gaps = {trial: np.abs(each - pos).max((1, 2)) for trial, each in poses.items()}
            trial = min(gaps, key=lambda each: gaps[each].min())
            frame = int(gaps[trial].argmin())
            np.testing.assert_allclose(pos, poses[trial][frame], rtol=1e-4, atol=1e-3)
            step = motions[trial][frame + 1] - motions[trial][frame]
            np.testing.assert_allclose(split.inputs["vel"][i], step, rtol=1e-4, atol=1e-3)
            later = motions[trial][frame + horizon] - motions[trial][frame].mean(0)
            np.testing.assert_allclose(split.targets["pos"][i], later, rtol=1e-4, atol=1e-3)
            np.testing.assert_allclose(task.drawing.paths(name, [i])[0, -1], later, atol=1e-3)
            assert used.setdefault(trial, name) == name
    return len(used)


def test_a_folder_of_bvh_trials(tmp_path):
    bvh_folder(tmp_path)
    task = trials(path=str(tmp_path), dtype="float64", **SMALL)
    motions = {path.stem: read_bvh(path).positions() for path in tmp_path.glob("*.bvh")}
    assert windows_are_of(task, motions) >= 3
    assert str(task.signature) == "pos: point, vel: vector, joint: label*4, bond: adjacency*2 -> pos: point"
    assert task.splits["val"].inputs["bond"][0, ..., 0].sum() == 6
    assert task.symmetry == "SO(2)@y"
    assert task.protocol.startswith(f"mocap/files/{tmp_path.name}/")
    assert task.protocol.endswith("/Δ5/20-10-10/mse")
    assert "125 frames a second" in task.description
    model = task.finished(EGNN(task.model_signature, width=4, depth=1).double())
    assert model(**task.splits["val"].inputs)["pos"].shape == (10, 4, 3)


def test_a_c3d_file_comes_back_as_it_was_written(tmp_path):
    points = 100 * np.random.default_rng(0).normal(size=(9, 4, 3))
    write_c3d(tmp_path / "one.c3d", points, unseen=[(3, 2)])
    markers = read_c3d(tmp_path / "one.c3d")
    assert (markers.names, markers.rate, markers.unit) == (LABELS, 100.0, "mm")
    assert np.argwhere(np.isnan(markers.positions).any(-1)).tolist() == [[3, 2]]
    points[3, 2] = np.nan
    np.testing.assert_allclose(markers.positions, points, rtol=1e-6)  # the format is single precision


def test_a_folder_of_c3d_trials(tmp_path):
    motions = c3d_folder(tmp_path)
    task = trials(path=str(tmp_path), **SMALL)
    assert windows_are_of(task, motions) >= 3
    assert str(task.signature) == "pos: point, vel: vector, joint: label*4 -> pos: point"
    assert task.symmetry == "SO(2)@z"
    assert task.metric.unit == "mm²"
    model = task.finished(EGNN(task.model_signature, width=4, depth=1))
    assert model(**task.splits["val"].inputs)["pos"].shape == (10, 4, 3)
    chosen = trials(
        path=str(tmp_path),
        joints=("LANK", "LKNE", "RASI"),
        bones=(("LKNE", "LANK"),),
        up="y",
        symmetry="SO(3)",
        **SMALL,
    )
    assert windows_are_of(chosen, {name: motion[:, [3, 2, 1]] for name, motion in motions.items()}) >= 3
    assert chosen.splits["test"].inputs["bond"][0, ..., 0].nonzero().tolist() == [[0, 1], [1, 0]]
    assert chosen.symmetry == "SO(3)"
    assert chosen.protocol != task.protocol


def test_a_folder_of_acclaim_trials(tmp_path):
    (tmp_path / "one.asf").write_text(ASF)
    rng = np.random.default_rng(0)
    for k in range(4):
        angles = rng.normal(size=(30, 10)).cumsum(0)
        frames = [
            f"{t + 1}\nroot {' '.join(map(str, row[:6]))}\nthigh {' '.join(map(str, row[6:9]))}\nshin {row[9]}"
            for t, row in enumerate(angles)
        ]
        (tmp_path / f"t{k}.amc").write_text(":DEGREES\n" + "\n".join(frames) + "\n")
    task = trials(path=str(tmp_path), **SMALL)
    assert task.splits["train"].inputs["pos"].shape == (20, 3, 3)
    (tmp_path / "t3.amc").write_text((tmp_path / "t3.amc").read_text().replace("shin", "fin", 1))
    with pytest.raises(DataError, match=r"t3\.amc, line 5: 'fin' is not a joint of this skeleton"):
        trials(path=str(tmp_path), **SMALL)
    (tmp_path / "one.asf").unlink()
    with pytest.raises(DataError, match=r"holds 0 \.asf files beside its \.amc trials: expected one"):
        trials(path=str(tmp_path), **SMALL)


def test_a_suite_names_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    bvh_folder(tmp_path / "mine")
    (tmp_path / "suite.yaml").write_text(
        "name: mine\ntask: {name: mocap/files, path: mine, train: 20, val: 10, test: 10, joints: [Hips, Thigh, Shin],\n"
        "       bones: [[Hips, Thigh], [Thigh, Shin]], up: y}\n"
        "entries: [{model: egnn, symmetry: [none, {augmentation: {group: SO(2)@y}}]}]\n"
    )
    runs = read_suite(tmp_path / "suite.yaml").runs
    assert len(runs) == 2
    options = dict(runs[0].config["task"])
    task = catalog.task(options.pop("name"), **options)
    assert task.splits["test"].inputs["bond"].shape == (10, 3, 3, 2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"horizon": 39}, None, ""),
        ({"horizon": 40}, ConfigError, r"A horizon of 40 frames leaves 0 trials.*longest trial has 40"),
        ({"train": 1000}, ConfigError, "Split 'train' can have at most"),
        ({"up": "w"}, ConfigError, "Unknown axis 'w'"),
        ({"joints": ("Hips", "Thihg")}, DataError, r"walk_0\.bvh: Unknown joint 'Thihg'\. Did you mean 'Thigh'"),
        ({"joints": ("Hips", "Hips")}, ConfigError, "different names"),
        ({"joints": 3}, ConfigError, "a list of different names, at least one; got 3"),
        ({"joints": "Hips"}, ConfigError, "a list of different names, at least one; got 'Hips'"),
        ({"bones": [1]}, ConfigError, "a list of pairs of joints"),
        ({"bones": ("Hips", "Thigh")}, ConfigError, "pairs of different joints, got 'Hips'"),
        ({"path": 2024}, ConfigError, "in quotes if it is a number; got 2024"),
        ({"path": ""}, ConfigError, "path must be a file or a folder"),
        ({"bones": (("Hips", "Tail"),)}, ConfigError, "Unknown joint 'Tail'"),
        ({"bones": (("Hips", "Hips"),)}, ConfigError, "pairs of different joints"),
        ({"symmetry": "SO(2)@w"}, GroupError, "SO"),
        (
            {"symmetry": "SO(2)"},
            SignatureError,
            r"SO\(2\) does not fit the data\. Field 'pos' is a point: .* in 2-space",
        ),
        ({"symmetry": "S(3)"}, SignatureError, r"S\(3\) does not fit the data: it permutes 3 nodes, and 'pos' has 4"),
        ({"path": "nowhere"}, DataError, "There is no nowhere"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, error, message):
    bvh_folder(tmp_path)
    asked = {"path": str(tmp_path), **SMALL, "train": 2, "val": 1, "test": 1, **options}
    if error is None:
        assert len(trials(**asked).splits["train"]) == 2
        return
    with pytest.raises(error, match=message):
        trials(**asked)


def test_trials_that_do_not_fit_together(tmp_path):
    motions = c3d_folder(tmp_path)
    write_c3d(tmp_path / "t3.c3d", motions["t3"], labels=("LASI", "RASI", "LKNE", "LTOE"))
    with pytest.raises(DataError, match=r"t3\.c3d has other joints than t0\.c3d: \['LANK', 'LTOE'\].*joints: \["):
        trials(path=str(tmp_path), **SMALL)
    assert len(trials(path=str(tmp_path), joints=("LASI", "LKNE"), **SMALL).splits["train"]) == 20
    write_c3d(tmp_path / "t3.c3d", motions["t3"], rate=120.0)
    with pytest.raises(DataError, match=r"t3\.c3d has 120 frames a second in mm, t0\.c3d 100 in mm"):
        trials(path=str(tmp_path), **SMALL)
    write_c3d(tmp_path / "t3.c3d", motions["t3"], unseen=[(7, 2), (8, 2)])
    with pytest.raises(DataError, match=r"t3\.c3d: the marker 'LKNE' is missing in 2 of 40 frames, first in frame 7"):
        trials(path=str(tmp_path), **SMALL)
    assert len(trials(path=str(tmp_path), joints=("LASI", "LANK"), **SMALL).splits["train"]) == 20


def test_folders_that_hold_something_else(tmp_path):
    with pytest.raises(DataError, match="holds trials that end with nothing that can be read"):
        trials(path=str(tmp_path))
    bvh_folder(tmp_path, count=1)
    with pytest.raises(DataError, match=r"walk_0\.bvh is no folder"):
        trials(path=str(tmp_path / "walk_0.bvh"))
    (tmp_path / "other.amc").write_text(":DEGREES")
    with pytest.raises(DataError, match=r"end with \.amc, \.bvh: give a folder of one kind"):
        trials(path=str(tmp_path))
    with pytest.raises(DataError, match=r"are for the task mocap/files"):
        catalog.task("files", path=str(tmp_path / "walk_0.bvh"), signature="pos: point -> pos: point")


def test_a_damaged_c3d_file_is_named(tmp_path):
    points = np.zeros((9, 4, 3))
    write_c3d(tmp_path / "one.c3d", points)
    whole = (tmp_path / "one.c3d").read_bytes()
    # ezc3d reads what is cut within the data as a file of fewer frames, and hangs on some cuts within the parameters
    cuts = {200: "does not start", 513: "parameters should", 831: "announces 9", 2000: "announces 9"}
    for length, said in cuts.items():
        (tmp_path / "one.c3d").write_bytes(whole[:length])
        with pytest.raises(DataError, match=rf"one\.c3d cannot be read: .*{said}"):
            read_c3d(tmp_path / "one.c3d")
    (tmp_path / "one.c3d").write_bytes(b"not a c3d file at all" * 40)
    with pytest.raises(DataError, match=r"one\.c3d cannot be read"):
        read_c3d(tmp_path / "one.c3d")
    with pytest.raises(DataError, match=r"There is no .*two\.c3d"):
        read_c3d(tmp_path / "two.c3d")


def test_a_c3d_file_that_ezc3d_crashes_on_is_an_error(tmp_path):
    """The labels have a length of 0: ezc3d ends with a segmentation fault."""
    c3d_folder(tmp_path, count=3)
    whole = (tmp_path / "t1.c3d").read_bytes()
    place = whole.index(b"LABELS") + 9
    (tmp_path / "t1.c3d").write_bytes(whole[:place] + b"\0" + whole[place + 1 :])
    with pytest.raises(DataError, match=r"t1\.c3d cannot be read \(ezc3d crashes on it, signal \d+\)"):
        trials(path=str(tmp_path), **SMALL)


def test_c3d_positions_that_are_infinite_are_refused(tmp_path):
    points = np.zeros((9, 4, 3))
    points[3, 1, 2] = np.inf
    write_c3d(tmp_path / "one.c3d", points)
    with pytest.raises(DataError, match=r"one\.c3d: positions are not finite, first in frame 3"):
        read_c3d(tmp_path / "one.c3d")


def test_without_ezc3d_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ezc3d", None)
    with pytest.raises(DataError, match=r"pip install 'geoequiv\[c3d\]'"):
        read_c3d(tmp_path / "one.c3d")
