"""Archives (.npz, .pt) are read only where every member matches its checksum.

Readers of numpy and torch look at a member's CRC-32 late or never: an array whose header says that it is shorter is
read short, a member whose name is damaged is missed, and torch compares nothing.
"""

import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

LONGEST_END = 22 + 65535  # bytes: the record that ends an archive, and its comment
FOLDER = 0x10  # the attribute of a folder in MS-DOS
MANY = 65535  # members or more, which the record of Zip64 counts


def check_members(path: Path) -> None:
    """Compare every member of a zip archive with its CRC-32; a file of another kind passes.

    Raises:
        ValueError: a member or the directory of the archive is damaged; names the member.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return
        announced = _announced(file)
        try:
            with zipfile.ZipFile(file) as archive:
                damaged, members = archive.testzip(), archive.infolist()
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, LookupError) as error:
            raise ValueError(f"a damaged archive: {error}") from error
    if damaged is not None:
        raise ValueError(f"'{damaged}' in it does not match its checksum")
    if announced not in (len(members), MANY):
        raise ValueError(f"{announced} members are announced, {len(members)} are found")
    for member in members:  # torch gives memory that nothing was read into for what it takes for a folder
        if member.external_attr & FOLDER or member.volume:
            raise ValueError(f"'{member.filename}' in it has damaged attributes")


def _announced(file: BinaryIO) -> int | None:
    """The number of members in the record that ends the archive; zipfile stops at whatever its directory says."""
    size = file.seek(0, 2)
    file.seek(max(0, size - LONGEST_END))
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    return int.from_bytes(tail[place + 10 : place + 12], "little") if place >= 0 else None
