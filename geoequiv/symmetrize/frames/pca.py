"""Principal axes: the classical frame, exact for symmetric and flat clouds too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import BatchError, GroupError, SignatureError
from geoequiv.fields import Layout, Side, item_text
from geoequiv.fields.uncompiled import uncompiled
from geoequiv.groups import Element
from geoequiv.groups.on_device import on_device
from geoequiv.groups.orthogonal import OrthogonalGroup
from geoequiv.ranges import ProperFraction
from geoequiv.symmetrize.frames.diagnosis import FrameReport, crossing_distance, read_fields
from geoequiv.symmetrize.frames.directions import Directions
from geoequiv.symmetrize.frames.frame import Frame, centroid
from geoequiv.symmetrize.frames.frame_inputs import FrameInputs
from geoequiv.symmetrize.frames.jumps import warn_of_gradients, warn_of_jumps
from geoequiv.symmetrize.frames.mapped import is_mapped, mapped_frames
from geoequiv.symmetrize.frames.options import Degenerate, check_degenerate, check_tolerance
from geoequiv.symmetrize.frames.orbit import EXACT_DEGREE, orbit
from geoequiv.symmetrize.frames.spectrum import Spectrum
from geoequiv.symmetrize.frames.stabilizer import check_fixed


@dataclass(frozen=True)
class PCAFrame(Frame):
    r"""Eigenvectors of the covariance of the cloud, with every choice of signs.

    .. math:: F(x) = \{ (V \,\mathrm{diag}(s), \bar x) : s \in \{\pm 1\}^d \}, \qquad
              \sum_n (x_n - \bar x)(x_n - \bar x)^\top = V \Lambda V^\top

    2^d elements for O(d) and E(d); the 2^(d-1) proper ones for SO(d) and SE(d). Without translations in the group the
    cloud is not centred.

    Where eigenvalues coincide, V is not determined, and the points themselves give the frames (see ``orbit``):
    as many as the cloud has symmetries, 24 for methane under O(3), 12 for benzene under SO(3). Where they nearly do, V
    is determined badly, and the points give the frames as well: where a gap is below ``Spectrum.gap_threshold`` of the
    largest eigenvalue, which falls with the number of points: from 2e-2 to 2e-3 in float32, from 1e-4 to 1e-5 in
    float64. Where the symmetries are continuous (collinear or coincident points), further vector inputs are used; if
    they leave the stabilizer continuous, a finite group replaces it, 6 to 24 elements for collinear points, 60 or 120
    for coincident ones (in the plane 6 or 12).

    Args:
        degenerate: what to do about clouds whose eigenvalues (nearly) coincide: ``"orbit"`` completes the frame to an
            orbit as above, ``"error"`` raises, ``"ignore"`` takes LAPACK's eigenvectors, which is not equivariant.
        tolerance: what counts as equal: eigenvalues relative to the largest, lengths relative to the longest.
            ``None`` is the square root of the round-off: 1.5e-8 in float64, 3.5e-4 in float32 (.03 in float16, .25 in
            bfloat16). Measured structures are symmetric to fewer digits than that; give the digits they have.
        frame_from: names of the inputs that the frame is built from, in order of precedence. The first point or vector
            gives the axes; further points, vectors and pseudovectors, and scalars as labels of nodes, choose between
            the equivalent frames of a symmetric cloud. Only directions, lengths relative to the
            longest and scalars relative to the largest of a cloud count, so units do not matter; vectors count as a
            set, whichever node has which. ``None`` stands for the first point input alone.

    Exactness: equivariant up to round-off, for outputs of any degree if the cloud spans a plane, up to l = 5 if it
    is collinear or coincident. Frames are computed in float64. Gradients are those of the eigenvectors, or of the
    pairs of points that stand for them; finite everywhere, exact away from degenerate spectra. Discontinuous where
    eigenvalues come as near as said above: there gradients with respect to the positions, such as forces, are not those
    of the average, which a ``JumpWarning`` says once.

    Reference: Puny et al. (ICLR 2022), §3.1, Proposition 1.
    """

    degenerate: Degenerate = "orbit"
    tolerance: ProperFraction | None = None
    frame_from: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.group.linear_part, OrthogonalGroup):
            raise GroupError(
                f"PCA frames are made for O(d), SO(d), E(d) and SE(d), d = 2, 3; got {self.group}. Finite groups and "
                "translations are for GroupAveraging, S(n) is for frame='sorting'."
            )
        check_degenerate(self.degenerate)
        check_tolerance(self.tolerance)
        if isinstance(self.frame_from, str):
            raise SignatureError(f"frame_from is a list of input names, such as ['{self.frame_from}'].")
        if self.frame_from is not None:
            object.__setattr__(self, "frame_from", tuple(self.frame_from))

    def check_inputs(self, side: Side) -> None:
        self.frame_inputs(side)

    def check_outputs(self, side: Side) -> None:
        for name, kind in side.items():
            if kind.irreps is None or self.degenerate != "orbit":
                continue
            from e3nn.o3 import Irreps

            if Irreps(kind.irreps).lmax > EXACT_DEGREE:
                raise SignatureError(
                    f"Output '{name}' is {kind}: frames of collinear or coincident clouds are exact up to degree "
                    f"{EXACT_DEGREE}. Give degenerate='error' to refuse such clouds, or 'ignore'."
                )

    def frame_inputs(self, side: Side) -> FrameInputs:
        """Which inputs the frame is built from."""
        return FrameInputs.of(side, self.group, self.frame_from)

    def spectrum(self, fields: Mapping[str, Any], side: Side, layout: Layout) -> Spectrum:
        """Covariance eigenvalues and axes of a batch."""
        return Spectrum.of(fields, side, self.frame_inputs(side), layout, self.tolerance)

    def signs(self, like: Tensor) -> Tensor:
        """All sign choices ``[F, d]``; for proper groups those whose product is +1."""
        dim, proper = self.group.dim, self.group.is_proper
        (signs,) = on_device(("signs", dim, proper), like.device, lambda: (sign_choices(dim, proper),))
        assert signs is not None
        return signs

    def axes(self, spectrum: Spectrum) -> Tensor:
        """Principal axes as columns, ``[*shape, d, d]``, right-handed for proper groups."""
        if not self.group.is_proper:
            return spectrum.axes
        sign = torch.linalg.det(spectrum.axes.detach()).sign()
        return torch.cat([spectrum.axes[..., :-1], spectrum.axes[..., -1:] * sign[..., None, None]], dim=-1)

    def generic(
        self, spectrum: Spectrum, fields: Mapping[str, Any], side: Side, layout: Layout
    ) -> tuple[Tensor, Tensor | None]:
        """Frames ``[F, *shape, d, d]`` of simple spectra, and which are real ``[F, *shape]``; ``None``: all."""
        vectors = self.axes(spectrum)
        signs = self.signs(vectors)
        return vectors * signs.reshape(len(signs), *(1,) * len(layout.shape), 1, self.group.dim), None

    def __call__(
        self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None, *, training: bool = False
    ) -> tuple[Element, Tensor | None]:
        fields, side, layout = read_fields(fields, side, self.group.dim, layout)
        named = {name: fields[name] for name in side}
        if not is_mapped(named):
            return self.elements(fields, side, layout)

        def frames(fields: Mapping[str, Tensor], layout: Layout) -> tuple[Tensor, Tensor | None]:
            elements, weights = self.elements(fields, side, layout)
            return elements.linear, weights

        linear, weights = mapped_frames(frames, named, tuple(side), layout)
        centre = self.frame_inputs(side).centre
        return framed(linear, None if centre is None else centroid(fields[centre], layout), linear), weights

    @uncompiled  # sizes depend on values: torch.compile breaks its graph here and loses nothing
    def elements(
        self, fields: Mapping[str, Any], side: Side, layout: Layout, spectrum: Spectrum | None = None
    ) -> tuple[Element, Tensor | None]:
        """What the frame is, where values can be looked at; ``spectrum`` is that of the batch, where it is known."""
        if spectrum is None:
            spectrum = self.spectrum(fields, side, layout)
        linear, real = self.generic(spectrum, fields, side, layout)
        if self.degenerate != "ignore" and spectrum.any_degenerate:
            if self.degenerate == "error":
                raise BatchError(degenerate_message(spectrum.degenerate, spectrum))
            linear, real = self.completed(linear, real, spectrum.degenerate, spectrum, fields, side, layout)
        cloud = fields[self.frame_inputs(side).cloud]
        if cloud.requires_grad and (spectrum.any_degenerate or real is not None):
            warn_of_gradients(type(self).__name__, self.jumps(spectrum, real), cloud)
        weights = None if real is None else real.to(cloud) / real.sum(0, keepdim=True)
        return framed(linear, spectrum.centre, cloud), weights

    def completed(
        self,
        linear: Tensor,
        real: Tensor | None,
        degenerate: Tensor,
        spectrum: Spectrum,
        fields: Mapping[str, Any],
        side: Side,
        layout: Layout,
    ) -> tuple[Tensor, Tensor]:
        """The same frames, those of the ``degenerate`` items ``[*shape]`` replaced by orbits."""
        dim = self.group.dim
        chosen = degenerate.flatten()
        orbits, orbit_real = self.orbits(degenerate, spectrum, fields, side, layout)
        items = linear.reshape(len(linear), -1, dim, dim).movedim(0, 1)
        items_real = items.new_ones(items.shape[:2]).bool() if real is None else real.reshape(len(linear), -1).mT
        size = max(orbits.shape[1], 0 if bool(chosen.all()) else items.shape[1])
        eye = torch.eye(dim, dtype=linear.dtype, device=linear.device)
        where = chosen.nonzero().squeeze(1)
        items = longer(items, size, eye).index_put((where,), longer(orbits, size, eye))
        no = torch.zeros((), dtype=torch.bool, device=linear.device)
        items_real = longer(items_real, size, no).index_put((where,), longer(orbit_real, size, no))
        return items.movedim(0, 1).reshape(size, *layout.shape, dim, dim), items_real.mT.reshape(size, *layout.shape)

    def orbits(
        self, degenerate: Tensor, spectrum: Spectrum, fields: Mapping[str, Any], side: Side, layout: Layout
    ) -> tuple[Tensor, Tensor]:
        """Frames ``[D, M, d, d]`` of the ``degenerate`` items ``[*shape]`` alone, and which are real ``[D, M]``."""
        dim, source = self.group.dim, self.frame_inputs(side)
        chosen = degenerate.flatten()
        directions = Directions.of(fields, side, layout, source, spectrum, degenerate)
        tolerance, threshold, noise = (
            v.flatten()[chosen] for v in (spectrum.tolerance, spectrum.length_threshold, spectrum.noise)
        )
        coincident = spectrum.coincident.flatten()[chosen]
        axes = spectrum.axes.reshape(-1, dim, dim)[chosen]
        if dim == 2:
            axis = axes.new_tensor([0.0, 0.0, 1.0]).expand(len(axes), 3)
            has_axis = torch.ones_like(coincident)
            is_round = coincident
        else:
            equal = spectrum.degenerate_gaps.reshape(-1, 2)[chosen]
            axis = torch.where(equal[:, :1], axes[..., 2], axes[..., 0])
            has_axis = ~equal.all(1) & ~coincident
            off = directions.vectors.detach().cross(axis.detach().unsqueeze(1).expand_as(directions.vectors), dim=-1)
            flat = (off.norm(dim=-1) <= threshold.unsqueeze(1)) | (directions.level != 0)
            is_round = coincident | (has_axis & flat.all(1))
        legs = (directions.level == 0) | is_round.unsqueeze(1)
        directions = directions.only((directions.level <= len(source.further)) | is_round.unsqueeze(1))
        frames, real, continuous = orbit(
            directions, legs, axis, has_axis, tolerance, threshold, noise, self.group.is_proper, plane=dim == 2
        )
        if bool(continuous.any()):
            where = chosen.nonzero().squeeze(1)[continuous]
            line = has_axis[continuous] | (directions.level[continuous] >= 0).any(1)
            check_fixed(frames[continuous, 0, :dim, :dim].detach(), where, line, fields, side, layout)
        return frames[..., :dim, :dim], real

    def jumps(self, spectrum: Spectrum, real: Tensor | None) -> Tensor:
        """At which items ``[*shape]`` any displacement may change the frame abruptly; ``real``: ``[F, *shape]``."""
        return spectrum.degenerate

    def distance(self, spectrum: Spectrum, fields: Mapping[str, Any], side: Side, layout: Layout) -> Tensor:
        """How far each item is from a jump of the frame, ``[*shape]`` (see ``FrameReport``)."""
        return crossing_distance(spectrum)

    def diagnose(self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None) -> FrameReport:
        """Spectral gaps, frame size and distance to the next jump, for each item.

        Args:
            fields: a dict of tensors, a PyG object, or the positions alone.
            side: types of the inputs, or their string.

        Warns:
            JumpWarning: the frame jumps at some items (their ``distance`` is 0).
        """
        fields, side, layout = read_fields(fields, side, self.group.dim, layout)
        report = self.report(fields, side, layout)
        warn_of_jumps(type(self).__name__, report.distance <= 0)
        return report

    def report(self, fields: Mapping[str, Any], side: Side, layout: Layout) -> FrameReport:
        """``diagnose`` without its warning."""
        with torch.no_grad():
            spectrum = self.spectrum(fields, side, layout)
            elements, weights = self(fields, side, layout)
        size = torch.full(layout.shape, len(elements)) if weights is None else (weights > 0).sum(0)
        distance = self.distance(spectrum, fields, side, layout)
        return FrameReport(
            spectrum.gaps, size, spectrum.degenerate, spectrum.tolerance, spectrum.gap_threshold, distance.detach()
        )


def sign_choices(dim: int, proper: bool) -> Tensor:
    """``[F, d]`` in float64: all, or those whose product is +1."""
    choices = [s for s in product((1.0, -1.0), repeat=dim) if not proper or s.count(-1.0) % 2 == 0]
    return torch.tensor(choices, dtype=torch.float64)


def framed(linear: Tensor, centre: Tensor | None, like: Tensor) -> Element:
    """Elements ``[F, *shape]`` from their axes and the centre of each item, in the dtype of ``like`` or float32."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    return Element(linear.to(dtype), None if centre is None else centre.to(dtype).expand(linear.shape[:-1]))


def longer(values: Tensor, size: int, fill: Tensor) -> Tensor:
    """``[B, M, …]`` cut or filled up to ``[B, size, …]``."""
    missing = size - values.shape[1]
    if missing <= 0:
        return values[:, :size]
    return torch.cat([values, fill.expand(len(values), missing, *fill.shape)], 1)


def degenerate_message(degenerate: Tensor, spectrum: Spectrum) -> str:
    """Which item has which eigenvalues."""
    item = degenerate.nonzero()[0].tolist()
    cloud = f"The cloud of {item_text(item)}" if item else "The cloud"
    values = ", ".join(f"{value:.6g}" for value in spectrum.values[tuple(item)].tolist())
    return (
        f"{cloud} has covariance eigenvalues {values}, which (nearly) coincide: its principal axes are not determined. "
        "degenerate='orbit' averages it exactly."
    )
