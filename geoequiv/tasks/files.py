"""Your own data as a task: arrays in an ``.npz`` file, or molecules in ``.xyz`` files (task ``files``)."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from geoequiv.errors import ConfigError, DataError
from geoequiv.fields import FieldType, Signature
from geoequiv.groups import group
from geoequiv.models.conservative import Conservative, energy_signature
from geoequiv.models.scaled import Scale
from geoequiv.ranges import PositiveInt
from geoequiv.tasks.acting import check_acting
from geoequiv.tasks.data.cache import checksum
from geoequiv.tasks.data.force_sign import check_force_sign
from geoequiv.tasks.data.sources import NamedArrays, elements, located, part_of, read
from geoequiv.tasks.data.trajectory import species
from geoequiv.tasks.drawing import Drawing
from geoequiv.tasks.element_energies import element_energies
from geoequiv.tasks.energy_and_forces import force_field_head
from geoequiv.tasks.mean_squared_error import MAE, MSE
from geoequiv.tasks.named_fields import (
    all_masked,
    check_open,
    composition,
    groups_of,
    len_of,
    read_fields,
    warn_of_overlap,
)
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
    ignore_cell: bool = False,
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
    Periodic frames have ``cell`` [n, 3, 3] (rows are lattice vectors: ``cell: vector*3 per graph``) and ``pbc`` [n, 3].

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
            scalar outputs, which are then relative to their training mean, each column of a ``scalar*k`` to its own;
            where clouds differ in composition, a scalar per graph is relative to an energy for each element, by least
            squares on the training split, if that leaves less. Pseudoscalars are scaled and not shifted: a reflection
            would no longer change their sign.
        conservative: whether the vector output is minus the gradient of the scalar per graph (see `Conservative`).
        ignore_cell: whether periodic frames are read as open clouds; without it they are an error, unless the signature
            names the ``cell``.
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
        for source in sources.values() if not ignore_cell else ():
            check_open(source, parsed)
        fields = {part: read_fields(source, parsed, kinds, acting.dim) for part, source in sources.items()}
        fields = all_masked(fields, parsed)
        rows = {part: np.arange(cut(part, sizes[part], len_of(fields[part]))) for part in PARTS}
        groups = {part: groups_of(source, item_group, len_of(fields[part])) for part, source in sources.items()}
        warn_of_overlap(place, fields, parsed)
    else:
        source = read(place)
        sources = dict.fromkeys(PARTS, source)
        kinds = elements([source])
        if not ignore_cell:
            check_open(source, parsed)
        whole = read_fields(source, parsed, kinds, acting.dim)
        fields, rows = dict.fromkeys(PARTS, whole), drawn(sizes, len_of(whole), seed)
        groups = dict.fromkeys(PARTS, groups_of(source, item_group, len_of(whole)))
    arrays = {f"{part}_{name}": array[rows[part]] for part in PARTS for name, array in fields[part].items()}
    if any("mask" in each for each in fields.values()) and not all(each.per_graph for each in parsed.outputs.values()):
        raise DataError(
            f"{place} has clouds of different sizes. Padding would count in the loss of outputs that live on nodes: "
            "give clouds of one size, or outputs per graph."
        )
    for source, whole in {id(each): (each, fields[part]) for part, each in sources.items()}.values():
        check_forces(source, whole, parsed, conservative)
    numbers = parsed.outputs.of_kind("scalar", "pseudoscalar") if normalise else ()
    zeros = {name: zero_of(arrays[f"train_target {name}"], parsed.outputs[name]) for name in numbers}
    counts = {part: composition(sources[part], fields[part], kinds, len_of(fields[part])) for part in PARTS}
    shares = {part: each[rows[part]] for part, each in counts.items() if each is not None}
    per_element = energies_of(arrays, shares, parsed, numbers)
    splits = {}
    for part in PARTS:
        offsets = {name: shares[part] @ np.array([each]).T for name, each in per_element.items()}
        split = files_split(arrays, part, parsed, zeros | offsets, dtype)
        grouping = groups[part]
        splits[part] = split if grouping is None else replace(split, item_group=torch.from_numpy(grouping[rows[part]]))
    zeros |= per_element
    check_acting(acting, parsed, splits["train"])
    sum_of_all = checksum({**arrays, "signature": np.array(str(parsed))})
    sizes_used = "-".join(str(len(rows[part])) for part in PARTS)
    shuffled = f"/seed{seed}" if seed and not given else ""
    return Task(
        name="files",
        protocol=f"files/{place.stem}/{sum_of_all[:8]}/{sizes_used}/{kind}{shuffled}",
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
        notes=(("Source", f"{place}, files of a user"), *notes_of(per_element, kinds)),
        drawing=drawing_of(parsed, kinds),
        item_group_name=item_group or "",
    )


def zero_of(target: Array, kind: FieldType) -> Scale:
    """What a scalar output is relative to: its mean, for each column; for a pseudoscalar 0."""
    if kind.kind != "scalar":
        return [0.0] * kind.multiplicity if kind.multiplicity > 1 else 0.0
    columns: list[float] = target.reshape(-1, target.shape[-1]).mean(0).tolist()
    return columns if kind.multiplicity > 1 else float(target.mean())


def energies_of(
    arrays: Mapping[str, Array], shares: Mapping[str, Array], signature: Signature, names: Sequence[str]
) -> dict[str, list[float]]:
    """Scalar output per graph → an energy for each element, where that leaves less than the mean does.

    Raises:
        DataError: an element is in another split and not in the training split, so that its energy cannot be known.
    """
    found: dict[str, list[float]] = {}
    for name in names if len(shares) == len(PARTS) else ():
        kind = signature.outputs[name]
        if kind.kind == "scalar" and kind.per_graph and kind.multiplicity == 1:
            energies = element_energies(arrays[f"train_target {name}"][:, 0], shares["train"])
            found |= {} if energies is None else {name: energies}
    for part in PARTS[1:] if found else ():
        new = (shares[part].sum(0) > 0) & (shares["train"].sum(0) == 0)
        if new.any():
            raise DataError(
                f"The split '{part}' has an element that no item of the training split has, so that its energy is not "
                "known. Give a training split with all elements, or set normalise: false."
            )
    return found


def check_forces(source: NamedArrays, fields: Fields, signature: Signature, conservative: bool) -> None:
    """Raise DataError where outputs that are an energy and its forces have forces of the wrong sign."""
    energies = [n for n, k in signature.outputs.items() if k.kind == "scalar" and k.per_graph and k.multiplicity == 1]
    forces = [n for n, k in signature.outputs.items() if k.kind == "vector" and not k.per_graph and k.multiplicity == 1]
    points = [n for n, k in signature.inputs.items() if k.kind == "point" and not k.per_graph and k.multiplicity == 1]
    if not (len(energies) == len(forces) == len(points) == 1) or not (conservative or forces[0].startswith("force")):
        return
    energy, force = (fields[f"target {names[0]}"] for names in (energies, forces))
    check_force_sign(source.path, fields[points[0]], energy[:, 0], force, source.charges())


def notes_of(per_element: Mapping[str, Sequence[float]], kinds: NDArray[np.int64]) -> list[tuple[str, str]]:
    """Lines of the card about outputs that are relative to an energy for each element."""
    symbols = species(kinds)[1] or ("node",)
    return [
        (
            f"Zero of {name}",
            "by least squares on the training split: "
            + ", ".join(f"{symbol} {energy:.6g}" for symbol, energy in zip(symbols, energies, strict=False)),
        )
        for name, energies in per_element.items()
    ]


def drawing_of(signature: Signature, kinds: NDArray[np.int64]) -> Drawing:
    """Molecules where the elements are known, particles elsewhere; the first relation is taken for bonds."""
    named = len(kinds) > 0 and "species" in signature.inputs and signature.inputs["species"].multiplicity == len(kinds)
    bonds = next(iter(signature.inputs.of_kind("adjacency")), None)
    return Drawing("molecule", bonds, tuple(kinds.tolist())) if named else Drawing("particles", bonds)


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
    arrays: Mapping[str, Array],
    part: str,
    signature: Signature,
    zeros: Mapping[str, Scale | Array],
    dtype: torch.dtype,
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
    return force_field_head(signature, train, zero, gradient=True)
