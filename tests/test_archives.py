"""Archives whose members do not match their checksums, and what numpy, zipfile and torch make of them."""

import io
import struct
import zipfile

import numpy as np
import pytest

from geoequiv.archives import check_members, read_arrays
from geoequiv.errors import DataError
from geoequiv.records.items import ITEMS, packed_items
from geoequiv.tasks.data.sources import numbers_of


@pytest.fixture
def whole():
    file = io.BytesIO()
    np.savez(file, pos=np.arange(6000.0).reshape(2000, 3), energy=np.arange(4.0))
    return file.getvalue()


def test_a_whole_archive_passes_and_so_does_a_file_of_another_kind(tmp_path, whole):
    for content in (whole, b"", b"P", b"no archive"):
        (tmp_path / "a.npz").write_bytes(content)
        check_members(tmp_path / "a.npz")


def test_an_array_said_to_be_shorter_is_refused(tmp_path, whole):
    """numpy reads the rows that the header announces, and not on to where the checksum would be compared."""
    (tmp_path / "a.npz").write_bytes(whole.replace(b"'shape': (2000, 3)", b"'shape': (1000, 3)", 1))
    with open(tmp_path / "a.npz", "rb") as file, np.load(file) as archive:
        assert archive["pos"].shape == (1000, 3)
    with pytest.raises(DataError, match=r"a\.npz.*'pos\.npy' in it does not match its checksum"):
        numbers_of(tmp_path / "a.npz")


def test_a_member_hidden_by_the_comment_of_another_is_missed(tmp_path, whole):
    """The length of a comment in the directory takes the next entry in."""
    directory = whole.index(b"PK\x01\x02")
    second = whole.index(b"PK\x01\x02", directory + 4)
    end = whole.index(b"PK\x05\x06")
    broken = bytearray(whole)
    struct.pack_into("<H", broken, directory + 32, end - second)
    (tmp_path / ITEMS).write_bytes(broken)
    with pytest.raises(DataError, match="2 members are announced, 1 are found"):
        packed_items(tmp_path / ITEMS, "p")


def test_weights_with_one_wrong_bit_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    from geoequiv.cli.subject import read_tensors

    torch.save({"weight": torch.arange(64.0)}, tmp_path / "net.pt")
    broken = bytearray((tmp_path / "net.pt").read_bytes())
    broken[broken.index(torch.arange(64.0).numpy().tobytes()) + 10] ^= 1
    (tmp_path / "net.pt").write_bytes(broken)
    assert not torch.equal(torch.load(tmp_path / "net.pt")["weight"], torch.arange(64.0))
    with pytest.raises(DataError, match="does not match its checksum"):
        read_tensors(tmp_path / "net.pt")


def test_a_tensor_said_to_be_a_folder_is_refused(tmp_path):
    """torch reads nothing into it, and gives what the memory held."""
    torch = pytest.importorskip("torch")
    from geoequiv.training.checkpoint import load_checkpoint, save_checkpoint

    path = tmp_path / "a.ckpt"
    save_checkpoint(path, {"weight": torch.arange(64.0)})
    broken = bytearray(path.read_bytes())
    entry = broken.rindex(b"PK\x01\x02", 0, broken.rindex(b"archive/data/0"))
    broken[entry + 38] |= 0x10
    path.write_bytes(broken)
    torch.load(path)
    with pytest.raises(DataError, match="has damaged attributes"):
        load_checkpoint(path, torch.device("cpu"))


def announcing(shape, held=64):
    """An .npz whose array says that it has another size than it holds; its checksum is right."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("pos.npy", header.getvalue() + bytes(held))
    return file.getvalue()


@pytest.mark.parametrize("shape", [(10**9,), (2**62, 2**62), (7,), ()])
def test_an_array_that_announces_another_size_than_it_holds_is_refused_before_it_is_read(tmp_path, shape, monkeypatch):
    (tmp_path / "a.npz").write_bytes(announcing(shape))
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("numpy was asked to read it"))
    with pytest.raises(DataError, match=r"a\.npz.*'pos\.npy' in it announces .* and holds 64 bytes"):
        numbers_of(tmp_path / "a.npz")


def test_an_array_of_the_size_it_announces_is_read(tmp_path):
    (tmp_path / "a.npz").write_bytes(announcing((8,)))
    assert read_arrays(tmp_path / "a.npz")["pos"].tolist() == [0.0] * 8


def test_zeros_that_unpack_to_more_than_the_limit_are_refused_before_they_are_unpacked(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", zeros=np.zeros(10**6))
    assert (tmp_path / "a.npz").stat().st_size < 10**5
    with pytest.raises(ValueError, match=r"unpacks to 8\.0 MB, and at most 4\.2 MB are read"):
        read_arrays(tmp_path / "a.npz", limit=4 << 20)
    assert read_arrays(tmp_path / "a.npz", limit=16 << 20)["zeros"].shape == (10**6,)


def test_only_the_arrays_that_are_wanted_are_given(tmp_path, whole):
    (tmp_path / "a.npz").write_bytes(whole)
    assert list(read_arrays(tmp_path / "a.npz", lambda name: name == "energy")) == ["energy"]
