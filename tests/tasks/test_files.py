"""A user's own files as a task: fields by name, elements, sizes, given splits, and everything that can be wrong."""

import sys

import numpy as np
import pytest
import torch

import geoequiv as ge
from geoequiv.bench.suite import read_suite
from geoequiv.errors import BatchError, ConfigError, DataError, SignatureError
from geoequiv.models import EGNN
from geoequiv.models.conservative import Conservative
from geoequiv.models.scaled import Scaled
from geoequiv.tasks.files import files

MOVING = "pos: point, vel: vector, charge: scalar -> pos: point"
FIELD = "pos: point, species: scalar*3 -> energy: scalar per graph, forces: vector"


def arrays_of(items=40, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "pos": 5 * rng.normal(size=(items, 4, 3)),
        "vel": 0.1 * rng.normal(size=(items, 4, 3)),
        "charge": rng.choice([-1, 1], size=(items, 4)),
        "target_pos": 5 * rng.normal(size=(items, 4, 3)),
        "z": np.array([8, 1, 6, 1]),
        "energy": -5000 + rng.normal(size=items),
        "forces": 20 * rng.normal(size=(items, 4, 3)),
        "name": np.array(["molecule"] * items),
    }


def saved(folder, name="mine.npz", seed=0, items=40, **changes):
    arrays = {k: v for k, v in (arrays_of(items, seed) | changes).items() if v is not None}
    np.savez(folder / name, **arrays)
    return arrays


def test_named_arrays_become_a_task(tmp_path):
    arrays = saved(tmp_path)
    task = files(path=str(tmp_path / "mine.npz"), signature=MOVING, train=20, val=10, test=10, dtype="float64")
    assert task.protocol.startswith("files/mine/")
    assert task.protocol.endswith("/20-10-10/mse")
    used = []
    for split in task.splits.values():
        for i in range(len(split)):
            item = int(np.abs(arrays["pos"] - split.inputs["pos"][i].numpy()).sum((1, 2)).argmin())
            used.append(item)
            np.testing.assert_array_equal(split.targets["pos"][i], arrays["target_pos"][item])
            np.testing.assert_array_equal(split.inputs["charge"][i, :, 0], arrays["charge"][item])
    assert sorted(used) == list(range(40))
    model = task.finished(EGNN(task.model_signature, width=4, depth=1).double())
    assert isinstance(model, Scaled)
    assert model(**task.splits["val"].inputs)["pos"].shape == (10, 4, 3)
    again, other = (
        files(path=str(tmp_path / "mine.npz"), signature=MOVING, train=20, val=10, test=10, seed=seed)
        for seed in (0, 1)
    )
    assert again.protocol == task.protocol != other.protocol


def test_energies_and_forces_with_elements_by_charge(tmp_path):
    arrays = saved(tmp_path)
    task = files(tmp_path, path="mine.npz", signature=FIELD, conservative=True, metric="mae", unit="eV")
    assert {name: len(split) for name, split in task.splits.items()} == {"train": 32, "val": 4, "test": 4}
    assert (task.metric.name, task.metric.unit) == ("mae", "eV")
    assert task.splits["test"].inputs["species"][0].tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert float(task.splits["train"].targets["energy"].mean()) == pytest.approx(0, abs=1e-4)
    model = task.finished(EGNN(task.model_signature, width=4, depth=1))
    assert isinstance(model, Conservative)
    zero = float(model.model.zero_energy)
    assert abs(zero - arrays["energy"].mean()) < 0.5
    assert model(**task.splits["test"].inputs)["forces"].shape == (4, 4, 3)


def test_without_units_a_gradient_is_the_model_s_own(tmp_path):
    saved(tmp_path)
    task = files(tmp_path, path="mine.npz", signature=FIELD, conservative=True, normalise=False, dtype="float64")
    model = task.finished(EGNN(task.model_signature, width=4, depth=1).double())
    assert isinstance(model, Conservative)
    assert not list(model.buffers())
    assert float(task.splits["train"].targets["energy"].mean()) < -4990


def test_a_pseudoscalar_is_not_shifted(tmp_path):
    chirality = np.random.default_rng(0).normal(3.0, 1.0, size=40)
    saved(tmp_path, chirality=chirality)
    task = files(tmp_path, path="mine.npz", signature="pos: point -> chirality: pseudoscalar per graph")
    found = np.concatenate([split.targets["chirality"].numpy()[:, 0] for split in task.splits.values()])
    np.testing.assert_allclose(np.sort(found), np.sort(chirality), rtol=1e-6)  # less a mean, a mirror would not be −x
    head = task.finished(torch.nn.Identity())
    assert float(head.zero_chirality) == 0
    spread = task.splits["train"].targets["chirality"].square().mean().sqrt()
    assert float(head.scale("output", "chirality")) == pytest.approx(float(spread), rel=1e-6)
    saved(tmp_path, chirality=np.stack([chirality, 10 * chirality], axis=1))
    task = files(tmp_path, path="mine.npz", signature="pos: point -> chirality: pseudoscalar*2 per graph")
    small, large = task.finished(torch.nn.Identity()).scale("output", "chirality").tolist()
    assert large == pytest.approx(10 * small)


def test_columns_of_a_scalar_have_means_and_units_of_their_own(tmp_path):
    rng = np.random.default_rng(0)
    both = np.stack([rng.normal(1000, 5, size=40), rng.normal(0, 0.1, size=40), np.full(40, 7.0)], axis=1)
    saved(tmp_path, both=both)
    signature = "pos: point -> both: scalar*3 per graph"
    task = files(tmp_path, path="mine.npz", signature=signature, dtype="float64")
    learn = task.splits["train"].targets["both"]
    torch.testing.assert_close(learn.mean(0), torch.zeros(3).double(), atol=1e-9, rtol=0)
    head = task.finished(torch.nn.Identity())
    np.testing.assert_allclose(head.zero_both, both.mean(0), atol=3)
    expected = [*learn.std(0, correction=0)[:2].tolist(), 1.0]
    assert head.scale("output", "both").tolist() == pytest.approx(expected, rel=1e-5)
    model = task.finished(EGNN(task.model_signature, width=4, depth=1).double())
    ge.testing.assert_equivariant(model, task.splits["val"].inputs, signature, "E(3)", tolerance=1e-5)


def test_given_splits_are_kept(tmp_path):
    parts = {}
    for k, part in enumerate(("train", "val", "test")):
        parts[part] = saved(tmp_path, f"{part}.npz", seed=k, items=5 + k)
    task = files(path=str(tmp_path), signature=MOVING, test=6, dtype="float64")
    assert {name: len(split) for name, split in task.splits.items()} == {"train": 5, "val": 6, "test": 6}
    np.testing.assert_array_equal(task.splits["test"].inputs["vel"], parts["test"]["vel"][:6])
    (tmp_path / "val.npz").unlink()
    with pytest.raises(DataError, match=r"holds \['train\.npz', 'test\.npz'\]: give all of train, val, test"):
        files(path=str(tmp_path), signature=MOVING)


def test_padded_clouds_are_for_outputs_per_graph(tmp_path):
    mask = np.ones((40, 4), dtype=bool)
    mask[::2, 3] = False
    saved(tmp_path, mask=mask)
    task = files(tmp_path, path="mine.npz", signature="pos: point, species: scalar*3 -> energy: scalar per graph")
    split = task.splits["train"]
    assert split.inputs["mask"].dtype == torch.bool
    assert task.finished(EGNN(task.model_signature, width=4, depth=1))(**split.inputs)["energy"].shape == (32, 1)
    with pytest.raises(DataError, match="clouds of different sizes"):
        files(tmp_path, path="mine.npz", signature=FIELD)


def test_padding_of_any_split_is_padding(tmp_path):
    mask = np.ones((40, 4), dtype=bool)
    mask[::2, 3] = False
    for seed, (part, real) in enumerate((("train", None), ("val", mask), ("test", None))):
        saved(tmp_path, f"{part}.npz", seed, mask=real)
    with pytest.raises(DataError, match="clouds of different sizes"):  # its padding would count in the metric
        files(path=str(tmp_path), signature=MOVING)
    task = files(path=str(tmp_path), signature="pos: point, species: scalar*3 -> energy: scalar per graph")
    masks = {name: split.inputs["mask"].numpy() for name, split in task.splits.items()}
    np.testing.assert_array_equal(masks["val"], mask)
    assert masks["train"].all()
    assert masks["test"].all()
    assert masks["test"].shape == (40, 4)


def test_a_mask_of_another_shape_is_refused(tmp_path):
    saved(tmp_path, mask=np.ones((40, 3), dtype=bool))
    message = r"mine\.npz: 'mask' must say of \[40, 4\] \(items, nodes\) which are real.*got one of shape \[40, 3\]"
    with pytest.raises(DataError, match=message):
        files(tmp_path, path="mine.npz", signature="pos: point -> energy: scalar per graph")
    per_graph = "energy: scalar per graph -> energy: scalar per graph"  # no nodes, nothing to pad
    saved(tmp_path, mask=np.ones((40, 3), dtype=bool), target_energy=np.zeros(40))
    assert set(files(tmp_path, path="mine.npz", signature=per_graph).splits["val"].inputs) == {"energy"}


@pytest.mark.parametrize(
    ("changes", "options", "error", "message"),
    [
        ({"vel": None}, {}, DataError, r"Unknown array 'vel'\..*Available: .*pos"),
        ({"target_pos": None}, {}, DataError, "Unknown array 'target_pos'"),
        ({"vel": np.zeros((40, 4, 2))}, {}, DataError, r"mine\.npz: Field 'vel' is a vector: expected shape"),
        ({"vel": np.zeros((39, 4, 3))}, {}, DataError, "equally many items, got .*'vel': 39"),
        ({"vel": np.full((40, 4, 3), np.nan)}, {}, DataError, "'vel' is not finite, first in item 0"),
        ({"charge": np.zeros((40, 4, 2))}, {}, DataError, r"'charge' is a scalar: expected shape \[n, N, 1\]"),
        ({"charge": np.array([{}] * 40)}, {}, DataError, r"mine\.npz cannot be read .*allow_pickle"),
        ({}, {"train": 30, "val": 20}, ConfigError, "need more than the 40 items"),
        ({}, {"metric": "mea"}, ConfigError, "Available: mse, mae"),
        ({}, {"path": "yours.npz"}, DataError, "There is no yours.npz nor"),
        ({}, {"signature": "pos: pont -> pos: point"}, SignatureError, "Did you mean 'point'"),
        ({}, {"signature": "pos: point, species: scalar*2 -> forces: vector"}, DataError, r"3 elements \(H, C, O\)"),
        ({}, {"signature": "pos: point -> forces: vector", "conservative": True}, SignatureError, "as a gradient need"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, changes, options, error, message):
    saved(tmp_path, **changes)
    with pytest.raises(error, match=message):
        files(tmp_path, **{"path": "mine.npz", "signature": MOVING, **options})


def test_files_of_another_kind_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"notes\.txt is no \.npz, \.xyz or \.extxyz file"):
        files(tmp_path, path="notes.txt", signature=MOVING)
    with pytest.raises(DataError, match=r"must hold \.npz files, or \.xyz and \.extxyz files"):
        files(path=str(tmp_path), signature=MOVING)
    saved(tmp_path)
    (tmp_path / "mine.npz").write_bytes((tmp_path / "mine.npz").read_bytes()[:500])
    with pytest.raises(DataError, match=r"mine\.npz cannot be read"):
        files(tmp_path, path="mine.npz", signature=MOVING)


def test_a_suite_names_it(tmp_path):
    saved(tmp_path)
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "name: mine\ntask: {name: files, path: mine.npz, signature: 'pos: point -> forces: vector', limit: 2}\n"
        "entries: [{model: egnn}]\n"
    )
    (run,) = read_suite(suite).runs
    assert run.config["task"]["signature"] == "pos: point -> forces: vector"
    suite.write_text("name: mine\ntask: {name: files, path: mine.npz}\nentries: [{model: egnn}]\n")
    with pytest.raises(ConfigError, match="needs the option 'signature'"):
        read_suite(suite)


XYZ = """\
{n}
Properties=species:S:1:pos:R:3:forces:R:3:weight:R:1 energy={energy} step={step}
{atoms}
"""


def written(path, frames, sizes=(3,)):
    rng = np.random.default_rng(0)
    text, kept = "", []
    for k in range(frames):
        n = sizes[k % len(sizes)]
        values = rng.normal(size=(n, 7))
        rows = "\n".join(" ".join(["OHC"[i % 3], *(f"{v:.8f}" for v in row)]) for i, row in enumerate(values))
        text += XYZ.format(n=n, energy=-10.0 - k, step=k, atoms=rows)
        kept.append(values)
    path.write_text(text)
    return kept


def test_xyz_files(tmp_path):
    pytest.importorskip("ase")
    (tmp_path / "data").mkdir()
    kept = written(tmp_path / "data" / "a.extxyz", 12)
    written(tmp_path / "data" / "b.xyz", 8)
    signature = "pos: point, species: scalar*3, weight: scalar -> energy: scalar per graph, forces: vector"
    task = files(path=str(tmp_path / "data"), signature=signature, dtype="float64", normalise=False)
    assert sum(len(split) for split in task.splits.values()) == 20
    split = task.splits["train"]
    step = -10 - int(split.targets["energy"][0])
    np.testing.assert_allclose(split.inputs["pos"][0], kept[step][:, :3], atol=1e-8)
    np.testing.assert_allclose(split.targets["forces"][0], kept[step][:, 3:6], atol=1e-8)
    np.testing.assert_allclose(split.inputs["weight"][0, :, 0], kept[step][:, 6], atol=1e-8)
    assert split.inputs["species"][0].tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]  # O, H, C


def test_xyz_frames_of_different_sizes_are_padded(tmp_path):
    pytest.importorskip("ase")
    written(tmp_path / "a.xyz", 12, sizes=(3, 2))
    task = files(path=str(tmp_path / "a.xyz"), signature="pos: point, species: scalar*3 -> energy: scalar per graph")
    inputs = task.splits["train"].inputs
    assert set(inputs["mask"].sum(1).tolist()) == {2, 3}
    assert not inputs["species"][~inputs["mask"]].any()


def test_a_broken_xyz_file_is_named(tmp_path):
    pytest.importorskip("ase")
    written(tmp_path / "a.xyz", 4)
    text = (tmp_path / "a.xyz").read_text().splitlines()
    (tmp_path / "a.xyz").write_text("\n".join(text[:-2]))
    with pytest.raises(DataError, match=r"a\.xyz cannot be read after \d frames"):
        files(path=str(tmp_path / "a.xyz"), signature=FIELD)


def test_without_ase_it_says_what_to_install(tmp_path, monkeypatch):
    written(tmp_path / "a.xyz", 4)
    monkeypatch.setitem(sys.modules, "ase.io", None)
    with pytest.raises(DataError, match=r"pip install 'geoequiv\[ase\]'"):
        files(path=str(tmp_path / "a.xyz"), signature=FIELD)


def test_scales_leave_padding_out(tmp_path):
    mask = np.ones((40, 4), dtype=bool)
    mask[:, 3] = False
    arrays = saved(tmp_path, mask=mask)
    task = files(tmp_path, path="mine.npz", signature="pos: point -> energy: scalar per graph", val=1, test=1)
    model = task.finished(EGNN(task.model_signature, width=4, depth=1))
    real = task.splits["train"].inputs["pos"][:, :3].double()
    expected = (real - real.mean(1, keepdim=True)).square().mean().sqrt()
    assert float(model.scale("input", "pos")) == pytest.approx(float(expected), rel=1e-6)
    assert arrays["pos"].shape == (40, 4, 3)


def test_a_symmetry_that_cannot_act_is_refused(tmp_path):
    saved(tmp_path)
    with pytest.raises(SignatureError):
        files(tmp_path, path="mine.npz", signature="pos: image -> energy: scalar per graph")
    with pytest.raises((BatchError, DataError)):
        files(tmp_path, path="mine.npz", signature="pos: tensor -> energy: scalar per graph")


@pytest.mark.parametrize("symmetry", ["SO(2)", "E(2)"])
def test_a_symmetry_of_another_space_is_refused(tmp_path, symmetry):
    saved(tmp_path)
    with pytest.raises(DataError, match=r"'pos' is a point: expected shape \[\.\.\., 2\] in 2-space, got \[40, 4, 3\]"):
        files(path=str(tmp_path / "mine.npz"), signature=MOVING, symmetry=symmetry)


def test_clouds_in_the_plane(tmp_path):
    arrays = {name: array[..., :2] for name, array in arrays_of().items() if name in ("pos", "target_pos")}
    np.savez(tmp_path / "flat.npz", **arrays)
    task = files(path=str(tmp_path / "flat.npz"), signature="pos: point -> pos: point", symmetry="E(2)")
    assert (task.symmetry, task.splits["train"].inputs["pos"].shape) == ("E(2)", (32, 4, 2))
    with pytest.raises(DataError, match="3-space"):
        files(path=str(tmp_path / "flat.npz"), signature="pos: point -> pos: point")


def test_a_symmetry_of_another_number_of_nodes_is_refused(tmp_path):
    saved(tmp_path)
    options = {"path": str(tmp_path / "mine.npz"), "signature": MOVING}
    assert files(**options, symmetry="SO(3)*S(4)").symmetry == "SO(3)*S(4)"
    with pytest.raises(
        SignatureError, match=r"Cs@x&\(0 1\)/5 does not fit the data: it permutes 5 nodes, and 'pos' has 4"
    ):
        files(**options, symmetry="Cs@x&(0 1)/5")


@pytest.mark.parametrize("each", [False, True])
def test_elements_alone_are_inputs(tmp_path, each):
    saved(tmp_path, z=np.tile([8, 1, 6, 1], (40, 1)) if each else np.array([8, 1, 6, 1]))
    task = files(tmp_path, path="mine.npz", signature="species: scalar*3 -> energy: scalar per graph")
    assert task.splits["train"].inputs["species"].shape == (32, 4, 3)
    saved(tmp_path, energy=np.full(40, np.nan))
    with pytest.raises(DataError, match=r"'target energy' is not finite, first in item 0"):
        files(tmp_path, path="mine.npz", signature="species: scalar*3 -> energy: scalar per graph")


def test_elements_are_whole_numbers(tmp_path):
    saved(tmp_path, z=np.array([8, 1, np.nan, 1]))
    with pytest.raises(DataError, match=r"mine\.npz: 'z' must be whole numbers"):
        files(path=str(tmp_path / "mine.npz"), signature=FIELD)


def test_a_folder_of_arrays_is_one_after_the_other(tmp_path):
    first, second = (saved(tmp_path, f"{name}.npz", seed=seed) for seed, name in enumerate("ab"))
    task = files(path=str(tmp_path), signature=MOVING, train=60, val=10, test=10, seed=3)
    found = np.concatenate([split.inputs["pos"].numpy() for split in task.splits.values()])
    whole = np.concatenate([first["pos"], second["pos"]]).astype(np.float32)
    np.testing.assert_array_equal(np.sort(found.ravel()), np.sort(whole.ravel()))
    assert files(path=str(tmp_path), signature=FIELD).splits["train"].inputs["species"].shape[-1] == 3


@pytest.mark.parametrize("masked", ["a", "b"])
def test_a_mask_of_one_file_of_a_folder_is_kept(tmp_path, masked):
    mask = np.ones((40, 4), dtype=bool)
    mask[:, 3] = False
    for seed, name in enumerate("ab"):
        saved(tmp_path, f"{name}.npz", seed=seed, mask=mask if name == masked else None, version=np.array(3))
    task = files(path=str(tmp_path), signature="pos: point -> energy: scalar per graph", val=1, test=1)
    last = torch.cat([split.inputs["mask"] for split in task.splits.values()])
    assert last[:, :3].all()
    assert int(last[:, 3].sum()) == 40
    with pytest.raises(DataError, match="clouds of different sizes"):
        files(path=str(tmp_path), signature=MOVING)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z": np.array([1, 1, 6, 8])}, r"a\.npz and b\.npz have different elements 'z'"),
        ({"vel": None}, r"a\.npz has 'vel' of shape \[40, 4, 3\], b\.npz has no such array"),
        ({"pos": np.zeros((40, 5, 3))}, r"'pos' of shape \[40, 4, 3\], b\.npz has one of shape \[40, 5, 3\]"),
    ],
)
def test_a_folder_of_arrays_that_do_not_fit(tmp_path, changes, message):
    saved(tmp_path, "a.npz")
    saved(tmp_path, "b.npz", **changes)
    with pytest.raises(DataError, match=message):
        files(path=str(tmp_path), signature=MOVING)
