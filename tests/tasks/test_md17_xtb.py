"""Surrogate data for MD17 as tasks: ids, cards, and files that are not what their report says."""

import hashlib
import json

import numpy as np
import pytest

from geoequiv.cli import main
from geoequiv.errors import ConfigError, DataError
from geoequiv.tasks import md17_dynamics, md17_forces
from geoequiv.tasks.data.official import sha256
from geoequiv.tasks.data.trajectory import read_trajectory
from geoequiv.tasks.simulation import xtb_trajectory
from geoequiv.tasks.simulation.xtb_simulation import Plan, surrogate_path


def test_an_unknown_molecule_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'ethanol'"):
        Plan("etanol", 10)
    with pytest.raises(ConfigError, match="Did you mean 'toluene'"):
        md17_forces.surrogate(tmp_path, molecule="tolueen")
    with pytest.raises(ConfigError, match="Did you mean 'toluene'"):
        md17_dynamics.surrogate(tmp_path, molecule="tolueen")


def dynamics(folder, **options):
    sizes = {"horizon": 10, "margin": 5, "train": 8, "val": 6, "test": 6}
    return md17_dynamics.surrogate(folder, molecule="ethanol", **(sizes | options))


def forces(folder, **options):
    return md17_forces.surrogate(folder, molecule="ethanol", **({"train": 20, "val": 10, "test": 15} | options))


def test_both_tasks_read_it_under_ids_of_their_own(whole):
    ahead, field = dynamics(whole), forces(whole, dtype="float64")
    mark = f"trajectory-{sha256(surrogate_path('ethanol', whole))[:8]}"  # 50 frames are not those of the register
    assert ahead.protocol == f"md17-xtb/dynamics/ethanol/{mark}/Δ10/8-6-6/margin5/mse"
    assert field.protocol == f"md17-xtb/forces/ethanol/{mark}/20-10-15/force_mae"
    assert forces(whole, seed=1).protocol.endswith("/force_mae/seed1")
    assert forces(whole, seed=1).checksum != field.checksum
    assert not ahead.references
    assert not field.references
    assert "GFN2" in field.citation
    found = read_trajectory(surrogate_path("ethanol", whole))
    centred = found.positions - found.positions.mean(1, keepdims=True)
    used = []
    for split in field.splits.values():
        for i in range(len(split)):
            frame = int(np.abs(centred - split.inputs["pos"][i].numpy()).sum((1, 2)).argmin())
            np.testing.assert_allclose(split.inputs["pos"][i], centred[frame], atol=1e-12)
            np.testing.assert_array_equal(split.targets["forces"][i], found.forces[frame])
            used.append(frame)
    assert len(set(used)) == 45


def test_the_usual_trajectory_has_the_id_of_the_register(copied, monkeypatch):
    monkeypatch.setattr(
        xtb_trajectory, "Plan", lambda molecule, frames: Plan(molecule, 50, seed=3, equilibration=15, nve=20)
    )
    assert forces(copied).protocol == "md17-xtb/forces/ethanol/20-10-15/force_mae"
    assert dynamics(copied).protocol == "md17-xtb/dynamics/ethanol/Δ10/8-6-6/margin5/mse"
    finding_place = surrogate_path("ethanol", copied).with_suffix(".json")
    finding_place.unlink()  # without a report nobody knows how it was simulated
    assert "/trajectory-" in forces(copied).protocol


def test_more_than_the_trajectory_holds_is_refused(whole):
    with pytest.raises(ConfigError, match=r"has 50 frames: a horizon of 50 .* leave 0 to start from"):
        dynamics(whole, horizon=50)
    with pytest.raises(ConfigError, match=r"ethanol\.npz has 50 frames; the splits .* need 55"):
        forces(whole, train=30)
    with pytest.raises(ConfigError, match=r"train must lie between 1 and 50 \(the frames of "):
        forces(whole, train=51)


def test_the_card_has_the_report(whole, capsys):
    options = ["molecule=ethanol", "train=20", "val=10", "test=15", "--data-dir", str(whole)]
    assert main(["data", "info", "md17-xtb/forces", *options]) == 0
    printed = capsys.readouterr().out
    assert "Protocol       md17-xtb/forces/ethanol/trajectory-" in printed
    assert "GFN2-xTB, Langevin 500 K, friction 0.002/fs" in printed
    assert "meV/atom/ps over 0.01 ps without thermostat" in printed
    assert "Bonds O–H      1: " in printed


@pytest.mark.parametrize("task", [dynamics, forces])
def test_a_file_that_is_not_its_report_s_is_kept_aside(copied, task, capsys):
    path = surrogate_path("ethanol", copied)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    expected = json.loads(path.with_suffix(".json").read_text())["sha256"]
    known = hashlib.sha256(content).hexdigest()
    assert main(["data", "verify", "md17-xtb", "--data-dir", str(copied)]) == 1
    assert f"damaged: its sha256 is {known}, expected {expected}" in capsys.readouterr().out
    with pytest.raises(DataError, match=f"its sha256 is {known}, expected {expected}.*kept as .*mismatch"):
        task(copied)
    assert not path.exists()
    assert path.with_name(path.name + ".mismatch").read_bytes() == content


@pytest.mark.parametrize("task", [dynamics, forces])
def test_broken_files_are_named(copied, task):
    path = surrogate_path("ethanol", copied)
    whole = path.read_bytes()
    arrays = dict(np.load(path))
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(DataError, match=r"md17_xtb_ethanol\.json is not the report of a simulation"):
        task(copied)
    path.with_suffix(".json").unlink()
    path.write_bytes(whole[:3000])
    with pytest.raises(DataError, match=r"md17_xtb_ethanol\.npz cannot be read"):
        task(copied)
    np.savez(path, positions=arrays["R"], z=arrays["z"])
    with pytest.raises(DataError, match=r"must hold R \[T, N, 3\] and z \[N\].*it holds \['positions', 'z'\]"):
        task(copied)
    np.savez(path, **(arrays | {"z": np.array([{}] * 9)}))
    with pytest.raises(DataError, match=r"cannot be read .*allow_pickle"):
        task(copied)
    path.unlink()
    with pytest.raises(DataError, match="data make md17-xtb --molecule ethanol"):
        task(copied)


def test_files_are_listed_and_verified(copied, capsys):
    folder = ["--data-dir", str(copied)]
    assert main(["data", "list", *folder]) == 0
    assert "md17_xtb_ethanol.npz  ok" in capsys.readouterr().out
    assert main(["data", "verify", *folder]) == 0
    surrogate_path("ethanol", copied).with_suffix(".json").unlink()
    assert main(["data", "verify", "md17-xtb/dynamics", *folder]) == 1
    assert "damaged: there is no report beside it" in capsys.readouterr().out
