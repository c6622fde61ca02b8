"""Archives whose members do not match their checksums, and what numpy, zipfile and torch make of them."""

import io
import struct

import numpy as np
import pytest

from geoequiv.archives import check_members
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
