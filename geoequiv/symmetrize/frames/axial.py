"""Frames of the rotations about one axis of 3-space: a frame of the plane across it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import BatchError, GroupError
from geoequiv.fields import Layout, Side, act
from geoequiv.groups import Element, Group
from geoequiv.groups import group as group_by_name
from geoequiv.groups.finite import rotation_to
from geoequiv.groups.orthogonal import AxialGroup, rotation_about
from geoequiv.symmetrize.frames.diagnosis import FrameReport
from geoequiv.symmetrize.frames.directions import Directions
from geoequiv.symmetrize.frames.frame import Frame, centroid, cloud_name, per_node
from geoequiv.symmetrize.frames.pca import PCAFrame
from geoequiv.symmetrize.frames.spectrum import item_max


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

    def check_outputs(self, side: Side) -> None:
        self.planar.check_outputs(side)

    def basis(self, like: Tensor) -> Tensor:
        """Orthonormal columns (B, a), right-handed, ``[3, 3]``."""
        part = self.group.linear_part
        assert isinstance(part, AxialGroup)
        return rotation_to(part.axis).to(like)

    def view(self, fields: Mapping[str, Any], side: Side, layout: Layout) -> tuple[dict[str, Any], Side, Tensor | None]:
        """What the batch shows across the axis: fields and types of the plane; and the centre ``[*shape, 3]``."""
        name = cloud_name(side, self.group)
        cloud = fields[name]
        if layout.mask is not None:
            cloud = torch.where(layout.mask.unsqueeze(-1), cloud, 0)
        basis, eps = self.basis(cloud), torch.finfo(cloud.dtype).eps
        centre = centroid(cloud, layout) if self.group.translates else None
        flat = cloud @ basis[:, :2]
        origin = torch.zeros_like(flat) if centre is None else per_node(centre @ basis[:, :2], layout).expand_as(flat)
        largest = per_node(item_max(cloud.detach().abs().amax(-1), layout).unsqueeze(-1), layout)
        near = (flat - origin).detach().abs().amax(-1, keepdim=True) <= 32 * eps * largest
        seen, kinds = dict(fields), {}
        for other, kind in side.items():
            if other == name:
                seen[other] = torch.where(near, origin, flat)
            elif kind.kind in ("point", "vector", "pseudovector"):
                values = fields[other]
                whole = values.reshape(*values.shape[: values.ndim - kind.trailing(values, 3, other)], -1, 3)
                across = whole @ basis[:, :2]
                length = whole.detach().norm(dim=-1, keepdim=True)
                across = torch.where(across.detach().norm(dim=-1, keepdim=True) <= 32 * eps * length, 0, across)
                seen[other] = across if kind.multiplicity > 1 else across.squeeze(-2)
            elif kind.kind in ("tensor", "irreps", "image"):
                continue
            kinds[other] = kind
        return seen, Side(tuple(kinds.items())), centre

    def __call__(
        self, fields: Mapping[str, Any], side: Side, layout: Layout, *, training: bool = False
    ) -> tuple[Element, Tensor | None]:
        seen, planar_side, centre = self.view(fields, side, layout)
        self.check_round(fields, side, seen, planar_side, layout)
        elements, weights = self.planar(seen, planar_side, layout, training=training)
        return self.raised(elements.linear, centre), weights

    def raised(self, planar: Tensor, centre: Tensor | None) -> Element:
        """Isometries of the plane ``[F, *shape, 2, 2]`` as isometries of space that fix the axis."""
        basis = self.basis(planar)
        across, axis = basis[:, :2], basis[:, 2]
        linear = across @ planar @ across.mT + torch.outer(axis, axis)
        return Element(linear, None if centre is None else centre.expand(linear.shape[:-1]))

    def check_round(
        self, fields: Mapping[str, Any], side: Side, seen: Mapping[str, Any], planar_side: Side, layout: Layout
    ) -> None:
        """Raise BatchError if all directions of an item lie along the axis, but an input that gives none does not."""
        broken = Side(tuple((name, kind) for name, kind in side.items() if kind.kind in ("tensor", "irreps")))
        if not broken or not isinstance(self.planar, PCAFrame) or self.planar.degenerate == "ignore":
            return
        with torch.no_grad():
            spectrum = self.planar.spectrum(seen, planar_side, layout)
            every = torch.ones(layout.shape, dtype=torch.bool, device=spectrum.points.device)
            name = cloud_name(side, self.group)
            directions = Directions.of(seen, planar_side, layout, name, spectrum, every)
            is_round = (directions.level < 0).all(1)
            if not bool(is_round.any()):
                return
            turn = rotation_about(torch.tensor([0.0, 0.0, 1.0]), torch.tensor(torch.pi / 3))[:2, :2]
            turn = self.raised(turn.to(spectrum.points), None)
            one = torch.eye(3).to(spectrum.points)
            linear = torch.where(is_round[:, None, None], turn.linear, one).reshape(*layout.shape, 3, 3)
            moved = act(Element(linear), fields, broken, layout)
        for name in broken:
            if bool(((moved[name] - fields[name]).abs() > 1e-4 * fields[name].abs().max()).any()):
                raise BatchError(
                    f"All points of item {int(is_round.nonzero()[0])} lie on a line along the axis of {self.group}, "
                    f"but its input '{name}' ({broken[name]}) is not symmetric about it: such a cloud cannot be framed "
                    "by directions alone. Give a vector input as well, or degenerate='ignore'."
                )

    def diagnose(self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None) -> FrameReport:
        """Gaps, frame size and distance to the next jump of the view along the axis (see ``PCAFrame.diagnose``)."""
        side = Side.parse(side) if isinstance(side, str) else side
        fields = fields if isinstance(fields, Mapping) else {next(iter(side)): fields}
        layout = layout or Layout.of(fields, side, 3)
        seen, planar_side, _ = self.view(fields, side, layout)
        assert isinstance(self.planar, PCAFrame)
        return self.planar.diagnose(seen, planar_side, layout)


def planar_group(group: Group) -> Group:
    """The group of the plane across the axis of ``SO(2)@axis``, ``O(2)@axis`` and their products with T(3)."""
    return group_by_name(
        f"S{'E' if group.translates else 'O'}(2)" if group.is_proper else f"{'E' if group.translates else 'O'}(2)"
    )
