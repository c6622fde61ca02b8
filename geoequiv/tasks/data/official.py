"""Files from their official source: found in a folder the user names, or downloaded, resumed and checked.

Nothing is downloaded twice: a complete file stays where it is. A download under way is kept as ``NAME.part`` and goes
on where it stopped. A file whose checksum is not the expected one is kept aside as ``NAME.mismatch``. Processes that
want the same file wait for each other: the first fetches it, and the others find it there.
"""

import hashlib
import http.client
import os
import re
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from geoequiv.errors import DataError, NoFilesError
from geoequiv.tasks.data.cache import write_atomically

BLOCK = 1 << 20
#: task → folder of a data directory where it puts what it downloads
FOLDERS = {
    "md17/dynamics": "md17", "md17/forces": "rmd17", "mocap/walk": "mocap/cmu_35", "mocap/run": "mocap/cmu_09",
    "images/cifar10": "cifar10",
}  # fmt: skip
TIMEOUT = 30.0  # seconds without a byte
#: what a connection raises that ends before its time
BROKEN_OFF = (http.client.HTTPException, ConnectionError, TimeoutError)


@dataclass(frozen=True)
class OfficialFile:
    """A file as its authors publish it.

    Args:
        name: file name.
        url: where it is published.
        sha256: of the whole file, or None where the source states none: then the sum of the first download is kept
            beside it as ``NAME.sha256`` and every later read is held against that.
        licence: what a user must know before using it.
        instead: what to use where the file cannot be downloaded, as a sentence.
    """

    name: str
    url: str
    sha256: str | None
    licence: str
    instead: str = ""


def find(name: str, folders: Iterable[str | os.PathLike[str]]) -> Path | None:
    """The first folder's file by this name, or None."""
    for folder in folders:
        path = Path(folder) / name
        if path.is_file():
            return path
    return None


def obtain(file: OfficialFile, folder: str | os.PathLike[str], *, progress: bool = True) -> Path:
    """The file in `folder`, downloaded first if it is not there, and verified.

    Args:
        file: what to get.
        folder: where it is, or is to be put.
        progress: show a bar on standard error while downloading.

    Returns:
        Its path.

    Raises:
        NoFilesError: no network; says which file to put where.
        DataError: the folder cannot be written, the disk is full, or the
            checksum does not match (both sums; the file is kept aside).
    """
    path = Path(folder) / file.name
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with alone(path):
                if not path.exists():  # another process may have fetched it meanwhile
                    fetch(file, path, progress)
                    return path
        except OSError as error:
            raise stopped(file, part_of(path), error) from error
    noted = path.with_name(path.name + ".sha256")
    expected = file.sha256 or (noted_sum(noted) if noted.is_file() else None)
    check(path, expected, keep_as=path.with_name(path.name + ".mismatch"))
    return path


def part_of(path: Path) -> Path:
    """Where a download under way is kept."""
    return path.with_name(path.name + ".part")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process fetches or unpacks this file, and keep others waiting; ``.NAME.lock`` stays."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"Another process is at {path}: waiting for it.", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def fetch(file: OfficialFile, path: Path, progress: bool) -> None:
    """Download a file that is not there; see `obtain`."""
    part, mismatch = part_of(path), path.with_name(path.name + ".mismatch")
    try:
        whole = download(file, part, progress)
    except urllib.error.URLError as error:
        raise NoFilesError(
            f"Cannot download {file.url} ({getattr(error, 'reason', error)}). Where there is no network, put the "
            f"file '{file.name}' into {path.parent} by hand, or name another folder with data_dir=…, --data-dir or "
            f"GEOEQUIV_DATA. {file.instead}".rstrip()
        ) from error
    except BROKEN_OFF as error:
        raise DataError(
            f"The download of {file.url} broke off ({type(error).__name__}: {error}). What has come so far is kept "
            f"in {part}: run again to go on."
        ) from error
    check(part, file.sha256, keep_as=mismatch)
    check_archive(file, part, whole, keep_as=mismatch)
    if file.sha256 is None:
        line = f"{sha256(part)}\n".encode()
        write_atomically(path.with_name(path.name + ".sha256"), lambda out: out.write(line))
    part.replace(path)


def stopped(file: OfficialFile, part: Path, error: OSError) -> DataError:
    """The error where the folder or the disk, not the network, fails."""
    return DataError(
        f"Downloading {file.url} to {part} stopped: {error.strerror or error}. What has come so far is kept: "
        "free space or name another folder (data_dir=…), and run again to go on."
    )


def download(file: OfficialFile, part: Path, progress: bool) -> bool:
    """Fetch the file into `part`, from where that stops if the server allows it; whether its size is known to be right.

    A server that does not tell the size may break off without a sign.
    """
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(file.url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    if not file.url.startswith(("https://", "http://")):
        raise DataError(f"Official files come by http or https; got {file.url}.")
    print(f"{file.name} from {file.url}. Licence: {file.licence}", file=sys.stderr)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        error.close()
        whole = (error.headers.get("Content-Range") or "").rpartition("/")[2]
        if whole.isdigit() and int(whole) != have:  # the part is longer than the file: it is of another one
            part.unlink()
            return download(file, part, progress)
        return True  # nothing is left to send: the part is whole
    with response, open(part, "ab") as out:
        if have and response.status != 206:  # the server starts over
            out.truncate(0)
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=file.name, disable=not progress) as bar:
            while block := response.read(BLOCK):
                out.write(block)
                bar.update(len(block))
    size = part.stat().st_size
    if total is not None and size > total:  # somebody else wrote to it: nothing of it can be trusted
        part.unlink()
        raise DataError(f"{size} bytes came from {file.url} where {total} were announced: run again to fetch it anew.")
    if total is not None and size < total:
        raise DataError(
            f"The download of {file.url} broke off after {size} of {total} bytes. They are kept in {part}: run again "
            "to go on."
        )
    return total is not None


def check_archive(file: OfficialFile, part: Path, whole: bool, keep_as: Path) -> None:
    """Raise DataError for an .npz that is none: half of one, or a page of the network's that came in its place."""
    if not file.name.endswith(".npz") or zipfile.is_zipfile(part):
        return
    if not whole:
        raise DataError(
            f"The download of {file.url} broke off: {part} is no whole archive. What has come so far is kept: run "
            "again to go on."
        )
    part.replace(keep_as)
    raise DataError(
        f"What came from {file.url} is no npz archive. It is kept as {keep_as}; look into it, then run again or put "
        f"the file '{file.name}' into {keep_as.parent} by hand."
    )


def check(path: Path, expected: str | None, keep_as: Path, anew: str = "run again to fetch it anew") -> None:
    """Raise DataError, and set the file aside, unless its sha256 is the expected one (None: not known).

    Args:
        path: the file.
        expected: its sum.
        keep_as: where it is set aside.
        anew: how to get another one.
    """
    if expected is None:
        return
    found = sha256(path)
    if found != expected:
        path.replace(keep_as)
        raise DataError(
            f"{path} is not the expected file: its sha256 is {found}, expected {expected}. It is kept as {keep_as}; "
            f"{anew}, or put the right file there."
        )


def sha256(path: Path) -> str:
    """Checksum of a file, read block by block."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def downloaded(folder: str | os.PathLike[str], task: str | None = None) -> list[tuple[Path, str]]:
    """Every downloaded file, or those of one task, whose sum was kept, and whether it still has it.

    Its state is "ok" or "damaged: …".
    """
    places = [place for name, place in FOLDERS.items() if task in (None, name)]
    sums = sorted(noted for place in places for noted in Path(folder).glob(f"{place}/*.sha256"))
    return [(path, state_as_noted(path, noted)) for noted in sums if (path := noted.with_suffix("")).is_file()]


def noted_sum(path: Path) -> str:
    """The sum that was kept beside a file: its first word.

    Raises:
        DataError: it holds no sha256, as after a crash.
    """
    words = path.read_text(encoding="ascii", errors="replace").split()
    if not words or not re.fullmatch("[0-9a-fA-F]{64}", words[0]):
        raise DataError(
            f"{path} must hold a sha256 and does not: delete it to trust {path.with_suffix('').name} as it is."
        )
    return words[0].lower()


def state_as_noted(path: Path, noted: Path) -> str:
    """As `state_of`, by the sum that was kept beside a file."""
    try:
        return state_of(path, noted_sum(noted))
    except DataError as error:
        return f"unknown: {error}"


def state_of(path: Path, expected: str) -> str:
    """Give "ok" if the file has the expected sha256; unlike `check`, leave it where it is."""
    known = sha256(path)
    return "ok" if known == expected else f"damaged: its sha256 is {known}, expected {expected}"


@contextmanager
def unpacking(archive: Path, folder: Path) -> Iterator[None]:
    """Make the folder, keep other processes from unpacking into it, and raise DataError for a full disk or a
    broken archive.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder / archive.name):
            yield
    except (OSError, EOFError, tarfile.TarError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(
                f"Unpacking {archive} into {folder} stopped: {error.strerror}. Free space or name another folder "
                "(data_dir=…), and run again."
            ) from error
        raise DataError(f"{archive} cannot be unpacked ({type(error).__name__}: {error}): delete it.") from error
