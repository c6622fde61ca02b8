"""From the labels of a trace to the streams of a permutation spec, and its verification."""

import copy
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn

from geoequiv.alignment.labels import (
    NOT_FLIPPED,
    NOT_MIXED,
    NOT_ROTATED,
    NOT_SCALED,
    ONLY_SIGN,
    Ledger,
    tensors_in,
)
from geoequiv.alignment.spec import PermutationSpec, Place, Stream, apply
from geoequiv.alignment.traced import Inputs, Sight, Trace, call
from geoequiv.alignment.tracer import trace
from geoequiv.errors import AlignmentError


def permutation_spec(model: nn.Module, inputs: Inputs, verify: bool = True) -> PermutationSpec:
    """Derive which hidden units of a network can be permuted, by tracing its weights through one call.

    Args:
        model: made of linear maps, convolutions, norms, elementwise functions, sums, pooling, attention, embeddings.
        inputs: a small batch (see ``trace``): a dict of named inputs, a tuple of them, or one tensor.
        verify: whether to compare the outputs under a random permutation.

    Raises:
        AlignmentError: a layer that cannot be traced, or a stream whose permutation changes the outputs, by name.

    Exactness: verified to round-off in float64.
    """
    spec = streams_of(trace(model, inputs), dict(model.state_dict()))
    if verify:
        check_spec(spec, model, inputs)
    return spec


def check_spec(
    spec: PermutationSpec, model: nn.Module, inputs: Inputs, tolerance: float = 1e-8, generator: Any = None
) -> None:
    """Raise AlignmentError, naming the stream, unless permuting units at random leaves the outputs unchanged.

    Args:
        tolerance: largest relative difference of outputs, in float64.
    """
    generator = generator or torch.Generator().manual_seed(0)
    double, doubled = in_double(model, inputs)
    state = dict(double.state_dict())
    before = outputs_of(double, doubled)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in before):
        raise AlignmentError(
            "The network's outputs are not finite on this batch, so the spec cannot be verified: give another batch, "
            "or verify=False."
        )
    draw = spec.random(generator)
    if difference(before, outputs_of(with_state(double, apply(spec, draw, state)), doubled)) <= tolerance:
        return
    for stream in spec.streams:
        error = difference(
            before, outputs_of(with_state(double, apply(spec, {stream.name: draw[stream.name]}, state)), doubled)
        )
        if error > tolerance:
            raise AlignmentError(
                f"Permuting the units of '{stream.name}' changes the outputs by {error:.1e} of their norm: its layers "
                f"({', '.join(map(str, stream.places))}) do something that the tracer missed, such as reading one unit "
                "by its index, or the inputs given are too special to show it."
            )
    raise AlignmentError("Permuting all units at once changes the outputs; permuting each stream alone does not.")


def in_double(model: nn.Module, inputs: Inputs) -> tuple[nn.Module, Any]:
    """A copy of a network in evaluation mode and its inputs, in float64."""
    from torch.utils._pytree import tree_map

    def cast(leaf: Any) -> Any:
        return leaf.double() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf

    values = dict(inputs) if not isinstance(inputs, (tuple, Tensor)) else inputs
    return copy.deepcopy(model).double().eval(), tree_map(cast, values)


def with_state(model: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """A copy of a network with another state dict."""
    other = copy.deepcopy(model)
    other.load_state_dict(state)
    return other


def outputs_of(model: nn.Module, inputs: Inputs) -> list[Tensor]:
    """The output tensors of a network."""
    with torch.no_grad():
        return list(tensors_in(call(model, inputs)))


def difference(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """Largest relative difference of two lists of outputs; inf where one is not finite."""
    worst = 0.0
    for one, two in zip(a, b, strict=True):
        off = float((one - two).norm()) / max(float(one.norm()), 1e-30)
        worst = max(worst, off if np.isfinite(off) else float("inf"))
    return worst


#: where a unit is met: number of the axis, index along it, sign
Met = tuple[int, int, int]


class Units:
    """Labels of a trace, grouped into units."""

    def __init__(self, found: Trace) -> None:
        ledger, count = found.ledger, found.ledger.count
        self.root, self.own, self.sign, torn = united(ledger, count)
        size = int(self.root.max()) + 1
        self.fixed = np.zeros(size, bool)
        self.fixed[self.root[0]] = True
        for fixed in ledger.fixed:
            self.fixed[self.root[fixed]] = True
        self.colour = np.zeros(size, np.uint64)
        for labels, event in ledger.touched:
            np.add.at(self.colour, self.root[labels], np.uint64(event & 0xFFFFFFFFFFFFFFFF))
        self.limits = np.zeros(size, np.int64)
        for labels, bits in ledger.limited:
            np.bitwise_or.at(self.limits, self.root[labels], bits)
        self.limits[torn] |= ONLY_SIGN
        self.flips = Flips(ledger, self.root, self.own)
        self.parents: dict[int, set[int]] = defaultdict(set)
        self.children: dict[int, set[int]] = defaultdict(set)
        for units, blocks in ledger.inside:
            for unit, block in zip(self.root[units].tolist(), self.root[blocks].tolist(), strict=True):
                if unit != block:
                    self.parents[unit].add(block)
                    self.children[block].add(unit)
        for block in [block for block, units in self.children.items() if any(self.fixed[u] for u in units)]:
            self.fixed[block] = True
        self.axes = list(found.axes)
        self.places: dict[int, list[Met]] = defaultdict(list)
        self.parts: dict[int, list[int]] = defaultdict(list)  # unit → which part of it is met there
        for number, line in enumerate(found.axes.values()):
            for index, label in enumerate(line.tolist()):
                self.places[int(self.root[label])].append((number, index, int(self.sign[label])))
                self.parts[int(self.root[label])].append(int(self.own[label]))

    def treatment(self, unit: int) -> tuple:
        """What two units have in common if they can be permuted, besides the blocks that they belong to."""
        return tuple(number for number, _, _ in self.places[unit]), int(self.colour[unit])


def united(ledger: Ledger, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Label → unit; label → part of it that scales as one; label → how, ±1; units whose signs contradict."""
    pairs = [(a, b, sign) for a, b, sign in ledger.same if len(a)]
    a = np.concatenate([np.zeros(0, np.int64), *(p[0] for p in pairs)])
    b = np.concatenate([np.zeros(0, np.int64), *(p[1] for p in pairs)])
    inverse = np.concatenate([np.zeros(0, bool), *(np.full(len(p[0]), p[2] < 0) for p in pairs)])
    every = [np.concatenate([each, *(pair[i] for pair in ledger.tied)]) for i, each in enumerate((a, b))]
    _, root = connected_components(coo_matrix((np.ones(len(every[0])), every), (count, count)), directed=False)
    parts, own = connected_components(coo_matrix((np.ones(len(a)), (a, b)), (count, count)), directed=False)
    there = np.where(inverse, b + count, b)
    back = np.where(inverse, b, b + count)
    both = coo_matrix((np.ones(2 * len(a)), (np.r_[a, a + count], np.r_[there, back])), (2 * count, 2 * count))
    _, cover = connected_components(both, directed=False)
    first = np.full(parts, -1, np.int64)
    first[own[::-1]] = np.arange(count)[::-1]  # the first label of each part: a writer, where there is one
    sign = np.where(cover[:count] == cover[first[own]], 1, -1)
    return root, own, sign, np.unique(root[cover[:count] == cover[count:]])


class Flips:
    """Which parts of a unit change sign together: linear equations over {0, 1}, one for each product and each limit."""

    def __init__(self, ledger: Ledger, root: np.ndarray, own: np.ndarray) -> None:
        self.still = np.zeros(int(own.max()) + 1, bool)
        for labels, bits in ledger.limited:
            if bits & NOT_FLIPPED:
                self.still[own[labels]] = True
        self.products: dict[int, set[tuple[int, ...]]] = defaultdict(set)
        for triples in ledger.products:
            for unit, *parts in np.unique(np.stack([root[triples[0]], *own[triples]]), axis=1).T.tolist():
                self.products[unit].add(tuple(parts))

    def of(self, unit: int, parts: list[int]) -> tuple[tuple[int, ...], dict[int, int]]:
        """For the places of a unit, by the part at each: bit g is set if sign flip g negates it.

        Returns:
            The bits of the places, and of all parts of the unit, including those that no weights touch.

        Exactness: a basis of all flips, by elimination.
        """
        names = sorted({*parts, *(part for product in self.products[unit] for part in product)})
        column = {part: number for number, part in enumerate(names)}
        rows = [1 << column[part] for part in names if self.still[part]]
        for product in self.products[unit]:
            row = 0
            for part in product:
                row ^= 1 << column[part]
            rows.append(row)
        solutions = nullspace(rows, len(names))
        low = len(names)  # first the places, which are alike in all units of a stream, then the parts
        seen = [sum((flip >> column[part] & 1) << low + i for i, part in enumerate(parts)) | flip for flip in solutions]
        basis = [flip for flip in reduced(seen) if flip >> low]
        places = tuple(sum((flip >> low + i & 1) << g for g, flip in enumerate(basis)) for i in range(len(parts)))
        return places, {part: sum((flip >> column[part] & 1) << g for g, flip in enumerate(basis)) for part in names}


def reduced(rows: list[int]) -> list[int]:
    """A basis of rows of bits, each with a leading bit that no other has, in descending order."""
    basis: dict[int, int] = {}
    for row in rows:
        for lead in sorted(basis, reverse=True):
            if row >> lead & 1:
                row ^= basis[lead]
        if row:
            lead = row.bit_length() - 1
            basis = {other: each ^ row if each >> lead & 1 else each for other, each in basis.items()} | {lead: row}
    return [basis[lead] for lead in sorted(basis, reverse=True)]


def nullspace(rows: list[int], size: int) -> list[int]:
    """A basis of the bit vectors that share an even number of bits with every row."""
    basis = {row.bit_length() - 1: row for row in reduced(rows)}
    free = [bit for bit in range(size) if bit not in basis]
    return [1 << bit | sum(1 << lead for lead, row in basis.items() if row >> bit & 1) for bit in free]


def streams_of(found: Trace, state: dict[str, Tensor]) -> PermutationSpec:
    """Group units that are treated alike into streams, and blocks of units likewise."""
    units = Units(found)
    classes: dict[tuple, list[int]] = defaultdict(list)
    for unit in sorted(units.places):
        if not units.fixed[unit]:
            classes[(*units.treatment(unit), frozenset(units.parents[unit]))].append(unit)
    for members in classes.values():
        members.sort(key=lambda unit: units.places[unit])
    inside: dict[int, list[tuple]] = defaultdict(list)  # block → keys of the classes inside it
    for key in classes:
        for block in key[-1]:
            inside[block].append(key)
    alike: dict[tuple, list[int]] = defaultdict(list)
    for block, keys in inside.items():
        if not units.fixed[block]:
            parts = tuple(sorted((key[0], key[1], len(classes[key]), tuple(sorted(key[2] - {block}))) for key in keys))
            alike[(units.treatment(block), frozenset(units.parents[block]), parts)].append(block)
    maker = StreamMaker(units, found, state)
    for key, members in classes.items():
        in_blocks = any(len(blocks) > 1 and set(blocks) & key[-1] for blocks in alike.values())
        if not in_blocks and len(members) > 1 and not any(units.children.get(unit) for unit in members):
            maker.add([units.places[unit] for unit in members], members)
    for blocks in alike.values():
        if len(blocks) < 2:
            continue
        blocks.sort(key=lambda block: min(units.places[u] for key in inside[block] for u in classes[key]))
        whole = []
        for block in blocks:
            keys = sorted(inside[block], key=lambda key: (key[0], key[1]))
            whole.append([place for key in keys for unit in classes[key] for place in units.places[unit]]
                         + units.places[block])  # fmt: skip
        name = maker.name(whole[0])
        maker.taken.add(name)
        for number, block in enumerate(blocks):
            for key in sorted(inside[block], key=lambda key: (key[0], key[1])):
                members = classes[key]
                if len(members) > 1:
                    maker.add([units.places[u] for u in members], members, block=(name, number))
        maker.add(whole, [], called=name)
    used = {place.tensor for stream in maker.streams for place in stream.places}
    return PermutationSpec(
        tuple(maker.streams), maker.taps(), {name: tuple(state[name].shape) for name in state if name in used}
    )


class StreamMaker:
    """Builds streams from lists of places."""

    def __init__(self, units: Units, found: Trace, state: dict[str, Tensor]) -> None:
        self.units, self.found, self.state = units, found, state
        self.streams: list[Stream] = []
        self.members: dict[str, list[int]] = {}
        self.taken: set[str] = set()
        self.orientation: dict[str, int] = {}  # stream → −1 where its signs were inverted
        self.marks: dict[str, dict[int, int]] = {}  # stream → part of its first unit → the flips that negate it

    def name(self, places: list[Met], end: str = "") -> str:
        """The module that writes the units; with a number where that name is taken."""
        axes = [self.units.axes[number] for number, _, _ in places]
        plain = min(axes, key=lambda axis: (axis[1], list(self.state).index(axis[0])))[0]
        plain = plain.removesuffix(".weight").removesuffix(".bias") + end
        name, number = plain, 2
        while name in self.taken:
            name, number = f"{plain}#{number}", number + 1
        return name

    def add(
        self,
        lists: list[list[Met]],
        members: list[int],
        block: tuple[str, int] | None = None,
        called: str | None = None,
    ) -> None:
        """Add a stream of units with these places, in corresponding order."""
        bits = 0
        for unit in members:
            bits |= int(self.units.limits[unit])
        bits = bits & ONLY_SIGN if members else ONLY_SIGN
        found = [self.units.flips.of(unit, self.units.parts[unit]) for unit in members]
        patterns = {places for places, _ in found}
        negated = patterns.pop() if len(patterns) == 1 else (0,) * len(lists[0])
        flips = max(negated).bit_length()
        name = called or self.name(lists[0], f"[{block[1]}]" if block else "")
        grouped: dict[tuple[int, int, int], list[list[int]]] = {}
        for row, met in enumerate(lists):
            for (number, index, sign), which in zip(met, negated, strict=True):
                key = (number, 0 if bits == ONLY_SIGN else sign, which)
                grouped.setdefault(key, [[] for _ in lists])[row].append(index)
        places = [
            Place(tensor, self.units.axes[number][1], torch.tensor(index), sign, which)
            for (number, sign, which), index in grouped.items()
            for tensor in (self.units.axes[number][0], *self.found.aliases.get(self.units.axes[number][0], ()))
        ]
        writers = [place for place in places if place.axis == 0 and place.sign]
        self.orientation[name] = -1 if writers and writers[0].sign < 0 else 1
        if self.orientation[name] < 0:
            places = [Place(p.tensor, p.axis, p.index, -p.sign, p.flips) for p in places]
        self.taken.add(name)
        self.members[name] = members
        scales, mixes, rotates = (not bits & bit for bit in (NOT_SCALED, NOT_MIXED, NOT_ROTATED))
        self.marks[name] = found[0][1] if any(negated) else {}
        self.streams.append(Stream(name, len(lists), tuple(places), scales, flips, mixes, rotates, block))

    def taps(self) -> dict[str, tuple[Sight, ...]]:
        """Stream → where modules return all its units, each equally often, in the order of the forward pass."""
        found: dict[str, list[Sight]] = {}
        owner = {unit: (name, row) for name, members in self.members.items() for row, unit in enumerate(members)}
        for tap in self.found.taps:
            labels = tap.labels.numpy()
            rows: dict[str, list[list[Met]]] = {}
            for place, (unit, sign, part) in enumerate(
                zip(
                    *(each[labels].tolist() for each in (self.units.root, self.units.sign, self.units.own)), strict=True
                )
            ):
                if unit in owner:
                    name, row = owner[unit]
                    rows.setdefault(name, [[] for _ in self.members[name]])[row].append((place, sign, part))
            for name, places in rows.items():
                scales = [[sign for _, sign, _ in row] for row in places]
                if scales[0] and all(row == scales[0] for row in scales):
                    index = torch.tensor([[place for place, _, _ in row] for row in places])
                    flips = torch.tensor([self.mark(name, part) for _, _, part in places[0]])
                    signs = self.orientation[name] * torch.tensor(scales[0])
                    found.setdefault(name, []).append(Sight(tap, index, signs, flips))
        return {name: tuple(sights) for name, sights in found.items()}

    def mark(self, name: str, part: int) -> int:
        """The sign flips of a stream that negate a part of its first unit; 0 for parts without weights."""
        return self.marks[name].get(part, 0)
