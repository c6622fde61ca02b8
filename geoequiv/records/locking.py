"""A run directory belongs to one process at a time, on every machine that shares it; a file says which.

On NFS, locks hold between machines if it is mounted `hard` and locks go to the server (the default of version 4; of
version 3 without `nolock` or `local_lock`).
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from geoequiv.errors import DataError, RunError
from geoequiv.files import write_file

LOCK, HOLDER = ".lock", ".running.json"
#: how SLURM calls a job, in the environment of its processes: an element of an array, or the whole
ARRAY, ELEMENT, JOB = "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID"


class RunLocked(RunError):
    """Another process is at work on this run."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a run directory.

    Attributes:
        host: of the process.
        pid: of the process, on its host.
        job: that SLURM has given it, such as "12" or "12_3"; "" where it runs without.
        since: when it has taken the directory, in UTC.
    """

    host: str
    pid: int
    job: str
    since: str

    @classmethod
    def here(cls) -> "Holder":
        """The process that calls, now."""
        element = os.environ.get(ELEMENT)
        job = os.environ.get(JOB, "") if element is None else f"{os.environ[ARRAY]}_{element}"
        return cls(socket.gethostname(), os.getpid(), job, datetime.now(UTC).isoformat(timespec="seconds"))


@contextmanager
def locked_directory(directory: Path, timeout: float = 3.0) -> Iterator[None]:
    """Hold a run directory for this process alone; it is made if it is not there.

    The lock belongs to the operating system and ends with the process that holds it, however that dies. Who has it is
    written beside it: with that, a client of NFS also learns what others have written in the directory before.

    Raises:
        RunLocked: another process holds it.
        DataError: it cannot be written, or is a symbolic link: what a run writes stays in its results folder.
    """
    from filelock import FileLock, Timeout  # loads asyncio

    try:
        directory.mkdir(parents=True, exist_ok=True)
        if directory.is_symlink():
            raise DataError(
                f"The run directory '{directory}' is a symbolic link to '{directory.readlink()}': what a run writes "
                "stays in its results folder. Remove the link; --output puts the whole folder elsewhere."
            )
        lock = FileLock(directory / LOCK, timeout=timeout)
        lock.acquire()
    except Timeout as error:
        raise RunLocked(f"The run in '{directory}' is held by another process.") from error
    except OSError as error:
        raise DataError(f"Cannot write in '{directory}': {error.strerror}.") from error
    try:
        write_file(directory / HOLDER, json.dumps(asdict(Holder.here())) + "\n")
        yield
    finally:
        with suppress(OSError):  # what is left behind says nothing without the lock
            (directory / HOLDER).unlink()
        lock.release()


def holder_of(directory: Path) -> Holder | None:
    """The process that holds a run directory now; None where none does."""
    from filelock import FileLock, Timeout

    try:
        holder = Holder(**json.loads((directory / HOLDER).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # released meanwhile
        return None
    try:
        with FileLock(directory / LOCK, timeout=0):
            return None  # it has died
    except Timeout:
        return holder
    except OSError as error:
        raise DataError(f"Cannot look at the lock of '{directory}': {error.strerror}.") from error
