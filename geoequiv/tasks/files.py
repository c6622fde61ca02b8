"""Your own data as a task: arrays in an ``.npz`` file, or molecules in ``.xyz`` files (task ``files``)."""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from geoequiv.errors import BatchError, ConfigError, DataError, unknown
from geoequiv.fields import FieldType, Signature
from geoequiv.groups import group
from geoequiv.models.conservative import Conservative, energy_signature
from geoequiv.models.scaled import Scale
from geoequiv.ranges import PositiveInt
from geoequiv.tasks.acting import check_acting
from geoequiv.tasks.data.cache import checksum
from geoequiv.tasks.data.sources import NamedArrays, elements, located, part_of, read
from geoequiv.tasks.data.trajectory import species
from geoequiv.tasks.drawing import Drawing
from geoequiv.tasks.energy_and_forces import force_field_head
from geoequiv.tasks.mean_squared_error import MAE, MSE
from geoequiv.tasks.normalisation import normalising_head
from geoequiv.tasks.options import DTypeName, Seed, checked_choice, checked_dtype, checked_seed, checked_size
from geoequiv.tasks.task import Head, Split, Task

PARTS = ("train", "val", "test")
METRICS = {"mse": MSE, "mae": MAE}
LOSSES = {"mse": torch.nn.functional.mse_loss, "mae": torch.nn.functional.l1_loss}
Array = NDArray[np.float64]
Fields = dict[str, Array]


def files(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    path: str,
    signature: str,
    train: PositiveInt | None = None,
    val: PositiveInt | None = None,
    test: PositiveInt | None = None,
    seed: Seed = 0,
    symmetry: str = "E(3)",
    metric: Literal["mse", "mae"] = "mse",
    unit: str = "",
    normalise: bool = True,
    conservative: bool = False,
    item_group: str | None = None,
    description: str = "",
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """Your own point clouds: an .npz file of named arrays, an .xyz or .extxyz file, or a folder of these.

    Every field of the signature is an array by its name, items first: points and vectors [n, N, 3], scalars [n, N, k]
    or [n, N], scalars per graph [n, k] or [n]. A target is looked up as ``target_<name>`` first, so that inputs and
    outputs can share a name. An input ``species: scalar*k`` that the file does not have is made of the elements
    (``numbers``, ``z`` or ``nuclear_charges``, [N] or [n, N]), one-hot in the order of nuclear charge. Clouds of
    different sizes are padded (``mask`` [n, N] in an .npz; .xyz by themselves), where all outputs are per graph.

    A folder with ``train``, ``val`` and ``test`` (.npz, .xyz or .extxyz) has its splits; else items are shuffled by the
    seed and dealt out.

    Args:
        data_dir: where a relative path is looked for if it is not in the current folder.
        path: the file or folder.
        signature: such as "pos: point, species: scalar*3 -> energy: scalar per graph, forces: vector".
        train: items of the training set; None is all that the others leave.
        val: items of the validation set; None is a tenth.
        test: items of the test set; None is a tenth.
        seed: of the shuffle.
        symmetry: the group under which the labels are meant to be equivariant; its dimension is that of the data, so
            that clouds in the plane take "E(2)".
        metric: mean squared or mean absolute error, over all components of all targets; the loss is the same.
        unit: of the metric, for the leaderboard.
        normalise: whether models work in units fitted on the training split: points, vectors (see `scales_of`), and
            scalar outputs, which are then relative to their training mean, each column of a ``scalar*k`` to its own.
            Pseudoscalars are scaled and not shifted: a mirror would no longer change their sign.
        conservative: whether the vector output is minus the gradient of the scalar per graph (see `Conservative`).
        item_group: array of whole numbers, one an item, that says which molecule, trajectory or recording it is from
            (see `Split`); None where items are independent.
        description: for the leaderboard's header.
        dtype: of the task's tensors.

    Raises:
        ConfigError: an option that cannot be, or more items than there are.
        DataError: files that are missing, cannot be read, or lack a field (what they have is listed).
        SignatureError: a signature that cannot be read, or that `symmetry` cannot act on.
    """
    parsed, acting = Signature.parse(signature), group(symmetry)
    parsed.check_group(acting)
    kind, dtype, seed = checked_choice("metric", metric, tuple(LOSSES)), checked_dtype(dtype), checked_seed(seed)
    place = located(path, data_dir)
    given = {part: found for part in PARTS if (found := part_of(place, part))}
    if given and len(given) < len(PARTS):
        raise DataError(f"{place} holds {[file.name for file in given.values()]}: give all of {', '.join(PARTS)}.")
    sizes = dict(zip(PARTS, (train, val, test), strict=True))
    if given:
        sources = {part: read(file) for part, file in given.items()}
        kinds = elements(sources.values())
        fields = {part: read_fields(source, parsed, kinds, acting.dim) for part, source in sources.items()}
        fields = all_masked(fields, parsed)
        rows = {part: np.arange(cut(part, sizes[part], len_of(fields[part]))) for part in PARTS}
        groups = {part: groups_of(source, item_group, len_of(fields[part])) for part, source in sources.items()}
    else:
        source = read(place)
        kinds = elements([source])
        whole = read_fields(source, parsed, kinds, acting.dim)
        fields, rows = dict.fromkeys(PARTS, whole), drawn(sizes, len_of(whole), seed)
        groups = dict.fromkeys(PARTS, groups_of(source, item_group, len_of(whole)))
    arrays = {f"{part}_{name}": array[rows[part]] for part in PARTS for name, array in fields[part].items()}
    if any("mask" in each for each in fields.values()) and not all(each.per_graph for each in parsed.outputs.values()):
        raise DataError(
            f"{place} has clouds of different sizes. Padding would count in the loss of outputs that live on nodes: "
            "give clouds of one size, or outputs per graph."
        )
    numbers = parsed.outputs.of_kind("scalar", "pseudoscalar") if normalise else ()
    zeros = {name: zero_of(arrays[f"train_target {name}"], parsed.outputs[name]) for name in numbers}
    splits = {part: files_split(arrays, part, parsed, zeros, dtype) for part in PARTS}
    for part, grouping in groups.items():
        if grouping is not None:
            splits[part] = replace(splits[part], item_group=torch.from_numpy(grouping[rows[part]]))
    check_acting(acting, parsed, splits["train"])
    sum_of_all = checksum({**arrays, "signature": np.array(str(parsed))})
    counts = "-".join(str(len(rows[part])) for part in PARTS)
    shuffled = f"/seed{seed}" if seed and not given else ""
    return Task(
        name="files",
        protocol=f"files/{place.stem}/{sum_of_all[:8]}/{counts}/{kind}{shuffled}",
        description=description or f"{place.name}: {len(arrays)} arrays, the data of a user.",
        signature=parsed,
        symmetry=acting.name,
        splits=splits,
        loss=LOSSES[kind],
        metric=replace(METRICS[kind], unit=unit),
        references=(),
        checksum=sum_of_all,
        citation="",
        head=head_of(parsed, splits["train"], zeros, normalise, conservative),
        notes=(("Source", f"{place}, files of a user"),),
        drawing=drawing_of(parsed, kinds),
        item_group_name=item_group or "",
    )


def zero_of(target: Array, kind: FieldType) -> Scale:
    """What a scalar output is relative to: its mean, for each column; for a pseudoscalar 0."""
    if kind.kind != "scalar":
        return [0.0] * kind.multiplicity if kind.multiplicity > 1 else 0.0
    columns: list[float] = target.reshape(-1, target.shape[-1]).mean(0).tolist()
    return columns if kind.multiplicity > 1 else float(target.mean())


def drawing_of(signature: Signature, kinds: NDArray[np.int64]) -> Drawing:
    """Molecules where the elements are known, particles elsewhere; the first relation is taken for bonds."""
    named = len(kinds) > 0 and "species" in signature.inputs and signature.inputs["species"].multiplicity == len(kinds)
    bonds = next(iter(signature.inputs.of_kind("adjacency")), None)
    return Drawing("molecule", bonds, tuple(kinds.tolist())) if named else Drawing("particles", bonds)


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


def len_of(fields: Fields) -> int:
    """Number of items."""
    return len(next(iter(fields.values())))


def cut(part: str, size: int | None, there: int) -> int:
    """Size of a split that the files give."""
    return there if size is None else checked_size(part, size, there, "what the file of this split holds")


def drawn(sizes: Mapping[str, int | None], items: int, seed: int) -> dict[str, NDArray[np.int64]]:
    """Items of each split, shuffled; ConfigError if there are fewer than the splits ask for."""
    if items < len(PARTS):
        raise ConfigError(f"There are {items} items, and each of {', '.join(PARTS)} needs one.")
    tenth = max(items // 10, 1)
    asked = {part: tenth if sizes[part] is None else sizes[part] for part in ("val", "test")}
    counts = {part: checked_size(part, size, items, "the number of items") for part, size in asked.items()}
    left = items - sum(counts.values())
    counts["train"] = max(left, 0) if sizes["train"] is None else checked_size("train", sizes["train"], items, "items")
    if sum(counts.values()) > items or counts["train"] == 0:
        raise ConfigError(f"The splits {counts} need more than the {items} items that there are.")
    order = np.random.default_rng(seed).permutation(items)
    ends = np.cumsum([counts[part] for part in PARTS])
    return {part: order[end - counts[part] : end] for part, end in zip(PARTS, ends, strict=True)}


def files_split(
    arrays: Mapping[str, Array], part: str, signature: Signature, zeros: Mapping[str, Scale], dtype: torch.dtype
) -> Split:
    """Tensors of one split."""
    inputs = {name: torch.from_numpy(arrays[f"{part}_{name}"].copy()).to(dtype) for name in signature.inputs}
    if f"{part}_mask" in arrays:
        inputs["mask"] = torch.from_numpy(arrays[f"{part}_mask"])
    targets = {name: arrays[f"{part}_target {name}"] - np.asarray(zeros.get(name, 0.0)) for name in signature.outputs}
    return Split(inputs, {name: torch.from_numpy(target).to(dtype) for name, target in targets.items()})


def head_of(
    signature: Signature, train: Split, zeros: Mapping[str, Scale], normalise: bool, conservative: bool
) -> Head | None:
    """Units of the model, and the derivative."""
    if not conservative:
        return normalising_head(signature, train, zeros) if normalise else None
    inner = energy_signature(signature)
    if not normalise:
        return Head(inner, partial(Conservative, signature=signature))
    (zero,) = (zeros[name] for name in inner.outputs)
    assert isinstance(zero, float)  # one energy to a graph
    return force_field_head(signature, train, zero, gradient=True)
