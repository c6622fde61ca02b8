"""Motion capture: windows, splits by trial, and what is said where they cannot be cut."""

import os
import re

import numpy as np
import pytest
import torch

from geoequiv import catalog
from geoequiv.errors import ConfigError, DataError, GeoequivError
from geoequiv.fields import act
from geoequiv.groups import group
from geoequiv.tasks.data.recording import Recording
from geoequiv.tasks.data.skeleton import Skeleton
from geoequiv.tasks.motion_capture import MIRROR, MIRRORED, TWENTY, mocap_id, motion_task, run, walk
from geoequiv.tasks.protocols import PROTOCOLS, checksum_of
from geoequiv.tasks.recording import bonds, cut_points, dealt, shared_out, spread_of_headings, windows

PARENTS = [-1, 0, 1, 2, 3, 4, 0, 6, 7, 8, 9, 0, 11, 12, 13, 14, 15, 13, 17, 18, 19, 20, 21, 20, 13, 24, 25, 26, 27, 28]
PARENTS += [27]
EDGES = np.array([(joint, parent) for joint, parent in enumerate(PARENTS) if parent >= 0])


def trial(frames, seed):
    return np.random.default_rng(seed).normal(size=(frames, 31, 3)).cumsum(0)


def packed(tmp_path, **changes):
    """A run.npz of six trials."""
    arrays = {f"trial_{k:02d}": trial(60, k) for k in range(6)} | {"edges": EDGES}
    for split, members in {"train": [1, 4], "val": [0, 5], "test": [2, 3]}.items():
        arrays[f"split_{split}_trials"] = np.array(members)
        for member in members:
            arrays[f"split_{split}_{member}_starts"] = np.random.default_rng(member).permutation(29)[:20]
    np.savez(tmp_path / "run.npz", **{k: v for k, v in (arrays | changes).items() if v is not None})
    return arrays


def test_run_follows_the_public_split(tmp_path):
    arrays = packed(tmp_path)
    task = run(tmp_path, train=10, val=30, test=40, dtype="float64")
    assert re.fullmatch("mocap/run/Δ30/10-30-40/6-trials-[0-9a-f]{6}/mse", task.protocol)
    first, second = arrays["split_train_1_starts"][:5], arrays["split_train_4_starts"][:5]
    pos = np.concatenate([arrays["trial_01"][first], arrays["trial_04"][second]])
    target = np.concatenate([arrays["trial_01"][first + 30], arrays["trial_04"][second + 30]])
    following = np.concatenate([arrays["trial_01"][first + 1], arrays["trial_04"][second + 1]])
    split = task.splits["train"]
    centroid = pos.mean(1, keepdims=True)
    np.testing.assert_allclose(split.inputs["pos"].numpy(), pos - centroid, atol=1e-14)
    np.testing.assert_array_equal(split.inputs["vel"].numpy(), following - pos)
    np.testing.assert_allclose(split.targets["pos"].numpy(), target - centroid, atol=1e-14)
    assert split.inputs["joint"].shape == (10, 31, 31)
    assert split.inputs["bond"].shape == (10, 31, 31, 2)
    assert len(task.splits["test"]) == 40


def test_the_signature_moves_a_batch(tmp_path):
    packed(tmp_path)
    task = run(tmp_path, train=6, val=6, test=6, dtype="float64")
    rotation = group("SO(2)@y").sample(6, generator=torch.Generator().manual_seed(0))
    inputs = task.splits["test"].inputs
    transformed = act(rotation, inputs, task.signature.inputs)
    torch.testing.assert_close(transformed["pos"][..., 1], inputs["pos"][..., 1])
    assert torch.equal(transformed["bond"], inputs["bond"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": None}, "must hold trial_NN"),
        ({"trial_02": np.zeros((50, 30, 3))}, r"trial_02 must be finite and of shape \[T, 31, 3\]"),
        ({"trial_02": np.full((50, 31, 3), np.nan)}, "trial_02 must be finite"),
        ({"split_val_5_starts": None}, "lacks 'split_val_5_starts', which its split 'val' names"),
        ({"trial_02": None}, r"run\.npz lacks 'trial_02', which its split .* names"),
        ({"split_train_1_starts": np.array([29, 30, *range(18)])}, "reaches beyond its 60 frames"),
        ({"trial_02": np.full((50, 31, 3), "x")}, r"trial_02 must be finite .*, got <U1 \[50, 31, 3\]"),
        ({"edges": np.array([[0, 31]])}, r"edges must be whole numbers from 0 below 31, .* from 0 to 31"),
        ({"edges": np.zeros((30, 2))}, r"edges must be whole numbers .*\[n, 2\]; got float64 \[30, 2\]"),
        ({"split_train_trials": np.array(["1"])}, r"split_train_trials must be whole numbers from 0, of shape \[n\]"),
        ({"split_train_1_starts": np.array([1.5])}, "split_train_1_starts must be whole numbers from 0 below 60"),
        ({"edges": np.array([{}])}, r"run\.npz cannot be read .*allow_pickle"),
        (
            {"split_val_trials": np.array([0, 1]), "split_val_1_starts": np.arange(20)},
            "trial_01 is in the splits 'train' and 'val'",
        ),
        ({"split_train_1_starts": np.array([3, 3, *range(18)])}, "'train' starts trial_01 at a frame more than once"),
    ],
)
def test_a_broken_recording_is_named(tmp_path, changes, message):
    packed(tmp_path, **changes)
    with pytest.raises(DataError, match=message):
        run(tmp_path, train=40, val=6, test=6)


def test_a_truncated_recording_is_named(tmp_path):
    packed(tmp_path)
    path = tmp_path / "run.npz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"run\.npz cannot be read"):
        run(tmp_path)


def test_without_files_and_network_it_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setattr("geoequiv.tasks.data.cmu_files.SOURCE", "http://127.0.0.1:9/")
    with pytest.raises(DataError, match=r"put the file '35\.asf' into .*mocap/cmu_35 by hand"):
        walk(tmp_path)


def test_an_interrupted_download_goes_on_with_the_trials_that_are_missing(tmp_path, monkeypatch):
    """A download that broke off in the third trial is not taken for a folder of two trials."""
    asked, broken = [], True

    def obtain(file, folder):
        asked.append(file.name)
        if broken and file.name == "35_03.amc":
            raise DataError("The download broke off.")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file.name).touch()
        (folder / f"{file.name}.sha256").touch()
        return folder / file.name

    monkeypatch.setattr("geoequiv.tasks.data.cmu_files.obtain", obtain)
    monkeypatch.setattr("geoequiv.tasks.data.cmu_files.read_asf", lambda path: Skeleton(
        tuple("abcdefghijklmnopqrstuvwxyzABCDE"), tuple(PARENTS), np.ones((31, 3)), np.stack([np.eye(3)] * 31),
        (("tx",), *((),) * 30), np.zeros(3),
    ))  # fmt: skip
    monkeypatch.setattr("geoequiv.tasks.data.cmu_files.read_amc", lambda path, skeleton: {"a": np.ones((100, 1))})
    for _ in range(2):
        with pytest.raises(DataError, match="broke off"):
            walk(tmp_path)
    broken = False
    asked.clear()
    assert walk(tmp_path, train=5, val=5, test=5).protocol == "mocap/walk/Δ30/5-5-5/mse"  # of all 23 trials
    assert len(asked) == 24


def test_a_folder_with_a_skeleton_and_no_trials_is_named(tmp_path):
    (tmp_path / "35.asf").touch()
    with pytest.raises(DataError, match=r"holds 35\.asf but none of the trials 35_NN\.amc: put them there, from http"):
        walk(tmp_path)


def test_trials_are_dealt_whole_and_by_size():
    recording = Recording({f"t{k:02d}": trial(40 + k, k) for k in range(9)}, EDGES)
    starts = dealt(recording, {"train": 20, "val": 30, "test": 40}, 30, seed=3)
    assert {name: len(trials) for name, trials in starts.items()} == {"train": 2, "val": 3, "test": 4}
    members = [name for trials in starts.values() for name in trials]
    assert sorted(members) == sorted(recording.trials)
    for name, size in {"train": 20, "val": 30, "test": 40}.items():
        assert sum(len(frames) for frames in starts[name].values()) == size
        for member, frames in starts[name].items():
            assert len(set(frames.tolist())) == len(frames)
            assert frames.max() + 30 < len(recording.trials[member])
    again = dealt(recording, {"train": 20, "val": 30, "test": 40}, 30, seed=3)
    other = dealt(recording, {"train": 20, "val": 30, "test": 40}, 30, seed=4)
    assert all((again[s][t] == starts[s][t]).all() for s in starts for t in starts[s])
    assert [sorted(each) for each in other.values()] != [sorted(each) for each in starts.values()]


@pytest.mark.parametrize(("frames", "said"), [(32, ""), (31, ""), (30, None)])
def test_the_id_counts_the_trials_that_are_used(frames, said):
    recording = Recording({f"t{k:02d}": trial(frames, k) for k in range(23)}, EDGES)
    sizes = {"train": 7, "val": 8, "test": 8}
    if said is None:
        with pytest.raises(ConfigError, match="leaves 0 trials"):
            dealt(recording, sizes, 30, seed=0)
        return
    assert sum(len(trials) for trials in dealt(recording, sizes, 30, seed=0).values()) == 23
    assert mocap_id("walk", recording, sizes, 30, 0) == f"mocap/walk/Δ30/7-8-8{said}/mse"


def test_as_many_other_trials_have_another_id():
    def named(*names):
        recording = Recording({name: trial(60, 0) for name in names}, EDGES)
        return mocap_id("walk", recording, {"train": 7, "val": 8, "test": 8}, 30, 0)

    assert named("35_01", "35_02") == named("35_02", "35_01")
    assert named("35_01", "35_02") != named("35_01", "35_05")
    assert named(*TWENTY) == "mocap/walk/Δ30/7-8-8/20-trials/mse"
    assert named(*TWENTY[:-1], "35_03").startswith("mocap/walk/Δ30/7-8-8/20-trials-")


def test_the_id_says_where_the_public_split_was_not_used():
    """Public start frames are for 30 frames; for other horizons they are drawn, whatever the file holds."""
    trials = {f"trial_{k:02d}": trial(60, k) for k in range(1, 12)}
    starts = {
        "train": {"trial_01": np.arange(3)},
        "val": {"trial_02": np.arange(3)},
        "test": {"trial_03": np.arange(3)},
    }
    sizes = {"train": 2, "val": 2, "test": 2}
    public, own = Recording(trials, EDGES, starts), Recording(trials, EDGES)

    def drawn(recording, horizon):
        found = dealt(recording, sizes, horizon, 0)
        return [{name: frames.tolist() for name, frames in trials.items()} for trials in found.values()]

    for horizon in (20, 30):
        same = drawn(public, horizon) == drawn(own, horizon)
        ids = [mocap_id("run", each, sizes, horizon, 0) for each in (public, own)]
        assert (ids[0] == ids[1]) == same == (horizon == 20)
        assert ids[1] == f"mocap/run/Δ{horizon}/2-2-2/drawn-split/mse"
    assert mocap_id("run", public, sizes, 30, 0) == "mocap/run/Δ30/2-2-2/mse"
    assert mocap_id("run", public, sizes, 30, 1) == "mocap/run/Δ30/2-2-2/mse"  # which the seed does not touch


def test_shares_by_hand():
    assert cut_points([200, 600, 600], 7) == [1, 4, 7]
    assert cut_points([1, 1000, 1000], 3) == [1, 2, 3]
    starts = {"a": np.arange(3), "b": np.arange(10), "c": np.arange(10)}
    assert {k: len(v) for k, v in shared_out(starts, 14, "train").items()} == {"a": 3, "b": 6, "c": 5}
    with pytest.raises(ConfigError, match="at most 23 items from its 3 trials, got 24"):
        shared_out(starts, 24, "train")


def test_a_horizon_longer_than_the_trials_is_refused():
    recording = Recording({f"t{k}": trial(40, k) for k in range(5)} | {"long": trial(99, 9)}, EDGES)
    with pytest.raises(ConfigError, match=r"A horizon of 50 frames leaves 1 trials.*longest trial has 99"):
        dealt(recording, {"train": 1, "val": 1, "test": 1}, 50, 0)
    with pytest.raises(ConfigError, match="horizon must lie between 1"):
        motion_task("walk", horizon=0)


def test_how_far_trials_are_from_one_heading():
    """Ways at angles from +z, at any height; ways that cancel; and a trial that stays."""

    def going(*degrees):
        ways = [(np.sin(a), 3.0, np.cos(a)) for a in np.radians(degrees)]
        return {f"t{k}": np.linspace(0, 1, 5)[:, None, None] * np.array(way) for k, way in enumerate(ways)}

    assert spread_of_headings(going(0, 0, 0), up=1) == pytest.approx(0, abs=1e-5)
    assert spread_of_headings(going(350, 10), up=1) == pytest.approx(10)
    assert spread_of_headings(going(0, 120, 240), up=1) == 180
    assert spread_of_headings({"still": np.zeros((5, 2, 3))}, up=1) == 180


def test_an_unknown_motion_names_the_nearest():
    with pytest.raises(ConfigError, match=r"Unknown motion 'wakl'\. Did you mean 'walk'"):
        motion_task("wakl")
    with pytest.raises(GeoequivError, match=r"Unknown task 'mocap/rnu'\. Did you mean 'mocap/run'"):
        catalog.task("mocap/rnu")


def test_windows_at_the_last_frame():
    motion = {"a": trial(32, 0)}
    cut = windows(motion, {"a": np.array([1])}, 30)
    np.testing.assert_array_equal(cut["target"][0], motion["a"][31])


def test_bonds_by_hand():
    """The root has three bones; the hip's foot is two bones away from the shin."""
    bond = bonds(EDGES, 31)
    assert bond.shape == (31, 31, 2)
    assert np.array_equal(bond, bond.swapaxes(0, 1))
    assert bond[..., 0].sum() == 60
    assert np.flatnonzero(bond[0, :, 0]).tolist() == [1, 6, 11]
    assert np.flatnonzero(bond[0, :, 1]).tolist() == [2, 7, 12]
    assert np.flatnonzero(bond[1, :, 1]).tolist() == [3, 6, 11]
    assert not bond[np.arange(31), np.arange(31)].any()


def test_the_mirror_keeps_the_skeleton():
    """Swapping left and right maps bones to bones, and is its own inverse."""
    swap = np.array(MIRRORED)
    assert np.array_equal(swap[swap], np.arange(31))
    bond = bonds(EDGES, 31)
    assert np.array_equal(bond[swap][:, swap], bond)
    assert [int(i) for i in np.flatnonzero(swap == np.arange(31))] == [0, *range(11, 17)]


def test_the_mirror_is_a_group_to_choose(tmp_path):
    """It swaps left and right and reflects x; the skeleton and the names of the joints stay as they are."""
    packed(tmp_path)
    task = run(tmp_path, train=40, val=6, test=6, dtype="float64")
    inputs = task.splits["test"].inputs
    transformed = act(group(MIRROR).elements()[1], inputs, task.signature.inputs)
    assert torch.equal(transformed["joint"], inputs["joint"])
    assert torch.equal(transformed["bond"], inputs["bond"])
    expected = inputs["pos"][:, list(MIRRORED)] * torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(transformed["pos"], expected)
    assert group("SO(2)@y*" + MIRROR).nodes == 31


def test_published_numbers_belong_to_published_ids():
    published = {each.id for each in PROTOCOLS.values() if each.task.startswith("mocap") and each.references}
    assert published == {"mocap/walk/Δ30/200-600-600/mse", "mocap/run/Δ30/200-240-240/mse"}


def test_real_recordings():
    """The public run split, and walking where its files are: bones keep their lengths, moving beats standing still."""
    folder = os.environ.get("GEOEQUIV_DATA", "")
    try:
        tasks = [run(folder), walk(folder)] if folder else []
    except DataError:
        tasks = []
    if not tasks:
        pytest.skip("needs GEOEQUIV_DATA with mocap/cmu_09/run.npz and mocap/cmu_35/*.amc")
    assert tasks[0].protocol == "mocap/run/Δ30/200-240-240/mse"
    assert tasks[0].references
    for task in tasks:
        assert checksum_of(task.protocol) in (None, task.checksum)
        split = task.splits["test"]
        pos, vel, target = split.inputs["pos"], split.inputs["vel"], split.targets["pos"]
        assert (pos + 30 * vel - target).square().mean() < 0.5 * (pos - target).square().mean()
        lengths = (pos[:, EDGES[:, 0]] - pos[:, EDGES[:, 1]]).norm(dim=-1)
        assert lengths.std(0).max() < 1e-4


def test_the_tree_is_the_public_one():
    skeleton = Skeleton(
        tuple("abcdefghijklmnopqrstuvwxyzABCDE"), tuple(PARENTS), np.zeros((31, 3)), np.zeros((31, 3, 3)),
        ((),) * 31, np.zeros(3),
    )  # fmt: skip
    assert np.array_equal(skeleton.edges, EDGES)
