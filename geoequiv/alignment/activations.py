"""Activation matching: hidden units that respond alike to the same data."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from geoequiv.alignment.assignment import assign, assign_blocks, block_streams, partners, plain_streams
from geoequiv.alignment.choices import TAPS
from geoequiv.alignment.completion import complete
from geoequiv.alignment.gauge import Gauge, least
from geoequiv.alignment.matching import Matching
from geoequiv.alignment.moments import observe
from geoequiv.alignment.seen import Seen
from geoequiv.alignment.spec import PermutationSpec, Stream
from geoequiv.alignment.traced import Inputs, Sight
from geoequiv.errors import AlignmentError, unknown


def sights_of(spec: PermutationSpec, stream: Stream, taps: str) -> tuple[Sight, ...]:
    """Where the activations of a stream are compared."""
    sights = spec.taps.get(stream.name, ())
    writers = {place.tensor for place in stream.places if place.axis == 0 and len(spec.shapes[place.tensor]) > 1}
    if not sights or (taps == "all" and len(writers) > 1):
        return sights
    most = max(sight.tap.rows for sight in sights)
    return tuple(sight for sight in sights if sight.tap.rows == most)[-1:]


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
        shown: dict[str, tuple[Tensor, Tensor]] = {}

        def compare(kind: list[Stream], shown: dict[str, tuple[Tensor, Tensor]] = shown) -> Tensor:
            if rotate and kind[0].rotatable:
                return seen.moment(kind)
            known = seen.shows_sign(kind[0])
            shown[kind[0].name] = value, _ = seen.correlation(kind, flips=scales and not known)
            return value.abs() if scales and known else value

        orders, rotations, total = assign_blocks(spec, block, compare, rotate, even=True)
        scores[block.name] = total / sum(kind[0].size for kind in spec.kinds(block.name))
        permutation |= orders
        matrices |= {name: seen.between(name, other, matrix) for name, (other, matrix) in rotations.items()}
        for kind, columns in partners(spec, block, orders):
            value, ratio = shown[kind[0].name]
            chosen = (torch.arange(len(columns)), columns)
            alone = (value.abs().amax(1) == 0) | (value.abs().amax(0) == 0)[columns]
            factor = torch.where(alone | (value[chosen] == 0) | (not kind[0].scales), 1.0, ratio[chosen])
            if seen.shows_sign(kind[0]):
                factor = factor * torch.where(value[chosen] < 0, -1.0, 1.0)
            for stream, part, own in zip(kind, factor.split(kind[0].size), alone.split(kind[0].size), strict=True):
                loose[stream.name] = own
                if scales and (stream.scales or seen.shows_sign(stream)):
                    factors[stream.name] = part
    hidden = tuple(stream.name for stream in plain_streams(spec) if stream.name not in sights)
    hidden += tuple(block.name for block in block_streams(spec) if block.name not in permutation)
    rows = min((moments.rows for moments in seen.moments.values()), default=0)
    found = Matching(spec, (permutation,), factors, matrices, seen.before, after, seen.dead, seen.broken, scores,
                     hidden, rows)  # fmt: skip
    signed = {*matrices, *(stream.name for stream in spec.streams if stream.name in sights and seen.shows_sign(stream))}
    return complete(first.state_dict(), second.state_dict(), found, loose, signed, scales)
