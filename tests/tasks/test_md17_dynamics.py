"""MD17 dynamics: frames, hydrogens, bonds by hand, and files that are broken or missing."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from geoequiv.errors import ConfigError, DataError
from geoequiv.tasks.data.trajectory import read_trajectory, species
from geoequiv.tasks.md17_dynamics import FILES, drawn_frames, dynamics, surrogate
from geoequiv.tasks.protocols import PROTOCOLS, references_of

CHARGES = np.array([6, 1, 8, 6, 1], dtype=np.uint8)  # C–O–C in a row, with hydrogens between


def trajectory(tmp_path, frames=60, name="md17_ethanol.npz", **changes):
    rng = np.random.default_rng(0)
    rest = np.array([[0, 0, 0], [9, 9, 9], [1.4, 0, 0], [2.8, 0, 0], [-9, 9, 9]], dtype=float)
    arrays = {
        "R": rest + 0.01 * rng.normal(size=(frames, 5, 3)).cumsum(0),
        "z": CHARGES,
        "E": rng.normal(size=(frames, 1)),
        "F": rng.normal(size=(frames, 5, 3)),
    }
    arrays = {key: value for key, value in (arrays | changes).items() if value is not None}
    np.savez(tmp_path / name, **arrays)
    return arrays


def small(tmp_path, **options):
    return dynamics(
        tmp_path, **({"molecule": "ethanol", "horizon": 7, "margin": 3, "train": 5, "val": 6, "test": 8} | options)
    )


def test_items_are_frames_of_the_file(tmp_path):
    arrays = trajectory(tmp_path)
    task = small(tmp_path, dtype="float64")
    assert task.protocol == "md17/dynamics/ethanol/Δ7/5-6-8/margin3/mse"
    assert str(task.signature) == "pos: point, vel: vector, species: scalar*2, bond: adjacency*2 -> pos: point"
    heavy = arrays["R"][:, CHARGES > 1]
    used = []
    for name, split in task.splits.items():
        assert len(split) == {"train": 5, "val": 6, "test": 8}[name]
        for i in range(len(split)):
            frame = int(np.abs(heavy - split.inputs["pos"][i].numpy()).sum((1, 2)).argmin())
            used.append(frame)
            np.testing.assert_array_equal(split.inputs["pos"][i], heavy[frame])
            np.testing.assert_allclose(split.inputs["vel"][i], heavy[frame + 1] - heavy[frame], atol=1e-15)
            np.testing.assert_array_equal(split.targets["pos"][i], heavy[frame + 7])
    assert len(set(used)) == 19
    assert min(used) >= 3
    assert max(used) < 60 - 3 - 7
    inputs = task.splits["test"].inputs
    assert inputs["species"][0].tolist() == [[1, 0], [0, 1], [1, 0]]  # C, O, C
    assert inputs["bond"][0, ..., 0].tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    assert inputs["bond"][0, ..., 1].tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_the_seed_draws_the_frames(tmp_path):
    trajectory(tmp_path)
    first, again, other = (small(tmp_path, seed=seed).checksum for seed in (0, 0, 1))
    assert first == again != other
    assert small(tmp_path, seed=1).protocol.endswith("/seed1")


def test_published_numbers_belong_to_published_ids(tmp_path):
    published = {
        each.id
        for each in PROTOCOLS.values()
        if each.task.startswith("md17") and "forces" not in each.id and each.references
    }
    assert published == {f"md17/dynamics/{molecule}/Δ3000/500-2000-2000/mse" for molecule in FILES}
    values = {r.model: r.value for r in references_of("md17/dynamics/ethanol/Δ3000/500-2000-2000/mse")}
    assert values["EGNN"] == pytest.approx(4.64e-2)
    trajectory(tmp_path)
    assert small(tmp_path).references == ()


def test_a_horizon_longer_than_the_trajectory_is_refused(tmp_path):
    trajectory(tmp_path)
    with pytest.raises(ConfigError, match=r"has 60 frames: a horizon of 50 and a margin of 3 .* leave 4 .* need 19"):
        small(tmp_path, horizon=50)
    with pytest.raises(ConfigError, match="margin must be a number of frames"):
        small(tmp_path, margin=-1)


def test_an_unknown_molecule_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'ethanol'"):
        dynamics(tmp_path, molecule="etanol")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"R": None}, r"must hold R \[T, N, 3\] and z"),
        ({"z": CHARGES[:4]}, "do not fit"),
        ({"z": CHARGES * np.nan}, "z or nuclear_charges must be whole numbers from 1"),
        ({"z": CHARGES - 8}, "must be whole numbers from 1"),
        ({"E": np.zeros(3)}, "3 energies for 60 frames"),
        ({"F": np.zeros((60, 5, 2))}, "forces of shape"),
        ({"R": np.full((60, 5, 3), "x")}, "R or coords must be numbers, got <U1"),
        ({"R": np.full((60, 5, 3), np.nan)}, "not finite, first in frame 0"),
        ({"z": np.array([{}] * 5)}, r"md17_ethanol\.npz cannot be read .*allow_pickle"),
    ],
)
def test_a_broken_file_is_named(tmp_path, changes, message):
    trajectory(tmp_path, **changes)
    with pytest.raises(DataError, match=message):
        small(tmp_path)


def test_a_truncated_file_is_named(tmp_path):
    trajectory(tmp_path)
    path = tmp_path / "md17_ethanol.npz"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"md17_ethanol\.npz cannot be read"):
        small(tmp_path)


def test_a_file_with_another_checksum_is_kept_aside(tmp_path):
    trajectory(tmp_path)
    path = tmp_path / "md17_ethanol.npz"
    (tmp_path / "md17_ethanol.npz.sha256").write_text("0" * 64 + "\n")
    with pytest.raises(DataError, match=r"its sha256 is [0-9a-f]{64}, expected 0{64}.*md17_ethanol\.npz\.mismatch"):
        small(tmp_path)
    assert not path.exists()
    assert (tmp_path / "md17_ethanol.npz.mismatch").is_file()


def test_without_network_it_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setattr("geoequiv.tasks.md17_dynamics.SOURCE", "http://127.0.0.1:9/")
    with pytest.raises(DataError, match=r"put the file 'md17_aspirin\.npz' into .*md17 by hand"):
        dynamics(tmp_path)


def test_the_surrogate_has_ids_of_its_own_and_says_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match=r"geoequiv data make md17-xtb --molecule uracil"):
        surrogate(tmp_path, molecule="uracil")
    trajectory(tmp_path, name="md17_xtb_ethanol.npz")
    task = surrogate(tmp_path, molecule="ethanol", horizon=7, margin=3, train=5, val=6, test=8)
    assert task.protocol.startswith("md17-xtb/dynamics/ethanol/")
    assert not task.references


def test_elements_are_one_hot_by_charge():
    hot, names = species(np.array([8, 1, 6, 1, 34]))
    assert names == ("H", "C", "O", "Se")
    assert hot.argmax(1).tolist() == [2, 0, 1, 0, 3]
    assert hot.sum() == 5
    assert species(np.array([53, 35, 14, 5]))[1] == ("B", "Si", "Br", "I")


def test_no_frame_is_drawn_twice():
    starts = drawn_frames(1000, 10, 100, {"train": 300, "val": 300, "test": 190}, 5, "x")
    assert sorted(np.concatenate(list(starts.values())).tolist()) == list(range(100, 890))


def test_real_ethanol(tmp_path):
    """The first 2000 frames of MD17 ethanol, where they are: C–C–O, atoms move by about 0.01 Å a frame."""
    source = Path(os.environ.get("GEOEQUIV_DATA", "")) / "md17" / "md17_ethanol_first2000.npz"
    if not source.is_file():
        pytest.skip("needs GEOEQUIV_DATA/md17/md17_ethanol_first2000.npz")
    shutil.copy(source, tmp_path / "md17_ethanol.npz")
    task = small(tmp_path, horizon=100, margin=10, train=100, val=100, test=100)
    inputs = task.splits["train"].inputs
    assert inputs["bond"][0, ..., 0].sum() == 4
    assert 1e-3 < inputs["vel"].norm(dim=-1).mean() < 3e-2
    assert torch.isfinite(inputs["pos"]).all()
    assert read_trajectory(source).forces.shape == (2000, 9, 3)
