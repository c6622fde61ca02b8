"""The simulated twin of MD17: geometries, physics, resuming bit for bit, and everything that can go wrong."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from geoequiv.cli import main
from geoequiv.errors import ConfigError, DataError
from geoequiv.tasks import md17_dynamics, md17_forces, xtb_simulation
from geoequiv.tasks.md17_geometries import MOLECULES, starting_geometry
from geoequiv.tasks.rigid_motion import without_rigid_motion
from geoequiv.tasks.trajectory import SYMBOLS, read_trajectory
from geoequiv.tasks.xtb_report import bond_lengths, bonds, energy_drift, finding, lines_of, standard_error
from geoequiv.tasks.xtb_simulation import CHUNK, Plan, simulate, twin_path

FORMULAS = {
    "aspirin": {"C": 9, "H": 8, "O": 4},
    "benzene": {"C": 6, "H": 6},
    "ethanol": {"C": 2, "H": 6, "O": 1},
    "malonaldehyde": {"C": 3, "H": 4, "O": 2},
    "naphthalene": {"C": 10, "H": 8},
    "salicylic": {"C": 7, "H": 6, "O": 3},
    "toluene": {"C": 7, "H": 8},
    "uracil": {"C": 4, "H": 4, "N": 2, "O": 2},
}
RINGS = {"aspirin": 1, "benzene": 1, "naphthalene": 2, "salicylic": 1, "toluene": 1, "uracil": 1}
PLAN = Plan("ethanol", 50, seed=3, equilibration=15, nve=20)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(xtb_simulation, "CHUNK", 20)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The plan, simulated without a stop."""
    pytest.importorskip("tblite")
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xtb_simulation, "CHUNK", 20)
        simulate(PLAN, folder)
    return folder


def bytes_of(folder, molecule="ethanol"):
    return twin_path(molecule, folder).read_bytes()


@pytest.mark.parametrize("molecule", MOLECULES)
def test_starting_geometries_are_the_molecules(molecule):
    charges, positions = starting_geometry(molecule)
    symbols = [SYMBOLS[int(z)] for z in charges]
    assert {symbol: symbols.count(symbol) for symbol in symbols} == FORMULAS[molecule]
    assert sorted(charges == 1) == list(charges == 1)  # hydrogens last, as in MD17
    pairs = bonds(positions, charges)
    assert len(pairs) == len(charges) - 1 + RINGS.get(molecule, 0)
    neighbours = {i: [a + b - i for a, b in pairs if i in (a, b)] for i in range(len(charges))}
    reached, new = {0}, {0}
    while new:
        new = {j for i in new for j in neighbours[i]} - reached
        reached |= new
    assert len(reached) == len(charges)
    most = {"C": (3, 4), "N": (3,), "O": (1, 2), "H": (1,)}
    assert all(len(neighbours[i]) in most[symbol] for i, symbol in enumerate(symbols))
    distance = np.linalg.norm(positions[:, None] - positions, axis=-1) + 9 * np.eye(len(charges))
    assert distance.min() > 0.9
    bonded = np.zeros_like(distance, dtype=bool)
    for i, j in pairs:
        bonded[i, j] = bonded[j, i] = True
    assert distance[~bonded].min() > 1.6  # nothing collides, hydrogen bonds included


@pytest.mark.parametrize("molecule", ["aspirin", "benzene", "ethanol", "naphthalene", "uracil"])
def test_atoms_stand_in_the_order_of_md17(molecule):
    path = Path(os.environ.get("GEOEQUIV_DATA", "")) / "rmd17" / f"rmd17_{molecule}_train_01.npz"
    if not path.is_file():
        pytest.skip(f"needs GEOEQUIV_DATA/rmd17/{path.name}")
    charges, positions = starting_geometry(molecule)
    real = read_trajectory(path)
    assert real.charges.tolist() == charges.tolist()
    middle = np.linalg.norm(real.positions[:, :, None] - real.positions[:, None], axis=-1).mean(0)
    for i, j in bonds(positions, charges):
        assert middle[i, j] < 1.7


def test_an_unknown_molecule_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'ethanol'"):
        Plan("etanol", 10)
    with pytest.raises(ConfigError, match="Did you mean 'toluene'"):
        md17_forces.twin(tmp_path, molecule="tolueen")
    with pytest.raises(ConfigError, match="Did you mean 'toluene'"):
        md17_dynamics.twin(tmp_path, molecule="tolueen")


@pytest.mark.parametrize(("name", "value"), [("frames", 0), ("frames", 2.5), ("equilibration", -1), ("nve", True)])
def test_numbers_that_cannot_be_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} must be a whole number"):
        Plan(**({"molecule": "ethanol", "frames": 10} | {name: value}))


def total(positions, momenta, masses):
    arm = positions - masses @ positions / masses.sum()
    return np.concatenate([momenta.sum(0), np.cross(arm, momenta).sum(0)])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 9))
def test_rigid_motion_and_nothing_else_is_taken_off(seed, atoms):
    rng = np.random.default_rng(seed)
    positions, momenta = rng.normal(size=(2, atoms, 3))
    masses = rng.uniform(1, 16, atoms)
    left = without_rigid_motion(positions, momenta, masses)
    np.testing.assert_allclose(total(positions, left, masses), 0, atol=1e-8)
    np.testing.assert_allclose(without_rigid_motion(positions, left, masses), left, atol=1e-8)
    kinetic, less = ((p**2).sum(1) @ (1 / masses) for p in (momenta, left))
    assert less <= kinetic + 1e-9
    rigid = masses[:, None] * (rng.normal(size=3) + np.cross(rng.normal(size=3), positions))
    np.testing.assert_allclose(without_rigid_motion(positions, rigid, masses), 0, atol=1e-7)
    np.testing.assert_allclose(without_rigid_motion(positions, momenta + rigid, masses), left, atol=1e-7)


def test_the_file_has_the_layout_of_md17(whole):
    with np.load(twin_path("ethanol", whole), allow_pickle=False) as file:
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

    found = read_trajectory(twin_path("ethanol", whole))
    for frame in (0, 26, 49):
        atoms = Atoms(numbers=found.charges, positions=found.positions[frame], calculator=TBLite(verbosity=0))
        assert found.energies[frame] == pytest.approx(23.060548 * atoms.get_potential_energy(), rel=1e-7)
        np.testing.assert_allclose(
            found.forces[frame], 23.060548 * atoms.get_forces(), atol=2e-2
        )  # what is left open by xTB's iterations
    assert np.abs(found.forces).max() > 10


def test_the_molecule_neither_drifts_nor_turns(whole):
    from ase import Atoms

    found = read_trajectory(twin_path("ethanol", whole))
    masses = Atoms(numbers=found.charges).get_masses()
    centres = np.einsum("tad,a->td", found.positions, masses) / masses.sum()
    np.testing.assert_allclose(centres, 0, atol=1e-9)
    for before, after in zip(found.positions, found.positions[1:], strict=False):
        steps = masses[:, None] * (after - before)
        np.testing.assert_allclose(total(before, steps, masses), 0, atol=1e-9)
        assert np.abs(after - before).max() > 1e-3


def test_the_report(whole):
    path = twin_path("ethanol", whole)
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


def test_bond_lengths_by_hand():
    charges = np.array([8, 1, 1])
    frames = np.array([[[0, 0, 0], [0.95, 0, 0], [0, 0.97, 0]], [[0, 0, 0], [0.99, 0, 0], [0, 0.93, 0]]])
    found = bond_lengths(frames, charges)
    assert list(found) == ["O–H"]  # the hydrogens, 1.36 Å apart, are not bonded
    bond = found["O–H"]
    assert (bond["bonds"], bond["min"], bond["max"]) == (2, pytest.approx(0.93), pytest.approx(0.99))
    assert bond["mean"] == pytest.approx(0.96)
    assert bond["std"] == pytest.approx(np.sqrt(5) / 100)
    assert bond["quantiles"]["0.5"] == pytest.approx(0.96)
    assert bond["histogram"]["from"] == pytest.approx(0.93, abs=0.011)
    assert sum(bond["histogram"]["counts"]) == 4


def test_the_drift_is_the_slope():
    steps = np.arange(100)
    found = energy_drift(-3.0 + 2e-6 * steps, 0.5, 4)  # 2 µeV a step of 0.5 fs: 4 meV/ps
    assert found["drift_mev_per_atom_per_ps"] == pytest.approx(1.0)
    assert found["scatter_mev_per_atom"] == pytest.approx(0, abs=1e-9)
    found = energy_drift(-3.0 + 1e-3 * (-1.0) ** steps, 0.5, 4)
    assert abs(found["drift_mev_per_atom_per_ps"]) < 1
    assert found["scatter_mev_per_atom"] == pytest.approx(0.25, rel=1e-3)


def test_standard_errors_know_of_correlation():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=20_000)
    assert standard_error(noise) == pytest.approx(1 / np.sqrt(20_000), rel=0.8)
    assert standard_error(noise) >= noise.std() / np.sqrt(20_000)
    slow = np.repeat(noise[:200], 100)  # 200 values, each a hundred times
    assert standard_error(slow) == pytest.approx(1 / np.sqrt(200), rel=0.8)
    assert standard_error(noise[:7]) is None
    assert standard_error(np.ones(64)) == 0


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
        assert not twin_path("ethanol", tmp_path).exists()
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
    parts = sorted(twin_path("ethanol", tmp_path).with_suffix(".parts").glob("steps_*.npz"))
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
    assert simulate(PLAN, whole, stop_at(0)) == finding(twin_path("ethanol", whole))
    with pytest.raises(DataError, match=r"md17_xtb_ethanol\.npz is in the way: it is a file of another plan"):
        simulate(Plan("ethanol", 60, seed=3, equilibration=15, nve=20), whole)
    assert bytes_of(whole) == before
    (tmp_path / "md17-xtb").mkdir()
    twin_path("ethanol", tmp_path).write_bytes(before)
    with pytest.raises(DataError, match="in the way: it is a file without a report"):
        simulate(PLAN, tmp_path)


def test_a_damaged_file_is_kept_aside_and_made_again(copied, whole):
    path = twin_path("ethanol", copied)
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
    parts = twin_path("ethanol", tmp_path).with_suffix(".parts")
    assert sorted(each.name for each in parts.glob("*.npz")) == ["steps_00000000.npz", "steps_00000020.npz"]
    assert not list(parts.glob(".*"))
    room[0] = 2  # enough for the last two parts, not for the whole
    with pytest.raises(DataError, match=r"md17_xtb_ethanol\.npz \(No space left"):
        simulate(PLAN, tmp_path)
    assert not twin_path("ethanol", tmp_path).exists()
    monkeypatch.undo()
    monkeypatch.setattr(xtb_simulation, "CHUNK", 20)
    simulate(PLAN, tmp_path)
    assert bytes_of(tmp_path) == bytes_of(whole)


def test_two_processes_do_not_write_one_file(tmp_path, monkeypatch):
    pytest.importorskip("tblite")
    monkeypatch.setattr(xtb_simulation, "PATIENCE", 0.05)
    parts = twin_path("ethanol", tmp_path).with_suffix(".parts")
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


def dynamics(folder, **options):
    sizes = {"horizon": 10, "margin": 5, "train": 8, "val": 6, "test": 6}
    return md17_dynamics.twin(folder, molecule="ethanol", **(sizes | options))


def forces(folder, **options):
    return md17_forces.twin(folder, molecule="ethanol", **({"train": 20, "val": 10, "test": 15} | options))


def test_both_tasks_read_it_under_ids_of_their_own(whole):
    ahead, field = dynamics(whole), forces(whole, dtype="float64")
    assert ahead.protocol == "md17-xtb/dynamics/ethanol/Δ10/8-6-6/margin5/mse"
    assert field.protocol == "md17-xtb/forces/ethanol/20-10-15/force_mae"
    assert forces(whole, seed=1).protocol.endswith("/force_mae/seed1")
    assert forces(whole, seed=1).checksum != field.checksum
    assert not ahead.references
    assert not field.references
    assert "GFN2" in field.citation
    found = read_trajectory(twin_path("ethanol", whole))
    used = []
    for split in field.splits.values():
        for i in range(len(split)):
            frame = int(np.abs(found.positions - split.inputs["pos"][i].numpy()).sum((1, 2)).argmin())
            np.testing.assert_array_equal(split.inputs["pos"][i], found.positions[frame])
            np.testing.assert_array_equal(split.targets["forces"][i], found.forces[frame])
            used.append(frame)
    assert len(set(used)) == 45


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
    assert "Protocol       md17-xtb/forces/ethanol/20-10-15/force_mae" in printed
    assert "GFN2-xTB, Langevin 500 K, friction 0.002/fs" in printed
    assert "meV/atom/ps over 0.01 ps without thermostat" in printed
    assert "Bonds O–H      1: " in printed


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of the files to break."""
    (tmp_path / "md17-xtb").mkdir()
    for ending in (".npz", ".json"):
        path = twin_path("ethanol", whole).with_suffix(ending)
        (tmp_path / "md17-xtb" / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("task", [dynamics, forces])
def test_a_file_that_is_not_its_report_s_is_kept_aside(copied, task, capsys):
    path = twin_path("ethanol", copied)
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
    path = twin_path("ethanol", copied)
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
    twin_path("ethanol", copied).with_suffix(".json").unlink()
    assert main(["data", "verify", "md17-xtb/dynamics", *folder]) == 1
    assert "damaged: there is no report beside it" in capsys.readouterr().out


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


def test_molecules_side_by_side_survive_a_kill(tmp_path):
    """`--jobs 2`, killed with -9 in the middle: its processes end with it, and the same command goes on."""
    pytest.importorskip("tblite")
    molecules = ("ethanol", "malonaldehyde")
    command = [
        sys.executable, "-m", "geoequiv", "data", "make", "md17-xtb", "--molecule", *molecules, "--jobs", "2",
        "--frames", "1100", "--equilibration", "0", "--nve", "10", "--data-dir", str(tmp_path),
    ]  # fmt: skip
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
        deadline = time.monotonic() + 300
        while not list(tmp_path.glob("md17-xtb/*.parts/steps_00000000.npz")) and time.monotonic() < deadline:
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    assert not list(tmp_path.glob("md17-xtb/*.npz"))
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    assert all(f"md17_xtb_{molecule}.npz" in done.stdout for molecule in molecules)
    assert done.stdout.count("thermostat 500 K") == 2
    assert "steps/s" in done.stderr
    for molecule in molecules:
        assert read_trajectory(twin_path(molecule, tmp_path)).positions.shape[0] == 1100
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xtb_simulation, "CHUNK", CHUNK)
        simulate(Plan("ethanol", 1100, equilibration=0, nve=10), tmp_path / "again")
    assert bytes_of(tmp_path / "again") == bytes_of(tmp_path)
