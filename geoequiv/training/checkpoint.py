"""checkpoint.ckpt: all that a training needs to resume bit for bit, without pickled code.

The one before it is kept as checkpoint.former.ckpt until the training has ended, in case the last one is damaged.
"""

import io
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from geoequiv.archives import check_members
from geoequiv.errors import DataError, RunError
from geoequiv.training.files import replace_file

FORMAT = 1
FORMER, DAMAGED = "checkpoint.former.ckpt", ".damaged"
log = logging.getLogger(__name__)


class DamagedCheckpoint(DataError):
    """A checkpoint is truncated, or a checksum in it does not fit."""


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically; the one that was there becomes the former one.

    Args:
        path: the file.
        content: tensors and plain values in dicts and lists (what `weights_only=True` allows).

    Raises:
        RunError: the file cannot be written.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    if path.exists():
        _keep(path)
    replace_file(path, buffer.getbuffer())


def _keep(path: Path) -> None:
    """Make a file the former checkpoint, so that both names are there at any moment."""
    former, other = path.with_name(FORMER), path.with_name(f".{FORMER}.tmp")
    try:
        other.unlink(missing_ok=True)
        os.link(path, other)
        os.replace(other, former)
    except OSError:  # a file system without links: there is no former checkpoint then
        other.unlink(missing_ok=True)


def resumable_checkpoint(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The last checkpoint that is sound: this one, or the former one. None where neither is there and sound.

    A damaged file is renamed to end in ``.damaged``, and a warning is logged.

    Raises:
        DataError: a sound file is no checkpoint, or of another version.
    """
    former = path.with_name(FORMER)
    while path.exists():
        try:
            return load_checkpoint(path, device)
        except DamagedCheckpoint as error:
            aside = path.with_name(path.name + DAMAGED)
            os.replace(path, aside)
            log.warning("%s It is set aside as %s; the training goes on from its last sound state.", error, aside.name)
            if former.exists():
                os.replace(former, path)
    return None


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint.

    Args:
        path: the file.
        device: for its tensors.

    Returns:
        What was saved.

    Raises:
        DamagedCheckpoint: the file is truncated, or a checksum of what is in it does not fit.
        DataError: it is not a checkpoint, or of another version; names it and what to do.

    Exactness: PyTorch writes a CRC-32 beside each tensor and does not check it when it loads them; here it is checked,
    so that one wrong bit never goes unnoticed.
    """
    advice = "Delete it to train this run from the beginning."
    try:
        check_members(path)
        content = torch.load(path, map_location=device, weights_only=True)
    except OSError as error:
        raise DataError(f"The checkpoint {path} cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # zip, pickle and torch each have their own
        raise DamagedCheckpoint(f"The checkpoint {path} is damaged ({_first_line(error)}).") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise DataError(f"The checkpoint {path} has format {found!r}; this version reads format {FORMAT}. {advice}")
    return content


def check_identity(path: Path, saved: Mapping[str, Any], requested: Mapping[str, Any]) -> None:
    """Raise unless a run is resumed under the conditions it was started with.

    Args:
        path: the checkpoint, for the message.
        saved: conditions in the checkpoint: name → plain value.
        requested: current conditions.

    Raises:
        RunError: names what differs.
    """
    names = [name for name in {**saved, **requested} if saved.get(name) != requested.get(name)]
    if names:
        listed = "; ".join(f"{name} was {saved.get(name)!r}, now {requested.get(name)!r}" for name in names)
        raise RunError(
            f"{path} belongs to another run: {listed}. Train in another directory, or delete the checkpoint."
        )


def _first_line(error: Exception) -> str:
    text = str(error).strip().split("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {text[:120]}"
