"""Biovision files: a motion worked out by hand, the naive reading of the format, and what is said of broken files."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from geoequiv.errors import DataError
from geoequiv.tasks.data.bvh import read_bvh

BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0.5 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Thigh
  {
    OFFSET 1 0 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT Shin {
      OFFSET 0 -2 0
      CHANNELS 1 Xrotation
      End Site
      {
        OFFSET 0 -3 0
      }
    }
  }
  JOINT Chest
  {
    OFFSET 0 4 0
    CHANNELS 0
    End Site
    {
      OFFSET 0 1 0
    }
    End Site
    {
      OFFSET 0 0 1
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.008
1 2 3 0 0 0 0 0 0 0
0 0 0 0 0 90 0 90 0 90
"""


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_motion_by_hand(tmp_path):
    """Frame 0 is at rest, translated: the root's place is its channels, not its offset. In frame 1 the root rotates by
    90° about y, which takes x to −z and z to x; the thigh then about its own x by 90°, so that what pointed down
    points to the root's −z, which is the world's −x; the shin bends by another 90°, to up."""
    motion = read_bvh(write(tmp_path / "one.bvh", BVH))
    assert motion.rate == pytest.approx(125)
    skeleton = motion.skeleton
    assert skeleton.names == ("Hips", "Thigh", "Shin", "Shin_end", "Chest", "Chest_end", "Chest_end_end")
    assert skeleton.parents == (-1, 0, 1, 2, 0, 4, 4)
    np.testing.assert_allclose(skeleton.lengths, [1, 2, 3, 4, 1, 1])
    rest, rotated = motion.positions()
    hips = np.array([1, 2, 3])
    expected = [[0, 0, 0], [1, 0, 0], [1, -2, 0], [1, -5, 0], [0, 4, 0], [0, 5, 0], [0, 4, 1]]
    np.testing.assert_allclose(rest, hips + expected, atol=1e-12)
    expected = [[0, 0, 0], [0, 0, -1], [-2, 0, -1], [-2, 3, -1], [0, 4, 0], [0, 5, 0], [1, 4, 0]]
    np.testing.assert_allclose(rotated, expected, atol=1e-12)


def test_the_format_read_naively(tmp_path):
    """A joint's matrix is its parent's times its rotations as they are written; its place is its parent's, and its
    offset under the parent's matrix."""
    rng = np.random.default_rng(0)
    values = rng.uniform(-170, 170, size=(7, 10))
    text = BVH.replace("Frames: 2", "Frames: 7").split("1 2 3 0 0")[0]
    text += "\n".join(" ".join(f"{value:.9f}" for value in row) for row in values)
    found = read_bvh(write(tmp_path / "many.bvh", text)).positions()
    for t, row in enumerate(values):
        hips = row[:3]
        root = Rotation.from_euler("ZXY", row[3:6], degrees=True)
        thigh = root * Rotation.from_euler("ZXY", row[6:9], degrees=True)
        shin = thigh * Rotation.from_euler("X", row[9], degrees=True)
        joint = hips + root.apply([1, 0, 0])
        knee = joint + thigh.apply([0, -2, 0])
        chest = hips + root.apply([0, 4, 0])
        expected = [hips, joint, knee, knee + shin.apply([0, -3, 0]), chest, chest + root.apply([0, 1, 0])]
        np.testing.assert_allclose(found[t, :6], expected, atol=1e-6)


def test_comments_and_blank_lines_are_passed_over(tmp_path):
    text = BVH.replace("1 2 3 0 0 0 0 0 0 0", "# at rest\n\n1 2 3 0 0 0 0 0 0 0")
    again = read_bvh(write(tmp_path / "two.bvh", text)).positions()
    np.testing.assert_array_equal(again, read_bvh(write(tmp_path / "one.bvh", BVH)).positions())


def test_channels_of_the_root_are_in_place_of_its_offset(tmp_path):
    """Exporters write a position as OFFSET and in the frames: it counts once; a missing channel is the OFFSET."""
    moved = BVH.replace("OFFSET 0.5 0 0", "OFFSET 10 90 -5").replace("\n1 2 3 0", "\n10 90 -5 0")
    assert read_bvh(write(tmp_path / "one.bvh", moved)).positions()[0, 0].tolist() == [10, 90, -5]
    one = moved.replace("CHANNELS 6 Xposition Yposition Zposition", "CHANNELS 4 Yposition").replace(
        "10 90 -5 0", "70 0"
    )
    one = one.replace("\n0 0 0 0 0 90", "\n0 0 0 90")
    assert read_bvh(write(tmp_path / "two.bvh", one)).positions()[:, 0].tolist() == [[10, 70, -5], [10, 0, -5]]


SIX = BVH.replace("CHANNELS 1 Xrotation", "CHANNELS 4 Xposition Yposition Zposition Xrotation")


def test_six_channels_a_joint_that_repeat_its_offset_are_rigid_bones(tmp_path):
    text = SIX[: SIX.index("1 2 3 0")] + "1 2 3 0 0 0 0 0 0 0 -2 0 0\n0 0 0 0 0 90 0 90 0 0 -2 0 90\n"
    motion = read_bvh(write(tmp_path / "six.bvh", text))
    assert motion.offsets == {}
    expected = read_bvh(write(tmp_path / "one.bvh", BVH)).positions()
    np.testing.assert_array_equal(motion.positions(), expected)


def test_position_channels_of_a_joint_are_its_offset_in_each_frame(tmp_path):
    """The knee is at (1, −2, 3) and (0, −4, 0) in the frame of the thigh; what hangs from it goes along."""
    text = SIX[: SIX.index("1 2 3 0")] + "1 2 3 0 0 0 0 0 0 1 -2 3 0\n0 0 0 0 0 90 0 90 0 0 -4 0 90\n"
    rest, bent = read_bvh(write(tmp_path / "moving.bvh", text)).positions()
    np.testing.assert_allclose(rest[1:4], [[2, 2, 3], [3, 0, 6], [3, -3, 6]], atol=1e-12)
    # under root and thigh, y is −x of the world: −4 along y from (0, 0, −1) is (−4, 0, −1) with its end 3 above
    np.testing.assert_allclose(bent[1:4], [[0, 0, -1], [-4, 0, -1], [-4, 3, -1]], atol=1e-12)


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("Hüfte", "utf-8"), ("Hüfte", "utf-8-sig"), ("Hüfte", "latin-1"), ("hip#2", "utf-8"), ("#hip", "utf-8-sig")],
)
def test_names_with_any_character_in_any_of_three_encodings(tmp_path, name, encoding):
    path = tmp_path / "named.bvh"
    path.write_bytes(BVH.replace("Hips", name).replace("\n", "\r\n").encode(encoding))
    motion = read_bvh(path)
    assert motion.skeleton.names[0] == name
    np.testing.assert_array_equal(motion.positions(), read_bvh(write(tmp_path / "one.bvh", BVH)).positions())


@pytest.mark.parametrize("content", [b"\x00\x01", BVH.encode("utf-16"), b"\x1b[2J" + BVH.encode()])
def test_what_is_no_text_is_refused(tmp_path, content):
    (tmp_path / "bad.bvh").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.bvh cannot be read as text: it holds the control character"):
        read_bvh(tmp_path / "bad.bvh")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("OFFSET 0 -2 0", "OFFSET 0 -2", r"broken\.bvh, line 11: An offset: expected 3 finite numbers, got '0 -2'"),
        ("CHANNELS 1 Xrotation", "CHANNELS 1 Wrotation", "line 12: expected the number of channels and as many of"),
        ("CHANNELS 1 Xrotation", "CHANNELS 2 Xrotation", "line 12: expected the number of channels"),
        ("JOINT Chest", "JOINT Thigh", "line 19: joints need names of their own, got 'Thigh'"),
        ("JOINT Chest", "ROOT Chest", "line 19: 'ROOT Chest' is not expected here"),
        ("JOINT Chest", "JOIN Chest", "line 19: 'JOIN Chest' is not a line of a hierarchy"),
        ("}\nMOTION", "MOTION", "line 32: the hierarchy above lacks its root, an OFFSET, or a closing brace"),
        ("}\nMOTION", "}\n}\nMOTION", "line 33: a brace closes where none is open"),
        ("ROOT Hips\n{", "{\nROOT Hips", "line 2: a brace opens where no joint is named"),
        (BVH[BVH.index("MOTION") :], "", "the file ends before the line MOTION"),
        ("Frame Time: 0.008\n", "", "line 35: expected 'Frames:' or 'Frame Time:', got '1 2 3"),
        ("Frame Time: 0.008", "Frame Time: 0", r"line 35: the frame time must be above 0, got 0\.0"),
        ("Frames: 2", "Frames: 3", "the file announces 3 frames and holds 2"),
        ("0 90 0 90\n", "0 90 0\n", "line 37: A frame: expected 10 finite numbers"),
        ("0 90 0 90\n", "0 90 0 x\n", "line 37: A frame must be numbers"),
        ("0 90 0 90\n", "0 90 0 nan\n", "line 37: A frame: expected 10 finite numbers"),
    ],
)
def test_broken_files_are_named_with_their_line(tmp_path, old, new, message):
    assert old in BVH
    with pytest.raises(DataError, match=message):
        read_bvh(write(tmp_path / "broken.bvh", BVH.replace(old, new, 1)))


def test_what_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"none\.bvh cannot be read"):
        read_bvh(tmp_path / "none.bvh")
