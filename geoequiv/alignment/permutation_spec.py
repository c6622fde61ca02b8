"""Which weights of a network can be exchanged: axes → permutation, one stream for all places where a unit is met."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from geoequiv.errors import AlignmentError

StateDict = Mapping[str, Tensor]
#: stream → the old unit that each place gets, ``[size]`` int64
Permutation = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Place:
    """Where the units of a stream are met in one axis of one tensor.

    Args:
        tensor: its name in the state dict; ``axis``: which axis of it.
        index: ``[size, k]``, the k coordinates that belong to each unit.
        sign: +1 where units are written or scale along with them (rows, biases), −1 where they are read (columns), 0
            where the stream bears no scaling.
        flips: bit g is set where the stream's flip g turns the numbers round.
    """

    tensor: str
    axis: int
    index: Tensor
    sign: int = 0
    flips: int = 0

    def __str__(self) -> str:
        return f"{self.tensor}[{self.axis}]"


@dataclass(frozen=True, eq=False)
class Stream:
    """Units that may be exchanged with each other, and everywhere they have to be exchanged at once.

    Args:
        name: after the first tensor that writes it.
        size: number of units.
        places: all of its places.
        scales, mixes, turns: whether the function stays the same when units are multiplied by a positive number, by any
            invertible matrix, or by an orthogonal one (and their readers by the inverse).
        flips: in how many ways a unit can be turned round; each is a set of places (``Place.flips``), whose weights
            change sign. Factors of products flip each for itself, as the vectors that a gate multiplies.
        block: the stream whose units are blocks of units like these (heads of an attention), and which of them holds
            this stream; None for a plain one.
    """

    name: str
    size: int
    places: tuple[Place, ...]
    scales: bool = False
    flips: int = 0
    mixes: bool = False
    turns: bool = False
    block: tuple[str, int] | None = None

    @property
    def rotates(self) -> bool:
        """Whether its units bear orthogonal matrices."""
        return self.mixes or self.turns

    def __str__(self) -> str:
        words = ("scales", "flips", "mixes") if self.mixes else ("scales", "flips", "turns")
        bears = [word for word in words if getattr(self, word)]
        also = f" ({', '.join(bears)})" if bears else ""
        return f"{self.name}: {self.size} units{also} in {', '.join(map(str, self.places))}"


@dataclass(frozen=True, eq=False)
class PermutationSpec:
    """The exchangeable units of a network: a value; ``permutation_spec`` derives it.

    Args:
        streams: blocks come after the streams inside them, and permutations are applied in this order.
        taps: stream → everywhere its units can be seen whole (``tracer.Sight``), in the order of the forward pass.
        shapes: tensor name → shape, of all tensors with places.
    """

    streams: tuple[Stream, ...]
    taps: Mapping[str, tuple]
    shapes: Mapping[str, tuple[int, ...]]

    def __getitem__(self, name: str) -> Stream:
        for stream in self.streams:
            if stream.name == name:
                return stream
        from geoequiv.errors import unknown

        raise AlignmentError(unknown("stream", name, [stream.name for stream in self.streams]))

    def __len__(self) -> int:
        return len(self.streams)

    def __str__(self) -> str:
        return "\n".join(map(str, self.streams))

    def inside(self, block: str) -> list[Stream]:
        """The streams inside the units of a stream of blocks."""
        return [stream for stream in self.streams if stream.block is not None and stream.block[0] == block]

    def identity(self) -> dict[str, Tensor]:
        """The permutation that changes nothing."""
        return {stream.name: torch.arange(stream.size) for stream in self.streams}

    def random(self, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """A uniform draw for every stream."""
        return {stream.name: torch.randperm(stream.size, generator=generator) for stream in self.streams}

    def kinds(self, block: str) -> list[list[Stream]]:
        """The streams inside the units of a stream of blocks, by what they are: one per block in each list."""
        lists: dict[int, list[Stream]] = {}
        for stream in self.inside(block):
            assert stream.block is not None
            lists.setdefault(stream.block[1], []).append(stream)
        return [list(kind) for kind in zip(*lists.values(), strict=True)]

    def check(self, state: StateDict) -> None:
        """Raise AlignmentError unless a state dict has the tensors and shapes that the spec was derived from."""
        for name, shape in self.shapes.items():
            if name not in state:
                raise AlignmentError(f"The architectures differ: the spec has a tensor '{name}', the state dict none.")
            if tuple(state[name].shape) != shape:
                raise AlignmentError(
                    f"The architectures differ: '{name}' is {list(shape)} in the spec and "
                    f"{list(state[name].shape)} in the state dict."
                )


def apply(spec: PermutationSpec, permutation: Permutation, state: StateDict) -> dict[str, Tensor]:
    r"""A state dict with its units exchanged.

    .. math:: W'_{i\,\cdot} = W_{p(i)\,\cdot}

    for the rows, and columns likewise.

    Args:
        permutation: stream → ``[size]``, the old unit that each place gets; streams that are missing stay.

    Returns:
        A new dict; tensors without places are the same objects.

    Exactness: exact (numbers are looked up).
    """
    spec.check(state)
    moved = dict(state)
    for stream in spec.streams:
        if stream.name not in permutation:
            continue
        order = permutation[stream.name]
        if sorted(order.tolist()) != list(range(stream.size)):
            raise AlignmentError(f"Stream '{stream.name}' has {stream.size} units; got {order.tolist()} for them.")
        for place in stream.places:
            source = torch.arange(moved[place.tensor].shape[place.axis])
            source[place.index] = place.index[order]
            moved[place.tensor] = moved[place.tensor].index_select(place.axis, source.to(state[place.tensor].device))
    return moved


def scale(spec: PermutationSpec, factors: Mapping[str, Tensor], state: StateDict) -> dict[str, Tensor]:
    r"""A state dict with its units multiplied by factors :math:`s_i`, and their readers divided by them.

    Args:
        factors: stream → ``[size]``, positive for a stream that scales, ±1 for one that flips; ``[flips, size]`` where
            it flips in several ways: the signs of each, and the sizes as those of the first row.

    Raises:
        AlignmentError: a stream that does not bear it.
    """
    spec.check(state)
    moved = dict(state)
    for name, values in factors.items():
        stream = spec[name]
        rows = values if values.ndim == 2 else values.unsqueeze(0)
        sizes, signs = rows[0].abs(), rows.sign()
        needed = int((signs < 0).any(1).nonzero().max()) + 1 if bool((signs < 0).any()) else 0
        bad = bool((rows == 0).any()) or bool((rows[1:].abs() != 1).any())
        if bad or needed > stream.flips or (bool((sizes != 1).any()) and not stream.scales):
            raise AlignmentError(f"Stream '{stream}' does not bear these factors: {values.tolist()}.")
        for place in stream.places:
            factor = sizes**place.sign
            for number, sign in enumerate(signs):
                factor = factor * sign if place.flips >> number & 1 else factor
            tensor = moved[place.tensor]
            line = torch.ones(tensor.shape[place.axis], dtype=tensor.dtype, device=tensor.device)
            line[place.index] = factor.to(tensor).unsqueeze(-1).expand(place.index.shape)
            moved[place.tensor] = tensor * line.reshape(-1, *(1,) * (tensor.ndim - place.axis - 1))
    return moved


def mix(spec: PermutationSpec, matrices: Mapping[str, Tensor], state: StateDict) -> dict[str, Tensor]:
    r"""A state dict with the units of streams mixed: writers by M, readers by :math:`M^{-\top}`.

    Args:
        matrices: stream → ``[size, size]``, invertible; orthogonal for a stream that turns.

    Raises:
        AlignmentError: a stream that does not bear it.
    """
    spec.check(state)
    moved = dict(state)
    for name, matrix in matrices.items():
        stream = spec[name]
        if not (stream.mixes or (stream.rotates and orthogonal(matrix))):
            bears = "mixed but by orthogonal matrices" if stream.turns else "mixed"
            raise AlignmentError(f"The units of stream '{stream}' cannot be {bears}.")
        for place in stream.places:
            tensor = moved[place.tensor].movedim(place.axis, 0).clone()
            turn = matrix.to(tensor) if place.sign > 0 else torch.linalg.inv(matrix.to(tensor)).mT
            tensor[place.index] = torch.einsum("ij,jk...->ik...", turn, tensor[place.index])
            moved[place.tensor] = tensor.movedim(0, place.axis)
    return moved


def orthogonal(matrix: Tensor, tolerance: float = 1e-6) -> bool:
    r"""Whether :math:`M M^\top` is the identity."""
    return bool(torch.allclose(matrix @ matrix.mT, torch.eye(len(matrix)).to(matrix), atol=tolerance))


def compose(first: Permutation, then: Permutation) -> dict[str, Tensor]:
    """The permutation that does ``first``, then ``then``, for streams without blocks.

    ``apply(then, apply(first, state)) = apply(compose(first, then), state)``.
    """
    return {name: first[name][order] for name, order in then.items()}


def inverse(permutation: Permutation) -> dict[str, Tensor]:
    """The permutation that undoes another, for streams without blocks."""
    return {name: order.argsort() for name, order in permutation.items()}
