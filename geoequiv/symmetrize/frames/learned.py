"""A frame predicted by a small equivariant network."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import BatchError
from geoequiv.fields import Layout, Side, item_text
from geoequiv.groups import Element, Group
from geoequiv.ranges import PositiveInt, ProperFraction
from geoequiv.symmetrize.frames.diagnosis import FrameReport, first_order, read_fields
from geoequiv.symmetrize.frames.frame import Frame, node_count, node_sum, per_node
from geoequiv.symmetrize.frames.jumps import warn_of_gradients, warn_of_jumps
from geoequiv.symmetrize.frames.mapped import is_batched
from geoequiv.symmetrize.frames.minimal import MinimalFrame
from geoequiv.symmetrize.frames.options import Degenerate
from geoequiv.symmetrize.frames.pca import framed
from geoequiv.symmetrize.frames.spectrum import Spectrum

#: the length of a channel below which it fades out instead of giving a direction
SOFT = 0.3
#: smallest length of a leg over its noise, in units of ``Spectrum.length_threshold``
LEG = 1 / 3


@Frame.register
class LearnedFrame(nn.Module):
    r"""Axes by Gram–Schmidt from vectors that a network sums up from the points; one element for most clouds.

    .. math:: V_c = \frac1n \sum_i \phi_c(|x_i|)\, x_i, \qquad
              v_k = \frac1n \sum_i \psi_k(|x_i|, x_i \cdot \tilde V_1, \dots, x_i \cdot \tilde V_C)\, x_i, \qquad
              \tilde V = \frac{V}{|V| + 0.3}

    with x about the centroid where the group translates, in units of the cloud's root mean square radius. Two vectors
    give a right-handed frame (v_1, v_2, v_1 × v_2); for O(3) and E(3) a third one gives the orientation; in the plane
    one and two. φ and ψ are perceptrons, trained with the backbone through the frame. They see the cloud alone, at a
    cost of n · width · channels per cloud.

    Where the vectors are dependent, as on every cloud with a symmetry, they tell no frame, and near that they tell
    one badly. How badly follows from the slopes of φ and ψ: what a vector adds to those before, over how far errors of
    the points change it (to first order, for independent errors of size 1), must be above a third of
    ``Spectrum.length_threshold`` (6e-3 in float32, 4e-5 in float64); for the third one, whose side alone counts, above
    ``Spectrum.tolerance`` (a limit that depends on where the cloud lies would make the frame jump). The elements of
    ``MinimalFrame`` are taken elsewhere: for the network as it starts that is 3 to 11 % of random clouds in float32
    (under SO and O, which see the origin, 1 to 3 %).

    Args:
        group: O(d), SO(d), E(d) or SE(d).
        degenerate: ``"orbit"`` as above, raise an ``"error"``, or ``"ignore"``.
        tolerance: see ``PCAFrame``.
        width: hidden units of both perceptrons.
        channels: C.
        frame_from: see ``PCAFrame``. The network sees the cloud alone: the first point (or vector) that is named; the
            others are for ``MinimalFrame``.

    Exactness: round-off, whatever the weights, magnified by at most the limit above: frames differ by at most 1e-5
    (Frobenius norm) in float32 over 360 000 random clouds, as drawn and with weights three times as steep.
    Discontinuous where the vectors become dependent, as at every cloud with a symmetry, every planar molecule among
    them: forces there are not those of the average (``JumpWarning``).

    Reference: Kaba et al., "Equivariance with learned canonicalization functions" (ICML 2023), §3; the form of the
    network: Deng et al., "Vector neurons" (ICCV 2021).
    """

    def __init__(
        self,
        group: Group,
        degenerate: Degenerate = "orbit",
        tolerance: ProperFraction | None = None,
        width: PositiveInt = 16,
        channels: PositiveInt = 4,
        frame_from: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.group = group
        self.fallback = MinimalFrame(group, degenerate, tolerance, frame_from)
        count = group.dim - 1 if group.is_proper else group.dim
        self.first = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, channels))
        self.second = nn.Sequential(nn.Linear(1 + channels, width), nn.Tanh(), nn.Linear(width, count))
        with torch.no_grad():  # steep from the start: flat weights sum up to the centroid, which is zero
            for layers in (self.first, self.second):
                inner, _ = linear_layers(layers)
                inner.weight.mul_(4)
                inner.bias.mul_(4)

    @property
    def is_exact(self) -> bool:
        """Whether evaluation is equivariant up to round-off."""
        return True

    def check_outputs(self, side: Side) -> None:
        """Raise SignatureError for outputs that the frame cannot average exactly."""
        self.fallback.check_outputs(side)

    def check_inputs(self, side: Side) -> None:
        """Raise SignatureError for inputs that the frame cannot be computed from."""
        self.fallback.check_inputs(side)

    def forward(
        self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None, *, training: bool = False
    ) -> tuple[Element, Tensor | None]:
        """Elements ``[F, *shape]`` and weights, as every ``Frame``."""
        fields, side, layout = read_fields(fields, side, self.group.dim, layout)
        spectrum = self.fallback.spectrum(fields, side, layout)
        cloud = fields[self.fallback.frame_inputs(side).cloud]
        linear, margin = self.axes(spectrum, layout)
        dependent = (margin <= 0).any(-1)
        mapped = is_batched(dependent)  # over clouds or over parameters: no asking for its values
        if self.fallback.degenerate == "ignore" or not (mapped or bool(dependent.any())):
            return framed(linear.unsqueeze(0), spectrum.centre, cloud), None
        if self.fallback.degenerate == "error":
            if mapped:
                raise BatchError("Under vmap degenerate='error' cannot look at learned vectors: 'orbit', or no vmap.")
            item = item_text(dependent.nonzero()[0].tolist())
            raise BatchError(f"The learned vectors of {item} are dependent: they tell no frame.")
        if not mapped:
            warn_of_gradients(type(self).__name__, dependent, cloud)
        if mapped:
            other, other_weights = self.fallback(fields, side, layout)
        else:
            other, other_weights = self.fallback.elements(fields, side, layout, spectrum)
        if other_weights is None:
            other_weights = other.linear.new_full(other.shape, 1 / len(other))
        only = torch.zeros_like(other_weights)
        only = torch.cat([only[:1] + 1, only[1:]])
        linear = torch.where(dependent[..., None, None], other.linear.to(linear), linear)
        return framed(linear, spectrum.centre, cloud), torch.where(dependent, other_weights, only)

    def axes(self, spectrum: Spectrum, layout: Layout) -> tuple[Tensor, Tensor]:
        """Axes as columns ``[*shape, d, d]``, and how far each vector can be trusted ``[*shape, k]``: from 0 on."""
        x = spectrum.points
        count = node_count(x, layout).unsqueeze(-1)
        tiny = torch.finfo(x.dtype).tiny
        spread = (node_sum(x.square(), layout).sum(-1, keepdim=True) / count.squeeze(-1)).clamp_min(tiny)
        x = x / per_node(spread.sqrt(), layout)
        length = safe_norm(x)
        gain, gain_slope = response(self.first, length)
        means = weighted_sum(gain, x, layout) / count
        channels = means / (safe_norm(means) + SOFT)
        if layout.batch is None:
            along = x @ channels.mT
        else:
            along = (channels[layout.batch] @ x.unsqueeze(-1)).squeeze(-1)
        weight, slope = response(self.second, torch.cat([length, along], -1))
        weight = weight - per_node(node_sum(weight, layout) / count.squeeze(-1), layout)
        vectors = weighted_sum(weight, x, layout)
        axes, sizes = gram_schmidt(vectors, self.group)
        with torch.no_grad():
            scatter = node_sum(gain.square() + (gain_slope.squeeze(-1) * length).square(), layout)
            blur = scatter.sqrt() / count.squeeze(-1) / (safe_norm(means) + SOFT).squeeze(-1)
            noise = self.noise(weight.float(), slope.float(), x.float(), channels.float(), blur.float(), layout)
            noise = noise.to(sizes)
            for k in range(1, sizes.shape[-1]):  # what the legs before it do to it
                along = (vectors[..., k, None, :] * axes[..., :k].mT).sum(-1) * (noise / sizes.clamp_min(tiny))[..., :k]
                noise[..., k] = (noise[..., k].square() + along.square().sum(-1)).sqrt()
            limit = (LEG * spectrum.length_threshold).unsqueeze(-1).expand_as(noise)
            if not self.group.is_proper:  # of the last vector only the side counts
                limit = torch.cat([limit[..., :-1], spectrum.tolerance.unsqueeze(-1)], -1)
        return axes, sizes / noise.clamp_min(tiny) - limit

    def noise(self, weight: Tensor, slope: Tensor, x: Tensor, channels: Tensor, blur: Tensor, layout: Layout) -> Tensor:
        """To first order, how far independent errors of size 1 in the points change each vector, ``[*shape, k]``.

        Args:
            weight: ψ about its mean ``[..., k]``; slope: its derivatives ``[..., k, 1 + C]``.
            channels: Ṽ ``[*shape, C, d]``; blur: how far the same errors change them ``[*shape, C]``.
        """
        lengths = torch.cat([torch.ones_like(channels[..., :1, :1]), safe_norm(channels)], -2).mT
        own = weighted_sum(x.square().sum(-1, keepdim=True), slope.square().flatten(-2), layout)
        own = own.unflatten(-1, slope.shape[-2:]).squeeze(-3) * lengths.square()
        variance = node_sum(weight.square(), layout) + own.sum(-1)
        steep, outer = slope[..., 1:].flatten(-2), (x.unsqueeze(-1) * x.unsqueeze(-2)).flatten(-2)
        common = weighted_sum(steep, outer, layout)
        common = common.square().sum(-1).unflatten(-1, (slope.shape[-2], channels.shape[-2]))
        return (variance + (common * blur.unsqueeze(-2).square()).sum(-1)).sqrt()

    def diagnose(self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None) -> FrameReport:
        """Spectral gaps, frame size and distance to the next jump, for each item (see ``PCAFrame.diagnose``)."""
        fields, side, layout = read_fields(fields, side, self.group.dim, layout)
        cloud = self.fallback.frame_inputs(side).cloud
        with torch.no_grad():
            given = self.fallback.spectrum(fields, side, layout)
            elements, weights = self(fields, side, layout)
        size = torch.full(layout.shape, len(elements)) if weights is None else (weights > 0).sum(0)
        with torch.enable_grad():
            points = fields[cloud].detach().double().requires_grad_()
            exact = self.fallback.spectrum({**fields, cloud: points}, side, layout)
            _, margin = self.axes(replace(exact, length_threshold=given.length_threshold), layout)
            reach = [first_order(value, value, points, layout) for value in margin.unbind(-1)]
        dependent = (margin <= 0).any(-1).detach()
        report = self.fallback.report(fields, side, layout)
        distance = torch.where(dependent, 0, torch.stack(reach).amin(0))
        warn_of_jumps(type(self).__name__, distance <= 0)
        return replace(report, size=size, degenerate=dependent, distance=distance)


def safe_norm(vectors: Tensor) -> Tensor:
    """Lengths ``[..., 1]`` that have a derivative (zero) at zero."""
    squares = vectors.square().sum(-1, keepdim=True)
    return torch.where(squares > 0, torch.where(squares > 0, squares, 1).sqrt(), 0)


def linear_layers(layers: nn.Sequential) -> tuple[nn.Linear, nn.Linear]:
    """The two linear layers of a perceptron (linear, tanh, linear)."""
    first, _, last = layers
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    return first, last


def response(layers: nn.Sequential, values: Tensor) -> tuple[Tensor, Tensor]:
    """What a perceptron (linear, tanh, linear) says ``[..., out]``, and its derivatives ``[..., out, in]``.

    It is applied in the dtype of the values: coordinates keep their digits whatever the parameters' dtype. The
    derivatives carry no gradient.
    """
    first, last = linear_layers(layers)
    inner, outer = first.weight.to(values), last.weight.to(values)
    hidden = nn.functional.linear(values, inner, first.bias.to(values)).tanh_()
    with torch.no_grad():  # tanh' = 1 - tanh²
        paths = (outer.mT.unsqueeze(-1) * inner.unsqueeze(-2)).flatten(1).float()  # [hidden, out · in]
        slope = (paths.sum(0) - hidden.float().square() @ paths).unflatten(-1, (len(outer), inner.shape[-1]))
    return nn.functional.linear(hidden, outer, last.bias.to(values)), slope


def weighted_sum(weight: Tensor, values: Tensor, layout: Layout) -> Tensor:
    """Σ_i w_ic u_i over the real nodes of each item, ``[*shape, C, k]``; masked-out ``values`` are zero."""
    if layout.batch is None:
        return weight.mT @ values
    products = weight.unsqueeze(-1) * values.unsqueeze(-2)
    return node_sum(products.flatten(-2), layout).unflatten(-1, products.shape[-2:])


def gram_schmidt(vectors: Tensor, group: Group) -> tuple[Tensor, Tensor]:
    """Frames from vectors ``[*shape, k, d]``, and what each adds to those before, ``[*shape, k]``.

    Proper groups take d - 1 vectors and close the frame by their product; the others d, the last one for its side.
    """
    dim = group.dim
    eye = torch.eye(dim, dtype=vectors.dtype, device=vectors.device)
    legs: list[Tensor] = []
    sizes: list[Tensor] = []
    for k in range(dim - 1):
        left = vectors[..., k, :]
        for leg in legs:
            left = left - (left * leg).sum(-1, keepdim=True) * leg
        size = safe_norm(left)
        flat = size <= torch.finfo(left.dtype).tiny ** 0.5
        legs.append(torch.where(flat, eye[k], left / torch.where(flat, 1, size)))
        sizes.append(size.squeeze(-1))
    if dim == 2:
        last = torch.stack([-legs[0][..., 1], legs[0][..., 0]], -1)
    else:
        last = legs[0].cross(legs[1], dim=-1)
    if not group.is_proper:
        side = (vectors[..., -1, :] * last).sum(-1)
        sizes.append(side.abs())
        last = last * torch.where(side < 0, -1.0, 1.0).to(last).detach().unsqueeze(-1)
    return torch.stack([*legs, last], -1), torch.stack(sizes, -1)
