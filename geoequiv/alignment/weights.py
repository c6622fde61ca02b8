"""Weight matching: units with the same weights, found without data."""

import functools
import math
import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from geoequiv.alignment.assignment import assign, assign_blocks, block_streams, plain_streams
from geoequiv.alignment.gauge import finite, least
from geoequiv.alignment.matching import Matching
from geoequiv.alignment.permutation_spec import Permutation, PermutationSpec, Place, StateDict, Stream, apply, scale

#: flips of one unit that turn the same places round are tried in all 2ⁿ ways, up to so many; more, one after the other
MOST_FLIPS = 6


def overlap(places: Sequence[Place], first: StateDict, second: StateDict) -> Tensor:
    r""":math:`\sum_{\text{places}} \langle W^A_{i\cdot}, W^B_{j\cdot} \rangle`, ``[size, size]`` in float64."""
    total = torch.zeros(1, dtype=torch.float64)
    for place in places:
        a, b = (finite(state[place.tensor]).movedim(place.axis, 0)[place.index].flatten(1)
                for state in (first, second))  # fmt: skip
        total = total + a @ b.mT
    return total


def joint_overlap(
    kind: list[Stream], first: StateDict, second: StateDict, tensors: Collection[str] | None = None
) -> Tensor:
    """``overlap`` of streams of one kind, one in each block, all with all."""
    places = [
        Place(parts[0].tensor, parts[0].axis, torch.cat([part.index for part in parts]))
        for parts in zip(*(stream.places for stream in kind), strict=True)
        if tensors is None or parts[0].tensor in tensors
    ]
    if not places:
        size = sum(stream.size for stream in kind)
        return torch.zeros(size, size, dtype=torch.float64)
    return overlap(places, first, second)


def match_weights(
    first: StateDict,
    second: StateDict,
    spec: PermutationSpec,
    *,
    start: Sequence[Permutation] | None = None,
    only: Collection[str] | None = None,
    scales: bool = False,
    max_rounds: int = 100,
    generator: torch.Generator | None = None,
) -> Matching:
    r"""Coordinate descent on the distance of the weights: every stream in turn is matched best, given the others.

    .. math:: \max_p \; \langle \theta_A,\, p(\theta_B) \rangle

    It is run from two starts, and the better end is kept: as the networks stand, and from the inputs on (a stream is
    first matched by those of its weights whose other axis is settled already).

    Args:
        first, second: state dicts of one architecture.
        start: permutations to begin with, instead of these two.
        only: names of the streams to match (a stream of blocks with all inside it); None for all.
        scales: also find factors for streams that bear them: both networks are brought to their least weights (see
            ``gauge.least``), and units are matched as they are or turned round, whichever goes better.
        max_rounds: rounds over all streams, at most; it ends when a round changes nothing.
        generator: the order of the streams after the first round, which goes by the spec.

    Exactness: a local optimum; the overlap never falls. Weights that are not finite count as 0.
    Reference: Ainsworth et al. 2023 (Git Re-Basin), algorithm 1.
    """
    spec.check(first)
    spec.check(second)
    generator = generator or torch.Generator().manual_seed(0)
    streams = [s for s in (*plain_streams(spec), *block_streams(spec)) if only is None or s.name in only]
    ends = (first, second)
    if scales:
        gauges = [least(spec, state, mixes=False) for state in ends]
        ends = (gauges[0].state, gauges[1].state)
    begin = [Step(dict(each)) for each in start or ()]
    starts = [begin] if start is not None else [[], anchored(*ends, spec, streams, scales)]
    before = {stream.name: agreement(stream, first, second) for stream in streams}
    found = [descend(*ends, spec, streams, each, max_rounds, generator, scales) for each in starts]
    steps, state = max(found, key=lambda end: total_overlap(ends[0], end[1], spec))
    after = {stream.name: agreement(stream, ends[0], state) for stream in streams}
    factors = factors_of(steps, spec)
    if scales:
        for name, own in gauges[0].factors.items():
            if only is None or name in only:
                order = torch.arange(spec[name].size)
                for step in steps:
                    order = order[step.orders[name]] if name in step.orders else order
                sizes = gauges[1].factors[name][order] / own
                factors[name] = factors.get(name, torch.ones(1, len(sizes), dtype=torch.float64)).clone()
                factors[name][0] *= sizes
    return Matching(spec, tuple(step.orders for step in steps), factors, before=before, after=after)


@dataclass(frozen=True, eq=False)
class Step:
    """Exchange the units of streams, then turn some round: stream → ``[flips, size]`` of ±1."""

    orders: Mapping[str, Tensor]
    flips: Mapping[str, Tensor] = field(default_factory=dict)

    def __bool__(self) -> bool:
        moved = any(bool((order != torch.arange(len(order))).any()) for order in self.orders.values())
        return moved or any(bool((signs < 0).any()) for signs in self.flips.values())

    def apply(self, spec: PermutationSpec, state: StateDict) -> dict[str, Tensor]:
        """The state dict after it."""
        return scale(spec, self.flips, apply(spec, self.orders, state))


def factors_of(steps: Sequence[Step], spec: PermutationSpec) -> dict[str, Tensor]:
    """The signs of all steps together, to be applied after all exchanges (streams in blocks have none)."""
    found: dict[str, Tensor] = {}
    for step in steps:
        for name, order in step.orders.items():
            if name in found:
                found[name] = found[name][:, order]
        for name, signs in step.flips.items():
            found[name] = found.get(name, torch.ones(signs.shape, dtype=torch.float64)) * signs
    return found


def best_step(
    stream: Stream, spec: PermutationSpec, first: StateDict, second: StateDict, tensors: Collection[str] | None = None,
    flips: bool = False, fixed: Collection[str] = (),
) -> Step:  # fmt: skip
    """The best exchange of the units of one stream, given the others; by some of the tensors alone, if told.

    Args:
        flips: whether units may also be turned round.
        fixed: names of streams whose units stay in their places, so that this is all that they may.
    """
    if spec.inside(stream.name):
        return Step(assign_blocks(spec, stream, lambda kind: joint_overlap(kind, first, second, tensors)))
    places = [place for place in stream.places if tensors is None or place.tensor in tensors]
    stays = stream.name in fixed
    if not (flips and stream.flips):
        return Step({} if stays else {stream.name: assign(overlap(places, first, second))})
    score, signs = turned_overlap(places, stream.flips, first, second)
    order = torch.arange(stream.size) if stays else assign(score)
    rows = torch.ones(stream.flips, stream.size, dtype=torch.float64)
    rows[: signs.shape[0]] = signs[:, torch.arange(stream.size), order]
    return Step({} if stays else {stream.name: order}, {stream.name: rows})


def turned_overlap(places: Sequence[Place], flips: int, first: StateDict, second: StateDict) -> tuple[Tensor, Tensor]:
    """``overlap`` with every pair of units turned best, ``[size, size]``; and how, ``[flips, size, size]`` of ±1."""
    by_flips: dict[int, Tensor] = {}
    for place in places:
        part = overlap([place], first, second)
        by_flips[place.flips] = by_flips[place.flips] + part if place.flips in by_flips else part
    size = len(places[0].index) if places else 0
    signs = torch.ones(flips, size, size, dtype=torch.float64)

    def worth(way: Tensor, group: list[int]) -> Tensor:
        total = torch.zeros(size, size, dtype=torch.float64)
        for seen, part in by_flips.items():
            if any(seen >> g & 1 for g in group):
                total = total + part * math.prod((way[g] for g in group if seen >> g & 1), start=torch.ones(()))
        return total

    for group in linked(list(by_flips), flips):  # flips that share no place are chosen each for itself
        if len(group) <= MOST_FLIPS:
            most = worth(signs, group)
            for word in range(1, 1 << len(group)):
                way = torch.ones(flips, dtype=torch.float64)
                way[[g for i, g in enumerate(group) if word >> i & 1]] = -1.0
                value = worth(way, group)
                signs[group] = torch.where(value > most, way[group].reshape(-1, 1, 1), signs[group])
                most = torch.maximum(value, most)
            continue
        for _ in range(len(group)):  # one after the other, as long as it helps
            former = signs.clone()
            for g in group:
                turned = signs.clone()
                turned[g] = -turned[g]
                signs = torch.where(worth(turned, group) > worth(signs, group), turned, signs)
            if torch.equal(former, signs):
                break
    return worth(signs, list(range(flips))) + by_flips.get(0, torch.zeros(1, dtype=torch.float64)), signs


def linked(seen: list[int], flips: int) -> list[list[int]]:
    """Flips in groups, such that those of different groups never turn the same place round."""
    groups = [1 << g for g in range(flips)]
    for word in seen:
        met = [group for group in groups if group & word]
        if len(met) > 1:
            groups = [group for group in groups if not group & word] + [functools.reduce(operator.or_, met)]
    return [[g for g in range(flips) if group >> g & 1] for group in groups]


def match_rest(
    first: StateDict, second: StateDict, spec: PermutationSpec, free: Collection[str], told: Collection[str],
    max_rounds: int = 100,
) -> Matching:  # fmt: skip
    """What a matching of most streams leaves open: the units of some streams, and the signs of the others.

    Args:
        free: names of the streams to match (of blocks: with all inside).
        told: names of streams whose signs are known.
    """
    every = (*plain_streams(spec), *block_streams(spec))
    streams = [s for s in every if s.name in free or (s.flips and s.name not in told)]
    fixed = [stream.name for stream in streams if stream.name not in free]
    steps = anchored(first, second, spec, streams, True, fixed)
    generator = torch.Generator().manual_seed(0)
    steps, state = descend(first, second, spec, streams, steps, max_rounds, generator, True, fixed)
    before, after = ({s.name: agreement(s, first, each) for s in streams if s.name in free} for each in (second, state))
    return Matching(spec, tuple(step.orders for step in steps if step.orders), factors_of(steps, spec), before=before,
                    after=after)  # fmt: skip


def anchored(
    first: StateDict, second: StateDict, spec: PermutationSpec, streams: list[Stream], flips: bool = False,
    fixed: Collection[str] = (),
) -> list[Step]:  # fmt: skip
    """Match streams one after the other, each by the weights that meet nothing but settled streams."""
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
            steps.append(best_step(stream, spec, first, current, ready[stream.name], flips, fixed))
            current = steps[-1].apply(spec, current)
    return steps


def descend(
    first: StateDict, second: StateDict, spec: PermutationSpec, streams: list[Stream], start: Sequence[Step],
    max_rounds: int, generator: torch.Generator, flips: bool = False, fixed: Collection[str] = (),
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
            step = best_step(stream, spec, first, current, flips=flips, fixed=fixed)
            if step:
                moved = step.apply(spec, current)
                if agreement(stream, first, moved) > agreement(stream, first, current) + 1e-12:
                    current, changed = moved, True
                    steps.append(step)
        if not changed:
            break
        order = torch.randperm(len(streams), generator=generator).tolist()
    return steps, current


def total_overlap(first: StateDict, second: StateDict, spec: PermutationSpec) -> float:
    """⟨θ_A, θ_B⟩ over all tensors that the spec moves."""
    return sum(float((finite(first[name]) * finite(second[name])).sum()) for name in spec.shapes)


def agreement(stream: Stream, first: StateDict, second: StateDict) -> float:
    """Cosine between the weights of a stream's places in two networks."""
    tensors = dict.fromkeys(place.tensor for place in stream.places)
    a, b = (torch.cat([finite(state[name]).flatten() for name in tensors]) for state in (first, second))
    return float(a @ b / (a.norm() * b.norm()).clamp(min=1e-300))
