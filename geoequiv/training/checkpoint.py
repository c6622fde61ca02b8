"""checkpoint.ckpt: all that a training needs to resume bit for bit, without pickled code."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from geoequiv.errors import DataError, RunError
from geoequiv.training.files import replace_file

FORMAT = 1


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file.
        content: tensors and plain values in dicts and lists (what `weights_only=True` allows).

    Raises:
        RunError: the file cannot be written.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    replace_file(path, buffer.getbuffer())


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint.

    Args:
        path: the file.
        device: for its tensors.

    Returns:
        What was saved.

    Raises:
        DataError: the file is truncated, damaged or not a checkpoint; names it and what to do.
    """
    advice = "Delete it to train this run from the beginning."
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # zip, pickle and torch each have their own
        raise DataError(f"The checkpoint {path} cannot be read ({_first_line(error)}). {advice}") from error
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
