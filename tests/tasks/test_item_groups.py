"""Which trial, walker or block of a trajectory each item is from, found again in the data itself."""

import dataclasses

import numpy as np
import pytest
import torch

from geoequiv.errors import BatchError, DataError
from geoequiv.tasks import Split
from geoequiv.tasks.card import card
from geoequiv.tasks.files import files
from geoequiv.tasks.limit import limited
from geoequiv.tasks.md17_dynamics import dynamics
from geoequiv.tasks.md17_forces import forces
from geoequiv.tasks.mocap_gait import BONES, EDGES, UNIT, bones, gait, walkers
from geoequiv.tasks.motion_capture import run


def pairs(split):
    return Split({"pos": torch.zeros(4, 2, 3)}, {"pos": torch.zeros(4, 2, 3)}, **split)


def test_groups_are_one_whole_number_an_item():
    assert pairs({"item_group": torch.tensor([7, 7, 0, 1])}).item_group.tolist() == [7, 7, 0, 1]
    for wrong in (torch.zeros(3, dtype=torch.int64), torch.zeros(4), torch.zeros(4, 1, dtype=torch.int64)):
        with pytest.raises(BatchError, match=r"item_group must be \[4\] int64"):
            pairs({"item_group": wrong})


def test_rows_keep_marks_and_groups():
    split = pairs({"item_group": torch.arange(4), "marks": {"odd": torch.arange(4) % 2 == 1}})
    some = split.rows([3, 0])
    assert some.item_group.tolist() == [3, 0]
    assert some.marks["odd"].tolist() == [True, False]
    assert split.rows(slice(2)).item_group.tolist() == [0, 1]


def test_items_of_a_walker_have_its_bones(tmp_path):
    """A walker's bone lengths are its own: items of one group share them, and no two groups do."""
    sizes = {"train": 25, "val": 12, "test": 20}
    task = gait(tmp_path, **sizes, dtype="float64")
    lengths = {}
    for name, split in task.splits.items():
        pos = split.inputs["pos"].numpy()
        found = np.linalg.norm(pos[:, EDGES[:, 0]] - pos[:, EDGES[:, 1]], axis=-1)
        for number, item in zip(split.item_group.tolist(), found, strict=True):
            np.testing.assert_allclose(item, lengths.setdefault(number, item), atol=1e-9)
        made = np.linalg.norm(bones(walkers(name, sizes[name], 0))[:, 1:], axis=-1) / UNIT
        np.testing.assert_allclose([lengths[k] for k in sorted(set(split.item_group.tolist()))], made, atol=1e-9)
    assert len(lengths) == 3 + 2 + 2
    table = np.stack(list(lengths.values()))
    assert np.abs(table[:, None] - table[None]).max(-1)[~np.eye(7, dtype=bool)].min() > 1e-3
    assert len(BONES) == table.shape[1] + 1
    assert dict(card(task))["Item groups"] == "by walker: train 3, val 2, test 2"
    assert dict(card(limited(task, 10)))["Item groups"] == "by walker: train 1, val 1, test 1"


def test_a_split_of_motion_capture_has_trials_of_its_own(tmp_path):
    """Trial k is a walk of step (k + 1) a frame, so that vel tells which trial an item is from."""
    arrays = {f"trial_{k:02d}": np.arange(60.0)[:, None, None] * np.full((31, 3), k + 1) for k in range(6)}
    arrays |= {"edges": EDGES}
    for split, members in {"train": [1, 4], "val": [0, 5], "test": [2, 3]}.items():
        arrays[f"split_{split}_trials"] = np.array(members)
        arrays |= {f"split_{split}_{k}_starts": np.random.default_rng(k).permutation(29)[:20] for k in members}
    np.savez(tmp_path / "run.npz", **arrays)
    task = run(tmp_path, train=10, val=30, test=40, normalise=False)
    for split in task.splits.values():
        assert split.item_group.tolist() == (split.inputs["vel"][:, 0, 0] - 1).int().tolist()
    assert dict(card(task))["Item groups"] == "by trial: train 2, val 2, test 2"


def test_frames_of_a_trajectory_are_grouped_by_block(tmp_path):
    """Atom 0 of frame t is at x = t; a block is as long as the horizon where that is longer than 1 ps."""
    time = np.arange(9000.0)
    positions = np.zeros((9000, 3, 3))
    positions[:, 0, 0] = time
    positions[:, 1, 1] = positions[:, 2, 2] = 1.2
    np.savez(tmp_path / "md17_ethanol.npz", R=positions, z=np.array([6, 8, 6]))
    for horizon, length in ((5, 2000), (3000, 3000)):
        task = dynamics(
            tmp_path, molecule="ethanol", horizon=horizon, margin=0, train=50, val=50, test=60, normalise=False
        )
        for split in task.splits.values():
            assert split.item_group.tolist() == (split.inputs["pos"][:, 0, 0] // length).int().tolist()
        assert dict(card(task))["Item groups"].startswith(f"by block of {length} frames: train ")


@pytest.mark.parametrize("known", ["both", "one", "none"])
def test_revised_files_are_grouped_by_the_frames_of_the_former_trajectory(tmp_path, known):
    """Their rows are out of order; without old_indices in both files nobody knows which are near each other."""
    rng = np.random.default_rng(0)
    numbers = {}
    for part, frames in (("train", 30), ("test", 20)):
        numbers[part] = rng.permutation(100_000)[:frames]
        arrays = {
            "nuclear_charges": np.array([6, 8]),
            "coords": rng.normal(size=(frames, 2, 3)),
            "energies": rng.normal(size=frames),
            "forces": rng.normal(size=(frames, 2, 3)),
        }
        if known == "both" or (known == "one" and part == "train"):
            arrays["old_indices"] = numbers[part]
        np.savez(tmp_path / f"rmd17_ethanol_{part}_01.npz", **arrays)
    task = forces(tmp_path, train=20, val=10, test=20)
    if known == "both":
        assert task.splits["val"].item_group.tolist() == (numbers["train"][20:] // 2000).tolist()
        assert task.splits["test"].item_group.tolist() == (numbers["test"] // 2000).tolist()
    else:
        assert {split.item_group for split in task.splits.values()} == {None}
        assert dict(card(task))["Item groups"] == "none: items count as independent"


def test_numbers_of_frames_are_whole(tmp_path):
    np.savez(tmp_path / "md17_uracil.npz", R=np.ones((9, 2, 3)), z=np.array([6, 8]), old_indices=np.ones(8))
    with pytest.raises(DataError, match=r"old_indices must be 9 whole numbers, got \[8\] float64"):
        dynamics(tmp_path, molecule="uracil", horizon=1, margin=0, train=1, val=1, test=1)


def test_simulated_particles_are_independent(component, gatr):
    for task in (component, gatr):
        assert {split.item_group for split in task.splits.values()} == {None}
        assert dict(card(task))["Item groups"] == "none: items count as independent"


@pytest.mark.parametrize("given", [False, True])
def test_a_user_names_the_array_of_groups(tmp_path, given):
    signature, molecule = "pos: point -> energy: scalar per graph", np.arange(12) // 3
    arrays = {"energy": np.arange(12.0), "molecule": molecule}
    for seed, name in enumerate(("train", "val", "test") if given else ("mine",)):
        pos = np.random.default_rng(seed).normal(size=(12, 2, 3))
        np.savez(tmp_path / f"{name}.npz", pos=pos, **arrays)
    path = str(tmp_path if given else tmp_path / "mine.npz")
    task = files(path=path, signature=signature, normalise=False, item_group="molecule")
    assert task.item_group_name == "molecule"
    for split in task.splits.values():
        assert split.item_group.tolist() == (split.targets["energy"][:, 0] // 3).int().tolist()
    assert {split.item_group for split in files(path=path, signature=signature).splits.values()} == {None}
    with pytest.raises(DataError, match="Did you mean 'molecule'"):
        files(path=path, signature=signature, item_group="molecul")
    with pytest.raises(DataError, match=r"one whole number for each of 12 items; got an array of shape \[12, 2, 3\]"):
        files(path=path, signature=signature, item_group="pos")


def test_all_splits_have_groups_or_none(tmp_path):
    task = gait(tmp_path, train=5, val=5, test=5)
    bare = {**task.splits, "val": dataclasses.replace(task.splits["val"], item_group=None)}
    with pytest.raises(DataError, match="give all splits and the name, or none"):
        dataclasses.replace(task, splits=bare)
    with pytest.raises(DataError, match="the item_group_name ''"):
        dataclasses.replace(task, item_group_name="")
