"""Fields of a signature out of a user's named arrays: shapes, masks, elements, periodic cells, groups of items."""

import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from geoequiv.errors import BatchError, DataError, unknown
from geoequiv.fields import FieldType, Signature
from geoequiv.tasks.data.sources import NamedArrays
from geoequiv.tasks.data.trajectory import species

Array = NDArray[np.float64]
Fields = dict[str, Array]


def read_fields(source: NamedArrays, signature: Signature, kinds: NDArray[np.int64], dim: int) -> Fields:
    """Inputs by name, targets as "target <name>", and "mask" where clouds are padded; items first.

    Raises:
        DataError: a field is missing, has another shape than its type, or another number of items than the first.
    """
    found: Fields = {}
    masks: list[NDArray[np.bool_]] = []

    def take(key: str, name: str, kind: FieldType) -> None:
        array, real = source.get(name)
        masks.extend([real] if real is not None else [])
        found[key] = shaped(array, kind, name, dim, source.path)

    absent = [name for name in signature.inputs if name not in source.names]
    for name, kind in signature.inputs.items():
        if name not in absent:
            take(name, name, kind)
        else:
            check_made(source, name, kind, kinds)
    for name, kind in signature.outputs.items():
        stored = f"target_{name}" if f"target_{name}" in source.names else name
        if stored not in source.names or (stored == name and name in signature.inputs):
            wanted = f"target_{name}" if name in signature.inputs else name
            raise DataError(f"{source.path}: {unknown('array', wanted, source.names)}")
        take(f"target {name}", stored, kind)
    items = max(len(array) for array in found.values())
    found |= {name: one_hot(source, kinds, items) for name in absent}
    lengths = {name: len(array) for name, array in found.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{source.path}: all fields need equally many items, got {lengths}.")
    bad = [name for name, array in found.items() if not np.isfinite(array).all()]
    if bad:
        item = int(np.flatnonzero(~np.isfinite(found[bad[0]]).reshape(items, -1).all(1))[0])
        raise DataError(f"{source.path}: '{bad[0]}' is not finite, first in item {item}.")
    nodes = shape_of_nodes(found, signature)
    for mask in masks if nodes else ():  # without fields on nodes there is nothing to pad
        if mask.shape != nodes or (mask != masks[0]).any():
            raise DataError(
                f"{source.path}: 'mask' must say of {list(nodes)} (items, nodes) which are real, the same for all "
                f"fields; got one of shape {list(mask.shape)}."
            )
        found["mask"] = mask  # type: ignore[assignment]
    return found


def shape_of_nodes(fields: Fields, signature: Signature) -> tuple[int, ...]:
    """Items and nodes, (n, N), of the first field that lives on nodes; () where all are per graph."""
    on_nodes = [name for name, kind in signature.inputs.items() if not kind.per_graph]
    on_nodes += [f"target {name}" for name, kind in signature.outputs.items() if not kind.per_graph]
    return fields[on_nodes[0]].shape[:2] if on_nodes else ()


def all_masked(parts: dict[str, Fields], signature: Signature) -> dict[str, Fields]:
    """A mask for every split if one has it: where none was given, all nodes are real."""
    if any("mask" in fields for fields in parts.values()):
        for fields in parts.values():
            fields.setdefault("mask", np.ones(shape_of_nodes(fields, signature), dtype=bool))
    return parts


def check_made(source: NamedArrays, name: str, kind: FieldType, kinds: NDArray[np.int64]) -> None:
    """DataError unless a field that the source does not have is ``species``, and can be made out of its elements."""
    if name != "species" or kind.kind != "scalar" or source.charges() is None:
        raise DataError(f"{source.path}: {unknown('array', name, source.names)}")
    if kind.multiplicity != len(kinds):
        symbols = species(kinds)[1]
        raise DataError(
            f"{source.path} has {len(kinds)} elements ({', '.join(symbols)}): write species: scalar*{len(kinds)}."
        )


def one_hot(source: NamedArrays, kinds: NDArray[np.int64], items: int) -> Array:
    """The field ``species`` out of the elements: ``[items, N, kinds]``."""
    charges = source.charges()
    assert charges is not None
    hot = (charges[..., None] == kinds).astype(np.float64)
    return np.broadcast_to(hot, (items, *hot.shape[-2:])) if charges.ndim == 1 else hot


def shaped(array: Array, kind: FieldType, name: str, dim: int, where: Path) -> Array:
    """An array with the trailing axes of its type; numbers per node or graph may come without theirs."""
    if kind.is_scalar:
        axes = 2 if kind.per_graph else 3
        array = array[..., None] if array.ndim == axes - 1 and kind.multiplicity == 1 else array
        if array.ndim != axes or array.shape[-1] != kind.multiplicity:
            wanted = f"[n, {kind.multiplicity}]" if kind.per_graph else f"[n, N, {kind.multiplicity}]"
            raise DataError(f"{where}: '{name}' is a {kind}: expected shape {wanted}, got {list(array.shape)}.")
        return array
    try:
        trailing = kind.trailing(torch.from_numpy(np.ascontiguousarray(array)), dim, name)
    except BatchError as error:
        raise DataError(f"{where}: {error} The dimension is that of the task's symmetry.") from error
    if array.ndim - trailing != (1 if kind.per_graph else 2):
        wanted = "[n, …]" if kind.per_graph else "[n, N, …]"
        raise DataError(f"{where}: '{name}' is a {kind}: expected shape {wanted}, got {list(array.shape)}.")
    return array


def groups_of(source: NamedArrays, name: str | None, items: int) -> NDArray[np.int64] | None:
    """The array that says which group each item is in; DataError if it is missing or not one whole number an item."""
    if name is None:
        return None
    if name not in source.names:
        raise DataError(f"{source.path}: {unknown('array', name, source.names)}")
    array = source.get(name)[0]
    if array.shape != (items,) or not np.isfinite(array).all() or (array != np.round(array)).any():
        raise DataError(
            f"{source.path}: item_group '{name}' must be one whole number for each of {items} items; got an array of "
            f"shape {list(array.shape)}."
        )
    return array.astype(np.int64)


def check_open(source: NamedArrays, signature: Signature) -> None:
    """Raise DataError for a periodic cell that the signature does not name: distances through walls would be wrong."""
    periodic = source.first_periodic()
    if periodic is not None and "cell" not in signature.inputs:
        raise DataError(
            f"{source.path}: item {periodic} is periodic (Lattice, pbc), and the signature does not name its cell: "
            "atoms that are neighbours through a wall would be far apart. For a model that uses it add 'cell: vector*3 "
            "per graph' (rows are lattice vectors) and 'pbc: scalar*3 per graph' to the inputs; for molecules that do "
            "not reach through a wall set ignore_cell: true."
        )


def warn_of_overlap(place: Path, parts: dict[str, Fields], signature: Signature) -> None:
    """Warn where the split files of a user share items, by the bytes of their inputs."""
    names = [*signature.inputs]
    seen = {
        part: {
            b"".join(np.ascontiguousarray(fields[name][i]).tobytes() for name in names) for i in range(len_of(fields))
        }
        for part, fields in parts.items()
    }
    for first, second in combinations(seen, 2):
        both = len(seen[first] & seen[second])
        if both:
            warnings.warn(
                f"{place}: {both} different items of '{second}' are in '{first}' as well, with equal inputs. Errors on "
                "items that were trained on, or chosen by, say little.",
                stacklevel=3,
            )


def composition(
    source: NamedArrays, fields: Fields, kinds: NDArray[np.int64], items: int
) -> NDArray[np.float64] | None:
    """Atoms of each element in each item, ``[n, kinds]``; nodes where only sizes are known; None where nothing is."""
    charges = source.charges()
    if charges is not None:
        counts: Array = (charges[..., None] == kinds).sum(-2).astype(np.float64)
        return np.broadcast_to(counts, (items, len(kinds)))
    real = fields["mask"][..., None] if "mask" in fields else 1.0
    if "species" in fields:
        return np.asarray((fields["species"] * real).sum(1), dtype=np.float64)
    return fields["mask"].sum(1, keepdims=True).astype(np.float64) if "mask" in fields else None


def len_of(fields: Fields) -> int:
    """Number of items."""
    return len(next(iter(fields.values())))
