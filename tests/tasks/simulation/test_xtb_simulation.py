"""Simulating surrogate data for MD17: physics, resuming bit for bit, and everything that can go wrong."""

import errno
import hashlib
import sys

import numpy as np
import pytest
from filelock import FileLock

from geoequiv.cli import main
from geoequiv.errors import ConfigError, DataError
from geoequiv.tasks.data.trajectory import read_trajectory
from geoequiv.tasks.simulation import xtb_simulation
from geoequiv.tasks.simulation.xtb_report import finding, lines_of
from geoequiv.tasks.simulation.xtb_simulation import Plan, simulate, surrogate_path

PLAN = Plan("ethanol", 50, seed=3, equilibration=15, nve=20)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(xtb_simulation, "CHUNK", 20)


def bytes_of(folder, molecule="ethanol"):
    return surrogate_path(molecule, folder).read_bytes()


@pytest.mark.parametrize(("name", "value"), [("frames", 0), ("frames", 2.5), ("equilibration", -1), ("nve", True)])
def test_numbers_that_cannot_be_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} must be a whole number"):
        Plan(**({"molecule": "ethanol", "frames": 10} | {name: value}))


def test_the_file_has_the_layout_of_md17(whole):
    with np.load(surrogate_path("ethanol", whole), allow_pickle=False) as file:
        shapes = {name: (file[name].shape, file[name].dtype.kind) for name in file.files}
        assert shapes == {
            "R": ((50, 9, 3), "f"), "z": ((9,), "u"), "E": ((50, 1), "f"), "F": ((50, 9, 3), "f"),
            "name": ((), "U"), "theory": ((), "U"),
        }  # fmt: skip
        assert (str(file["name"]), str(file["theory"])) == ("ethanol", "GFN2-xTB")
    assert sorted(each.name for each in (whole / "md17-xtb").iterdir()) == [
        "md17_xtb_ethanol.json", "md17_xtb_ethanol.npz",
    ]  # fmt: skip


def test_energies_and_forces_are_those_of_xtb_in_md17_s_units(whole):
    """A single point of a fresh calculator, with the unit written out: 1 eV = 23.060548 kcal/mol."""
    from ase import Atoms
    from tblite.ase import TBLite

    found = read_trajectory(surrogate_path("ethanol", whole))
    for frame in (0, 26, 49):
        atoms = Atoms(numbers=found.charges, positions=found.positions[frame], calculator=TBLite(verbosity=0))
        assert found.energies[frame] == pytest.approx(23.060548 * atoms.get_potential_energy(), rel=1e-7)
        np.testing.assert_allclose(
            found.forces[frame], 23.060548 * atoms.get_forces(), atol=2e-2
        )  # what is left open by xTB's iterations
    assert np.abs(found.forces).max() > 10


def total(positions, momenta, masses):
    arm = positions - masses @ positions / masses.sum()
    return np.concatenate([momenta.sum(0), np.cross(arm, momenta).sum(0)])


def test_the_molecule_neither_drifts_nor_turns(whole):
    from ase import Atoms

    found = read_trajectory(surrogate_path("ethanol", whole))
    masses = Atoms(numbers=found.charges).get_masses()
    centres = np.einsum("tad,a->td", found.positions, masses) / masses.sum()
    np.testing.assert_allclose(centres, 0, atol=1e-9)
    for before, after in zip(found.positions, found.positions[1:], strict=False):
        steps = masses[:, None] * (after - before)
        np.testing.assert_allclose(total(before, steps, masses), 0, atol=1e-9)
        assert np.abs(after - before).max() > 1e-3


def test_the_report(whole):
    path = surrogate_path("ethanol", whole)
    report = finding(path)
    assert report["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert report["plan"] == {"molecule": "ethanol", "frames": 50, "seed": 3, "equilibration": 15, "nve": 20}
    assert set(report["settings"]["versions"]) == {"ase", "tblite", "numpy"}
    assert 100 < report["temperature"]["mean"] < 900
    assert report["temperature"]["standard_error"] > 0
    assert abs(report["nve"]["drift_mev_per_atom_per_ps"]) < 50
    assert {kind: bond["bonds"] for kind, bond in report["bonds"].items()} == {"C–C": 1, "C–H": 5, "O–C": 1, "O–H": 1}
    for bond in report["bonds"].values():
        assert sum(bond["histogram"]["counts"]) == 50 * bond["bonds"]
    told = dict(lines_of(report))
    assert told["Temperature"].endswith("thermostat 500 K")
    assert "seed 3" in told["Simulation"]
    assert told["sha256"] == report["sha256"]


class Stop(Exception):
    """Raised by a bar."""


def stop_at(step):
    def progress(done, of, temperature):
        if done >= step:
            raise Stop

    return progress


@pytest.mark.parametrize("stops", [(7,), (20, 40, 41), (65,)])
def test_an_interrupted_simulation_gives_the_same_file(whole, tmp_path, stops):
    for step in stops:
        with pytest.raises(Stop):
            simulate(PLAN, tmp_path, stop_at(step))
        assert not surrogate_path("ethanol", tmp_path).exists()
    told = []
    simulate(PLAN, tmp_path, lambda done, *_: told.append(done))
    assert told[0] == {(7,): 0, (20, 40, 41): 40, (65,): 60}[stops]  # the last whole chunk
    assert bytes_of(tmp_path) == bytes_of(whole)


def test_another_seed_gives_another_file(whole, tmp_path):
    simulate(Plan("ethanol", 50, seed=4, equilibration=15, nve=20), tmp_path)
    assert bytes_of(tmp_path) != bytes_of(whole)


def test_a_damaged_part_is_done_again(whole, tmp_path):
    with pytest.raises(Stop):
        simulate(PLAN, tmp_path, stop_at(65))
    parts = sorted(surrogate_path("ethanol", tmp_path).with_suffix(".parts").glob("steps_*.npz"))
    assert len(parts) == 3
    parts[1].write_bytes(parts[1].read_bytes()[:500])
    simulate(PLAN, tmp_path)
    assert bytes_of(tmp_path) == bytes_of(whole)


def test_a_longer_plan_goes_on_from_a_shorter_one(whole, tmp_path):
    with pytest.raises(Stop):
        simulate(Plan("ethanol", 40, seed=3, equilibration=15, nve=20), tmp_path, stop_at(55))
    simulate(PLAN, tmp_path)
    assert bytes_of(tmp_path) == bytes_of(whole)


def test_an_unfinished_simulation_of_another_plan_is_left_alone(tmp_path):
    pytest.importorskip("tblite")
    with pytest.raises(Stop):
        simulate(PLAN, tmp_path, stop_at(25))
    with pytest.raises(DataError, match=r"unfinished simulation of another plan.*\"seed\":3.*\"seed\":4.*delete"):
        simulate(Plan("ethanol", 50, seed=4, equilibration=15, nve=20), tmp_path)


def test_a_complete_file_is_neither_done_again_nor_overwritten(whole, tmp_path):
    before = bytes_of(whole)
    assert simulate(PLAN, whole, stop_at(0)) == finding(surrogate_path("ethanol", whole))
    with pytest.raises(DataError, match=r"md17_xtb_ethanol\.npz is in the way: it is a file of another plan"):
        simulate(Plan("ethanol", 60, seed=3, equilibration=15, nve=20), whole)
    assert bytes_of(whole) == before
    (tmp_path / "md17-xtb").mkdir()
    surrogate_path("ethanol", tmp_path).write_bytes(before)
    with pytest.raises(DataError, match="in the way: it is a file without a report"):
        simulate(PLAN, tmp_path)


def test_what_is_in_the_way_costs_no_unfinished_simulation(whole, tmp_path):
    with pytest.raises(Stop):
        simulate(PLAN, tmp_path, stop_at(25))
    path = surrogate_path("ethanol", tmp_path)
    path.write_bytes(b"of somebody else")
    with pytest.raises(DataError, match=r"in the way.*Move it"):
        simulate(PLAN, tmp_path)
    path.unlink()
    told = []
    simulate(PLAN, tmp_path, lambda done, *_: told.append(done))
    assert told[0] == 20
    assert bytes_of(tmp_path) == bytes_of(whole)
    assert not path.with_suffix(".parts").exists()


def test_a_damaged_file_is_kept_aside_and_made_again(copied, whole):
    path = surrogate_path("ethanol", copied)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"its sha256 is .*expected.*kept as .*mismatch"):
        simulate(PLAN, copied)
    simulate(PLAN, copied)
    assert bytes_of(copied) == bytes_of(whole)


def test_a_full_disk_loses_nothing(whole, tmp_path, monkeypatch):
    real, room = np.savez, [2]

    def savez(file, **arrays):
        real(file, **arrays)
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(xtb_simulation.np, "savez", savez)
    with pytest.raises(DataError, match=r"steps_00000040\.npz \(No space left on device\).*is kept: run again"):
        simulate(PLAN, tmp_path)
    parts = surrogate_path("ethanol", tmp_path).with_suffix(".parts")
    assert sorted(each.name for each in parts.glob("*.npz")) == ["steps_00000000.npz", "steps_00000020.npz"]
    assert not list(parts.glob(".*"))
    room[0] = 2  # enough for the last two parts, not for the whole
    with pytest.raises(DataError, match=r"md17_xtb_ethanol\.npz \(No space left"):
        simulate(PLAN, tmp_path)
    assert not surrogate_path("ethanol", tmp_path).exists()
    monkeypatch.undo()
    monkeypatch.setattr(xtb_simulation, "CHUNK", 20)
    simulate(PLAN, tmp_path)
    assert bytes_of(tmp_path) == bytes_of(whole)


def test_two_processes_do_not_write_one_file(tmp_path, monkeypatch):
    pytest.importorskip("tblite")
    monkeypatch.setattr(xtb_simulation, "PATIENCE", 0.05)
    parts = surrogate_path("ethanol", tmp_path).with_suffix(".parts")
    parts.mkdir(parents=True)
    with FileLock(parts / "lock"), pytest.raises(DataError, match=r"Another process is simulating .*ethanol\.npz"):
        simulate(PLAN, tmp_path)


def test_a_missing_extra_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tblite.ase", None)
    with pytest.raises(ConfigError, match=r"needs ASE and tblite .*pip install 'geoequiv\[sim\]'"):
        simulate(PLAN, tmp_path)
    assert main(["data", "make", "md17-xtb", "--data-dir", str(tmp_path)]) == 2
    assert "pip install 'geoequiv[sim]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["md17-xtb", "--molecule", "aspirine"], "Did you mean 'aspirin'"),
        (["md17-xtb", "frames=3"], "md17-xtb takes --molecule, --frames, --seed, …; got 'frames=3'"),
        (["md17-xtb", "--seed", "-1"], "seed must be a whole number"),
        (["nbody/charged", "--frames", "3"], "--frames belong to md17-xtb"),
    ],
)
def test_bad_usage(arguments, message, capsys):
    assert main(["data", "make", *arguments]) == 2
    assert message in capsys.readouterr().err
