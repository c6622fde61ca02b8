"""Weight matching: units with the same weights, found without data."""

import functools
import math
import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from geoequiv.alignment.assignment import assign, assign_blocks, block_streams, plain_streams, procrustes
from geoequiv.alignment.gauge import between, finite, least
from geoequiv.alignment.matching import Matching
from geoequiv.alignment.permutation_spec import (
    Permutation,
    PermutationSpec,
    Place,
    StateDict,
    Stream,
    apply,
    mix,
    scale,
)

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
    mixes: bool = False,
    invertible: bool = False,
    max_rounds: int = 100,
    generator: torch.Generator | None = None,
) -> Matching:
    r"""Coordinate descent on the distance of the weights: every stream in turn is matched best, given the others.

    .. math:: \max_p \; \langle \theta_A,\, p(\theta_B) \rangle

    It is run from several starts, and the best end is kept: as the networks stand, and from the inputs on (a stream is
    first matched by those of its weights whose other axis is settled already; see ``anchored``).

    Args:
        first, second: state dicts of one architecture.
        start: permutations to begin with, instead of these.
        only: names of the streams to match (a stream of blocks with all inside it); None for all.
        scales: also find factors for streams that bear them: both networks are brought to their least weights (see
            ``gauge.least``), and units are matched as they are or turned round, whichever goes better.
        mixes: match streams that can be mixed or turned by an orthogonal matrix (Procrustes: the polar factor of the
            overlap) instead of a permutation.
        invertible: bring both networks to their least weights before, so that streams that can be mixed by any matrix
            are matched by any matrix.
        max_rounds: rounds over all streams, at most; it ends when a round changes nothing.
        generator: the order of the streams after the first round, which goes by the spec.

    Exactness: a local optimum; the overlap never falls. Weights that are not finite count as 0.
    Reference: Ainsworth et al. 2023 (Git Re-Basin), algorithm 1; rotations after Ashkboos et al. 2024 and arXiv
    2506.22712.
    """
    spec.check(first)
    spec.check(second)
    generator = generator or torch.Generator().manual_seed(0)
    streams = [s for s in (*plain_streams(spec), *block_streams(spec)) if only is None or s.name in only]
    ways = Ways(scales, mixes or invertible)
    ends, gauges = (first, second), None
    if scales or invertible:
        gauges = [least(spec, state, scales=scales, mixes=invertible) for state in ends]
        ends = (gauges[0].state, gauges[1].state)
    begin = [Step(dict(each)) for each in start or ()]
    starts = [begin] if start is not None else [[], anchored(*ends, spec, streams, ways)]
    if start is None and ways.mixes:
        starts.append(anchored(*ends, spec, streams, ways, spectral=True))
    before = {stream.name: agreement(stream, first, second) for stream in streams}
    found = [descend(*ends, spec, streams, each, max_rounds, generator, ways) for each in starts]
    steps, state = max(found, key=lambda end: total_overlap(ends[0], end[1], spec))
    after = {stream.name: agreement(stream, ends[0], state) for stream in streams}
    factors, matrices = factors_of(steps, spec), turns_of(steps, spec)
    if scales:
        assert gauges is not None
        for name, own in gauges[0].factors.items():
            if only is None or name in only:
                order = torch.arange(spec[name].size)
                for step in steps:
                    order = order[step.orders[name]] if name in step.orders else order
                sizes = gauges[1].factors[name][order] / own
                factors[name] = factors.get(name, torch.ones(1, len(sizes), dtype=torch.float64)).clone()
                factors[name][0] *= sizes
    if gauges is not None and ways.mixes:
        matrices = {name: (other, between(*gauges, name, other, turn)) for name, (other, turn) in matrices.items()}
    return Matching(spec, tuple(step.orders for step in steps), factors,
                    {name: matrix for name, (_, matrix) in matrices.items()}, before=before, after=after)  # fmt: skip


@dataclass(frozen=True)
class Ways:
    """What may be done to units besides exchanging them.

    Args:
        flips: turning one round; ``mixes``: rotating those of streams that bear it, in place of exchanging them.
        fixed: names of streams whose units stay in their places, so that turning them round is all that they may.
    """

    flips: bool = False
    mixes: bool = False
    fixed: Collection[str] = ()


@dataclass(frozen=True, eq=False)
class Step:
    """Exchange the units of streams, then turn some round (stream → ``[flips, size]`` of ±1), then rotate streams.

    Args:
        turns: stream → the one whose units come there by the exchange of blocks (itself, if in none), and the matrix.
    """

    orders: Mapping[str, Tensor]
    flips: Mapping[str, Tensor] = field(default_factory=dict)
    turns: Mapping[str, tuple[str, Tensor]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        moved = any(bool((order != torch.arange(len(order))).any()) for order in self.orders.values())
        turned = any(not torch.allclose(turn, torch.eye(len(turn), dtype=turn.dtype), atol=1e-9, rtol=0)
                     for _, turn in self.turns.values())  # fmt: skip
        return moved or turned or any(bool((signs < 0).any()) for signs in self.flips.values())

    def apply(self, spec: PermutationSpec, state: StateDict) -> dict[str, Tensor]:
        """The state dict after it."""
        moved = scale(spec, self.flips, apply(spec, self.orders, state))
        return mix(spec, {name: turn for name, (_, turn) in self.turns.items()}, moved)


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


def turns_of(steps: Sequence[Step], spec: PermutationSpec) -> dict[str, tuple[str, Tensor]]:
    """The rotations of all steps together, to be applied after all exchanges; and which stream came there by these."""
    found: dict[str, tuple[str, Tensor]] = {}
    for step in steps:
        former = dict(found)
        for name, (other, turn) in step.turns.items():
            origin, before = former.get(other, (other, torch.eye(len(turn), dtype=torch.float64)))
            found[name] = (origin, turn @ before)
    return found


def best_step(
    stream: Stream, spec: PermutationSpec, first: StateDict, second: StateDict, ways: Ways = Ways(),
    tensors: Collection[str] | None = None, spectral: bool = False,
) -> Step:  # fmt: skip
    """The best that can be done to one stream, given the others; by some of the tensors alone, if told.

    Args:
        spectral: rotate by ``spectral_turn``.
    """
    if spec.inside(stream.name):
        orders, turns, _ = assign_blocks(
            spec, stream, lambda kind: joint_overlap(kind, first, second, tensors), ways.mixes
        )
        return Step(orders, turns=turns)
    places = [place for place in stream.places if tensors is None or place.tensor in tensors]
    if ways.mixes and stream.rotates and stream.name not in ways.fixed:
        score = overlap(places, first, second)
        turn = spectral_turn(stream, score, first, second) if spectral else procrustes(score)[0]
        return Step({}, turns={stream.name: (stream.name, turn)})
    stays = stream.name in ways.fixed
    if not (ways.flips and stream.flips):
        return Step({} if stays else {stream.name: assign(overlap(places, first, second))})
    score, signs = turned_overlap(places, stream.flips, first, second)
    order = torch.arange(stream.size) if stays else assign(score)
    rows = torch.ones(stream.flips, stream.size, dtype=torch.float64)
    rows[: signs.shape[0]] = signs[:, torch.arange(stream.size), order]
    return Step({} if stays else {stream.name: order}, {stream.name: rows})


def spectral_turn(stream: Stream, known: Tensor, first: StateDict, second: StateDict) -> Tensor:
    r"""The rotation that takes the principal axes of a stream's weights to each other, turned round as others say.

    .. math:: R = V_A \operatorname{sign}\big(\operatorname{diag}(V_A^\top S\, V_B)\big) V_B^\top

    with the eigenvectors of :math:`\sum W W^\top` over all of its weights, which nothing that is done to the other
    axis of W by permutations and rotations changes: what few settled weights (S, their overlap) cannot say.
    """
    axes = [torch.linalg.eigh(overlap(stream.places, state, state))[1] for state in (first, second)]
    signs = (axes[0].mT @ known @ axes[1]).diagonal().sign()
    return axes[0] * torch.where(signs == 0, 1.0, signs) @ axes[1].mT


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
    ways = Ways(flips=True, fixed=fixed)
    steps = anchored(first, second, spec, streams, ways)
    generator = torch.Generator().manual_seed(0)
    steps, state = descend(first, second, spec, streams, steps, max_rounds, generator, ways)
    before, after = ({s.name: agreement(s, first, each) for s in streams if s.name in free} for each in (second, state))
    return Matching(spec, tuple(step.orders for step in steps if step.orders), factors_of(steps, spec), before=before,
                    after=after)  # fmt: skip


def exchanged(
    first: StateDict, second: StateDict, spec: PermutationSpec, loose: Mapping[str, Tensor], max_rounds: int = 20
) -> list[Permutation]:
    """Exchange some of the units of streams with each other, by their weights, and no others.

    Args:
        loose: stream → which units ``[size]`` may be exchanged.
    """
    done: list[Permutation] = []
    current = dict(second)
    for _ in range(max_rounds):
        former = len(done)
        for name, which in loose.items():
            places = which.nonzero().squeeze(-1)
            if len(places) > 1:
                order = torch.arange(len(which))
                order[places] = places[assign(overlap(spec[name].places, first, current)[places][:, places])]
                if bool((order != torch.arange(len(which))).any()):
                    done.append({name: order})
                    current = apply(spec, done[-1], current)
        if len(done) == former:
            break
    return done


def anchored(
    first: StateDict, second: StateDict, spec: PermutationSpec, streams: list[Stream], ways: Ways,
    spectral: bool = False,
) -> list[Step]:  # fmt: skip
    """Match streams one after the other, each by the weights that meet nothing but settled streams.

    Where such weights are fewer than units, rotations are not settled by them: ``spectral`` ones are, by all weights.
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
            steps.append(best_step(stream, spec, first, current, ways, ready[stream.name], spectral))
            current = steps[-1].apply(spec, current)
    return steps


def descend(
    first: StateDict, second: StateDict, spec: PermutationSpec, streams: list[Stream], start: Sequence[Step],
    max_rounds: int, generator: torch.Generator, ways: Ways,
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
            step = best_step(stream, spec, first, current, ways)
            if step:
                moved = step.apply(spec, current)
                if agreement(stream, first, moved) > agreement(stream, first, current) + 1e-15:
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
