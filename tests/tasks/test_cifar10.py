"""CIFAR-10: the binary files and .npz parts, splits, units, ids that are never mixed, and what cannot be read."""

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import geoequiv as ge
from geoequiv.errors import ConfigError, DataError
from geoequiv.fields import act
from geoequiv.tasks import cifar10 as module
from geoequiv.tasks.cifar10 import RECORD, TEST_FILES, TRAIN_FILES, moments, read_binary
from geoequiv.tasks.classification import ACCURACY, CROSS_ENTROPY, cross_entropy

SUBSET = Path(os.environ.get("GEOEQUIV_DATA", "")) / "images" / "cifar10_subset.npz"


def drawn(count, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(256, size=(count, 3, 32, 32), dtype=np.uint8), generator.integers(10, size=count)


def binary(count, seed=0):
    images, classes = drawn(count, seed)
    return np.concatenate([classes[:, None].astype(np.uint8), images.reshape(count, -1)], axis=1).tobytes()


@pytest.fixture
def folder(tmp_path):
    """Official files of 6 images each."""
    place = tmp_path / "cifar10" / "cifar-10-batches-bin"
    place.mkdir(parents=True)
    for seed, name in enumerate((*TRAIN_FILES, *TEST_FILES)):
        (place / name).write_bytes(binary(6, seed))
    return tmp_path


def npz(path, count=12, **changes):
    arrays = {}
    for seed, part in enumerate(("train", "test")):
        images, classes = drawn(count, seed)
        arrays |= {f"{part}_images": images.transpose(0, 2, 3, 1), f"{part}_labels": classes.astype(np.uint8)}
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})
    return path


def test_official_files(folder):
    task = ge.task("images/cifar10", data_dir=folder)
    assert task.protocol == "images/cifar10/27-3-6/accuracy"
    assert dict(task.notes)["Source"].startswith(f"{folder}; official: https://www.cs.toronto.edu/")
    assert "Krizhevsky" in dict(task.notes)["Licence"]
    assert {name: len(split) for name, split in task.splits.items()} == {"train": 27, "val": 3, "test": 6}
    images, classes = drawn(6, seed=5)
    assert task.splits["test"].targets["logits"].argmax(-1).tolist() == classes.tolist()
    whole = np.concatenate([drawn(6, seed)[0] for seed in range(5)])
    order = np.random.default_rng(0).permutation(30)
    mean, deviation = (f(whole[order[3:]].astype(float), axis=(0, 2, 3)).reshape(3, 1, 1) for f in (np.mean, np.std))
    np.testing.assert_allclose(task.splits["test"].inputs["image"], (images - mean) / deviation, atol=1e-5)
    train = task.splits["train"].inputs["image"]
    torch.testing.assert_close(train.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_validation_is_drawn_and_never_trained_on(folder):
    splits = [ge.task("images/cifar10", data_dir=folder, seed=seed).splits for seed in (0, 0, 1)]
    for part in splits:
        classes = [set(map(tuple, part[name].targets["logits"].argmax(-1).reshape(-1, 1).tolist())) for name in part]
        assert all(classes)
        train, val = (part[name].inputs["image"].flatten(1) for name in ("train", "val"))
        assert float(torch.cdist(val, train).min()) > 1
    assert torch.equal(splits[0]["val"].inputs["image"], splits[1]["val"].inputs["image"])
    assert not torch.equal(splits[0]["val"].targets["logits"], splits[2]["val"].targets["logits"])


def test_parts_have_ids_of_their_own(tmp_path, folder):
    path = npz(tmp_path / "some.npz")
    task = ge.task("images/cifar10", path=str(path), val=2)
    again = ge.task("images/cifar10", data_dir=tmp_path, path="some.npz", val=2, train=5, seed=3)
    other = ge.task("images/cifar10", path=str(npz(tmp_path / "other.npz", count=13)), val=2)
    part = task.protocol.split("/")[2]
    assert part.startswith("part-")
    assert task.protocol == f"images/cifar10/{part}/10-2-12/accuracy"
    assert again.protocol == f"images/cifar10/{part}/5-2-12/accuracy/seed3"
    assert part not in other.protocol
    assert "part" not in ge.task("images/cifar10", data_dir=folder).protocol
    assert task.references == ()
    assert "some.npz" in task.description


def test_sizes(tmp_path):
    path = str(npz(tmp_path / "some.npz"))
    task = ge.task("images/cifar10", path=path, train=4, val=3, test=5)
    assert [len(split) for split in task.splits.values()] == [4, 3, 5]
    for wrong in ({"val": 12}, {"train": 11, "val": 2}, {"test": 13}, {"train": 0}):
        with pytest.raises(ConfigError, match="must lie between"):
            ge.task("images/cifar10", path=path, **wrong)


def test_flips_commute_with_the_units(tmp_path):
    task = ge.task("images/cifar10", path=str(npz(tmp_path / "some.npz")))
    flip = ge.group(task.symmetry).elements()[1]
    images = task.splits["test"].inputs
    moved = act(flip, images, task.signature.inputs)["image"]
    assert torch.equal(moved, images["image"].flip(-1))
    assert torch.equal(act(flip, task.splits["test"].targets, task.signature.outputs)["logits"],
                       task.splits["test"].targets["logits"])  # fmt: skip


def test_metrics_by_hand():
    logits = torch.tensor([[2.0, 0, 0], [0, 1, 0], [0, 3, 0]])
    targets = {"y": torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])}
    assert ACCURACY.per_item({"y": logits}, targets).tolist() == [1, 1, 0]
    assert (ACCURACY.better, CROSS_ENTROPY.better) == ("higher", "lower")
    expected = torch.log(torch.exp(logits).sum(-1)) - (logits * targets["y"]).sum(-1)
    torch.testing.assert_close(CROSS_ENTROPY.per_item({"y": logits}, targets), expected.double())
    assert float(cross_entropy(logits, targets["y"])) == pytest.approx(float(expected.mean()))


def test_moments_are_those_of_all_pixels():
    images, _ = drawn(5)
    mean, deviation = moments(images)
    np.testing.assert_allclose(mean, images.astype(float).mean((0, 2, 3)))
    np.testing.assert_allclose(deviation, images.astype(float).std((0, 2, 3)))


def test_the_archive_is_unpacked(tmp_path, monkeypatch):
    place = tmp_path / "cifar10"
    place.mkdir()
    with tarfile.open(place / module.ARCHIVE.name, "w:gz") as archive:
        for seed, name in enumerate((*TRAIN_FILES, *TEST_FILES)):
            content = binary(2, seed)
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    sound = module.ARCHIVE
    with pytest.raises(DataError, match="is not the expected file: its sha256"):
        ge.task("images/cifar10", data_dir=tmp_path)
    (place / f"{sound.name}.mismatch").rename(place / sound.name)
    monkeypatch.setattr(module, "ARCHIVE", replace(sound, sha256=None))
    assert ge.task("images/cifar10", data_dir=tmp_path).protocol == "images/cifar10/9-1-2/accuracy"
    assert (place / TEST_FILES[0]).read_bytes() == binary(2, 5)


def test_without_network_the_error_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ARCHIVE", replace(module.ARCHIVE, url="http://127.0.0.1:9/none"))
    with pytest.raises(DataError, match=r"put the file 'cifar-10-binary.tar.gz' into .*cifar10 by hand"):
        ge.task("images/cifar10", data_dir=tmp_path)


def test_damaged_files(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"0" * (RECORD + 1))
    with pytest.raises(DataError, match=r"3074 bytes; a file of CIFAR-10 has 3073 for each image"):
        read_binary(path)
    path.write_bytes(b"\x0b" + b"0" * (RECORD - 1))
    with pytest.raises(DataError, match=r"classes lie between 0 and 9, got 11 to 11"):
        read_binary(path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_binary(tmp_path / "none.bin")
    part = tmp_path / "x.npz"
    for changes, message in [
        ({"test_labels": None}, "must be an .npz file of train_images"),
        ({"train_images": np.zeros((3, 28, 28), np.uint8)}, r"must be uint8 \[n, 32, 32, 3\], got uint8 \[3, 28, 28\]"),
        ({"train_images": np.zeros((3, 32, 32, 3))}, "got float64"),
        ({"test_labels": np.zeros(3, np.uint8)}, "expected 12 classes as whole numbers"),
    ]:
        with pytest.raises(DataError, match=message):
            ge.task("images/cifar10", path=str(npz(part, **changes)))
    with pytest.raises(DataError, match="must be a file or a folder"):
        ge.task("images/cifar10", path="nowhere.npz", data_dir=tmp_path)


@pytest.mark.skipif(not SUBSET.is_file(), reason="needs images/cifar10_subset.npz under GEOEQUIV_DATA")
def test_the_registered_part_is_the_file_here():
    from geoequiv.tasks.protocols import checksum_of

    task = ge.task("images/cifar10", path=str(SUBSET))
    assert task.protocol == "images/cifar10/part-1c6c5261/7200-800-2000/accuracy"
    assert checksum_of(task.protocol) == task.checksum
    assert task.splits["test"].targets["logits"].sum(0).tolist() == [200.0] * 10
