"""The simulated walkers: bones, feet, symmetries of labels and of their distribution, splits, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geoequiv import catalog
from geoequiv.cli import main
from geoequiv.errors import ConfigError
from geoequiv.fields import act
from geoequiv.groups import group
from geoequiv.tasks.mocap_gait import EDGES, FRAMES, figures, gait, start_frames
from geoequiv.tasks.motion_capture import MIRROR, MIRRORED
from geoequiv.tasks.simulation.gait import BONES, NAMES, PARENTS, RATE, UNIT, bones, resting, walk
from geoequiv.tasks.simulation.gait_steps import foot, pace, path, pitch_of
from geoequiv.tasks.simulation.gait_style import GRAVITY, RANGES, draw, mirrored, rotated

TIME = np.arange(FRAMES) / RATE
BALLS = (4, 9)


@pytest.fixture(scope="module")
def style():
    return draw(np.random.default_rng(0), 60)


@pytest.fixture(scope="module")
def motion(style):
    return walk(style, TIME)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return gait(tmp_path_factory.mktemp("gait"), train=40, val=20, test=60, dtype="float64")


def test_the_skeleton_is_that_of_the_database():
    """The tree of subject 35, as its .asf has it: 31 joints, left leg, right leg, trunk, left arm, right arm."""
    assert NAMES[:6] == ("root", "lhipjoint", "lfemur", "ltibia", "lfoot", "ltoes")
    assert PARENTS == (
        -1, 0, 1, 2, 3, 4, 0, 6, 7, 8, 9, 0, 11, 12, 13, 14, 15, 13, 17, 18, 19, 20, 21, 20, 13, 24, 25, 26, 27, 28, 27,
    )  # fmt: skip
    for joint, other in enumerate(MIRRORED):
        left, right = NAMES[joint], NAMES[other]
        assert left == right or {left[0], right[0]} == {"l", "r"}
        np.testing.assert_array_equal(np.array(BONES[joint][2]) * [-1, 1, 1], BONES[other][2])


def test_bones_keep_their_lengths(style, motion):
    lengths = np.linalg.norm(bones(style)[:, 1:], axis=-1)
    found = np.linalg.norm(motion[:, :, EDGES[:, 0]] - motion[:, :, EDGES[:, 1]], axis=-1)
    np.testing.assert_allclose(found, np.broadcast_to(lengths[:, None], found.shape), atol=1e-12)


def test_resting_feet_do_not_slide_and_no_foot_sinks(style, motion):
    """By the phases of the walk: ball and toes of a resting foot stay at one place."""
    rests = resting(style, TIME)
    rests = rests[:, 1:] & rests[:, :-1]
    assert 0.3 < rests.mean() < 0.6
    for side, ball in enumerate(BALLS):
        for joint in (ball, ball + 1):
            steps = np.linalg.norm(np.diff(motion[:, :, joint], axis=1), axis=-1)
            assert steps[rests[..., side]].max() < 1e-12
            assert steps[~rests[..., side]].max() > 0.02  # and they do move
    assert motion[..., 1].min() > 0


def test_what_is_lowest_does_not_slide(style, motion):
    """By heights alone: a ball as low as it ever gets, in two frames that follow, has not moved along the ground."""
    for ball in BALLS:
        height = motion[:, :, ball, 1]
        low = height < height.min(axis=1, keepdims=True) + 1e-9
        low = low[:, 1:] & low[:, :-1]
        steps = np.linalg.norm(np.diff(motion[:, :, ball], axis=1), axis=-1)
        assert low.mean() > 0.3
        assert steps[low].max() < 1e-9
    one_low = np.minimum(*(motion[:, :, ball, 1] - motion[:, :, ball, 1].min(1, keepdims=True) for ball in BALLS))
    assert one_low.max() < 0.02  # walking, not running: a foot is always on the ground, or its heel is


def test_the_figures_see_a_slide_a_sinking_and_a_stretch(style, motion):
    sound = figures(style, motion)
    assert sound[0] > 0
    assert sound[1] == pace(style).speed.min()
    assert sound[3] == 0
    assert sound[4] < 1e-12
    assert sound[5] < GRAVITY
    spoiled = motion.copy()
    spoiled[:, :, :, 0] += 0.01 * np.arange(FRAMES)[:, None]
    assert figures(style, spoiled)[3] == pytest.approx(0.01)
    assert figures(style, motion - [0, 0.1, 0])[0] == pytest.approx(sound[0] - 0.1)
    assert figures(style, 1.1 * motion)[4] == pytest.approx(0.1 * np.linalg.norm(bones(style), axis=-1).max())


def test_walkers_walk(style, motion):
    """Upright, ahead at their speed, left foot left and knees bent forward; nothing jumps."""
    head, root = motion[:, :, 16], motion[:, :, 0]
    assert (head[..., 1] > root[..., 1]).all()
    assert (root[..., 1] > motion[:, :, [3, 8], 1].max(-1)).all()
    gone = np.linalg.norm(np.diff(root[..., [0, 2]], axis=1), axis=-1).sum(1) / TIME[-1]
    np.testing.assert_allclose(gone, pace(style).speed, rtol=0.12)
    heading = path(style, pace(style).speed[:, None] * TIME)[1]
    left = np.stack([np.cos(heading), 0 * heading, -np.sin(heading)], axis=-1)
    ahead = np.stack([np.sin(heading), 0 * heading, np.cos(heading)], axis=-1)
    assert (((motion[:, :, 1] - motion[:, :, 6]) * left).sum(-1) > 0.1).all()
    for hip in (1, 6):
        bent = motion[:, :, hip + 1] - (motion[:, :, hip] + motion[:, :, hip + 2]) / 2
        assert ((bent * ahead).sum(-1) > 0).all()
    velocity = np.diff(motion, axis=1) * RATE
    assert np.linalg.norm(np.diff(velocity, axis=1), axis=-1).max() < 1.5  # m/s from one frame to the next
    assert np.linalg.norm(velocity, axis=-1).max() < 5 * pace(style).speed.max()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), angle=st.floats(-10, 10))
def test_a_turned_walker_walks_the_turned_walk(seed, angle):
    """Simulated again with another heading: g · trajectory, for g of SO(2)@y; and the mirror's."""
    style, time = draw(np.random.default_rng(seed), 3), np.arange(150) / RATE
    once = walk(style, time)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    np.testing.assert_allclose(walk(rotated(style, angle), time), once @ turn.T, atol=1e-11)
    np.testing.assert_allclose(walk(mirrored(style), time), once[:, :, list(MIRRORED)] * [-1, 1, 1], atol=1e-11)


def test_the_distribution_is_that_of_turned_and_mirrored_walkers():
    """Headings and bearings are uniform, and what a mirror negates is symmetric, within four standard errors."""
    many = draw(np.random.default_rng(1), 20_000)
    for name in ("heading", "bearing"):
        for wave in (1, 2, 3):
            moment = np.exp(1j * wave * many[name]).mean()
            assert abs(moment) < 4 / np.sqrt(20_000)
    for name in ("curvature", "arm_asymmetry"):
        assert abs(many[name].mean()) < 4 * many[name].std() / np.sqrt(20_000)
        assert RANGES[name][0] == -RANGES[name][1]
    assert RANGES["phase"] == (0.0, 1.0)


def test_tilted_walkers_are_none(task):
    """SO(3) and the reflections of O(2)@y can be asked for, and are no symmetry: up is up, and left is left."""
    inputs = task.splits["test"].inputs

    def told(fields):
        up = fields["pos"][:, 16] - fields["pos"][:, 0]
        side = fields["pos"][:, 1] - fields["pos"][:, 6]
        ahead = fields["vel"][:, 0]
        return (up / up.norm(dim=-1, keepdim=True))[:, 1], torch.linalg.cross(ahead, up)[:, [0, 2]], side[:, [0, 2]]

    def left_is_left(fields):
        _, across, side = told(fields)
        return (-(across * side).sum(-1) > 0).all()

    assert (told(inputs)[0] > 0.9).all()
    assert left_is_left(inputs)
    generator = torch.Generator().manual_seed(0)
    for name, upright, sound in (("SO(2)@y", True, True), ("SO(3)", False, None), ("O(2)@y", True, None)):
        moved = act(group(name).sample(60, generator=generator), inputs, task.signature.inputs)
        assert bool((told(moved)[0] > 0.9).all()) == upright
        if sound:
            assert left_is_left(moved)
    reflection = group("Cs@x").elements()[1]
    assert not left_is_left(act(reflection, inputs, task.signature.inputs))
    assert left_is_left(act(group(MIRROR).elements()[1], inputs, task.signature.inputs))


def test_labels_are_equivariant(task):
    assert task.symmetry == "SO(2)@y"
    error = task.symmetry_error()
    assert error["mse"] < 1e-24
    assert error["inputs"] < 1e-24
    assert error["num_items"] == 60


def test_the_check_of_labels_can_fail(tmp_path, monkeypatch):
    """Walkers that drift along x wherever they head: labels 30 frames later know it."""
    broken = gait(tmp_path, train=10, val=10, test=40, seed=3)
    drift = np.zeros((FRAMES, 1, 3))
    drift[..., 0] = 0.5 * TIME[:, None]
    monkeypatch.setattr("geoequiv.tasks.mocap_gait.walk", lambda style, time: walk(style, time) + drift)
    assert broken.symmetry_error()["mse"] > 1e-2


def test_splits_are_of_walkers(task, tmp_path):
    """Ten items of each walker, told apart by their bones; more items are more walkers, and the test set stays."""
    assert task.protocol == "mocap-gait/walk/Δ30/40-20-60/mse"

    def bodies(split):
        pos = split.inputs["pos"]
        thighs = (pos[:, 1] - pos[:, 2]).norm(dim=-1) + 10 * (pos[:, 17] - pos[:, 18]).norm(dim=-1)
        return {round(float(each), 6) for each in thighs}

    found = {name: bodies(split) for name, split in task.splits.items()}
    assert {name: len(each) for name, each in found.items()} == {"train": 4, "val": 2, "test": 6}
    assert len(set().union(*found.values())) == 12
    larger = gait(tmp_path, train=45, val=20, test=60, dtype="float64")
    assert torch.equal(larger.splits["test"].targets["pos"], task.splits["test"].targets["pos"])
    assert torch.equal(larger.splits["train"].inputs["pos"][:40], task.splits["train"].inputs["pos"])
    assert len(larger.splits["train"]) == 45
    starts = start_frames("test", 60, 30, 0)
    assert all(len(set(row)) == 10 for row in starts.tolist())
    assert starts.max() + 30 < FRAMES


def test_fields_are_those_of_motion_capture(task):
    split = task.splits["train"]
    assert str(task.signature).startswith("pos: point, vel: vector, joint: label*31, bond: adjacency*2")
    assert split.inputs["bond"].shape == (40, 31, 31, 2)
    assert split.inputs["bond"][0, ..., 0].sum() == 60
    style = draw(np.random.default_rng([0, 0, 0]), 4)
    motion = walk(style, TIME) / UNIT
    starts = start_frames("train", 40, 30, 0)
    centroid = motion[1, starts[1]].mean(1, keepdims=True)
    np.testing.assert_allclose(split.inputs["pos"][10:20], motion[1, starts[1]] - centroid, atol=1e-12)
    np.testing.assert_allclose(split.targets["pos"][10:20], motion[1, starts[1] + 30] - centroid, atol=1e-12)
    np.testing.assert_allclose(
        split.inputs["vel"][3], motion[0, starts[0, 3] + 1] - motion[0, starts[0, 3]], atol=1e-12
    )


def test_the_way_to_the_target_can_be_drawn(task):
    drawing, split = task.drawing, task.splits["val"]
    course = drawing.paths("val", [3, 17])
    assert course.shape == (2, 31, 31, 3)
    np.testing.assert_allclose(course[:, 0], split.inputs["pos"][[3, 17]], atol=1e-11)
    np.testing.assert_allclose(course[:, 1] - course[:, 0], split.inputs["vel"][[3, 17]], atol=1e-11)
    np.testing.assert_allclose(course[:, -1], split.targets["pos"][[3, 17]], atol=1e-11)
    assert (drawing.kind, drawing.bonds, drawing.up, drawing.unit) == ("skeleton", "bond", 1, "cm")
    assert drawing.length == pytest.approx(100 * UNIT)


def test_the_same_seed_gives_the_same_walkers(task, tmp_path):
    again = gait(tmp_path, train=40, val=20, test=60)
    assert again.checksum == task.checksum
    other = gait(tmp_path, train=40, val=20, test=60, seed=1)
    assert other.checksum != task.checksum
    assert other.protocol.endswith("/mse/seed1")


def test_feet_roll_smoothly(style):
    """Pitch and joints are continuous where heel, sole, ball and air take turns."""
    steps = np.linspace(0, 1, 4001)[None].repeat(60, 0)
    pitch = pitch_of(style, steps)
    assert np.abs(np.diff(pitch)).max() < 0.006
    np.testing.assert_allclose(pitch[:, 0], pitch[:, -1], atol=1e-12)
    fine = np.linspace(0, 2.5, 20_001)
    for side in (1, -1):
        one = foot({name: values[:5] for name, values in style.items()}, fine, side)
        for joint in (one.ankle, one.ball, one.toe):
            speed = np.diff(joint, axis=1) / fine[1]
            assert np.linalg.norm(speed, axis=-1).max() < 8
            assert np.linalg.norm(np.diff(speed, axis=1), axis=-1).max() < 0.05


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"horizon must lie between 1 and 290 .a trial has 300 frames.*got 300"):
        gait(tmp_path, horizon=300)
    with pytest.raises(ConfigError, match="train must lie between 1"):
        gait(tmp_path, train=0)


def test_the_card_has_the_figures(tmp_path, capsys):
    assert main(["data", "info", "mocap-gait/walk", "train=10", "val=10", "test=10", "--data-dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for words in ("resting feet slide by at most", "Speeds from", "bones keep their lengths to", "above the ground"):
        assert words in printed
    assert catalog.task("mocap-gait/walk", tmp_path, train=10, val=10, test=10, limit=3).protocol.endswith("/limit3")
