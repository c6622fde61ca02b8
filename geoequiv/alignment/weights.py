"""Weight matching: hidden units with the same weights, found without data."""

import functools
import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from geoequiv.alignment.assignment import assign, assign_blocks, block_streams, plain_streams, procrustes
from geoequiv.alignment.gauge import Gauge, between, finite, least
from geoequiv.alignment.matching import Matching
from geoequiv.alignment.spec import (
    Permutation,
    PermutationSpec,
    Place,
    StateDict,
    Stream,
    apply,
    mix,
    scale,
)

#: up to so many sign flips of one unit that act on the same weights are tried in all 2ⁿ combinations; more, one at a
#: time
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
    """``overlap`` of all units of streams of one kind, one stream in each block."""
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
        for name, own in gauges[0].factors.items():
            if only is None or name in only:
                order = torch.arange(spec[name].size)
                for step in steps:
                    order = order[step.orders[name]] if name in step.orders else order
                sizes = gauges[1].factors[name][order] / own
                factors[name] = factors.get(name, torch.ones(1, len(sizes), dtype=torch.float64)).clone()
                factors[name][0] *= sizes
    matrices = {name: matrix for name, (_, matrix) in rotations.items()}
    if gauges is not None and allowed.mixes:
        matrices = {name: between(*gauges, name, other, matrix) for name, (other, matrix) in rotations.items()}
    return Matching(spec, tuple(step.orders for step in steps), factors, matrices, before=before, after=after)


@dataclass(frozen=True)
class Allowed:
    """What a matching may do to units besides permuting them.

    Args:
        flips: change their signs; ``mixes``: rotate those of streams that allow it, instead of permuting them.
        fixed: names of streams whose units are not permuted, only flipped.
    """

    flips: bool = False
    mixes: bool = False
    fixed: Collection[str] = ()


@dataclass(frozen=True, eq=False)
class Step:
    """Permute the units of streams, then flip signs (stream → ``[flips, size]`` of ±1), then rotate streams.

    Args:
        rotations: stream → the stream that takes its place when blocks are permuted (itself, if in none), and the
            matrix.
    """

    orders: Mapping[str, Tensor]
    flips: Mapping[str, Tensor] = field(default_factory=dict)
    rotations: Mapping[str, tuple[str, Tensor]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        permuted = any(bool((order != torch.arange(len(order))).any()) for order in self.orders.values())
        rotated = any(not torch.allclose(matrix, torch.eye(len(matrix), dtype=matrix.dtype), atol=1e-9, rtol=0)
                      for _, matrix in self.rotations.values())  # fmt: skip
        return permuted or rotated or any(bool((signs < 0).any()) for signs in self.flips.values())

    def apply(self, spec: PermutationSpec, state: StateDict) -> dict[str, Tensor]:
        """The state dict after it."""
        changed = scale(spec, self.flips, apply(spec, self.orders, state))
        return mix(spec, {name: matrix for name, (_, matrix) in self.rotations.items()}, changed)


def factors_of(steps: Sequence[Step], spec: PermutationSpec) -> dict[str, Tensor]:
    """The signs of all steps together, to be applied after all permutations (streams in blocks have none)."""
    found: dict[str, Tensor] = {}
    for step in steps:
        for name, order in step.orders.items():
            if name in found:
                found[name] = found[name][:, order]
        for name, signs in step.flips.items():
            found[name] = found.get(name, torch.ones(signs.shape, dtype=torch.float64)) * signs
    return found


def rotations_of(steps: Sequence[Step], spec: PermutationSpec) -> dict[str, tuple[str, Tensor]]:
    """The rotations of all steps together, to be applied after all permutations; and the stream each one acts on."""
    found: dict[str, tuple[str, Tensor]] = {}
    for step in steps:
        former = dict(found)
        for name, (other, matrix) in step.rotations.items():
            origin, before = former.get(other, (other, torch.eye(len(matrix), dtype=torch.float64)))
            found[name] = (origin, matrix @ before)
    return found


def best_step(
    stream: Stream, spec: PermutationSpec, first: StateDict, second: StateDict, allowed: Allowed = Allowed(),
    tensors: Collection[str] | None = None, spectral: bool = False,
) -> Step:  # fmt: skip
    """The best step for one stream, given the others.

    Args:
        tensors: names of the tensors to judge by; None for all.
        spectral: rotate by ``spectral_rotation``.
    """
    if spec.inside(stream.name):
        orders, rotations, _ = assign_blocks(
            spec, stream, lambda kind: joint_overlap(kind, first, second, tensors), allowed.mixes
        )
        return Step(orders, rotations=rotations)
    places = [place for place in stream.places if tensors is None or place.tensor in tensors]
    if allowed.mixes and stream.rotatable and stream.name not in allowed.fixed:
        score = overlap(places, first, second)
        matrix = spectral_rotation(stream, score, first, second) if spectral else procrustes(score)[0]
        return Step({}, rotations={stream.name: (stream.name, matrix)})
    stays = stream.name in allowed.fixed
    if not (allowed.flips and stream.flips):
        return Step({} if stays else {stream.name: assign(overlap(places, first, second))})
    score, signs = signed_overlap(places, stream.flips, first, second)
    order = torch.arange(stream.size) if stays else assign(score)
    rows = torch.ones(stream.flips, stream.size, dtype=torch.float64)
    rows[: signs.shape[0]] = signs[:, torch.arange(stream.size), order]
    return Step({} if stays else {stream.name: order}, {stream.name: rows})


def spectral_rotation(stream: Stream, known: Tensor, first: StateDict, second: StateDict) -> Tensor:
    r"""The rotation that takes the principal axes of a stream's weights to each other, with signs from a known overlap.

    .. math:: R = V_A \operatorname{sign}\big(\operatorname{diag}(V_A^\top S\, V_B)\big) V_B^\top

    with the eigenvectors V of :math:`\sum W W^\top` over all of its weights, which permutations and rotations of the
    other axis of W leave as they are, and the overlap S of the weights that are matched already, which alone would not
    fix R.
    """
    axes = [torch.linalg.eigh(overlap(stream.places, state, state))[1] for state in (first, second)]
    signs = (axes[0].mT @ known @ axes[1]).diagonal().sign()
    return axes[0] * torch.where(signs == 0, 1.0, signs) @ axes[1].mT


def signed_overlap(places: Sequence[Place], flips: int, first: StateDict, second: StateDict) -> tuple[Tensor, Tensor]:
    """``overlap`` with the best signs of every pair of units, ``[size, size]``; and these, ``[flips, size, size]``."""
    by_flips: dict[int, Tensor] = {}
    for place in places:
        part = overlap([place], first, second)
        by_flips[place.flips] = by_flips[place.flips] + part if place.flips in by_flips else part
    size = len(places[0].index) if places else 0
    signs = torch.ones(flips, size, size, dtype=torch.float64)

    def score(way: Tensor, group: list[int]) -> Tensor:
        total = torch.zeros(size, size, dtype=torch.float64)
        for seen, part in by_flips.items():
            if any(seen >> g & 1 for g in group):
                for g in group:
                    part = part * way[g] if seen >> g & 1 else part
                total = total + part
        return total

    for group in linked(list(by_flips), flips):  # flips that share no place are independent
        if len(group) <= MOST_FLIPS:
            most = score(signs, group)
            for word in range(1, 1 << len(group)):
                way = torch.ones(flips, dtype=torch.float64)
                way[[g for i, g in enumerate(group) if word >> i & 1]] = -1.0
                value = score(way, group)
                signs[group] = torch.where(value > most, way[group].reshape(-1, 1, 1), signs[group])
                most = torch.maximum(value, most)
            continue
        for _ in range(len(group)):  # one at a time, as long as it helps
            former = signs.clone()
            for g in group:
                flipped = signs.clone()
                flipped[g] = -flipped[g]
                signs = torch.where(score(flipped, group) > score(signs, group), flipped, signs)
            if torch.equal(former, signs):
                break
    return score(signs, list(range(flips))) + by_flips.get(0, torch.zeros(1, dtype=torch.float64)), signs


def linked(seen: list[int], flips: int) -> list[list[int]]:
    """Flips in groups, such that those of different groups never act on the same place."""
    groups = [1 << g for g in range(flips)]
    for word in seen:
        met = [group for group in groups if group & word]
        if len(met) > 1:
            groups = [group for group in groups if not group & word] + [functools.reduce(operator.or_, met)]
    return [[g for g in range(flips) if group >> g & 1] for group in groups]


def match_rest(
    first: StateDict, second: StateDict, spec: PermutationSpec, free: Collection[str], signed: Collection[str],
    max_rounds: int = 100,
) -> Matching:  # fmt: skip
    """Complete a matching of most streams: permute the units of the others, and flip signs.

    Args:
        free: names of the streams to match (of blocks: with all streams inside).
        signed: names of streams whose signs are known.
    """
    every = (*plain_streams(spec), *block_streams(spec))
    streams = [s for s in every if s.name in free or (s.flips and s.name not in signed)]
    fixed = [stream.name for stream in streams if stream.name not in free]
    allowed = Allowed(flips=True, fixed=fixed)
    steps = anchored(first, second, spec, streams, allowed)
    generator = torch.Generator().manual_seed(0)
    steps, state = descend(first, second, spec, streams, steps, max_rounds, generator, allowed)
    before, after = ({s.name: agreement(s, first, each) for s in streams if s.name in free} for each in (second, state))
    return Matching(spec, tuple(step.orders for step in steps if step.orders), factors_of(steps, spec), before=before,
                    after=after)  # fmt: skip


def match_loose(
    first: StateDict, second: StateDict, spec: PermutationSpec, loose: Mapping[str, Tensor], max_rounds: int = 20
) -> list[Permutation]:
    """Permute some of the units of streams among themselves, by their weights, and no others.

    Args:
        loose: stream → which units ``[size]`` may be permuted.
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
