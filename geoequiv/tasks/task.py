"""What a task is: frozen values that hold its data, its rules and the numbers it is compared with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from geoequiv.errors import BatchError, DataError, SignatureError
from geoequiv.fields import Signature
from geoequiv.tasks.drawing import Drawing
from geoequiv.tasks.reference import Reference

if TYPE_CHECKING:
    from geoequiv.tasks.graph_separation import Separation

REQUIRED_SPLITS = ("train", "val", "test")
#: (generator) → inputs and targets of a split, drawn anew
Redraw = Callable[[torch.Generator], tuple[dict[str, Tensor], dict[str, Tensor]]]
PointwiseLoss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Split:
    """Items of one part of a task; item i is row i of every tensor.

    Args:
        inputs: field name → [n, …], the input side of the task's signature (and "mask" [n, N] for padded clouds).
        targets: field name → [n, …], the output side.
        marks: name of a kind of item → [n] bool, True for the items of that kind; errors are reported for the two
            kinds separately.
        item_group: [n] int64, which trial, walker or stretch of a trajectory an item is from: items of one group are
            correlated, so standard errors count groups. Equal numbers mean the same group in all splits of a task.
            None where items are independent.
        redraw: of a training split whose items are drawn anew in every epoch, as points are from a surface: gives
            inputs and targets of the same shapes. None where items stay.

    Raises:
        BatchError: tensors of different length, an empty split, marks that are not [n] bool, an item_group that is not
            [n] int64.
    """

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    marks: dict[str, Tensor] = field(default_factory=dict)
    item_group: Tensor | None = None
    redraw: Redraw | None = None

    def __post_init__(self) -> None:
        named = {**self.inputs, **{f"target {name}": tensor for name, tensor in self.targets.items()}, **self.marks}
        scalars = [name for name, tensor in named.items() if tensor.ndim == 0]
        if not self.inputs or not self.targets or scalars:
            raise BatchError(f"A split needs inputs and targets with a leading item axis; without one: {scalars}.")
        lengths = {name: len(tensor) for name, tensor in named.items()}
        if len(set(lengths.values())) != 1:
            raise BatchError(f"Fields of one split must have equally many items, got {lengths}.")
        if len(self) == 0:
            raise BatchError("A split has no items.")
        for name, mark in self.marks.items():
            if mark.dtype != torch.bool or mark.ndim != 1:
                raise BatchError(f"Mark '{name}' must be [{len(self)}] bool, got {list(mark.shape)} {mark.dtype}.")
        groups = self.item_group
        if groups is not None and (groups.dtype != torch.int64 or groups.shape != (len(self),)):
            raise BatchError(f"item_group must be [{len(self)}] int64, got {list(groups.shape)} {groups.dtype}.")

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def rows(self, chosen: Sequence[int] | slice) -> "Split":
        """Some of the items, with their marks and groups."""
        index = chosen if isinstance(chosen, slice) else list(chosen)
        return Split(
            {name: tensor[index] for name, tensor in self.inputs.items()},
            {name: tensor[index] for name, tensor in self.targets.items()},
            {name: mark[index] for name, mark in self.marks.items()},
            None if self.item_group is None else self.item_group[index],
            None if self.redraw is None else partial(redraw_rows, self.redraw, index),
        )

    def to(self, dtype: torch.dtype) -> "Split":
        """The same items, their numbers that are not whole in another dtype."""
        return Split(
            cast(self.inputs, dtype),
            cast(self.targets, dtype),
            self.marks,
            self.item_group,
            None if self.redraw is None else partial(redraw_cast, self.redraw, dtype),
        )


def cast(fields: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Fields with their floating-point numbers in another dtype."""
    return {name: each.to(dtype) if each.is_floating_point() else each for name, each in fields.items()}


def redraw_cast(
    redraw: Redraw, dtype: torch.dtype, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A split that is drawn anew, in another dtype."""
    inputs, targets = redraw(generator)
    return cast(inputs, dtype), cast(targets, dtype)


def redraw_rows(
    redraw: Redraw, index: list[int] | slice, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Some of the items of a split that is drawn anew."""
    inputs, targets = redraw(generator)
    return {name: v[index] for name, v in inputs.items()}, {name: v[index] for name, v in targets.items()}


@dataclass(frozen=True)
class Metric:
    """A number per item, averaged over a split; its direction is declared here once.

    Args:
        name: "mse".
        unit: unit of the value, "" if it has none.
        better: "lower" or "higher".
        per_item: (predictions, targets), dicts of [n, …] → [n].
    """

    name: str
    unit: str
    better: Literal["lower", "higher"]
    per_item: Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Head:
    """What a task puts around a model: a change of units, or the derivative that makes forces of an energy.

    Args:
        signature: of the model inside, which is also what a symmetrization of it sees.
        wrap: model → module that fits the task's signature.
    """

    signature: Signature
    wrap: Callable[[nn.Module], nn.Module]


@dataclass(frozen=True)
class Task:
    """A benchmark: data, signature, loss, metric and the protocol under which numbers may be compared.

    Args:
        name: "nbody/charged"; the name in the catalog.
        protocol: id of (task, variant, horizon, split sizes, metric): numbers compare only under the same id.
        description: one or two sentences for the leaderboard's header.
        signature: how inputs and targets transform.
        symmetry: name of the group under which the labels are meant to be equivariant, "E(3)".
        splits: "train", "val", "test" and out-of-distribution ones such as "test_rotated".
        loss: point-wise ℓ(prediction, target) → scalar, used in training, applied to each output and added up; or one
            for each output, by name.
        metric: the reported number, which ranks models and chooses the best epoch.
        references: published numbers under this very protocol.
        checksum: sha256 of the data as stored, in float64.
        citation: BibTeX of the paper that defined the task.
        symmetry_error: measures how far the labels themselves are from equivariant, or None if it cannot be known;
            lazy, and cached on disk beside the data.
        head: what stands around every model, or None.
        further: metrics that are recorded and shown besides.
        notes: lines (name, text) about the data for its card: how far ahead is asked for, where the data is from, under
            which licence, the report of a simulation.
        drawing: what `geoequiv show` draws beside positions.
        item_group_name: what the groups of the splits' items are: "trial", "walker", … ("" where items are
            independent).
        separation: which test items untrained networks should tell apart, of tasks that ask for nothing else.

    Raises:
        DataError: a split is missing, or some splits have groups of items and others have not, or these have no name.
        SignatureError: a split lacks a field of the signature, or an output has no loss.
        BatchError: a field holds NaN or infinite values; names split, field and first item.
    """

    name: str
    protocol: str
    description: str
    signature: Signature
    symmetry: str
    splits: Mapping[str, Split]
    loss: PointwiseLoss | Mapping[str, PointwiseLoss]
    metric: Metric
    references: tuple[Reference, ...]
    checksum: str
    citation: str
    symmetry_error: Callable[[], dict[str, float]] | None = None
    head: Head | None = None
    further: tuple[Metric, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    drawing: Drawing = field(default_factory=Drawing)
    item_group_name: str = ""
    separation: "Separation | None" = None

    @property
    def model_signature(self) -> Signature:
        """Signature of the model inside the task's head; the task's own where there is none."""
        return self.head.signature if self.head else self.signature

    def finished(self, model: nn.Module) -> nn.Module:
        """A model with the task's head around it: what is trained and measured."""
        return self.head.wrap(model) if self.head else model

    def to(self, dtype: torch.dtype) -> "Task":
        """The same task, the numbers of its items in another dtype; float64 does not bring back what float32 lost."""
        return replace(self, splits={name: split.to(dtype) for name, split in self.splits.items()})

    def __post_init__(self) -> None:
        if isinstance(self.loss, Mapping) and set(self.loss) != set(self.signature.outputs):
            raise SignatureError(
                f"Task '{self.name}' has losses for {list(self.loss)}; its outputs are ({self.signature.outputs})."
            )
        missing = [name for name in REQUIRED_SPLITS if name not in self.splits]
        if missing:
            raise DataError(f"Task '{self.name}' lacks the split {missing[0]!r}; it has {list(self.splits)}.")
        grouped = [name for name, split in self.splits.items() if split.item_group is not None]
        if grouped not in ([], list(self.splits)) or bool(grouped) != bool(self.item_group_name):
            raise DataError(
                f"Task '{self.name}' has item_group in the splits {grouped} of {list(self.splits)} and the "
                f"item_group_name {self.item_group_name!r}: give all splits and the name, or none."
            )
        for name, split in self.splits.items():
            self._check_fields(name, split)

    def _check_fields(self, name: str, split: Split) -> None:
        sides = ((self.signature.inputs, split.inputs, "input"), (self.signature.outputs, split.targets, "target"))
        for side, fields, kind in sides:
            for field_name in side:
                if field_name not in fields:
                    raise SignatureError(
                        f"Split '{name}' of task '{self.name}' has no {kind} '{field_name}', which its signature "
                        f"'{self.signature}' declares; it has {list(fields)}."
                    )
            for field_name, tensor in fields.items():
                finite = torch.isfinite(tensor).reshape(len(tensor), -1).all(dim=1)
                if not finite.all():
                    raise BatchError(
                        f"Split '{name}' of task '{self.name}': {kind} '{field_name}' is not finite in "
                        f"{int((~finite).sum())} of {len(split)} items, first in item {int((~finite).nonzero()[0])}."
                    )
