"""Weight matching: hidden units with the same weights, found without data."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from geoequiv.alignment.assignment import block_streams, plain_streams
from geoequiv.alignment.gauge import Gauge, between, finite, least
from geoequiv.alignment.matching import Matching
from geoequiv.alignment.sizes import sizes_of, with_sizes
from geoequiv.alignment.spec import Permutation, PermutationSpec, StateDict, Stream
from geoequiv.alignment.steps import Allowed, Step, best_step, factors_of, rotations_of


def match_weights(
    first: StateDict,
    second: StateDict,
    spec: PermutationSpec,
    *,
    start: Sequence[Permutation] | None = None,
    only: Collection[str] | None = None,
    scales: bool = False,
    mixes: bool = False,
    invertible: bool = False,
    max_rounds: int = 100,
    generator: torch.Generator | None = None,
) -> Matching:
    r"""Coordinate descent on the distance of the weights: each stream is matched optimally, given the others.

    .. math:: \max_p \; \langle \theta_A,\, p(\theta_B) \rangle

    It is run from several starts, and the best end is kept: from the identity, and from the inputs on (a stream is
    first matched by those of its weights whose other axis is matched already; see ``anchored``).

    Args:
        first, second: state dicts of one architecture.
        start: permutations to start from instead.
        only: names of the streams to match (a stream of blocks includes all streams inside it); None for all.
        scales: also find factors for streams that allow them: both networks are transformed to their least weights (see
            ``gauge.least``), and units are matched with either sign.
        mixes: match streams that can be mixed or rotated by an orthogonal matrix (Procrustes: the polar factor of the
            overlap) instead of a permutation.
        invertible: first transform both networks to their least weights, so that streams that can be mixed are matched
            by any matrix.
        max_rounds: largest number of rounds over all streams; it ends when a round changes nothing.
        generator: draws the order of the streams after the first round, which follows the spec.

    Exactness: a local optimum; the overlap never falls. Weights that are not finite count as 0.
    Reference: Ainsworth et al. 2023 (Git Re-Basin), algorithm 1; rotations after Ashkboos et al. 2024 and arXiv
    2506.22712.
    """
    spec.check(first)
    spec.check(second)
    generator = generator or torch.Generator().manual_seed(0)
    streams = [s for s in (*plain_streams(spec), *block_streams(spec)) if only is None or s.name in only]
    allowed = Allowed(scales, mixes or invertible)
    ends: tuple[StateDict, StateDict] = (first, second)
    gauges: tuple[Gauge, Gauge] | None = None
    if scales or invertible:
        one, two = (least(spec, state, scales=scales, mixes=invertible) for state in ends)
        gauges, ends = (one, two), (one.state, two.state)
    begin = [Step(dict(each)) for each in start or ()]
    starts = [begin] if start is not None else [[], anchored(*ends, spec, streams, allowed)]
    if start is None and allowed.mixes:
        starts.append(anchored(*ends, spec, streams, allowed, spectral=True))
    before = {stream.name: agreement(stream, first, second) for stream in streams}
    found = [descend(*ends, spec, streams, each, max_rounds, generator, allowed) for each in starts]
    steps, state = max(found, key=lambda end: total_overlap(ends[0], end[1], spec))
    after = {stream.name: agreement(stream, ends[0], state) for stream in streams}
    factors, rotations = factors_of(steps, spec), rotations_of(steps, spec)
    if scales:
        assert gauges is not None
        factors = with_sizes(factors, sizes_of(*gauges, [step.orders for step in steps], spec, only))
    matrices = {name: matrix for name, (_, matrix) in rotations.items()}
    if gauges is not None and allowed.mixes:
        matrices = {name: between(*gauges, name, other, matrix) for name, (other, matrix) in rotations.items()}
    return Matching(spec, tuple(step.orders for step in steps), factors, matrices, before=before, after=after)


def anchored(
    first: StateDict, second: StateDict, spec: PermutationSpec, streams: list[Stream], allowed: Allowed,
    spectral: bool = False,
) -> list[Step]:  # fmt: skip
    """Match streams one after the other, each by the weights whose other axis is matched already.

    Where there are fewer such weights than units they do not fix a rotation; ``spectral`` fixes it by all weights.
    """
    readers: dict[str, set[str]] = {}
    for stream in streams:
        for place in stream.places:
            readers.setdefault(place.tensor, set()).add(stream.name)
    twice = {place.tensor for s in streams for place in s.places if len({p.axis for p in s.places
             if p.tensor == place.tensor}) > 1}  # fmt: skip
    steps: list[Step] = []
    current, waiting = dict(second), list(streams)
    while waiting:
        open_names = {stream.name for stream in waiting}
        ready = {
            stream.name: {p.tensor for p in stream.places if readers[p.tensor] & open_names == {stream.name}} - twice
            for stream in waiting
        }
        # most known weights first
        stream = max(waiting, key=lambda s: sum(first[name].numel() for name in ready[s.name]) / s.size)
        waiting.remove(stream)
        if ready[stream.name]:
            steps.append(best_step(stream, spec, first, current, allowed, ready[stream.name], spectral))
            current = steps[-1].apply(spec, current)
    return steps


def descend(
    first: StateDict, second: StateDict, spec: PermutationSpec, streams: list[Stream], start: Sequence[Step],
    max_rounds: int, generator: torch.Generator, allowed: Allowed,
) -> tuple[list[Step], dict[str, Tensor]]:  # fmt: skip
    """The steps of one descent, and where it ends."""
    steps, current = list(start), dict(second)
    for step in steps:
        current = step.apply(spec, current)
    order = list(range(len(streams)))
    for _ in range(max_rounds):
        changed = False
        for number in order:
            stream = streams[number]
            step = best_step(stream, spec, first, current, allowed)
            if step:
                after = step.apply(spec, current)
                if agreement(stream, first, after) > agreement(stream, first, current) + 1e-15:
                    current, changed = after, True
                    steps.append(step)
        if not changed:
            break
        order = torch.randperm(len(streams), generator=generator).tolist()
    return steps, current


def total_overlap(first: StateDict, second: StateDict, spec: PermutationSpec) -> float:
    """⟨θ_A, θ_B⟩ over all tensors that the spec permutes."""
    return sum(float((finite(first[name]) * finite(second[name])).sum()) for name in spec.shapes)


def agreement(stream: Stream, first: StateDict, second: StateDict) -> float:
    """Cosine between the weights of a stream's places in two networks."""
    tensors = dict.fromkeys(place.tensor for place in stream.places)
    a, b = (torch.cat([finite(state[name]).flatten() for name in tensors]) for state in (first, second))
    return float(a @ b / (a.norm() * b.norm()).clamp(min=1e-300))
