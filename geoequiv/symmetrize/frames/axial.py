"""Frames of the rotations about one axis of 3-space: a frame of the plane across it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import BatchError, GroupError
from geoequiv.fields import FieldType, Layout, Side, act, item_text
from geoequiv.groups import Element, Group
from geoequiv.groups import group as group_by_name
from geoequiv.groups.finite import rotation_to
from geoequiv.groups.orthogonal import AxialGroup, rotation_about
from geoequiv.symmetrize.frames.diagnosis import FrameReport, read_fields
from geoequiv.symmetrize.frames.frame import Frame, centroid, cloud_name, cloud_of
from geoequiv.symmetrize.frames.frame_inputs import FrameInputs
from geoequiv.symmetrize.frames.pca import PCAFrame
from geoequiv.symmetrize.frames.spectrum import item_max, noise_of, real_nodes


@dataclass(frozen=True)
class AxialFrame(Frame):
    r"""A frame of SO(2) or O(2), of what a batch shows across an axis: the symmetry that gravity leaves.

    .. math:: F(x) = \{ (B\, r\, B^\top + a a^\top,\; \bar x) : r \in F_2(x B) \}, \qquad B^\top B = 1,\; B^\top a = 0

    The heights along the axis a pass through: no element of the group changes them, so the model may use them as it
    likes. Points, vectors and pseudovectors are seen as those of the plane; tensors and irreps are not looked at.

    >>> from geoequiv.symmetrize.frames import frame_by_name
    >>> frame_by_name("minimal", group_by_name("O(2)@y")).planar.group.name
    'O(2)'

    Args:
        group: ``SO(2)@axis``, ``O(2)@axis``, or one of them with all translations, ``"T(3)*SO(2)@y"``.
        planar: the frame of the plane F₂: of SO(2), O(2), or with translations of SE(2), E(2).

    Raises:
        GroupError: any other group, or a planar frame that does not go with it.

    Exactness: that of the planar frame, so round-off for ``pca``, ``minimal`` and ``weighted``, also for clouds that
    are symmetric as seen along the axis (the frame is then the orbit of the symmetries of the view, at least as large
    as that of the cloud) and for points all on the axis, where C_6 stands for the rotations about it: outputs up to
    l = 5. A distance from the axis below 32 round-offs of the largest coordinate counts as zero. Discontinuous where
    the planar frame is.
    """

    planar: Frame

    def __post_init__(self) -> None:
        part = self.group.linear_part
        if not isinstance(part, AxialGroup):
            raise GroupError(f"Axial frames are made for SO(2)@axis and O(2)@axis, with or without T(3)*; got {part}.")
        wanted = planar_group(self.group)
        if isinstance(self.planar, nn.Module):
            raise GroupError(f"Frames about an axis have no parameters: 'learned' is not made for {self.group}.")
        if self.planar.group != wanted:
            raise GroupError(f"The plane across the axis of {self.group} takes a frame of {wanted}.")

    @property
    def is_exact(self) -> bool:
        return self.planar.is_exact

    def check_inputs(self, side: Side) -> None:
        self.planar.check_inputs(side)

    def check_outputs(self, side: Side) -> None:
        self.planar.check_outputs(side)

    def basis(self, like: Tensor) -> Tensor:
        """Orthonormal columns (B, a), right-handed, ``[3, 3]``."""
        part = self.group.linear_part
        assert isinstance(part, AxialGroup)
        return rotation_to(part.axis).to(like)

    def view(self, fields: Mapping[str, Any], side: Side, layout: Layout) -> "View":
        """What the batch shows across the axis."""
        named = self.planar.frame_from if isinstance(self.planar, PCAFrame) else None
        cloud = FrameInputs.of(side, self.group, named).centre or cloud_name(side, self.group)
        places = real_nodes(cloud_of(fields, cloud, layout), layout)
        centre = centroid(places, layout) if self.group.translates else None
        across, noise = self.basis(places)[:, :2], noise_of(layout.eps(places))
        largest = item_max(places.detach().abs().amax(-1), layout).unsqueeze(-1)
        seen, kinds, off = dict(fields), {}, {}
        for name, kind in side.items():
            if kind.kind in ("tensor", "irreps", "image"):
                continue
            kinds[name] = kind
            if kind.kind not in ("point", "vector", "pseudovector"):
                continue
            values = places if name == cloud else fields[name]
            values = values.reshape(*values.shape[: values.ndim - kind.trailing(values, 3, name)], -1, 3)
            flat, origin, scale = values @ across, None, values.detach().norm(dim=-1, keepdim=True)
            if kind.translates and centre is not None:
                origin = beside(centre @ across, flat, name, kind, layout)
                flat = flat - origin
            if kind.translates:
                scale = scale.maximum(beside(largest, scale, name, kind, layout))
            flat = torch.where(flat.detach().norm(dim=-1, keepdim=True) <= noise * scale, 0, flat)
            off[name] = flat
            flat = flat if origin is None else flat + origin
            seen[name] = flat if kind.multiplicity > 1 else flat.squeeze(-2)
        return View(seen, Side(tuple(kinds.items())), off, centre)

    def __call__(
        self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None, *, training: bool = False
    ) -> tuple[Element, Tensor | None]:
        fields, side, layout = read_fields(fields, side, self.group.dim, layout)
        view = self.view(fields, side, layout)
        self.check_round(fields, side, view, layout)
        elements, weights = self.planar(view.fields, view.side, replace(layout, dim=2), training=training)
        return self.raised(elements.linear, view.centre), weights

    def raised(self, planar: Tensor, centre: Tensor | None) -> Element:
        """Isometries of the plane ``[F, *shape, 2, 2]`` as isometries of space that fix the axis."""
        basis = self.basis(planar)
        across, axis = basis[:, :2], basis[:, 2]
        linear = across @ planar @ across.mT + torch.outer(axis, axis)
        return Element(linear, None if centre is None else centre.expand(linear.shape[:-1]))

    def check_round(self, fields: Mapping[str, Any], side: Side, view: "View", layout: Layout) -> None:
        """Raise BatchError if all directions of an item lie along the axis, but an input that gives none does not."""
        broken = Side(tuple((name, kind) for name, kind in side.items() if kind.kind in ("tensor", "irreps")))
        if not broken or not isinstance(self.planar, PCAFrame) or self.planar.degenerate == "ignore":
            return
        if torch._C._are_functorch_transforms_active():  # there is no asking a tensor for its values
            return
        with torch.no_grad():
            is_round = ~view.shows_directions(layout)
            if not bool(is_round.any()):
                return
            rotation = rotation_about(torch.tensor([0.0, 0.0, 1.0]), torch.tensor(torch.pi / 3))[:2, :2]
            rotated = self.raised(rotation.to(next(iter(view.off.values()))), None).linear
            linear = torch.where(is_round[..., None, None], rotated, torch.eye(3).to(rotated))
            transformed = act(Element(linear), fields, broken, layout)
        for name in broken:
            if bool(((transformed[name] - fields[name]).abs() > 1e-4 * fields[name].abs().max()).any()):
                item = item_text(is_round.nonzero().tolist()[0])
                raise BatchError(
                    f"All points of {item} are collinear along the axis of {self.group}, but its input '{name}' "
                    f"({broken[name]}) is not symmetric about it: such a cloud cannot be framed by directions alone. "
                    "Give a vector input as well, or degenerate='ignore'."
                )

    def diagnose(self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None) -> FrameReport:
        """Gaps, frame size and distance to the next jump of the view along the axis (see ``PCAFrame.diagnose``)."""
        fields, side, layout = read_fields(fields, side, 3, layout)
        view = self.view(fields, side, layout)
        assert isinstance(self.planar, PCAFrame)
        return self.planar.diagnose(view.fields, view.side, replace(layout, dim=2))


@dataclass(frozen=True, eq=False)
class View:
    """A batch as it is seen along an axis.

    Args:
        fields: those of the batch, directions in the plane; side: their types.
        off: displacements of the directional fields in the plane, ``[..., copies, 2]``: points from the centre, where
            the group translates. What is round-off is zero.
        centre: mean position ``[*shape, 3]``, where the group translates.
    """

    fields: dict[str, Any]
    side: Side
    off: dict[str, Tensor]
    centre: Tensor | None

    def shows_directions(self, layout: Layout) -> Tensor:
        """Whether anything is off the axis, ``[*shape]`` bool."""
        device = next(iter(self.off.values())).device
        found = torch.zeros(layout.shape, dtype=torch.bool, device=device)
        for name, off in self.off.items():
            off_axis = (off != 0).any(-1).any(-1)
            if layout.batch is not None:
                rows = layout.rows(off, 0, name, self.side[name])
                off_axis = (
                    off_axis
                    if rows is None
                    else found.new_zeros(layout.shape).index_put((rows[off_axis],), off_axis.any())
                )
            else:
                if layout.mask is not None and off_axis.shape == layout.mask.shape:
                    off_axis = off_axis & layout.mask
                off_axis = off_axis.reshape(*layout.shape, -1).any(-1)
            found = found | off_axis
        return found


def beside(per_item: Tensor, values: Tensor, name: str, kind: FieldType, layout: Layout) -> Tensor:
    """What belongs to an item, ``[*shape, k]``, ready to meet ``values`` ``[..., copies, k]`` of a field."""
    here = layout.align(per_item, values, 0, name, kind)
    return here.reshape(*here.shape[:-1], *(1,) * (values.ndim - here.ndim), here.shape[-1])


def planar_group(group: Group) -> Group:
    """The group of the plane across the axis of ``SO(2)@axis``, ``O(2)@axis`` and their products with T(3)."""
    return group_by_name(
        f"S{'E' if group.translates else 'O'}(2)" if group.is_proper else f"{'E' if group.translates else 'O'}(2)"
    )
