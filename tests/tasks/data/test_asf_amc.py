"""Acclaim files: a skeleton of three bones worked out by hand, and what is said of broken files."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from geoequiv.errors import DataError
from geoequiv.tasks.data.asf_amc import Reader, frames_at_once, frames_by_line, read_amc, read_asf
from geoequiv.tasks.data.skeleton import Skeleton, forward_kinematics

ASF = """# a comment
:version 1.10
:units
  length 0.5
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name thigh
     direction 0 -1 0
     length 2
     axis 0 0 90 XYZ
     dof rx ry rz
     limits (-160.0 20.0)
            (-70.0 70.0)
            (-60.0 70.0)
  end
  begin
     id 2
     name shin
     direction 0 -1 0
     length 3
     axis 0 0 0 XYZ
     dof rx
  end
  begin
     id 3
     name hip
     direction 1 0 0
     length 1
     axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root thigh hip
    thigh shin
  end
"""
AMC = """:FULLY-SPECIFIED
:DEGREES
7
root 1 2 3 0 0 0
thigh 0 0 0
shin 0
8
root 0 0 0 0 90 0
thigh 90 0 0
shin 90
"""


@pytest.fixture
def skeleton(tmp_path):
    return read_asf(write(tmp_path / "one.asf", ASF))


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_skeleton_by_hand(skeleton):
    assert skeleton.names == ("root", "thigh", "shin", "hip")
    assert skeleton.parents == (-1, 0, 1, 0)
    assert skeleton.edges.tolist() == [[1, 0], [2, 1], [3, 0]]
    assert skeleton.dofs == (("tx", "ty", "tz", "rx", "ry", "rz"), ("rx", "ry", "rz"), ("rx",), ())
    np.testing.assert_allclose(skeleton.lengths, [2, 3, 1])
    assert skeleton.unit == pytest.approx(0.0508)  # 0.5 to the inch: one unit is 2 inches


def test_motion_by_hand(tmp_path, skeleton):
    """Frame 0 is at rest, moved. In frame 1 the root turns by 90° about y, which takes x to −z; the thigh turns by 90°
    about its own x axis, which is the world's y axis, so that it stays upright; the shin bends by 90° about the x axis
    of a frame turned by y twice: from −y it goes to … −z turned by 180° about y, +z."""
    motion = read_amc(write(tmp_path / "one.amc", AMC), skeleton)
    assert motion["root"].shape == (2, 6)
    assert motion["thigh"][1].tolist() == pytest.approx([np.pi / 2, 0, 0])
    places = forward_kinematics(skeleton, motion)
    np.testing.assert_allclose(places[0], [[1, 2, 3], [1, 0, 3], [1, -3, 3], [2, 2, 3]], atol=1e-14)
    np.testing.assert_allclose(places[1], [[0, 0, 0], [0, -2, 0], [0, -2, 3], [0, 0, -1]], atol=1e-14)


def test_all_frames_at_once_are_the_frames_one_by_one(skeleton):
    rng = np.random.default_rng(0)
    motion = {"root": rng.normal(size=(9, 6)), "thigh": rng.normal(size=(9, 3)), "shin": rng.normal(size=(9, 1))}
    together = forward_kinematics(skeleton, motion)
    for t in range(9):
        moved = Rotation.from_euler("xyz", motion["root"][t, 3:])
        thigh = moved * Rotation.from_euler("z", 90, degrees=True) * Rotation.from_euler("xyz", motion["thigh"][t])
        thigh = thigh * Rotation.from_euler("z", -90, degrees=True)
        knee = motion["root"][t, :3] + thigh.apply([0, -2, 0])
        foot = knee + (thigh * Rotation.from_euler("x", motion["shin"][t, 0])).apply([0, -3, 0])
        np.testing.assert_allclose(together[t, 1:3], [knee, foot], atol=1e-12)
    bones = np.linalg.norm(together[:, skeleton.edges[:, 0]] - together[:, skeleton.edges[:, 1]], axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(skeleton.lengths, bones.shape), atol=1e-12)


def drawn_skeleton(rng, joints):
    """A tree at random, with axes at random and channels in any order, some of them missing."""
    axes = Rotation.random(joints, random_state=int(rng.integers(2**31))).as_matrix().reshape(joints, 3, 3)
    channels = [tuple(rng.permutation(["rx", "ry", "rz"])[: rng.integers(4)].tolist()) for _ in range(joints)]
    channels[0] = tuple(rng.permutation(["tx", "ty", "tz", "rx", "ry", "rz"]).tolist())
    parents = (-1, *(int(rng.integers(joint)) for joint in range(1, joints)))
    names = tuple(f"j{joint}" for joint in range(joints))
    return Skeleton(names, parents, rng.normal(size=(joints, 3)), axes, tuple(channels), rng.normal(size=3))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), joints=st.integers(1, 12), frames=st.integers(1, 5))
def test_forward_kinematics_is_the_loop(loops, seed, joints, frames):
    rng = np.random.default_rng(seed)
    skeleton = drawn_skeleton(rng, joints)
    still = set(skeleton.names[1:]) & {f"j{k}" for k in rng.integers(1, 13, size=3)}
    motion = {
        name: 3 * rng.normal(size=(frames, len(dofs)))
        for name, dofs in zip(skeleton.names, skeleton.dofs, strict=True)
        if dofs and name not in still
    }
    np.testing.assert_allclose(forward_kinematics(skeleton, motion), loops(skeleton, motion), atol=1e-12)


def test_blocks_of_frames_join(loops, monkeypatch):
    monkeypatch.setattr("geoequiv.tasks.data.skeleton.BLOCK", 4)
    rng = np.random.default_rng(1)
    skeleton = drawn_skeleton(rng, 6)
    motion = {name: rng.normal(size=(10, len(dofs))) for name, dofs in zip(skeleton.names, skeleton.dofs, strict=True)}
    np.testing.assert_allclose(forward_kinematics(skeleton, motion), loops(skeleton, motion), atol=1e-12)


def test_both_ways_of_reading_give_the_same(tmp_path, skeleton):
    counts = {name: len(dofs) for name, dofs in zip(skeleton.names, skeleton.dofs, strict=True) if dofs}
    reader = Reader(write(tmp_path / "one.amc", AMC))
    (fast, flags), (slow, too) = frames_at_once(reader.lines, counts), frames_by_line(reader, counts)
    assert flags == too == {":FULLY-SPECIFIED", ":DEGREES"}
    assert list(fast) == list(slow)
    assert all((fast[name] == slow[name]).all() for name in slow)
    commented = AMC.replace("thigh 90 0 0", "thigh 90 0 0  # bent")
    assert frames_at_once(commented.splitlines(), counts) is None
    assert read_amc(write(tmp_path / "two.amc", commented), skeleton)["thigh"].shape == (2, 3)


# joints that change places between frames are read line by line, the slower way
@pytest.mark.parametrize("motion", [AMC, AMC.replace("thigh 90 0 0\nshin 90\n", "shin 90\nthigh 90 0 0\n")])
def test_angles_are_in_the_unit_of_the_motion_or_of_its_skeleton(tmp_path, skeleton, motion):
    """Here the skeleton's is degrees."""
    in_radians = read_asf(write(tmp_path / "rad.asf", ASF.replace("angle deg", "angle rad")))
    for flag, of, expected in (
        (":DEGREES\n", skeleton, np.pi / 2), (":RADIANS\n", skeleton, 90), ("", skeleton, np.pi / 2),
        (":DEGREES\n", in_radians, np.pi / 2), (":RADIANS\n", in_radians, 90), ("", in_radians, 90),
    ):  # fmt: skip
        text = motion.replace(":DEGREES\n", flag)
        assert read_amc(write(tmp_path / "one.amc", text), of)["shin"][1, 0] == expected


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("thigh 90 0 0", "thigh 90 0", r"broken.amc, line 9: The channels of 'thigh': expected 3 finite numbers"),
        ("thigh 90 0 0", "thigh 90 0 x", r"line 9: The channels of 'thigh' must be numbers"),
        ("thigh 90 0 0", "thigh 90 nan 0", r"line 9: .*finite"),
        ("thigh 90 0 0", "knee 90", r"line 9: 'knee' is not a joint of this skeleton that has channels"),
        ("thigh 90 0 0", "shin 90", r"line 10: 'shin' stands twice in frame 8"),
        ("shin 0\n8", "8", r"line 6: the frame before this line lacks shin"),
        ("\n8\n", "\n9\n", r"frame 9 follows frame 7"),
        ("7\n", "", r"line 3: expected a frame number"),
        (AMC, ":DEGREES\n", "the file has no frames"),
    ],
)
def test_broken_motions_are_named_with_file_and_line(tmp_path, skeleton, old, new, message):
    with pytest.raises(DataError, match=message):
        read_amc(write(tmp_path / "broken.amc", AMC.replace(old, new, 1)), skeleton)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("length 2", "length two", r"broken.asf, line 16: A length must be numbers"),
        ("axis 0 0 90 XYZ", "axis 0 0 90 XYY", "line 17: an axis ends with the order of its rotations"),
        ("dof rx\n", "dof rw\n", "a degree of freedom is one of"),
        ("thigh shin", "shank shin", "gives the bone 'shin' no known parent: 'shank'"),
        ("     direction 1 0 0\n", "", "the bone 'hip' has no direction"),
        ("angle deg", "angle grad", "must be 'deg' or 'rad'"),
        ("order TX TY TZ RX RY RZ", "order TX TY TZ", "the root's order must name"),
        ("name hip", "name thigh", "bones of different names"),
        ("     limits (-160.0 20.0)", "     colour red", "'colour' is not a property of a bone"),
    ],
)
def test_broken_skeletons_are_named_with_file_and_line(tmp_path, old, new, message):
    with pytest.raises(DataError, match=message):
        read_asf(write(tmp_path / "broken.asf", ASF.replace(old, new, 1)))


def test_what_is_not_there_or_not_text(tmp_path):
    with pytest.raises(DataError, match=r"none\.asf cannot be read"):
        read_asf(tmp_path / "none.asf")
    (tmp_path / "binary.asf").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match=r"binary\.asf cannot be read as text"):
        read_asf(tmp_path / "binary.asf")


def test_motions_fit_the_skeleton(skeleton):
    with pytest.raises(DataError, match="a joint 'tail' that the skeleton does not have"):
        forward_kinematics(skeleton, {"tail": np.zeros((2, 3))})
    with pytest.raises(DataError, match=r"'thigh' has shape \(2, 2\), expected \(2, 3\)"):
        forward_kinematics(skeleton, {"thigh": np.zeros((2, 2))})
    with pytest.raises(DataError, match="must follow their parents"):
        Skeleton(("a", "b"), (1, -1), np.zeros((2, 3)), np.zeros((2, 3, 3)), ((), ()), np.zeros(3))
    with pytest.raises(DataError, match="'b' has the translations tx: only the root may translate"):
        Skeleton(("a", "b"), (-1, 0), np.zeros((2, 3)), np.zeros((2, 3, 3)), ((), ("tx",)), np.zeros(3))
    with pytest.raises(DataError, match="'a' has a channel twice: rx, rx"):
        Skeleton(("a",), (-1,), np.zeros((1, 3)), np.zeros((1, 3, 3)), (("rx", "rx"),), np.zeros(3))


def test_real_walk():
    """Subject 35 where its files are at hand: feet below hips below head, and bones as long as the skeleton says."""
    folder = Path(os.environ.get("GEOEQUIV_DATA", "")) / "mocap" / "cmu_35"
    if not (folder / "35.asf").is_file():
        pytest.skip("needs GEOEQUIV_DATA/mocap/cmu_35/35.asf from mocap.cs.cmu.edu")
    skeleton = read_asf(folder / "35.asf")
    places = forward_kinematics(skeleton, read_amc(sorted(folder.glob("35_*.amc"))[0], skeleton))
    bones = np.linalg.norm(places[:, skeleton.edges[:, 0]] - places[:, skeleton.edges[:, 1]], axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(skeleton.lengths, bones.shape), atol=1e-10)
    up = {name: places[:, skeleton.names.index(name), 1] for name in ("root", "head", "lfoot", "rfoot")}
    assert (up["lfoot"] < up["root"]).all()
    assert (up["rfoot"] < up["root"]).all()
    assert (up["root"] < up["head"]).all()


@pytest.mark.parametrize("number", ["9" * 5000, "²"])
def test_frame_numbers_that_are_none(tmp_path, skeleton, number):
    path = write(tmp_path / "one.amc", AMC.replace("\n8\n", f"\n{number}\n"))
    with pytest.raises(DataError, match=r"one\.amc, line 7"):
        read_amc(path, skeleton)


@pytest.mark.parametrize("length", ["0", "-0.5", "1e-320"])
def test_units_of_length_that_are_none(tmp_path, length):
    path = write(tmp_path / "one.asf", ASF.replace("length 0.5", f"length {length}"))
    with pytest.raises(DataError, match=r"one\.asf, line 4: the unit of length must be above 0"):
        read_asf(path)
