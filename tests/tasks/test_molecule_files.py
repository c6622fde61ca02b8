"""Molecules in files: cells, stress, isotopes, compositions, the sign of forces, and splits that overlap."""

import numpy as np
import pytest
import torch
from torch import nn

from geoequiv.errors import DataError
from geoequiv.models import EGNN
from geoequiv.tasks.data.force_sign import work_correlation
from geoequiv.tasks.data.xyz import read_frames
from geoequiv.tasks.element_energies import element_energies
from geoequiv.tasks.files import files
from geoequiv.tasks.md17_forces import forces

SIGNATURE = "pos: point, species: scalar*2 -> energy: scalar per graph"
CELL = "pos: point, cell: vector*3 per graph, pbc: scalar*3 per graph -> energy: scalar per graph"


def frame(k, comment="", atoms=("C", "O")):
    rows = "\n".join(f"{atom} {0.5 + 9 * i} {0.1 * k} 0" for i, atom in enumerate(atoms))
    return f"{len(atoms)}\n{comment} energy={-1.0 - k}\n{rows}\n"


def written(path, count=12, **changes):
    pytest.importorskip("ase")
    path.write_text("".join(frame(k, **changes) for k in range(count)), encoding="utf-8")
    return str(path)


LATTICE = 'Lattice="10 0 0 0 11 0 1 0 12" Properties=species:S:1:pos:R:3'


@pytest.mark.parametrize("pbc", ["", 'pbc="T T T"', 'pbc="F F T"'])
def test_a_periodic_cell_that_the_signature_does_not_name_is_refused(tmp_path, pbc):
    """Two atoms are 1 Å apart through the wall; as an open cloud they would be 9 Å apart. No pbc means all three."""
    path = written(tmp_path / "a.extxyz", comment=f"{LATTICE} {pbc}")
    with pytest.raises(DataError, match=r"a\.extxyz: item 0 is periodic .* set ignore_cell: true"):
        files(path=path, signature=SIGNATURE)
    task = files(path=path, signature=SIGNATURE, ignore_cell=True)
    assert set(task.splits["train"].inputs) == {"pos", "species"}


def test_a_box_that_is_not_periodic_is_an_open_cloud(tmp_path):
    path = written(tmp_path / "a.extxyz", comment=f'{LATTICE} pbc="F F F"')
    assert set(files(path=path, signature=SIGNATURE).splits["train"].inputs) == {"pos", "species"}


def test_the_cell_is_a_field_in_the_unit_of_the_points(tmp_path):
    path = written(tmp_path / "a.extxyz", comment=f'{LATTICE} pbc="T T F"')
    task = files(path=path, signature=CELL, dtype="float64")
    inputs = task.splits["test"].inputs
    assert inputs["cell"][0].tolist() == [[10, 0, 0], [0, 11, 0], [1, 0, 12]]  # rows are lattice vectors
    assert inputs["pbc"][0].tolist() == [1, 1, 0]

    class Wrapped(nn.Module):
        """Smallest distance through the walls over the open one: the same in whatever unit the model is given."""

        def forward(self, pos, cell, pbc):
            apart = pos[:, 1] - pos[:, 0]
            parts = torch.linalg.solve(cell.mT, apart.unsqueeze(-1)).squeeze(-1)
            parts = parts - pbc * parts.round()
            inside = (cell.mT @ parts.unsqueeze(-1)).squeeze(-1)
            return {"energy": (inside.norm(dim=-1) / apart.norm(dim=-1)).unsqueeze(-1)}

    scaled = task.finished(Wrapped())
    found = scaled(**inputs)["energy"] / scaled.scale("output", "energy")
    np.testing.assert_allclose(found, 1 / 9, atol=1e-6)  # 1 Å through the wall, 9 Å not


def test_frames_with_and_without_a_cell(tmp_path):
    pytest.importorskip("ase")
    text = "".join(frame(k, comment=LATTICE if k == 5 else "") for k in range(12))
    (tmp_path / "a.extxyz").write_text(text)
    with pytest.raises(DataError, match="item 5 is periodic"):
        files(path=str(tmp_path / "a.extxyz"), signature=SIGNATURE)


def test_arrays_with_pbc_are_periodic_too(tmp_path):
    arrays = {"pos": np.zeros((9, 2, 3)), "energy": np.arange(9.0), "pbc": np.eye(9, 3)}
    np.savez(tmp_path / "a.npz", **arrays, cell=np.ones((9, 3, 3)))
    with pytest.raises(DataError, match=r"a\.npz: item 0 is periodic"):
        files(path=str(tmp_path / "a.npz"), signature="pos: point -> energy: scalar per graph")


def test_one_flag_an_item_is_a_period_too(tmp_path):
    np.savez(tmp_path / "a.npz", pos=np.zeros((9, 2, 3)), energy=np.arange(9.0), pbc=np.arange(9) == 4)
    with pytest.raises(DataError, match=r"a\.npz: item 4 is periodic"):
        files(path=str(tmp_path / "a.npz"), signature="pos: point -> energy: scalar per graph")


def test_a_stress_of_nine_numbers_is_a_matrix(tmp_path):
    path = written(tmp_path / "a.extxyz", comment='Properties=species:S:1:pos:R:3 stress="1 2 3 2 5 6 3 6 9"')
    task = files(path=path, signature="pos: point -> stress: tensor per graph", normalise=False)
    assert task.splits["val"].targets["stress"][0].tolist() == [[1, 2, 3], [2, 5, 6], [3, 6, 9]]


@pytest.mark.parametrize(
    ("atoms", "comment"),
    [
        (("D", "O"), ""),
        (("T", "8"), ""),
        (("1", "8"), ""),
        (("h", "o"), "Properties=species:S:1:pos:R:3"),
        (("1", "8"), 'Properties="species:S:1:pos:R:3"'),
    ],
)
def test_isotopes_and_atomic_numbers_are_elements(tmp_path, atoms, comment):
    path = written(tmp_path / "a.xyz", atoms=atoms, comment=comment)
    assert files(path=path, signature=SIGNATURE).splits["train"].inputs["species"][0].tolist() == [[1, 0], [0, 1]]


def test_symbols_may_stand_in_another_column(tmp_path):
    pytest.importorskip("ase")
    rows = "0.5 0 0 D\n9.5 0 0 8\n"
    text = "".join(f"2\nProperties=pos:R:3:species:S:1 energy={-k}.0\n{rows}" for k in range(9))
    (tmp_path / "a.extxyz").write_text(text, encoding="utf-8-sig")
    task = files(path=str(tmp_path / "a.extxyz"), signature=SIGNATURE)
    assert task.splits["train"].inputs["species"][0].tolist() == [[1, 0], [0, 1]]


def test_what_is_no_element_is_named_with_its_line(tmp_path):
    with pytest.raises(DataError, match=r"a\.xyz, line 4: expected the symbol of an element .*, got 'Qq'"):
        files(path=written(tmp_path / "a.xyz", atoms=("C", "Qq")), signature=SIGNATURE)


def molecules(items=60, noise=0.05, seed=0):
    """Clouds of one to six carbon and hydrogen atoms, whose energies are those of their atoms but for some noise."""
    rng = np.random.default_rng(seed)
    charges = np.zeros((items, 6))
    for row in charges:
        size = rng.integers(1, 7)
        row[:size] = rng.choice([1, 6], size=size)
    energy = (charges == 1).sum(1) * -13.6 + (charges == 6).sum(1) * -1030.0 + noise * rng.normal(size=items)
    return {"pos": rng.normal(size=(items, 6, 3)), "numbers": charges, "mask": charges > 0, "energy": energy}


def test_energies_of_clouds_of_different_size_are_relative_to_their_atoms(tmp_path):
    arrays = molecules()
    np.savez(tmp_path / "a.npz", **arrays)
    task = files(path=str(tmp_path / "a.npz"), signature=SIGNATURE, dtype="float64")
    assert arrays["energy"].std() > 1000
    for split in task.splits.values():
        assert float(split.targets["energy"].std()) < 0.08
    assert dict(task.notes)["Zero of energy"].startswith("by least squares on the training split: H -13.")
    model = task.finished(EGNN(task.model_signature, width=4, depth=1).double())
    assert model.zero_energy.tolist() == pytest.approx([-13.6, -1030], abs=0.05)
    assert float(model.scale("output", "energy")) == pytest.approx(0.05, rel=0.4)


def test_forces_leave_energies_of_atoms_alone(tmp_path):
    """Of molecules with one number of atoms and different ones: the gradient has no part of the constants."""
    rng = np.random.default_rng(0)
    charges = rng.choice([1, 6], size=(40, 4))
    energy = (charges == 1).sum(1) * -13.6 + (charges == 6).sum(1) * -1030.0
    np.savez(tmp_path / "a.npz", pos=rng.normal(size=(40, 4, 3)), z=charges, energy=energy, forces=np.zeros((40, 4, 3)))
    signature = "pos: point, species: scalar*2 -> energy: scalar per graph, forces: vector"
    task = files(path=str(tmp_path / "a.npz"), signature=signature, conservative=True, dtype="float64")
    assert float(task.splits["test"].targets["energy"].abs().max()) < 1e-6
    model = task.finished(EGNN(task.model_signature, width=4, depth=1).double())
    assert model(**task.splits["test"].inputs)["forces"].shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("energies", "counts", "expected"),
    [
        ([3.0, 5, 2, 4], [[1, 1], [1, 2], [2, 0], [0, 2]], [1, 2]),
        ([3.0, 5, 2, 4], [[1, 1]] * 4, None),  # one composition
        ([3.0, 5], [[1, 1], [1, 2]], None),  # as many unknowns as clouds
        ([1.0, 1.01, 0.99, 1.0], [[1, 1], [1, 2], [9, 0], [0, 2]], None),  # does not grow with the cloud
    ],
)
def test_element_energies_by_hand(energies, counts, expected):
    found = element_energies(np.array(energies), np.array(counts, dtype=float))
    assert found is None if expected is None else found == pytest.approx(expected)


def test_an_element_that_training_lacks_is_an_error(tmp_path):
    arrays = molecules(seed=3)
    for part, seed in (("train", 0), ("val", 1), ("test", 2)):
        np.savez(tmp_path / f"{part}.npz", **molecules(seed=seed))
    arrays["numbers"][0, 0] = 8
    np.savez(tmp_path / "test.npz", **arrays)
    signature = "pos: point, species: scalar*3 -> energy: scalar per graph"
    with pytest.raises(DataError, match="split 'test' has an element that no item of the training split has"):
        files(path=str(tmp_path), signature=signature)
    assert len(files(path=str(tmp_path), signature=signature, normalise=False).splits["test"]) == 60


def trajectory(steps=60, sign=1.0):
    """Two atoms on a spring, by symplectic steps; energies and forces (or gradients)."""
    rng = np.random.default_rng(0)
    pos, vel = np.array([[0.0, 0, 0], [1.2, 0, 0]]), 0.3 * rng.normal(size=(2, 3))
    found = {"pos": [], "energy": [], "forces": []}
    for _ in range(steps):
        bond = pos[1] - pos[0]
        length = np.linalg.norm(bond)
        pull = 5.0 * (length - 1.0) * bond / length
        force = np.stack([pull, -pull])
        for name, value in (("pos", pos), ("energy", 2.5 * (length - 1.0) ** 2), ("forces", sign * force)):
            found[name].append(np.array(value))
        vel = vel + 0.05 * force
        pos = pos + 0.05 * vel
    return {name: np.stack(values) for name, values in found.items()}


FIELD = "pos: point -> energy: scalar per graph, forces: vector"


@pytest.mark.parametrize("conservative", [False, True])
def test_gradients_in_place_of_forces_are_noticed(tmp_path, conservative):
    good, bad = trajectory(), trajectory(sign=-1.0)
    assert work_correlation(**named(good), elements=None)[0] > 0.95
    np.savez(tmp_path / "good.npz", **good)
    np.savez(tmp_path / "bad.npz", **bad)
    assert files(path=str(tmp_path / "good.npz"), signature=FIELD, conservative=conservative)
    with pytest.raises(DataError, match=r"bad\.npz: the forces look like gradients .*correlation -1\.00; .* F = −∇E"):
        files(path=str(tmp_path / "bad.npz"), signature=FIELD, conservative=conservative)


def test_a_gradient_that_is_asked_for_is_no_error(tmp_path):
    arrays = trajectory(sign=-1.0)
    arrays["gradient"] = arrays.pop("forces")
    np.savez(tmp_path / "a.npz", **arrays)
    assert files(path=str(tmp_path / "a.npz"), signature=FIELD.replace("forces", "gradient"))


def test_shuffled_items_are_not_judged_by_steps_that_are_none():
    """Items far apart say nothing of the sign, and neither do pairs of different molecules."""
    arrays = trajectory(400, sign=-1.0)
    arrays["pos"] = arrays["pos"] + 10 * np.random.default_rng(0).normal(size=(400, 1, 3))
    assert work_correlation(**named(arrays), elements=None) == (0.0, 0)
    alternating = np.array([[1, 6], [6, 1]] * 200)
    assert work_correlation(**named(trajectory(400)), elements=alternating) == (0.0, 0)


def named(arrays):
    return {"positions": arrays["pos"], "energies": arrays["energy"], "forces": arrays["forces"]}


def test_gradients_in_place_of_revised_md17_are_noticed(tmp_path):
    for part in ("train", "test"):
        arrays = trajectory(sign=-1.0)
        layout = {"coords": arrays["pos"], "energies": arrays["energy"], "forces": arrays["forces"]}
        np.savez(tmp_path / f"rmd17_ethanol_{part}_01.npz", nuclear_charges=np.array([6, 8]), **layout)
    with pytest.raises(DataError, match=r"rmd17_ethanol_train_01\.npz: the forces look like gradients"):
        forces(tmp_path, train=20, val=10, test=20)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (range(30), range(29, 60), r"index_train_01\.csv and index_test_01\.csv share 1 frames, first 29"),
        ([*range(29), 5], range(30, 60), r"index_train_01\.csv has 1 frames more than once, first 5"),
        (range(30), [30, 31, 30, *range(32, 60)], r"index_test_01\.csv has 1 frames more than once, first 30"),
    ],
)
def test_split_lists_that_overlap_are_refused(tmp_path, train, test, message):
    arrays = trajectory()
    layout = {"coords": arrays["pos"], "energies": arrays["energy"], "forces": arrays["forces"]}
    np.savez(tmp_path / "rmd17_ethanol.npz", nuclear_charges=np.array([6, 8]), **layout)
    for part, frames in (("train", train), ("test", test)):
        (tmp_path / f"index_{part}_01.csv").write_text("\n".join(map(str, frames)))
    with pytest.raises(DataError, match=message):
        forces(tmp_path, train=20, val=9, test=20)


def test_cut_files_that_share_frames_are_refused(tmp_path):
    for part, first in (("train", 0), ("test", 50)):
        arrays = trajectory()
        layout = {"coords": arrays["pos"], "energies": arrays["energy"], "forces": arrays["forces"]}
        numbers = np.arange(first, first + 60)
        np.savez(
            tmp_path / f"rmd17_ethanol_{part}_01.npz", nuclear_charges=np.array([6, 8]), old_indices=numbers, **layout
        )
    with pytest.raises(DataError, match=r"train_01\.npz and rmd17_ethanol_test_01\.npz share 10 frames, first 50"):
        forces(tmp_path, train=20, val=9, test=20)


def test_split_files_that_share_items_are_warned_of(tmp_path):
    rng = np.random.default_rng(0)
    items = {"pos": rng.normal(size=(12, 2, 3)), "energy": np.arange(12.0)}
    for part, rows in (("train", slice(0, 6)), ("val", slice(6, 9)), ("test", slice(9, 12))):
        np.savez(tmp_path / f"{part}.npz", **{name: array[rows] for name, array in items.items()})
    signature = "pos: point -> energy: scalar per graph"
    assert files(path=str(tmp_path), signature=signature)
    np.savez(tmp_path / "test.npz", **{name: array[4:8] for name, array in items.items()})
    with (
        pytest.warns(UserWarning, match="2 different items of 'test' are in 'train' as well"),
        pytest.warns(UserWarning, match="2 different items of 'test' are in 'val' as well"),
    ):
        files(path=str(tmp_path), signature=signature)


def test_a_property_of_too_many_columns_is_refused(tmp_path):
    """ASE would make a column for each, for minutes."""
    pytest.importorskip("ase")
    (tmp_path / "a.xyz").write_text("1\nProperties=species:S:1:pos:R:99999999999\nC 0 0 0\n")
    with pytest.raises(DataError, match=r"a\.xyz cannot be read.*more than 9999 columns"):
        read_frames(tmp_path / "a.xyz")
