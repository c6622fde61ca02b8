"""`geoequiv predict` and `geoequiv.ase.Calculator`: a trained run on structures of a user."""

import shutil

import numpy as np
import pytest
import torch

from geoequiv.bench.trained import load_trained
from geoequiv.cli import main
from geoequiv.errors import DataError

ase = pytest.importorskip("ase", reason="needs the extra 'ase'")
from ase import Atoms, units  # noqa: E402
from ase.md.verlet import VelocityVerlet  # noqa: E402

from geoequiv.ase import Calculator  # noqa: E402

SUITE = """\
name: small
task: {{name: {task}}}
train: {{epochs: 1, batch_size: 16, checkpoint_seconds: 0}}
evaluate: {{num_items: 2, num_samples: 2, batch_size: 16, repeats: 1}}
entries: [{{model: {{name: {model}, width: 8, depth: 1}}}}]
"""
NUMBERS = [6, 6, 8, 1]
REST = np.array([[0, 0, 0], [1.5, 0, 0], [2.1, 1.3, 0], [-0.4, 1.0, 0]])
KCAL = units.kcal / units.mol


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    rng, found = np.random.default_rng(0), {}
    for part in ("train", "test"):
        np.savez(
            folder / f"rmd17_ethanol_{part}_01.npz", nuclear_charges=np.array(NUMBERS, dtype=np.uint8),
            coords=REST + 0.05 * rng.normal(size=(20, 4, 3)), energies=rng.normal(size=20) - 100.0,
            forces=20 * rng.normal(size=(20, 4, 3)),
        )  # fmt: skip
    tasks = {"forces": "md17/forces, train: 12, val: 4, test: 6", "nbody": "nbody/charged, train: 16, val: 4, test: 12"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOEQUIV_DATA", str(folder))
        for name, task in tasks.items():
            (folder / f"{name}.yaml").write_text(SUITE.format(task=task, model="egnn"))
            assert main(["run", str(folder / f"{name}.yaml"), "--output", str(folder / name)]) == 0
            (record,) = (folder / name).glob("*/record.json")
            found[name] = record.parent
        yield found


def molecule(shift: float = 0.0, seed: int = 1) -> Atoms:
    return Atoms(NUMBERS, REST + 0.03 * np.random.default_rng(seed).normal(size=REST.shape) + shift)


def test_predictions_are_those_of_the_model_with_the_zero_added(runs, tmp_path, capsys):
    structures = [molecule(seed=seed) for seed in range(3)]
    ase.io.write(tmp_path / "new.extxyz", structures, format="extxyz")
    assert main(["predict", str(runs["forces"]), str(tmp_path / "new.extxyz")]) == 0
    assert "energy [3" in capsys.readouterr().out
    found = np.load(tmp_path / "new.extxyz.predictions.npz", allow_pickle=False)
    trained = load_trained(runs["forces"])
    pos = torch.tensor(np.stack([each.positions - each.positions.mean(0) for each in structures]), dtype=torch.float32)
    species = trained.task.splits["train"].inputs["species"][:1].expand(3, -1, -1)
    expected = trained.model(pos=pos, species=species)
    np.testing.assert_allclose(found["forces"], expected["forces"].detach(), rtol=1e-4, atol=1e-4)
    energy = expected["energy"].detach().double().numpy().reshape(3)
    zero = found["energy"].reshape(3) - energy
    training = np.load(runs["forces"].parents[1] / "rmd17_ethanol_train_01.npz")["energies"]
    assert np.ptp(zero) < 1e-4
    assert training.min() < zero.mean() < training.max()


def test_any_task_is_predicted_from_named_arrays(runs, tmp_path):
    trained = load_trained(runs["nbody"])
    split = trained.task.splits["test"]
    np.savez(tmp_path / "new.npz", **{name: values.numpy() for name, values in split.inputs.items()})
    assert main(["predict", str(runs["nbody"]), str(tmp_path / "new.npz"), "--batch-size", "5"]) == 0
    found = np.load(tmp_path / "new.npz.predictions.npz", allow_pickle=False)["pos"]
    expected = trained.model(**split.inputs)
    expected = expected["pos"] if isinstance(expected, dict) else expected
    np.testing.assert_allclose(found, expected.detach(), rtol=1e-4, atol=1e-5)


def test_forces_of_the_calculator_are_minus_the_gradient_of_its_energy(runs):
    atoms = molecule()
    atoms.calc = Calculator(runs["forces"])
    forces, step = atoms.get_forces(), 1e-2
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.calc = atoms.calc
        moved.positions[1, 0] += sign * step
        energies.append(moved.get_potential_energy())
    assert forces[1, 0] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), rel=0.02, abs=2e-3)
    assert energies[0] == pytest.approx(-100 * KCAL, abs=2.0)


def test_molecular_dynamics_conserves_energy(runs):
    atoms = molecule()
    atoms.calc = Calculator(runs["forces"])
    start, kinetic = atoms.get_total_energy(), []
    total = []
    for _ in range(20):
        VelocityVerlet(atoms, timestep=0.2 * units.fs).run(2)
        total.append(atoms.get_total_energy() - start)
        kinetic.append(atoms.get_kinetic_energy())
    assert max(kinetic) > 1e-4  # energy passes from one to the other
    assert np.abs(total).max() < 0.02 * max(kinetic) + 1e-4


def test_the_place_of_a_molecule_does_not_matter(runs):
    near, far = molecule(), molecule(shift=200.0)
    for atoms in (near, far):
        atoms.calc = Calculator(runs["forces"])
    np.testing.assert_allclose(far.get_forces(), near.get_forces(), atol=1e-4)


def test_what_cannot_be_predicted_is_refused(runs, tmp_path, capsys):
    ase.io.write(tmp_path / "new.extxyz", Atoms([6, 6, 8, 17], REST), format="extxyz")
    assert main(["predict", str(runs["forces"]), str(tmp_path / "new.extxyz")]) == 2
    assert "has Cl; the run has learned from H, C, O" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.npz"))
    with pytest.raises(DataError, match="one energy and its forces"):
        Calculator(runs["nbody"])
    with pytest.raises(DataError, match="unit of energy"):
        Calculator(runs["forces"], unit="kcal")
    periodic = molecule()
    periodic.pbc, periodic.cell, periodic.calc = True, [9, 9, 9], Calculator(runs["forces"])
    with pytest.raises(DataError, match="periodic"):
        periodic.get_forces()


def test_a_damaged_checkpoint_is_refused(runs, tmp_path, capsys):
    copy = tmp_path / "forces" / runs["forces"].name
    shutil.copytree(runs["forces"], copy)
    file = copy / "checkpoint.ckpt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    ase.io.write(tmp_path / "new.extxyz", molecule(), format="extxyz")
    assert main(["predict", str(copy), str(tmp_path / "new.extxyz")]) == 2
    assert "checkpoint" in capsys.readouterr().err


def test_stress_is_the_derivative_of_the_energy_by_strain(tmp_path):
    rng, frames = np.random.default_rng(0), tmp_path / "frames.npz"
    np.savez(
        frames, pos=REST + 0.1 * rng.normal(size=(12, 4, 3)), numbers=np.array(NUMBERS), energy=rng.normal(size=12),
        cell=6 * np.eye(3) + 0.3 * rng.normal(size=(12, 3, 3)), forces=rng.normal(size=(12, 4, 3)),
        stress=rng.normal(size=(12, 3, 3)), pbc=np.ones((12, 3)),
    )  # fmt: skip
    signature = (
        "pos: point, species: scalar*3, cell: vector*3 per graph, pbc: scalar*3 per graph -> "
        "energy: scalar per graph, forces: vector, stress: tensor per graph"
    )
    suite = SUITE.format(task=f'files, path: "{frames}", signature: "{signature}", conservative: true', model="egnn")
    (tmp_path / "cell.yaml").write_text(suite)
    assert main(["run", str(tmp_path / "cell.yaml"), "--output", str(tmp_path / "cell")]) == 0
    (record,) = (tmp_path / "cell").glob("*/record.json")
    with pytest.raises(DataError, match="does not say its unit"):
        Calculator(record.parent)
    atoms = molecule()
    atoms.cell, atoms.pbc, atoms.calc = 6 * np.eye(3), True, Calculator(record.parent, unit="eV")
    stress, step, energies = atoms.get_stress(voigt=False), 1e-2, []
    for sign in (1, -1):
        strained = atoms.copy()
        strain = np.eye(3)
        strain[0, 0] += sign * step
        strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        strained.calc = atoms.calc
        energies.append(strained.get_potential_energy())
    assert stress[0, 0] * atoms.get_volume() == pytest.approx(
        (energies[0] - energies[1]) / (2 * step), rel=0.03, abs=2e-3
    )


def test_predictions_are_written_as_frames_that_ase_reads(runs, tmp_path):
    structures = [molecule(seed=seed) for seed in range(3)]
    ase.io.write(tmp_path / "new.extxyz", structures, format="extxyz")
    assert main(["predict", str(runs["forces"]), str(tmp_path / "new.extxyz"), "--format", "extxyz"]) == 0
    found = ase.io.read(tmp_path / "new.extxyz.predictions.extxyz", index=":")
    calculator = Calculator(runs["forces"])
    for before, after in zip(structures, found, strict=True):
        before.calc = calculator
        np.testing.assert_allclose(after.positions, before.positions, atol=1e-7)
        assert after.get_potential_energy() == pytest.approx(before.get_potential_energy(), abs=1e-4)
        np.testing.assert_allclose(after.get_forces(), before.get_forces(), atol=1e-4)


def test_frames_are_written_of_runs_with_energies_alone(runs, tmp_path, capsys):
    ase.io.write(tmp_path / "new.extxyz", [molecule()], format="extxyz")
    assert main(["predict", str(runs["nbody"]), str(tmp_path / "new.extxyz"), "--format", "extxyz"]) == 2
    assert "A calculator needs a run with one energy and its forces" in capsys.readouterr().err
