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
    NOT_SCALED,
    NOT_TURNED,
    NOTHING_BUT_ORDER,
    Ledger,
    tensors_in,
)
from geoequiv.alignment.permutation_spec import PermutationSpec, Place, Stream, apply
from geoequiv.alignment.tracer import Inputs, Sight, Trace, call, trace
from geoequiv.errors import AlignmentError


def permutation_spec(model: nn.Module, inputs: Inputs, verify: bool = True) -> PermutationSpec:
    """Derive which units of a network can be exchanged, by following its weights through one call.

    Args:
        model: made of linear maps, convolutions, norms, elementwise functions, sums, pooling, attention, embeddings.
        inputs: a small batch (see ``trace``): a dict of named inputs, a tuple of them, or one tensor.
        verify: whether a random permutation is drawn and the outputs are compared.

    Raises:
        AlignmentError: a layer that cannot be explained, or one that changes the function, by name.

    Exactness: verified to round-off in float64.
    """
    spec = streams_of(trace(model, inputs), dict(model.state_dict()))
    if verify:
        check_spec(spec, model, inputs)
    return spec


def check_spec(
    spec: PermutationSpec, model: nn.Module, inputs: Inputs, tolerance: float = 1e-8, generator: Any = None
) -> None:
    """Raise AlignmentError unless exchanging units at random leaves the network as it is, naming the stream that fails.

    Args:
        tolerance: largest relative difference of outputs, in float64.
    """
    generator = generator or torch.Generator().manual_seed(0)
    double, doubled = in_double(model, inputs)
    state = dict(double.state_dict())
    before = outputs_of(double, doubled)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in before):
        raise AlignmentError(
            "The network's outputs are not finite on this batch, so that nothing can be verified on it: give another "
            "batch, or verify=False."
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
                f"Exchanging the units of '{stream.name}' changes the outputs by {error:.1e} of their norm: its layers "
                f"({', '.join(map(str, stream.places))}) do something that the tracer did not see, such as a look at "
                "one unit by its number, or the inputs given were too plain to tell it."
            )
    raise AlignmentError("Exchanging all units at once changes the outputs, each stream alone does not.")


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
    """What a network returns, as a list."""
    with torch.no_grad():
        return list(tensors_in(call(model, inputs)))


def difference(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """Largest relative difference of two lists of outputs; inf where one is not finite."""
    worst = 0.0
    for one, two in zip(a, b, strict=True):
        off = float((one - two).norm()) / max(float(one.norm()), 1e-30)
        worst = max(worst, off if np.isfinite(off) else float("inf"))
    return worst


class Units:
    """Labels of a trace gathered into units."""

    def __init__(self, found: Trace) -> None:
        ledger, count = found.ledger, found.ledger.count
        self.root, self.sign, torn = united(ledger, count)
        size = int(self.root.max()) + 1
        self.fixed = np.zeros(size, bool)
        self.fixed[self.root[0]] = True
        for labels in ledger.fixed:
            self.fixed[self.root[labels]] = True
        self.colour = np.zeros(size, np.uint64)
        for labels, event in ledger.touched:
            np.add.at(self.colour, self.root[labels], np.uint64(event & 0xFFFFFFFFFFFFFFFF))
        self.limits = np.zeros(size, np.int64)
        for labels, bits in ledger.limited:
            np.bitwise_or.at(self.limits, self.root[labels], bits)
        self.limits[torn] |= NOTHING_BUT_ORDER
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
        self.places: dict[int, list[tuple[int, int, int]]] = defaultdict(list)  # unit → (axis number, index, sign)
        for number, labels in enumerate(found.axes.values()):
            for index, label in enumerate(labels.tolist()):
                self.places[int(self.root[label])].append((number, index, int(self.sign[label])))

    def treatment(self, unit: int) -> tuple:
        """What two exchangeable units have in common, besides the blocks that they belong to."""
        return tuple(number for number, _, _ in self.places[unit]), int(self.colour[unit])


def united(ledger: Ledger, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label → unit; label → +1 or −1, how it scales with its unit; the units whose signs contradict each other."""
    pairs = [(a, b, sign) for a, b, sign in ledger.same if len(a)]
    a = np.concatenate([p[0] for p in pairs]) if pairs else np.zeros(0, np.int64)
    b = np.concatenate([p[1] for p in pairs]) if pairs else np.zeros(0, np.int64)
    turned = np.concatenate([np.full(len(p[0]), p[2] < 0) for p in pairs]) if pairs else np.zeros(0, bool)
    ones = np.ones(len(a))
    _, root = connected_components(coo_matrix((ones, (a, b)), (count, count)), directed=False)
    there = np.where(turned, b + count, b)
    back = np.where(turned, b, b + count)
    both = coo_matrix((np.ones(2 * len(a)), (np.r_[a, a + count], np.r_[there, back])), (2 * count, 2 * count))
    _, cover = connected_components(both, directed=False)
    first = np.full(int(root.max()) + 1, -1, np.int64)
    first[root[::-1]] = np.arange(count)[::-1]  # the first label of each unit: a writer, where there is one
    sign = np.where(cover[:count] == cover[first[root]], 1, -1)
    return root, sign, np.unique(root[cover[:count] == cover[count:]])


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
        self.turned: dict[str, int] = {}  # stream → −1 where its signs were turned round

    def name(self, places: list[tuple[int, int, int]], end: str = "") -> str:
        """After the module that writes the units; with a number where that is taken."""
        axes = [self.units.axes[number] for number, _, _ in places]
        plain = min(axes, key=lambda axis: (axis[1], list(self.state).index(axis[0])))[0]
        plain = plain.removesuffix(".weight").removesuffix(".bias") + end
        name, number = plain, 2
        while name in self.taken:
            name, number = f"{plain}#{number}", number + 1
        return name

    def add(
        self,
        lists: list[list[tuple[int, int, int]]],
        members: list[int],
        block: tuple[str, int] | None = None,
        called: str | None = None,
    ) -> None:
        """A stream of units with these places each, in corresponding order."""
        bits = 0
        for unit in members:
            bits |= int(self.units.limits[unit])
        bits = bits if members else NOTHING_BUT_ORDER
        name = called or self.name(lists[0], f"[{block[1]}]" if block else "")
        grouped: dict[tuple[int, int], list[list[int]]] = {}
        for row, places in enumerate(lists):
            for number, index, sign in places:
                key = (number, 0 if bits == NOTHING_BUT_ORDER else sign)
                grouped.setdefault(key, [[] for _ in lists])[row].append(index)
        places = [
            Place(tensor, self.units.axes[number][1], torch.tensor(index), sign)
            for (number, sign), index in grouped.items()
            for tensor in (self.units.axes[number][0], *self.found.aliases.get(self.units.axes[number][0], ()))
        ]
        writers = [place for place in places if place.axis == 0 and place.sign]
        self.turned[name] = -1 if writers and writers[0].sign < 0 else 1
        if self.turned[name] < 0:
            places = [Place(p.tensor, p.axis, p.index, -p.sign) for p in places]
        self.taken.add(name)
        self.members[name] = members
        bears = [not bits & bit for bit in (NOT_SCALED, NOT_FLIPPED, NOT_MIXED, NOT_TURNED)]
        self.streams.append(Stream(name, len(lists), tuple(places), *bears, block))

    def taps(self) -> dict[str, tuple[Sight, ...]]:
        """Stream → where all its units can be seen, as often each, in the order of the forward pass."""
        found: dict[str, list[Sight]] = {}
        owner = {unit: (name, row) for name, members in self.members.items() for row, unit in enumerate(members)}
        for tap in self.found.taps:
            rows: dict[str, list[list[tuple[int, int]]]] = {}
            signs = self.units.sign[tap.labels.numpy()].tolist()
            for place, unit in enumerate(self.units.root[tap.labels.numpy()].tolist()):
                if unit in owner:
                    name, row = owner[unit]
                    rows.setdefault(name, [[] for _ in self.members[name]])[row].append((place, signs[place]))
            for name, places in rows.items():
                scales = [[sign for _, sign in row] for row in places]
                if scales[0] and all(row == scales[0] for row in scales):
                    index = torch.tensor([[place for place, _ in row] for row in places])
                    found.setdefault(name, []).append(Sight(tap, index, self.turned[name] * torch.tensor(scales[0])))
        return {name: tuple(sights) for name, sights in found.items()}
