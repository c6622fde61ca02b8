"""Complete a matching by activations with what they do not show: dead units, unseen streams, signs and sizes."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from geoequiv.alignment.assignment import assign, block_streams, plain_streams
from geoequiv.alignment.gauge import least
from geoequiv.alignment.matching import Matching
from geoequiv.alignment.sizes import outer, sizes_of, with_sizes
from geoequiv.alignment.spec import Permutation, PermutationSpec, StateDict, apply
from geoequiv.alignment.steps import Allowed, factors_of, overlap
from geoequiv.alignment.weights import agreement, anchored, descend, match_weights


def complete(
    first: StateDict, second: StateDict, found: Matching, loose: Mapping[str, Tensor], signed: Collection[str],
    scales: bool,
) -> Matching:  # fmt: skip
    """Match by weights what activations do not show.

    Args:
        first, second: state dicts.
        found: the matching by activations; its ``unseen`` streams are matched by their weights.
        loose: stream → units ``[size]`` that are dead: permuted among themselves (with their factors, if ``scales``).
        signed: names of streams whose units have known signs, but for those that are loose.
        scales: whether sizes and signs are found, too.

    Exactness: units that differ by a permutation, a sign and a positive factor are matched to round-off, if their
    weights tell them apart: the sizes of open units are compared in the networks of least weights (``gauge.least``).
    """
    spec, hidden = found.spec, found.unseen
    ends = dict(first), found.apply(second)
    if not scales:
        rest = match_loose(*ends, spec, loose)
        found = replace(found, permutations=(*found.permutations, *rest))
        if not hidden:
            return found
        others = match_weights(first, found.apply(second), spec, only=hidden)
        return joined(found, others)
    closed = {stream.name for stream in spec.streams if outer(stream) not in hidden}
    open_units = {
        stream.name: loose.get(stream.name, torch.full((stream.size,), stream.name not in closed))
        for stream in spec.streams
    }
    one, two = (least(spec, state, mixes=False, only=open_units) for state in ends)
    rest = match_loose(one.state, two.state, spec, loose)
    gauged = apply_all(spec, rest, two.state)
    flipped = {name: units for name, units in loose.items() if name in signed and spec[name].flips and units.any()}
    known = [name for name in signed if name not in flipped]
    others = match_rest(one.state, gauged, spec, hidden, known, flipped)
    sizes = sizes_of(one, two, (*rest, *others.permutations), spec)
    factors = with_sizes(found.factors, sizes)
    for name, signs in others.factors.items():
        rows = factors.get(name, torch.ones(1, spec[name].size, dtype=torch.float64))
        factors[name] = torch.cat([(rows[0] * signs[0]).unsqueeze(0), signs[1:]])
    found = replace(found, permutations=(*found.permutations, *rest), factors=factors)
    return joined(found, others)


def joined(found: Matching, others: Matching) -> Matching:
    """A matching with the permutations of another one after its own."""
    return replace(
        found,
        permutations=(*found.permutations, *others.permutations),
        before={**found.before, **others.before},
        after={**found.after, **others.after},
    )


def apply_all(spec: PermutationSpec, permutations: Collection[Permutation], state: StateDict) -> dict[str, Tensor]:
    """A state dict after permutations, one after the other."""
    current = dict(state)
    for permutation in permutations:
        current = apply(spec, permutation, current)
    return current


def match_rest(
    first: StateDict, second: StateDict, spec: PermutationSpec, free: Collection[str], signed: Collection[str],
    open_units: Mapping[str, Tensor] | None = None, max_rounds: int = 100,
) -> Matching:  # fmt: skip
    """Complete a matching of most streams: permute the units of the others, and flip signs.

    Args:
        free: names of the streams to match (of blocks: with all streams inside).
        signed: names of streams whose signs are known.
        open_units: stream → units ``[size]`` that may be flipped, where not all may.
    """
    every = [*plain_streams(spec), *block_streams(spec)]
    every += [stream for stream in spec.streams if stream.block is not None and stream.block[0] not in free]
    streams = [s for s in every if s.name in free or (s.flips and s.name not in signed)]
    fixed = [stream.name for stream in streams if stream.name not in free]
    allowed = Allowed(flips=True, fixed=fixed, open_units=open_units or {})
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
