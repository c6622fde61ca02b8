"""Revised MD17: frames of official splits from both layouts, units, heads, and files that are broken or missing."""

import errno
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from geoequiv.errors import ConfigError, DataError
from geoequiv.models import GNN
from geoequiv.models.conservative import Conservative
from geoequiv.objectives import TaskObjective
from geoequiv.tasks.data.official import OfficialFile
from geoequiv.tasks.data.rmd17_files import ARCHIVE, unpack
from geoequiv.tasks.energy_and_forces import FORCE_MAE, FURTHER, energy_force_loss
from geoequiv.tasks.md17_forces import forces
from geoequiv.tasks.protocols import PROTOCOLS

CHARGES = np.array([6, 1, 8], dtype=np.uint8)


def arrays_of(frames, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "nuclear_charges": CHARGES,
        "coords": rng.normal(size=(frames, 3, 3)),
        "energies": -97000.0 + rng.normal(size=frames),
        "forces": 20 * rng.normal(size=(frames, 3, 3)),
    }


def cut_files(folder, train=30, test=20, **changes):
    for part, frames, seed in (("train", train, 1), ("test", test, 2)):
        arrays = {k: v for k, v in (arrays_of(frames, seed) | changes).items() if v is not None}
        np.savez(folder / f"rmd17_ethanol_{part}_01.npz", **arrays)
    return arrays_of(train, 1), arrays_of(test, 2)


def small(folder, **options):
    return forces(folder, **({"train": 20, "val": 10, "test": 20} | options))


def centred(positions):
    return positions - positions.mean(1, keepdims=True)


def test_the_last_training_frames_validate(tmp_path):
    train, test = cut_files(tmp_path)
    task = small(tmp_path, dtype="float64")
    assert task.protocol == "md17/forces/ethanol/split1/20-10-20/force_mae"
    assert str(task.signature) == "pos: point, species: scalar*3 -> energy: scalar per graph, forces: vector"
    np.testing.assert_allclose(task.splits["train"].inputs["pos"], centred(train["coords"][:20]), atol=1e-12)
    np.testing.assert_array_equal(task.splits["val"].targets["forces"], train["forces"][20:])
    zero = train["energies"][:20].mean()
    np.testing.assert_allclose(task.splits["test"].targets["energy"][:, 0], test["energies"] - zero, atol=1e-9)
    assert f"{zero:.4f}" in task.description
    assert task.splits["train"].inputs["species"][0].tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]  # C, H, O


def test_training_and_test_files_of_different_molecules_are_refused(tmp_path):
    cut_files(tmp_path)
    np.savez(tmp_path / "rmd17_ethanol_test_01.npz", **arrays_of(20) | {"nuclear_charges": CHARGES[::-1]})
    with pytest.raises(DataError, match=r"same atoms in the same order; .* \[6, 1, 8\] and \[8, 1, 6\]"):
        small(tmp_path)


def test_float32_resolves_energies(tmp_path):
    train, _ = cut_files(tmp_path)
    energy = small(tmp_path).splits["train"].targets["energy"][:, 0]
    expected = train["energies"][:20] - train["energies"][:20].mean()
    np.testing.assert_allclose(energy, expected, rtol=1e-5, atol=1e-6)


def test_molecules_that_drift_keep_their_digits(tmp_path):
    """Frames of benzene lie up to 200 Å from the origin, where float32 holds an atom to 1e-5 Å."""
    train, _ = cut_files(tmp_path)
    here = small(tmp_path).splits["train"].inputs["pos"]
    away = np.random.default_rng(0).uniform(-200, 200, size=(30, 1, 3))
    np.savez(tmp_path / "rmd17_ethanol_train_01.npz", **train | {"coords": train["coords"] + away})
    np.testing.assert_allclose(small(tmp_path).splits["train"].inputs["pos"], here, atol=1e-6)


def test_the_archive_s_layout_gives_the_same_frames(tmp_path):
    """One long trajectory and index files, inside a tar.bz2 with folders, as published."""
    whole = arrays_of(80)
    rng = np.random.default_rng(5)
    order = rng.permutation(80)
    contents = {"rmd17/readme.txt": b"hello", "rmd17/npz_data/rmd17_uracil.npz": b"not this one"}
    buffer = io.BytesIO()
    np.savez(buffer, **whole)
    contents["rmd17/npz_data/rmd17_ethanol.npz"] = buffer.getvalue()
    for part, index in (("train", order[:30]), ("test", order[30:50])):
        contents[f"rmd17/splits/index_{part}_03.csv"] = "\n".join(map(str, index)).encode() + b"\n"
    (tmp_path / "rmd17").mkdir()
    with tarfile.open(tmp_path / "rmd17" / "rmd17.tar.bz2", "w:bz2") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    task = small(tmp_path, split=3, dtype="float64")
    expected = centred(whole["coords"][order[:20]])
    np.testing.assert_allclose(task.splits["train"].inputs["pos"], expected, atol=1e-12)
    np.testing.assert_array_equal(task.splits["test"].targets["forces"], whole["forces"][order[30:50]])
    assert not (tmp_path / "rmd17" / "readme.txt").exists()
    (tmp_path / "rmd17" / "rmd17.tar.bz2").unlink()
    assert small(tmp_path, split=3).checksum == task.checksum  # unpacked once
    (tmp_path / "rmd17" / "index_test_03.csv").write_text("3\n99\n")
    with pytest.raises(DataError, match=r"index_test_03\.csv names frames 3 to 99, and the trajectory has 80"):
        small(tmp_path, split=3)
    for text, message in (
        ("three\n", "must hold one frame number a line"),
        ("1.5\n", "must hold whole numbers"),
        ("nan\n", "must hold whole numbers"),
        ("\n", "names no frames"),
    ):
        (tmp_path / "rmd17" / "index_test_03.csv").write_text(text)
        with pytest.raises(DataError, match=rf"index_test_03\.csv {message}"):
            small(tmp_path, split=3)


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays_of(80))
    with tarfile.open(tmp_path / "rmd17.tar.bz2", "w:bz2") as archive:
        member = tarfile.TarInfo("rmd17/npz_data/rmd17_ethanol.npz")
        member.size = len(buffer.getvalue())
        archive.addfile(member, io.BytesIO(buffer.getvalue()))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataError, match=r"Unpacking .* stopped: No space left on device\. Free space"):
        unpack(tmp_path / "rmd17.tar.bz2", tmp_path, ("rmd17_ethanol.npz",))


def test_a_broken_archive_is_named(tmp_path):
    (tmp_path / "rmd17").mkdir()
    (tmp_path / "rmd17" / "rmd17.tar.bz2").write_bytes(b"BZh9 nothing of the kind")
    with pytest.raises(DataError, match=r"rmd17\.tar\.bz2 cannot be unpacked"):
        small(tmp_path)
    with tarfile.open(tmp_path / "rmd17" / "rmd17.tar.bz2", "w:bz2") as archive:
        archive.addfile(tarfile.TarInfo("rmd17/readme.txt"))
    with pytest.raises(DataError, match=r"does not hold \['index_test_01\.csv', .*'rmd17_ethanol\.npz'\]"):
        small(tmp_path)


def test_without_network_it_says_what_to_put_where(tmp_path, monkeypatch):
    unreachable = OfficialFile(ARCHIVE.name, "http://127.0.0.1:9/x", None, "")
    monkeypatch.setattr("geoequiv.tasks.data.rmd17_files.ARCHIVE", unreachable)
    with pytest.raises(DataError, match=r"put the file 'rmd17\.tar\.bz2' into .*rmd17 by hand"):
        small(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"energies": None}, r"must hold energies \[T\] and forces"),
        ({"forces": np.full((30, 3, 3), np.nan)}, "forces of shape|forces are not finite"),
        ({"coords": None}, "must hold R"),
        ({"nuclear_charges": np.array([{}] * 3)}, "cannot be read .*allow_pickle"),
    ],
)
def test_a_broken_file_is_named(tmp_path, changes, message):
    cut_files(tmp_path, test=30, **changes)
    with pytest.raises(DataError, match=message):
        small(tmp_path)


def test_a_truncated_file_is_named(tmp_path):
    cut_files(tmp_path)
    path = tmp_path / "rmd17_ethanol_test_01.npz"
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match=r"rmd17_ethanol_test_01\.npz cannot be read"):
        small(tmp_path)


def test_an_archive_with_another_checksum_is_kept_aside(tmp_path):
    (tmp_path / "rmd17").mkdir()
    path = tmp_path / "rmd17" / "rmd17.tar.bz2"
    path.write_bytes(b"BZh9")
    path.with_name("rmd17.tar.bz2.sha256").write_text("0" * 64 + "\n")
    with pytest.raises(DataError, match=r"its sha256 is [0-9a-f]{64}, expected 0{64}.*rmd17\.tar\.bz2\.mismatch"):
        small(tmp_path)
    assert not path.exists()


def test_bad_options(tmp_path):
    cut_files(tmp_path)
    with pytest.raises(ConfigError, match="Did you mean 'ethanol'"):
        forces(tmp_path, molecule="ethanal")
    with pytest.raises(ConfigError, match="Did you mean 'gradient'"):
        small(tmp_path, forces="gradeint")
    with pytest.raises(ConfigError, match="five official splits"):
        small(tmp_path, split=6)
    with pytest.raises(DataError, match="has 30 frames; 40 are needed"):
        small(tmp_path, train=30)
    with pytest.raises(ConfigError, match="not negative nor both zero"):
        small(tmp_path, energy_weight=0.0, force_weight=0.0)
    for weight in ("abc", None, [1], float("inf"), float("nan")):
        with pytest.raises(ConfigError, match="must be numbers"):
            small(tmp_path, energy_weight=weight)


def test_loss_and_metrics_by_hand():
    target = {"energy": torch.zeros(2, 1), "forces": torch.zeros(2, 2, 3)}
    prediction = {"energy": torch.tensor([[2.0], [0.0]]), "forces": torch.ones(2, 2, 3)}
    losses = energy_force_loss(0.01, 2.0)
    assert float(losses["energy"](prediction["energy"], target["energy"])) == pytest.approx(0.01 * 2.0)
    assert float(losses["forces"](prediction["forces"], target["forces"])) == pytest.approx(2.0 * 3.0)
    assert FORCE_MAE.per_item(prediction, target).tolist() == pytest.approx([43.364, 43.364])
    found = {(each.name, each.unit): each.per_item(prediction, target).tolist() for each in FURTHER}
    assert found["energy_mae", "meV"] == pytest.approx([2 * 43.364, 0.0])
    assert found["energy_mae", "kcal/mol"] == pytest.approx([2.0, 0.0])
    assert found["force_mae", "kcal/mol/Å"] == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("mode", ["gradient", "direct"])
def test_heads(tmp_path, mode):
    cut_files(tmp_path)
    task = small(tmp_path, forces=mode)
    torch.manual_seed(0)
    model = task.finished(GNN(task.model_signature, width=8, depth=1))
    batch, targets = task.splits["val"].inputs, task.splits["val"].targets
    outputs = model(**batch)
    assert outputs["energy"].shape == (10, 1)
    assert outputs["forces"].shape == (10, 3, 3)
    assert isinstance(model, Conservative) == (mode == "gradient")
    loss = TaskObjective(model, task.signature, task.loss)(batch, targets)
    loss.total.backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in model.parameters() if each.numel() > 8)
    force = task.splits["train"].targets["forces"].double().square().mean().sqrt()
    state = model.state_dict()
    (zero,) = (value for name, value in state.items() if name.endswith("zero_energy"))
    assert float(zero) == pytest.approx(arrays_of(30, 1)["energies"][:20].mean(), rel=1e-12)
    scales = {name.rpartition("_")[2]: float(value) for name, value in state.items() if "output_scale" in name}
    if mode == "gradient":
        assert scales == {"energy": pytest.approx(float(force), rel=1e-6)}
    else:
        assert scales["forces"] == pytest.approx(float(force), rel=1e-6)
        assert scales["energy"] == pytest.approx(arrays_of(30, 1)["energies"][:20].std(), rel=1e-4)


def test_scales_come_from_the_training_split_alone(tmp_path):
    cut_files(tmp_path)
    before = small(tmp_path).finished(nn.Linear(1, 1)).state_dict()
    arrays = arrays_of(20, 2)
    np.savez(tmp_path / "rmd17_ethanol_test_01.npz", **{**arrays, "forces": 100 * arrays["forces"]})
    after = small(tmp_path).finished(nn.Linear(1, 1)).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if "model.model" not in name)


def test_real_molecules():
    """The official split 1, where its files are: checksums of the register, and forces near those of the harmonic."""
    folder = os.environ.get("GEOEQUIV_DATA", "")
    if not (Path(folder) / "rmd17" / "rmd17_ethanol_train_01.npz").is_file():
        pytest.skip("needs GEOEQUIV_DATA/rmd17/rmd17_ethanol_train_01.npz")
    task = forces(folder)
    assert task.checksum == PROTOCOLS[task.protocol].checksum
    assert {name: len(split) for name, split in task.splits.items()} == PROTOCOLS[task.protocol].splits
    total = task.splits["test"].targets["forces"].sum(1)
    assert total.abs().max() < 0.2  # kcal/mol/Å: the forces on a molecule add up to nothing
    assert 1 < task.splits["test"].targets["energy"].std() < 10
