"""Archives (.npz, .pt) are read only where every member matches its checksum and has the size that it announces.

Readers of numpy and torch look at a member's CRC-32 late or never: an array whose header says that it is shorter is
read short, a member whose name is damaged is missed, and torch compares nothing. A few kilobytes can announce arrays of
gigabytes, and memory is taken for them before anything is read.
"""

import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from geoequiv.text import memory, readable

LONGEST_END = 22 + 65535  # bytes: the record that ends an archive, and its comment
FOLDER = 0x10  # the attribute of a folder in MS-DOS
MANY = 65535  # members or more, which the record of Zip64 counts
#: what zipfile raises on a damaged archive
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, LookupError)
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_arrays(
    path: Path, wanted: Callable[[str], bool] = lambda _: True, limit: int | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name, each with the size that it announces.

    Args:
        path: the file.
        wanted: which arrays are read, by name.
        limit: bytes that its arrays may take; None means half of the machine's memory.

    Raises:
        ValueError: it is no .npz file, is damaged, holds pickled objects, or is larger; nothing is read then.
        OSError: it cannot be read.
    """
    check_members(path, limit)
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("no .npz file")
        _check_announced(file)
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if wanted(name)}


def check_members(path: Path, limit: int | None = None) -> None:
    """Compare every member of a zip archive with its CRC-32; a file of another kind passes.

    Args:
        path: the file.
        limit: bytes that its members may have together, unpacked; None means half of the machine's memory.

    Raises:
        ValueError: a member or the directory of the archive is damaged (names the member), or it is too large.
        OSError: the file cannot be read.
    """
    limit = memory() // 2 if limit is None else limit
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return
        announced = _announced(file)
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                if (size := sum(member.file_size for member in members)) > limit:
                    raise ValueError(f"it unpacks to {readable(size)}, and at most {readable(limit)} are read")
                damaged = archive.testzip()
        except BROKEN as error:
            raise ValueError(f"a damaged archive: {error}") from error
    if damaged is not None:
        raise ValueError(f"'{damaged}' in it does not match its checksum")
    if announced not in (len(members), MANY):
        raise ValueError(f"{announced} members are announced, {len(members)} are found")
    for member in members:  # torch gives memory that nothing was read into for what it takes for a folder
        if member.external_attr & FOLDER or member.volume:
            raise ValueError(f"'{member.filename}' in it has damaged attributes")


def _check_announced(file: BinaryIO) -> None:
    """Raise ValueError where the header of an array announces another size than its member has."""
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            with archive.open(member) as content:
                if content.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
                    continue  # numpy gives its bytes
                version = (content.read(1) + content.read(1))[:2]
                read_header = HEADERS.get((version[0], version[1])) if len(version) == 2 else None
                if read_header is None:
                    raise ValueError(f"'{member.filename}' in it has a header of an unknown version")
                shape, _, dtype = read_header(content)
                size = math.prod(shape) * dtype.itemsize
                if not dtype.hasobject and size != member.file_size - content.tell():
                    raise ValueError(
                        f"'{member.filename}' in it announces {readable(size)} and holds "
                        f"{readable(member.file_size - content.tell())}"
                    )


def _announced(file: BinaryIO) -> int | None:
    """The number of members in the record that ends the archive; zipfile stops at whatever its directory says."""
    size = file.seek(0, 2)
    file.seek(max(0, size - LONGEST_END))
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    return int.from_bytes(tail[place + 10 : place + 12], "little") if place >= 0 else None
