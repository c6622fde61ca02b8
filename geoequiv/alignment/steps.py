"""One step of weight matching: the best permutation, signs and rotation of one stream, given the others."""

import functools
import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from geoequiv.alignment.assignment import assign, assign_blocks, block_streams, partners, procrustes
from geoequiv.alignment.gauge import finite
from geoequiv.alignment.spec import Permutation, PermutationSpec, Place, StateDict, Stream, apply, mix, scale

#: up to so many sign flips of one unit that act on the same weights are tried in all 2ⁿ combinations; more, one at a
#: time
MOST_FLIPS = 6


@dataclass(frozen=True)
class Allowed:
    """What a matching may do to units besides permuting them.

    Args:
        flips: change their signs; ``mixes``: rotate those of streams that allow it, instead of permuting them.
        fixed: names of streams whose units are not permuted, only flipped.
        open_units: stream → which units ``[size]`` may be flipped, where not all may.
    """

    flips: bool = False
    mixes: bool = False
    fixed: Collection[str] = ()
    open_units: Mapping[str, Tensor] = field(default_factory=dict)


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
    """The signs of all steps together, to be applied after all permutations."""
    found: dict[str, Tensor] = {}
    for step in steps:
        found = permuted(found, step.orders, spec)
        for name, signs in step.flips.items():
            found[name] = found.get(name, torch.ones(signs.shape, dtype=torch.float64)) * signs
    return found


def permuted(values: Mapping[str, Tensor], orders: Permutation, spec: PermutationSpec) -> dict[str, Tensor]:
    """Values of units, stream → ``[…, size]``, where a permutation takes them; blocks take theirs along."""
    found = {name: value[..., orders[name]] if name in orders else value for name, value in values.items()}
    for block in block_streams(spec):
        if block.name in orders:
            for kind in spec.kinds(block.name):
                origins = {kind[i].name: kind[j].name for i, j in enumerate(orders[block.name].tolist())}
                carried = {name: found[origin] for name, origin in origins.items() if origin in found}
                found = {name: value for name, value in found.items() if name not in origins} | carried
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


def overlap(places: Sequence[Place], first: StateDict, second: StateDict) -> Tensor:
    r""":math:`\sum_{\text{places}} \langle W^A_{i\cdot}, W^B_{j\cdot} \rangle`, ``[size, size]`` in float64."""
    total = torch.zeros(1, dtype=torch.float64)
    for place in places:
        a, b = (finite(state[place.tensor]).movedim(place.axis, 0)[place.index].flatten(1)
                for state in (first, second))  # fmt: skip
        total = total + a @ b.mT
    return total


def joint_places(kind: list[Stream], tensors: Collection[str] | None = None) -> list[Place]:
    """The places of all units of streams of one kind, one stream in each block."""
    return [
        replace(parts[0], index=torch.cat([part.index for part in parts]))
        for parts in zip(*(stream.places for stream in kind), strict=True)
        if tensors is None or parts[0].tensor in tensors
    ]


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
        return block_step(stream, spec, first, second, allowed, tensors)
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
    if stream.name in allowed.open_units:
        rows[:, ~allowed.open_units[stream.name].cpu()] = 1.0
    return Step({} if stays else {stream.name: order}, {stream.name: rows})


def block_step(
    block: Stream, spec: PermutationSpec, first: StateDict, second: StateDict, allowed: Allowed,
    tensors: Collection[str] | None,
) -> Step:  # fmt: skip
    """The best step for a stream of blocks with all streams inside."""
    signs: dict[str, Tensor] = {}

    def score(kind: list[Stream]) -> Tensor:
        places, size = joint_places(kind, tensors), sum(stream.size for stream in kind)
        if not places:
            return torch.zeros(size, size, dtype=torch.float64)
        if not (allowed.flips and kind[0].flips) or (allowed.mixes and kind[0].rotates):
            return overlap(places, first, second)
        value, signs[kind[0].name] = signed_overlap(places, kind[0].flips, first, second)
        return value

    orders, rotations, _ = assign_blocks(spec, block, score, allowed.mixes)
    flips: dict[str, Tensor] = {}
    for kind, columns in partners(spec, block, orders):
        if kind[0].name in signs:
            chosen = signs[kind[0].name][:, torch.arange(len(columns)), columns]
            flips |= dict(zip((stream.name for stream in kind), chosen.split(kind[0].size, -1), strict=True))
    return Step(orders, flips, rotations)


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
