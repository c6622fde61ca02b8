"""The constant frame: all elements of a finite group, a quadrature rule, or draws from an infinite group."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import GroupError
from geoequiv.fields import Layout, Side
from geoequiv.fields.uncompiled import uncompiled
from geoequiv.groups import Element, Group, compose
from geoequiv.groups import group as group_by_name
from geoequiv.groups.on_device import on_device
from geoequiv.groups.permutation import PermutationGroup
from geoequiv.groups.quadrature_rule import quadrature
from geoequiv.sharding import stream
from geoequiv.symmetrize.frames.diagnosis import read_fields
from geoequiv.symmetrize.frames.frame import Frame, centroid, cloud_name, cloud_of


@dataclass(frozen=True)
class GroupFrame(Frame):
    """Group averaging: the same elements for every item; translations by centring.

    Args:
        num_samples: draws per call; ``None`` takes every element of a finite group.
        generator: source of the draws.
        quadrature: instead of draws, a rule that is exact up to this degree (see ``groups.quadrature``).
        subgroup: a finite group whose elements h multiply every draw g, ``h g``; a ``Group`` or its name.
    """

    num_samples: int | None = None
    generator: torch.Generator | None = None
    quadrature: int | None = None
    subgroup: Group | str | None = None

    def __post_init__(self) -> None:
        part = self.group.linear_part
        if self.num_samples is not None and not (isinstance(self.num_samples, int) and self.num_samples > 0):
            raise GroupError(f"num_samples must be a positive whole number, got {self.num_samples!r}.")
        if self.quadrature is not None:
            if self.num_samples is not None or self.subgroup is not None:
                other = "num_samples" if self.num_samples is not None else "subgroup"
                raise GroupError(
                    f"quadrature and {other} exclude each other: a rule has its own elements; num_samples draws them."
                )
            quadrature(part, self.quadrature)  # fails here, not at the first call
        elif self.num_samples is None:
            if self.subgroup is not None:
                raise GroupError(
                    f"subgroup '{self.subgroup}' multiplies random draws: give num_samples too, or average over the "
                    f"group '{self.subgroup}' itself."
                )
            if not part.is_finite:
                size = "is infinite" if part.order is None else f"has {part.order_text} elements, too many to list"
                if isinstance(part, PermutationGroup):
                    raise GroupError(
                        f"{self.group} {size}: give num_samples for a Monte-Carlo average, or use frame averaging with "
                        "frame='sorting' for an exact one, at the cost of one call."
                    )
                raise GroupError(
                    f"{self.group} {size}: give num_samples for a Monte-Carlo average, quadrature for a rule that "
                    "is exact up to a degree, use a finite subgroup such as 'O' for an exact average over that "
                    "subgroup, or frame averaging for an exact average over the group."
                )
        if self.subgroup is not None:
            object.__setattr__(self, "subgroup", finite_subgroup(self.subgroup, part))

    @property
    def is_exact(self) -> bool:
        return self.num_samples is None and self.group.linear_part.is_finite

    def elements(self, device: torch.device | None = None) -> tuple[Element, Tensor | None]:
        """Linear elements ``[F]`` of one call and their weights ``[F]`` (``None`` where they are equal).

        Args:
            device: where they are asked for; ``None`` is the CPU. Those that no draw decides are copied there once.
        """
        device = device or torch.device("cpu")
        return elements_outside(self, device) if torch.compiler.is_compiling() else self._elements(device)

    def _elements(self, device: torch.device) -> tuple[Element, Tensor | None]:
        part = self.group.linear_part
        if self.num_samples is None:
            linear, permutation, weights = on_device((part, self.quadrature), device, self._fixed)
            assert linear is not None
            return Element(linear, None, permutation), weights
        draws = part.sample(self.num_samples, generator=stream(self.generator))
        if self.subgroup is None:
            return draws.to(device), None
        assert isinstance(self.subgroup, Group)
        finite = self.subgroup.elements()
        return compose(finite, draws.reshape(len(draws), 1)).reshape(len(draws) * len(finite)).to(device), None

    def _fixed(self) -> tuple[Tensor | None, ...]:
        part = self.group.linear_part
        elements, weights = (part.elements(), None) if self.quadrature is None else quadrature(part, self.quadrature)
        return elements.linear, elements.permutation, weights

    def __call__(
        self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None, *, training: bool = False
    ) -> tuple[Element, Tensor | None]:
        fields, side, layout = read_fields(fields, side, self.group.dim, layout)
        elements, weights = self.elements(fields[next(iter(side))].device)
        ones = (1,) * len(layout.shape)
        elements = elements.reshape(len(elements), *ones)
        if weights is not None:
            weights = weights.reshape(len(weights), *ones)
        if self.group.translates:
            cloud = cloud_of(fields, cloud_name(side, self.group), layout)
            centre = centroid(cloud, layout)
            whole = elements.expand(len(elements), *layout.shape)
            elements = Element(whole.linear.to(cloud), centre.expand(*whole.shape, -1), whole.permutation)
        return elements, weights


@uncompiled
def elements_outside(frame: GroupFrame, device: torch.device) -> tuple[Element, Tensor | None]:
    """A frame's elements outside of the graph: ``torch.compile`` would trace past the cached lists of elements."""
    return frame._elements(device)


def finite_subgroup(name: Group | str, part: Group) -> Group:
    """A finite subgroup of a group by name.

    Raises:
        GroupError: it is unknown, infinite, or holds elements that the group does not.
    """
    found = group_by_name(name, dim=part.dim) if isinstance(name, str) else name
    if not found.is_finite:
        raise GroupError(f"subgroup must be finite, such as 'O', got {found}.")
    if found.dim != part.dim or not bool(part.contains(found.elements()).all()):
        raise GroupError(f"{found} is not a subgroup of {part}.")
    return found
