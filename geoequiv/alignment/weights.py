"""Weight matching: units with the same weights, found without data."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from geoequiv.alignment.assignment import assign, assign_blocks, block_streams, plain_streams
from geoequiv.alignment.matching import Matching
from geoequiv.alignment.permutation_spec import Permutation, PermutationSpec, Place, StateDict, Stream, apply


def overlap(places: Sequence[Place], first: StateDict, second: StateDict) -> Tensor:
    r""":math:`\sum_{\text{places}} \langle W^A_{i\cdot}, W^B_{j\cdot} \rangle`, ``[size, size]`` in float64."""
    total = torch.zeros(1, dtype=torch.float64)
    for place in places:
        a, b = (finite(state[place.tensor]).movedim(place.axis, 0)[place.index].flatten(1)
                for state in (first, second))  # fmt: skip
        total = total + a @ b.mT
    return total


def finite(weights: Tensor) -> Tensor:
    """In float64 on the CPU; what is not finite counts as 0."""
    return weights.detach().double().cpu().nan_to_num(0.0, 0.0, 0.0)


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
        max_rounds: rounds over all streams, at most; it ends when a round changes nothing.
        generator: the order of the streams after the first round, which goes by the spec.

    Exactness: a local optimum; the overlap never falls. Weights that are not finite count as 0.
    Reference: Ainsworth et al. 2023 (Git Re-Basin), algorithm 1.
    """
    spec.check(first)
    spec.check(second)
    generator = generator or torch.Generator().manual_seed(0)
    streams = [s for s in (*plain_streams(spec), *block_streams(spec)) if only is None or s.name in only]
    starts = [list(start)] if start is not None else [[], anchored(first, second, spec, streams)]
    before = {stream.name: agreement(stream, first, second) for stream in streams}
    ends = [descend(first, second, spec, streams, begin, max_rounds, generator) for begin in starts]
    steps, state = max(ends, key=lambda end: total_overlap(first, end[1], spec))
    after = {stream.name: agreement(stream, first, state) for stream in streams}
    return Matching(spec, tuple(steps), before=before, after=after)


def best_step(
    stream: Stream, spec: PermutationSpec, first: StateDict, second: StateDict, tensors: Collection[str] | None = None
) -> dict[str, Tensor]:
    """The best permutation of one stream, given the others; by some of the tensors alone, if told."""
    if spec.inside(stream.name):
        return assign_blocks(spec, stream, lambda kind: joint_overlap(kind, first, second, tensors))
    places = [place for place in stream.places if tensors is None or place.tensor in tensors]
    return {stream.name: assign(overlap(places, first, second))}


def anchored(first: StateDict, second: StateDict, spec: PermutationSpec, streams: list[Stream]) -> list[Permutation]:
    """Match streams one after the other, each by the weights that meet nothing but settled streams."""
    readers: dict[str, set[str]] = {}
    for stream in streams:
        for place in stream.places:
            readers.setdefault(place.tensor, set()).add(stream.name)
    twice = {place.tensor for s in streams for place in s.places if len({p.axis for p in s.places
             if p.tensor == place.tensor}) > 1}  # fmt: skip
    steps: list[Permutation] = []
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
            steps.append(best_step(stream, spec, first, current, ready[stream.name]))
            current = apply(spec, steps[-1], current)
    return steps


def descend(
    first: StateDict, second: StateDict, spec: PermutationSpec, streams: list[Stream], start: Sequence[Permutation],
    max_rounds: int, generator: torch.Generator,
) -> tuple[list[Permutation], dict[str, Tensor]]:  # fmt: skip
    """The permutations of one descent, and where it ends."""
    steps, current = list(start), dict(second)
    for step in steps:
        current = apply(spec, step, current)
    order = list(range(len(streams)))
    for _ in range(max_rounds):
        changed = False
        for number in order:
            stream = streams[number]
            step = best_step(stream, spec, first, current)
            if any(bool((p != torch.arange(len(p))).any()) for p in step.values()):
                moved = apply(spec, step, current)
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
