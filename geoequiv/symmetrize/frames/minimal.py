"""As few frames as the cloud has symmetries: signs of principal axes by odd moments."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from geoequiv.fields import Layout, Side
from geoequiv.groups.on_device import on_device
from geoequiv.symmetrize.frames.diagnosis import first_order
from geoequiv.symmetrize.frames.directions import Directions
from geoequiv.symmetrize.frames.frame import node_count, node_sum
from geoequiv.symmetrize.frames.orbit import compact, one_orbit
from geoequiv.symmetrize.frames.pca import PCAFrame, sign_choices
from geoequiv.symmetrize.frames.spectrum import Spectrum

Pattern = tuple[int, ...]


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
            kept, real = self.kept(vectors, spectrum, fields, side, layout)
        linear = vectors.reshape(-1, 1, dim, dim) * self.signs(vectors)[kept].unsqueeze(-2)
        linear = linear.movedim(1, 0).reshape(-1, *vectors.shape)
        return linear, None if len(linear) == 1 else real.mT.reshape(-1, *layout.shape)

    def kept(
        self, vectors: Tensor, spectrum: Spectrum, fields: Mapping[str, Any], side: Side, layout: Layout
    ) -> tuple[Tensor, Tensor]:
        """Which choices of signs each item keeps, ``[B, K]``, and which of these are real ``[B, K]``.

        Frames of degenerate spectra are not made of signs: those items keep one.
        """
        by_signs = None if self.degenerate == "ignore" else ~spectrum.degenerate
        for score in self.scores(vectors, spectrum, layout):
            alive = score == score.amax(-1, keepdim=True)
            one = alive.sum(-1) == 1
            if bool((one if by_signs is None else one | ~by_signs).all()):
                kept = score.argmax(-1).reshape(-1, 1)
                return kept, torch.ones_like(kept, dtype=torch.bool)
        if by_signs is not None:
            alive = alive & (by_signs.unsqueeze(-1) | (alive.cumsum(-1) == 1))
        alive = self.resolved(alive, vectors, spectrum, fields, side, layout)
        return compact(alive.reshape(-1, alive.shape[-1]))

    def scores(self, vectors: Tensor, spectrum: Spectrum, layout: Layout) -> Iterator[Tensor]:
        r"""Scores of all choices of signs, ``[*shape, F]``, after the odd moments and after all: the best are left.

        .. math:: \text{score}(s) = \sum_{p=1}^P 2^{P-p}\, c_p \prod_{k \in p} s_k, \qquad
                  c_p = \operatorname{sign}(m_p) \text{ where } |m_p| > \text{tolerance}, \text{ else } 0

        A step of the chain keeps what makes :math:`c_p \prod s_k` largest, so the chain keeps what is largest in
        lexicographic order: choices that first differ in step p differ by 2 there, and by less in all later ones
        together. Exact, as scores are whole numbers below 2²⁰. Where the host has to wait for a device, all at once.
        """
        tolerance, score = spectrum.tolerance.unsqueeze(-1), vectors.new_zeros(())
        blocks = zip(self.patterns, self.moments(vectors, spectrum, layout), strict=True)
        for number, (patterns, moments) in enumerate(blocks, 1):
            decided = torch.where(moments.abs() > tolerance, moments.sign(), 0)
            score = score * 2 ** len(patterns) + decided @ self.products(patterns, vectors, weighted=True)
            if vectors.device.type == "cpu" or number == len(self.patterns):
                yield score

    @property
    def patterns(self) -> tuple[tuple[Pattern, ...], ...]:
        """Which signs multiply each moment of the chain: of the odd moments, and of those of pairs and triples."""
        every = range(self.group.dim)
        pairs, triple = tuple(combinations(every, 2)), tuple(combinations(every, 3))
        return tuple((k,) for k in every) * 3, pairs * 3 + triple * 2

    def products(self, patterns: tuple[Pattern, ...], like: Tensor, weighted: bool = False) -> Tensor:
        """The product of the signs of each pattern, ``[P, F]``; ``weighted``: times 2^(P-p)."""

        def table() -> tuple[Tensor]:
            signs = sign_choices(self.group.dim, self.group.is_proper)
            rows = torch.stack([signs[:, pattern].prod(1) for pattern in patterns])
            return (rows * 2 ** torch.arange(len(rows) - 1, -1, -1).unsqueeze(1) if weighted else rows,)

        key = ("products of signs", patterns, self.group.dim, self.group.is_proper, weighted)
        (found,) = on_device(key, like.device, table)
        assert found is not None
        return found

    def chain(self, vectors: Tensor, spectrum: Spectrum, layout: Layout) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """After each step: which signs are left ``[*shape, F]``; its moment and where it decided ``[*shape]``."""
        moments = torch.cat(list(self.moments(vectors, spectrum, layout)), -1)
        products = self.products(sum(self.patterns, ()), vectors)
        alive = torch.ones(*layout.shape, products.shape[1], dtype=torch.bool, device=vectors.device)
        for moment, product in zip(moments.unbind(-1), products, strict=True):
            ahead = alive & (product * moment.detach().unsqueeze(-1) > spectrum.tolerance.unsqueeze(-1))
            some = ahead.any(-1)
            decided = some & (alive & ~ahead).any(-1)
            alive = torch.where(some.unsqueeze(-1), ahead, alive)
            yield alive, moment, decided

    def resolved(
        self, alive: Tensor, vectors: Tensor, spectrum: Spectrum, fields: Mapping[str, Any], side: Side, layout: Layout
    ) -> Tensor:
        """What further inputs and labels leave of the signs ``[*shape, F]`` that the moments have left."""
        source, ambiguous = self.frame_inputs(side), alive.sum(-1) > 1
        if not source.has_further or not bool(ambiguous.any()):
            return alive
        dim, chosen = self.group.dim, ambiguous.flatten()
        directions = Directions.of(fields, side, layout, source, spectrum, ambiguous)
        directions = directions.only(directions.level <= len(source.further))
        signs = self.signs(vectors)
        frames = torch.eye(3, dtype=vectors.dtype, device=vectors.device).repeat(int(chosen.sum()), len(signs), 1, 1)
        frames[..., :dim, :dim] = vectors.reshape(-1, 1, dim, dim)[chosen] * signs.unsqueeze(-2)
        flat = alive.reshape(-1, len(signs)).clone()
        tolerance = spectrum.tolerance.flatten()[chosen]
        kept, real = one_orbit(frames, flat[chosen], directions, tolerance)
        flat[chosen] = (real.unsqueeze(2) & (kept.unsqueeze(2) == torch.arange(len(signs), device=kept.device))).any(1)
        return flat.reshape(alive.shape)

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
                left = alive.sum(-1)
                reach = first_order(moment, moment.abs() - exact.tolerance, points, layout)
                near = torch.where(decided, near.minimum(reach), near)
        return torch.where(left > 1, 0, super().distance(spectrum, fields, side, layout).minimum(near))

    def moments(self, vectors: Tensor, spectrum: Spectrum, layout: Layout) -> Iterator[Tensor]:
        """The moments of the chain, ``[*shape, P]`` for each block of ``patterns``, computed when asked for."""
        count = node_count(spectrum.points, layout)
        size = (spectrum.values[..., -1:] / count).sqrt()
        axes = vectors / torch.where(spectrum.coincident.unsqueeze(-1), 1, size).unsqueeze(-1)
        if layout.batch is None:
            y = spectrum.points @ axes
        else:
            y = (spectrum.points.unsqueeze(-2) @ axes[layout.batch]).squeeze(-2)
        squares = y * y
        cubes, radius = squares * y, sum(squares.unbind(-1)[1:], squares[..., 0])
        odd = torch.cat([cubes, y * radius.unsqueeze(-1), cubes * squares], -1)
        yield node_sum(odd, layout) / count
        one, square, pairs = y.unbind(-1), squares.unbind(-1), list(combinations(range(self.group.dim), 2))
        two = [one[j] * one[k] for j, k in pairs]
        even = [each * radius for each in two]
        even += [each * square[j] for each, (j, _) in zip(two, pairs, strict=True)]
        even += [each * square[k] for each, (_, k) in zip(two, pairs, strict=True)]
        if self.group.dim == 3:
            triple = two[0] * one[2]
            even += [triple, triple * radius]
        yield node_sum(torch.stack(even, -1), layout) / count
