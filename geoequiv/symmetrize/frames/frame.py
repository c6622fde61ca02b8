"""What every frame is: an equivariant map from a batch to weighted group elements."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import BatchError, SignatureError
from geoequiv.fields import Layout, Side
from geoequiv.groups import Element, Group


@dataclass(frozen=True)
class Frame(ABC):
    """An immutable map from a batch to group elements and weights, with ``frame(g x) = g frame(x)`` as sets.

    Args:
        group: the group that averaging over the frame makes a model equivariant to.
    """

    group: Group

    @property
    def is_exact(self) -> bool:
        """Whether evaluation is equivariant up to round-off."""
        return True

    def check_inputs(self, side: Side) -> None:  # noqa: B027
        """Raise SignatureError for inputs that the frame cannot be computed from."""

    def check_outputs(self, side: Side) -> None:  # noqa: B027
        """Raise SignatureError for outputs that the frame cannot average exactly."""

    @abstractmethod
    def __call__(
        self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None, *, training: bool = False
    ) -> tuple[Element, Tensor | None]:
        """Elements ``[F, *shape]`` and weights ``[F, *shape]`` for a batch of items of batch shape ``shape``.

        Lengths of 1 stand for "the same for every item". Weights add up to one over F; ``None`` stands for 1/F.

        Args:
            fields: a dict of tensors, a PyG object, or the positions alone.
            side: types of the inputs, or their string.
            layout: ``None`` reads it off the fields.
            training: whether to draw what is drawn in training only.
        """


def cloud_name(side: Side, group: Group) -> str:
    """The field that a frame is computed from: the first ``point`` input, else the first ``vector``.

    Raises:
        SignatureError: if there is none, or translations are asked of an input without points.
    """
    kinds = ("point",) if group.translates else ("point", "vector")
    for kind in kinds:
        for name in side.of_kind(kind):
            if side[name].multiplicity == 1 and side[name].rows in (None, "node"):
                return name
    raise SignatureError(
        f"A frame of {group} needs an input of type {' or '.join(kinds)} (one per node); the inputs are ({side})."
    )


def cloud_of(fields: Mapping[str, Any], name: str, layout: Layout) -> Tensor:
    """The field that a frame is computed from; BatchError unless it has an axis of nodes."""
    values = fields[name]
    if layout.batch is None and values.ndim < len(layout.shape) + 2:
        raise BatchError(
            f"Field '{name}' of shape {list(values.shape)} has no axis of nodes, so that there is nothing to build a "
            f"frame from. A single point is a cloud of one: [1, {values.shape[-1]}]."
        )
    return values


def node_sum(values: Tensor, layout: Layout) -> Tensor:
    """Sum over the real nodes of each item: dense ``[*shape, N, k]`` or ragged ``[n, k]`` to ``[*shape, k]``."""
    if layout.batch is not None:
        return values.new_zeros(layout.shape[0], values.shape[-1]).index_add(0, layout.batch, values)
    if layout.mask is not None:
        values = torch.where(layout.mask.unsqueeze(-1), values, 0)
    return values.sum(-2)


def node_count(values: Tensor, layout: Layout) -> Tensor:
    """Number of real nodes of each item, ``[*shape, 1]``, in the values' dtype."""
    if layout.batch is not None:
        return torch.bincount(layout.batch).to(values).unsqueeze(-1)
    if layout.mask is not None:
        return layout.mask.sum(-1, keepdim=True).to(values)
    return values.new_full((*layout.shape, 1), layout.nodes)


def centroid(values: Tensor, layout: Layout) -> Tensor:
    """Mean position of each item, ``[*shape, d]``."""
    return node_sum(values, layout) / node_count(values, layout)


def per_node(per_item: Tensor, layout: Layout) -> Tensor:
    """What belongs to an item, ``[*shape, k]``, at each of its nodes: ``[*shape, 1, k]`` or ``[n, k]``."""
    return per_item.unsqueeze(-2) if layout.batch is None else per_item[layout.batch]
