"""Frames of products: a frame of one factor, and an average over the other."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import GroupError
from geoequiv.fields import Layout, Side, replicate
from geoequiv.groups import Element, Group, compose, inverse
from geoequiv.groups import group as group_by_name
from geoequiv.groups.product import factors_of, product_of
from geoequiv.symmetrize.frames.diagnosis import read_fields
from geoequiv.symmetrize.frames.frame import Frame
from geoequiv.symmetrize.frames.group import GroupFrame
from geoequiv.symmetrize.frames.sorting import SortingFrame


@dataclass(frozen=True)
class ProductFrame(Frame):
    r"""For G = K H: a frame of K (mostly all of a finite K), and for each of its elements the frame of H seen from it.

    .. math:: F(x) = \{ k h : k \in F_K(x),\; h \in F_H(k^{-1} x) \}, \qquad w_{kh} = w_k w_h

    This is nesting: the average over F is the average over F_K of the model averaged over F_H,
    ``GroupAveraging(FrameAveraging(model, H), K)`` for a finite K. It is equivariant to both where K maps H to itself:
    then F_H(k⁻¹ h x) = k⁻¹ h k F_H(k⁻¹ x) and F(h x) = h F(x). The other way around, ``FrameAveraging`` of a model
    averaged over K, is equivariant to H, but to K only if F_H does not change with it.

    Args:
        group: G, the product of the groups of the two frames.
        outer: F_K; invariant to H (a ``GroupFrame`` is constant).
        inner: F_H; K and H share the identity only, and k h k⁻¹ lies in H.

    Raises:
        GroupError: if K does not map H to itself. Looked up on all elements of K (24 draws where it cannot be listed)
            and 16 draws of H. Or for a ``SortingFrame``, whose symmetries are averaged after the call of the model:
            nest two wrappers, S(n) around the model first.

    Exactness: that of both frames. Size: the product of theirs, and |K| inner frames are computed.
    """

    outer: Frame
    inner: Frame

    def __post_init__(self) -> None:
        if isinstance(self.outer, SortingFrame) or isinstance(self.inner, SortingFrame):
            raise GroupError(
                f"'{self.group}': a sorting frame is not one factor of a product. Wrap twice: FrameAveraging over S(n) "
                "with frame='sorting' (and a tolerance) around the model first, the isometries around that."
            )
        whole, part = self.outer.group.linear_part, self.inner.group.linear_part
        generator = torch.Generator().manual_seed(0)
        k = whole.elements() if whole.is_finite else whole.sample(24, generator=generator)
        h = part.sample(16, generator=generator)
        k, h = k.reshape(-1, 1), h.reshape(1, -1)
        if not bool(part.contains(compose(compose(k, h), inverse(k))).all()):
            raise GroupError(
                f"{whole} does not map {part} to itself: frames of {part} averaged over {whole} are equivariant to "
                f"{whole} only. Their products are not a group, or {part} is not normal in it."
            )

    @property
    def is_exact(self) -> bool:
        return self.outer.is_exact and self.inner.is_exact

    def check_inputs(self, side: Side) -> None:
        self.outer.check_inputs(side)
        self.inner.check_inputs(side)

    def check_outputs(self, side: Side) -> None:
        self.outer.check_outputs(side)
        self.inner.check_outputs(side)

    def __call__(
        self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None, *, training: bool = False
    ) -> tuple[Element, Tensor | None]:
        fields, side, layout = read_fields(fields, side, self.group.dim, layout)
        outer, outer_weights = self.outer(fields, side, layout, training=training)
        copies = len(outer)
        views = replicate(inverse(outer), fields, side, layout)
        if layout.is_ragged:
            many = Layout.of(views, side, self.group.dim)
        else:
            items = (copies * layout.shape[0], *layout.shape[1:]) if layout.shape else (copies,)
            many = replace(layout, shape=items, mask=views.get("mask"))
        inner, inner_weights = self.inner(views, side, many, training=training)
        shape = (len(inner), copies, *layout.shape)
        inner = inner.expand(len(inner), *many.shape).reshape(*shape)
        elements = compose(outer.to(inner.linear).expand(copies, *layout.shape), inner)
        elements = elements.reshape(len(inner) * copies, *layout.shape)
        if outer_weights is None and inner_weights is None:
            return elements, None
        weights = inner.linear.new_ones(shape)
        if inner_weights is not None:
            weights = weights * inner_weights.expand(len(inner), *many.shape).reshape(shape)
        else:
            weights = weights / len(inner)
        weights = weights / copies if outer_weights is None else weights * outer_weights.to(weights)
        return elements, weights.reshape(len(elements), *layout.shape)


def product_frame(group: Group, build: Callable[[Group], Frame]) -> ProductFrame:
    """The frame of a product: one factor is framed, the others are finite and averaged.

    Translations go with the framed factor where it is one of isometries.

    Args:
        group: a product of groups.
        build: the frame of a factor, or GroupError if there is none.

    Raises:
        GroupError: what ``build`` says of the infinite factor; or more than one factor cannot be listed.
    """
    parts = factors_of(group)
    shifts = [group_by_name(f"T({group.dim})")] if group.translates and not any(p.translates for p in parts) else []
    endless = [part for part in parts if not part.linear_part.is_finite]
    if len(endless) > 1:
        names = " and ".join(part.name for part in endless)
        raise GroupError(
            f"'{group}': {names} are both too large to list, and a frame's name stands for one of them. Wrap twice: "
            "FrameAveraging over S(n) with frame='sorting' (and a tolerance) around the model first, the isometries "
            "around that."
        )
    refused: GroupError | None = None
    for part in endless or parts:
        rest = [other for other in parts if other is not part]
        framed = product_of([*shifts, part]) if shifts and part.nodes is None else part
        try:
            inner = build(framed)
        except GroupError as error:
            refused = refused or error
            continue
        others = [*shifts, *rest] if shifts and part.nodes is not None else rest
        return ProductFrame(group, GroupFrame(others[0] if len(others) == 1 else product_of(others)), inner)
    assert refused is not None
    raise refused
