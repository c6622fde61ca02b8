"""As few frames as the cloud has symmetries: signs of principal axes by odd moments."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from geoequiv.fields import Layout, Side
from geoequiv.symmetrize.frames.diagnosis import first_order
from geoequiv.symmetrize.frames.directions import Directions
from geoequiv.symmetrize.frames.frame import node_count, node_sum
from geoequiv.symmetrize.frames.orbit import compact, one_orbit
from geoequiv.symmetrize.frames.pca import PCAFrame
from geoequiv.symmetrize.frames.spectrum import Spectrum


@dataclass(frozen=True)
class MinimalFrame(PCAFrame):
    r"""Principal axes whose signs are fixed by moments of the cloud: one element for a cloud without symmetry.

    .. math:: \text{of } V \,\mathrm{diag}(s) \text{ keep those with } \prod_{k \in p} s_k \, m_p > 0, \qquad
              m_p = \frac1n \sum_n \mu_p(V^\top (x_n - \bar x) / r), \quad r^2 = \lambda_d / n

    for the first moment of this chain that is not zero within the tolerance and that not all of what is left agree on,
    then for the next, until one is left or the chain ends (y are coordinates along the axes, ρ² = Σ y²):

    ===== ======================= ==================================================================
    step  moment μ                tells apart
    ===== ======================= ==================================================================
    1     y_k³                    the two ends of axis k
    2     y_k ρ²                  the same
    3     y_k⁵                    the same
    4     y_j y_k ρ²              opposite corners, where inversion or a twofold axis is left
    5     y_j³ y_k, y_j y_k³      the same
    6     y_1 y_2 y_3             the two hands, where three twofold axes are left
    7     y_1 y_2 y_3 ρ²          the same
    ===== ======================= ==================================================================

    What is left at the end are the symmetries of the cloud: 2 for a planar one under O(3), 4 for water, 1 for nearly
    all others; proper groups look at right-handed axes alone. Inputs besides the cloud that ``frame_from`` names then
    choose between the frames that are left. Where eigenvalues (nearly) coincide: as ``PCAFrame``.

    Args: as for ``PCAFrame``; the tolerance decides which moments are zero, too.

    Exactness: round-off. Discontinuous where ``PCAFrame`` is, and also where a moment that decides a sign passes
    through zero: that happens along generic paths, where eigenvalues rather avoid each other. It jumps at every cloud
    with a symmetry, planar molecules such as water among them, where a displacement leaves one frame of several: unless
    the model treats the atoms alike that the symmetry permutes, forces there are not those of the average
    (``JumpWarning``). ``PCAFrame`` jumps at degenerate spectra alone, ``WeightedFrame`` at collinear clouds alone.

    Reference: for sizes, Lin et al., "Equivariance via minimal frame averaging for more symmetries and efficiency"
    (ICML 2024); for signs, Ma et al., "A canonicalization perspective on invariant and equivariant learning"
    (NeurIPS 2024).
    """

    def generic(
        self, spectrum: Spectrum, fields: Mapping[str, Any], side: Side, layout: Layout
    ) -> tuple[Tensor, Tensor | None]:
        vectors, dim = self.axes(spectrum), self.group.dim
        with torch.no_grad():
            alive = torch.ones(len(self.signs(vectors)), *layout.shape, dtype=torch.bool, device=vectors.device)
            degenerate = spectrum.degenerate & (self.degenerate != "ignore")  # their frames are not made of signs
            for alive, _, _ in self.chain(vectors, spectrum, layout):
                if bool((degenerate | (alive.sum(0) == 1)).all()):
                    break
            alive = torch.where(degenerate, (alive.cumsum(0) == 1) & alive, alive)
            alive = self.resolved(alive, vectors, spectrum, fields, side, layout)
            kept, real = compact(alive.reshape(len(alive), -1).mT)
        linear = vectors.reshape(-1, 1, dim, dim) * self.signs(vectors)[kept].unsqueeze(-2)
        linear = linear.movedim(1, 0).reshape(-1, *vectors.shape)
        return linear, None if len(linear) == 1 else real.mT.reshape(-1, *layout.shape)

    def chain(self, vectors: Tensor, spectrum: Spectrum, layout: Layout) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """After each step: which signs are left ``[F, *shape]``; its moment and where it decided ``[*shape]``."""
        signs = self.signs(vectors)
        alive = torch.ones(len(signs), *layout.shape, dtype=torch.bool, device=vectors.device)
        for pattern, moment in self.moments(vectors, spectrum, layout):
            side = signs[:, pattern].prod(1).reshape(-1, *(1,) * len(layout.shape)) * moment.detach()
            ahead = alive & (side > spectrum.tolerance)
            decided = ahead.any(0) & (alive & ~ahead).any(0)
            alive = torch.where(ahead.any(0), ahead, alive)
            yield alive, moment, decided

    def resolved(
        self, alive: Tensor, vectors: Tensor, spectrum: Spectrum, fields: Mapping[str, Any], side: Side, layout: Layout
    ) -> Tensor:
        """What further inputs and labels leave of the signs ``[F, *shape]`` that the moments have left."""
        source, ambiguous = self.frame_inputs(side), alive.sum(0) > 1
        if not source.has_further or not bool(ambiguous.any()):
            return alive
        dim, chosen = self.group.dim, ambiguous.flatten()
        directions = Directions.of(fields, side, layout, source, spectrum, ambiguous)
        directions = directions.only(directions.level <= len(source.further))
        signs = self.signs(vectors)
        frames = torch.eye(3, dtype=vectors.dtype, device=vectors.device).repeat(int(chosen.sum()), len(signs), 1, 1)
        frames[..., :dim, :dim] = vectors.reshape(-1, 1, dim, dim)[chosen] * signs.unsqueeze(-2)
        flat = alive.reshape(len(signs), -1).mT.clone()
        tolerance = spectrum.tolerance.flatten()[chosen]
        kept, real = one_orbit(frames, flat[chosen], directions, tolerance)
        flat[chosen] = (real.unsqueeze(2) & (kept.unsqueeze(2) == torch.arange(len(signs), device=kept.device))).any(1)
        return flat.mT.reshape(alive.shape)

    def jumps(self, spectrum: Spectrum, real: Tensor | None) -> Tensor:
        return spectrum.degenerate if real is None else spectrum.degenerate | (real.sum(0) > 1)

    def distance(self, spectrum: Spectrum, fields: Mapping[str, Any], side: Side, layout: Layout) -> Tensor:
        cloud = self.frame_inputs(side).cloud
        with torch.enable_grad():
            points = fields[cloud].detach().double().requires_grad_()
            exact = self.spectrum({**fields, cloud: points}, side, layout)
            near = torch.full(layout.shape, torch.inf, dtype=points.dtype, device=points.device)
            left = torch.ones(layout.shape, device=points.device)
            for alive, moment, decided in self.chain(self.axes(exact), exact, layout):
                left = alive.sum(0)
                reach = first_order(moment, moment.abs() - exact.tolerance, points, layout)
                near = torch.where(decided, near.minimum(reach), near)
        return torch.where(left > 1, 0, super().distance(spectrum, fields, side, layout).minimum(near))

    def moments(self, vectors: Tensor, spectrum: Spectrum, layout: Layout) -> Iterator[tuple[tuple[int, ...], Tensor]]:
        """The chain: which signs multiply each moment, and the moment ``[*shape]``, computed when asked for."""
        axes = vectors if layout.batch is None else vectors[layout.batch]
        y = spectrum.points @ axes if layout.batch is None else (spectrum.points.unsqueeze(-2) @ axes).squeeze(-2)
        count = node_count(y, layout)
        size = (spectrum.values[..., -1:] / count).sqrt()
        size = torch.where(spectrum.coincident.unsqueeze(-1), 1, size)
        y = y / (size.unsqueeze(-2) if layout.batch is None else size[layout.batch])
        every = range(self.group.dim)

        def radius() -> Tensor:
            return y.square().sum(-1, keepdim=True)

        for power in (lambda: y * y * y, lambda: y * radius(), lambda: y**5):
            mean = node_sum(power(), layout) / count
            yield from (((k,), mean[..., k]) for k in every)
        pairs = list(combinations(every, 2))
        for weighted in (lambda j: radius(), lambda j: y[..., j, None] ** 2):
            for j, k in [*pairs, *((k, j) for j, k in pairs)]:
                yield (j, k), (node_sum(y[..., j, None] * y[..., k, None] * weighted(j), layout) / count)[..., 0]
        if self.group.dim == 3:
            triple = y.prod(-1, keepdim=True)
            for powers in (triple, triple * radius()):
                yield (0, 1, 2), (node_sum(powers, layout) / count)[..., 0]
