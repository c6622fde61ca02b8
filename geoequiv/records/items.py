"""Numbers per test item, beside the record of a run: its metric, and the group that each item belongs to."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from geoequiv.archives import read_arrays
from geoequiv.errors import DataError
from geoequiv.files import write_file
from geoequiv.records.run_directory import ITEMS

Items = dict[str, np.ndarray[Any, Any]]


def write_items(directory: Path, values: Mapping[str, Any]) -> None:
    """Write the items of a run, in one step: real numbers as float32, whole ones as int32.

    Args:
        directory: the run directory.
        values: name → one value an item, ``[n]``: arrays or tensors on the CPU.

    Raises:
        DataError: it cannot be written.
    """
    write_file(directory / ITEMS, encoded({name: np.asarray(value) for name, value in values.items()}))


def run_items(run: Path) -> Items | None:
    """The items of a run: "metric", and "item_group" where the task has groups; None where none are kept.

    Args:
        run: its run directory, or, packed, where that would be in its results folder.

    Raises:
        DataError: they cannot be read.
    """
    return _read(run / ITEMS, "") if (run / ITEMS).exists() else packed_items(run.parent / ITEMS, run.name)


def packed_items(path: Path, run_id: str) -> Items | None:
    """The items of one run in an archive of packed ones; None where it has none, or where there is no archive.

    Raises:
        DataError: they cannot be read.
    """
    return (_read(path, f"{run_id}/") or None) if path.exists() else None


def paired_error(first: Items, second: Items) -> float | None:
    """Standard error of the mean difference of two runs' metrics over the same items.

    Items of one group are not independent: the differences are summed in each group, and groups count,
    √(G/(G−1) Σ_g (Σ_{i∈g} (d_i − d̄))²) / n; without groups it is the usual s/√n.

    Returns:
        None where the items are not the same ones, or fewer than two groups.
    """
    if first["metric"].shape != second["metric"].shape:
        return None
    groups = [each.get("item_group", np.arange(len(each["metric"]))) for each in (first, second)]
    if not np.array_equal(groups[0], groups[1]):
        return None
    difference = second["metric"].astype(np.float64) - first["metric"].astype(np.float64)
    _, group = np.unique(groups[0], return_inverse=True)
    sums = np.bincount(group, weights=difference - difference.mean())
    if len(sums) < 2:
        return None
    return float(np.sqrt(len(sums) / (len(sums) - 1) * np.sum(sums**2)) / len(difference))


def encoded(values: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """Arrays as a compressed npz file; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    small = {name: _small(values[name]) for name in sorted(values)}
    np.savez_compressed(buffer, allow_pickle=False, **small)
    return buffer.getvalue()


def _small(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if not np.issubdtype(values.dtype, np.integer):
        return values.astype(np.float32)
    low, high = np.iinfo(np.int32).min, np.iinfo(np.int32).max
    fits = not len(values) or (values.min() >= low and values.max() <= high)
    return values.astype(np.int32) if fits else values


def _read(path: Path, prefix: str) -> Items:
    try:
        read = read_arrays(path, lambda name: name.startswith(prefix))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"Cannot read the items in '{path}', damaged or truncated: {error}.") from error
    return {name.removeprefix(prefix): values for name, values in read.items()}
