"""Activation matching: hidden units that respond alike to the same data."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.alignment.assignment import assign, assign_blocks, block_streams, plain_streams, procrustes
from geoequiv.alignment.choices import TAPS
from geoequiv.alignment.gauge import Gauge, between, least
from geoequiv.alignment.labels import tensors_in
from geoequiv.alignment.matching import Matching
from geoequiv.alignment.spec import PermutationSpec, Stream
from geoequiv.alignment.traced import Inputs, Sight, Tap, call
from geoequiv.alignment.weights import match_loose, match_rest, match_weights
from geoequiv.errors import AlignmentError, unknown

#: a unit whose variance is below this fraction of the largest of its layer is dead
DEAD = 1e-12


@dataclass
class Moments:
    """Streamed sums of two networks' features at one tap, in float64, shifted by the first batch's means.

    Args:
        first, second: ``[F]`` sums of squares; ``cross``: ``[F, F]``; ``mean_first``, ``mean_second``: sums.
    """

    rows: int = 0
    shift: tuple[Tensor, Tensor] | None = None
    sums: list[Tensor] = field(default_factory=list)
    broken: Tensor | None = None

    def add(self, a: Tensor, b: Tensor) -> None:
        """One batch: features ``[F, …]`` of both networks."""
        if self.shift is None:
            self.shift = (a.nan_to_num(0, 0, 0).flatten(1).mean(1), b.nan_to_num(0, 0, 0).flatten(1).mean(1))
            self.broken = torch.zeros(len(a), dtype=torch.bool, device=a.device)
        parts = products(*(less(each, s) for each, s in zip((a, b), self.shift, strict=True)))
        if not all(bool(torch.isfinite(part).all()) for part in parts[:4]):
            assert self.broken is not None
            self.broken = self.broken | ~(torch.isfinite(a) & torch.isfinite(b)).flatten(1).all(1)
            parts = products(*(less(each.nan_to_num(0, 0, 0), s) for each, s in zip((a, b), self.shift, strict=True)))
        self.sums = [s + p for s, p in zip(self.sums, parts, strict=True)] if self.sums else parts
        self.rows += a[0].numel()

    def covariance(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For units at coordinates ``[size, k]``: covariance of the networks, ``[size, size]``, and both variances."""
        mean_a, mean_b, square_a, square_b, cross = self.sums
        total, first, second = (cross.new_zeros((len(index),) * axes) for axes in (2, 1, 1))
        for place in index.T:
            a, b = mean_a[place], mean_b[place]
            total = total + cross[place][:, place] / self.rows - torch.outer(a, b) / self.rows**2
            first = first + square_a[place] / self.rows - (a / self.rows).square()
            second = second + square_b[place] / self.rows - (b / self.rows).square()
        return total, first, second

    def moment(self, index: Tensor) -> Tensor:
        """Mean products about 0, ``[size, size]``."""
        assert self.shift is not None
        mean_a, mean_b, _, _, cross = self.sums
        a, b = (part.double() for part in self.shift)
        whole = cross / self.rows + torch.outer(mean_a / self.rows, b) + torch.outer(a, mean_b / self.rows)
        whole = whole + torch.outer(a, b)
        return sum((whole[place][:, place] for place in index.T), torch.zeros(1, dtype=torch.float64))

    def energy(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squares about 0 of the units ``[size]``, in both networks."""
        assert self.shift is not None
        found = []
        for k in range(2):
            shift, mean, square = self.shift[k].double(), self.sums[k] / self.rows, self.sums[k + 2] / self.rows
            found.append((square + 2 * shift * mean + shift.square())[index].sum(-1))
        return found[0], found[1]


def less(values: Tensor, shift: Tensor) -> Tensor:
    """Features ``[F, …]`` minus their shift, ``[F, rows]``, in one pass."""
    column = shift.reshape(-1, *(1,) * (values.ndim - 1))
    if (
        values.ndim == 2 or values.stride(0) == 1
    ):  # stored as rows by features: a matrix product takes them without a copy
        return values.flatten(1) - column.flatten(1)
    return torch.sub(values, column, out=values.new_empty(values.shape)).flatten(1)


def products(a: Tensor, b: Tensor) -> list[Tensor]:
    """Sums, sums of squares and of products over the rows of ``[F, rows]`` features, returned in float64."""
    squares = [torch.linalg.vector_norm(each, dim=1).double().square() for each in (a, b)]
    return [a.sum(1).double(), b.sum(1).double(), *squares, (a @ b.mT).double()]


@contextmanager
def output_hooks(model: nn.Module, taps: Iterable[Tap], receive: Callable[[Tap, Tensor], None]) -> Iterator[None]:
    """Pass what modules return at the taps, ``[F, …]``, to a function."""
    wanted: dict[str, list[Tap]] = {}
    for tap in taps:
        wanted.setdefault(tap.module, []).append(tap)
    counts: dict[str, int] = {}

    def hook(name: str) -> Any:
        def after(module: nn.Module, args: Any, output: Any) -> None:
            number = counts[name] = counts.get(name, -1) + 1
            tensors = list(tensors_in(output))
            for tap in wanted[name]:
                if tap.call == number:
                    receive(tap, tensors[tap.leaf].detach().movedim(tap.axis, 0))

        return after

    modules = dict(model.named_modules())
    handles = [modules[name].register_forward_hook(hook(name)) for name in wanted]
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for part, mode in modes:
            part.training = mode


def capture(model: nn.Module, inputs: Inputs, taps: Iterable[Tap], copy: bool) -> dict[Tap, Tensor] | None:
    """What a network's modules return on a batch; None if it was not copied and a later layer overwrote it."""
    captured: dict[Tap, Tensor] = {}
    versions: dict[Tap, int] = {}

    def receive(tap: Tap, values: Tensor) -> None:
        captured[tap] = values.clone() if copy else values
        versions[tap] = captured[tap]._version

    with torch.no_grad(), output_hooks(model, taps, receive):
        call(model, inputs)
    return None if any(captured[tap]._version != version for tap, version in versions.items()) else captured


def observe(first: nn.Module, second: nn.Module, taps: Iterable[Tap], batches: Iterable[Inputs]) -> dict[Tap, Moments]:
    """Run both networks over the batches and stream their moments; memory does not grow with the data.

    Activations of the first network are kept for one batch; those of the second are reduced as they are computed.
    """
    found: dict[Tap, Moments] = {tap: Moments() for tap in taps}
    copy = False
    for inputs in batches:
        captured = capture(first, inputs, found, copy)
        if captured is None:  # a later layer writes into it in place
            copy = True
            captured = capture(first, inputs, found, copy)
        assert captured is not None

        def receive(tap: Tap, values: Tensor, captured: dict[Tap, Tensor] = captured) -> None:
            known = captured.pop(tap, None)
            if known is None or known.shape != values.shape:
                raise different(tap)
            found[tap].add(known, values)

        with torch.no_grad(), output_hooks(second, found, receive):
            call(second, inputs)
        if captured:
            raise different(next(iter(captured)))
    return found


def different(tap: Tap) -> AlignmentError:
    """The error for networks whose modules return different shapes."""
    return AlignmentError(f"Layer '{tap.module}' does not return the same shapes in both networks.")


def sights_of(spec: PermutationSpec, stream: Stream, taps: str) -> tuple[Sight, ...]:
    """Where the activations of a stream are compared."""
    sights = spec.taps.get(stream.name, ())
    writers = {place.tensor for place in stream.places if place.axis == 0 and len(spec.shapes[place.tensor]) > 1}
    if not sights or (taps == "all" and len(writers) > 1):
        return sights
    most = max(sight.tap.rows for sight in sights)
    return tuple(sight for sight in sights if sight.tap.rows == most)[-1:]


@dataclass
class Seen:
    """Activations of two networks' units, where they are compared.

    Args:
        spec: of both; ``sights``: stream → where it is compared; ``moments``: of all taps.
        gauges: the least networks of both, where streams are mixed by any matrix; None where they are not.
    """

    spec: PermutationSpec
    sights: dict[str, tuple[Sight, ...]]
    moments: dict[Tap, Moments]
    gauges: tuple[Gauge, Gauge] | None
    before: dict[str, float] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)

    def ranking(self, names: list[str]) -> list[tuple[Moments, Tensor, Sight]]:
        """Moments, coordinates and sights of these streams, concatenated, where there are as many rows as units.

        An embedding of positions has as many rows as there are positions, however much data there is.
        """
        found = [(self.moments[sights[0].tap], torch.cat([sight.index for sight in sights]), sights[0])
                 for sights in zip(*(self.sights[name] for name in names), strict=True)]  # fmt: skip
        enough = [each for each in found if each[0].rows >= len(each[1])]
        if not enough:
            most = max(seen.rows for seen, _, _ in found)
            raise AlignmentError(
                f"{most} samples are too few to match the {len(found[0][1])} units of '{names[0]}': give at least as "
                "many rows as units, counting items, nodes and pixels."
            )
        return enough

    def correlation(self, streams: list[Stream], flips: bool = False) -> tuple[Tensor, Tensor]:
        """Correlation of all units of these streams ``[n, n]``, and ratios of their standard deviations ``[n, n]``.

        If ``flips``, activations that change sign with a unit count by their absolute correlation.
        """
        names = [stream.name for stream in streams]
        ranking = self.ranking(names)
        size, like = sum(stream.size for stream in streams), ranking[0][0].sums[0]
        total, compared = (like.new_zeros(size, size) for _ in range(2))
        ratio: Tensor | None = None
        sick, still = (like.new_full((size,), value, dtype=torch.bool) for value in (False, True))
        for seen, whole, sight in ranking:
            signs = sight.signs
            assert seen.broken is not None
            bad = seen.broken[whole].any(-1)
            sick = sick | bad
            for sign, flip in sorted(set(zip(signs.tolist(), sight.flips.tolist(), strict=True)), reverse=True):
                these = (signs == sign) & (sight.flips == flip)
                covariance, one, two = seen.covariance(whole[:, these])
                quiet = [each <= DEAD * each[~bad].max().clamp(min=1e-300) if bool((~bad).any()) else bad
                         for each in (one, two)]  # fmt: skip
                scaled = covariance / (one.sqrt().unsqueeze(1) * two.sqrt()).clamp(min=1e-300)
                scaled[quiet[0] | bad] = 0.0
                scaled[:, quiet[1] | bad] = 0.0
                scaled = scaled.abs() if flips and flip else scaled
                total, still = total + scaled.clamp(-1, 1), still & (quiet[0] | quiet[1])
                compared = compared + ~((quiet[0] | bad).unsqueeze(1) & (quiet[1] | bad))
                if ratio is None:
                    ratio = (one.sqrt().unsqueeze(1) / two.sqrt().clamp(min=1e-300)).nan_to_num(1.0) ** sign
        assert ratio is not None
        total = total / compared.clamp(min=1)
        sizes = [stream.size for stream in streams]
        for name, ill, quiet, ones in zip(names, sick.split(sizes), still.split(sizes), total.diagonal().split(sizes),
                                          strict=True):  # fmt: skip
            self.broken[name], self.dead[name] = int(ill.sum()), int((quiet & ~ill).sum())
            self.before[name] = float(ones.mean())
        return total, ratio

    def moment(self, streams: list[Stream]) -> Tensor:
        """Mean products about 0 of all units of these streams ``[n, n]``, in their least networks if there are gauges.

        Every place where they are compared has the same weight.
        """
        names = [stream.name for stream in streams]
        total = torch.zeros(1, dtype=torch.float64)
        for seen, whole, sight in self.ranking(names):
            signs = sight.signs
            energy = seen.energy(whole)
            weight = (energy[0].sum() * energy[1].sum()).sqrt().clamp(min=1e-300)
            for sign in (1, -1):
                if not bool((signs == sign).any()):
                    continue
                found = seen.moment(whole[:, signs == sign])
                if self.gauges is not None:
                    found = self.least(0, streams, sign) @ found @ self.least(1, streams, sign).mT
                total = total + found / weight
        return total

    def least(self, which: int, streams: list[Stream], sign: int) -> Tensor:
        """The block-diagonal matrix that takes the units of these streams to those of the least network."""
        assert self.gauges is not None
        found = self.gauges[which].matrices
        parts = [found.get(stream.name, torch.eye(stream.size, dtype=torch.float64)) for stream in streams]
        return torch.block_diag(*(part if sign > 0 else torch.linalg.inv(part).mT for part in parts))

    def shows_sign(self, stream: Stream) -> bool:
        """Whether a stream has one sign flip, and every activation that is compared changes sign with it."""
        return stream.flips == 1 and all(bool((sight.flips == 1).all()) for sight in self.sights[stream.name])

    def rotation(self, stream: Stream) -> Tensor:
        """The matrix that takes a stream of the second network to the first."""
        return self.between(stream.name, stream.name, procrustes(self.moment([stream]))[0])

    def between(self, name: str, other: str, rotation: Tensor) -> Tensor:
        """A rotation between least networks as a matrix between the networks themselves."""
        return rotation if self.gauges is None else between(*self.gauges, name, other, rotation)


def match_activations(
    first: nn.Module,
    second: nn.Module,
    spec: PermutationSpec,
    batches: Iterable[Inputs],
    *,
    scales: bool = False,
    mixes: bool = False,
    invertible: bool = False,
    taps: str = "all",
) -> Matching:
    r"""Match units by the correlation of their activations, over all batches and all nodes, pairs or pixels.

    .. math:: p = \arg\max_p \sum_i \operatorname{corr}\big(a_i,\, b_{p(i)}\big)

    One permutation per stream. Heads are matched by the best score of the units inside.

    Args:
        first, second: networks of one architecture; ``spec`` is of both.
        batches: inputs, each as ``permutation_spec`` takes them.
        scales: also find factors for streams that allow them: the ratio of standard deviations where they scale, and
            the sign of the correlation where they flip; then, by the weights, all flips that the correlation cannot
            show.
        mixes: match streams that can be mixed or rotated by an orthogonal matrix (Procrustes: the polar factor of the
            mean of :math:`a\,b^\top`) instead of a permutation.
        invertible: first transform both networks to their least weights (see ``gauge.least``), so that streams that can
            be mixed are matched by any matrix.
        taps: "last": the last tap with the most rows; "all": for streams that are written more than once (residual
            streams), the mean over all taps.

    Raises:
        AlignmentError: fewer samples than units, networks of different architectures, or other taps.

    Exactness: products in the networks' dtype, sums in float64. Dead units and units that are not finite have
    correlation 0: they are counted, and matched with each other by their weights.
    Reference: Li et al. 2016 (convergent learning); Bökman & Kahl 2023, who accumulate it in float64 over all
    positions.
    """
    if taps not in TAPS:
        raise AlignmentError(unknown("taps", taps, TAPS))
    spec.check(first.state_dict())
    spec.check(second.state_dict())
    sights = {stream.name: sights_of(spec, stream, taps) for stream in spec.streams if stream.name in spec.taps}
    wanted = dict.fromkeys(sight.tap for each in sights.values() for sight in each)
    rotate = mixes or invertible
    gauges: tuple[Gauge, Gauge] | None = None
    if invertible:
        one, two = (least(spec, model.state_dict(), scales=False) for model in (first, second))
        gauges = (one, two)
    seen = Seen(spec, sights, observe(first, second, wanted, batches), gauges)
    permutation: dict[str, Tensor] = {}
    factors: dict[str, Tensor] = {}
    matrices: dict[str, Tensor] = {}
    scores: dict[str, Tensor] = {}
    after: dict[str, float] = {}
    loose: dict[str, Tensor] = {}
    for stream in plain_streams(spec):
        if stream.name not in sights:
            continue
        known = scales and seen.shows_sign(stream)
        score, ratio = seen.correlation([stream], flips=scales and not known)
        scores[stream.name] = score
        if rotate and stream.rotatable:
            matrices[stream.name] = seen.rotation(stream)
            continue
        signs = score.sign() if known else torch.ones_like(score)
        order = permutation[stream.name] = assign(score * signs)
        loose[stream.name] = (score.abs().amax(1) == 0) | (score.abs().amax(0) == 0)[order]
        chosen = (torch.arange(stream.size), order)
        after[stream.name] = float((score * signs)[chosen].mean())
        if scales and (stream.scales or known):
            factor = torch.where(signs[chosen] == 0, 1.0, signs[chosen]) if known else torch.ones_like(score[0])
            if stream.scales:
                alive = score[chosen] != 0
                factor = factor * torch.where(alive, ratio[chosen], 1.0)
            factors[stream.name] = factor
    for block in block_streams(spec):
        if any(stream.name not in sights for stream in spec.inside(block.name)):
            continue
        orders, rotations, total = assign_blocks(
            spec, block, lambda kind: seen.moment(kind) if rotate and kind[0].rotatable else seen.correlation(kind)[0],
            rotate, even=True,
        )  # fmt: skip
        scores[block.name] = total / sum(kind[0].size for kind in spec.kinds(block.name))
        permutation |= orders
        matrices |= {name: seen.between(name, other, matrix) for name, (other, matrix) in rotations.items()}
    hidden = tuple(stream.name for stream in plain_streams(spec) if stream.name not in sights)
    hidden += tuple(block.name for block in block_streams(spec) if block.name not in permutation)
    rows = min((moments.rows for moments in seen.moments.values()), default=0)
    found = Matching(spec, (permutation,), factors, matrices, seen.before, after, seen.dead, seen.broken, scores,
                     hidden, rows)  # fmt: skip
    rest = match_loose(first.state_dict(), found.apply(second.state_dict()), spec, loose)
    found = replace(found, permutations=(permutation, *rest))
    if not hidden and not scales:
        return found
    ends = (first.state_dict(), found.apply(second.state_dict()))
    signed = {*matrices, *(stream.name for stream in spec.streams if stream.name in sights and seen.shows_sign(stream))}
    others = match_rest(*ends, spec, hidden, signed) if scales else match_weights(*ends, spec, only=hidden)
    for name, signs in others.factors.items():
        size = factors.get(name, torch.ones(spec[name].size, dtype=torch.float64))
        factors[name] = torch.cat([(size * signs[0]).unsqueeze(0), signs[1:]])
    return replace(found, permutations=(*found.permutations, *others.permutations),
                   before={**seen.before, **others.before}, after={**after, **others.after})  # fmt: skip
