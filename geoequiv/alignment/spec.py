"""Which weights of a network can be permuted without changing its function, and how to permute, scale and mix them.

A *stream* is a set of hidden units that share one permutation, with every place of the weights where they are written
or read. In a transformer the residual stream is one, and each head has its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from geoequiv.errors import AlignmentError, unknown

StateDict = Mapping[str, Tensor]
#: stream → for each unit, the index of the old unit that takes its place, ``[size]`` int64
Permutation = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Place:
    """Where one axis of one tensor belongs to the units of a stream.

    Args:
        tensor: its name in the state dict; ``axis``: which axis of it.
        index: ``[size, k]``, the k coordinates of each unit along the axis.
        sign: +1 where units are written (rows, biases), so that the weights scale with them, −1 where they are read
            (columns), 0 where scaling the units changes the function.
        flips: bit g is set where the stream's sign flip g negates the weights.
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
    """Hidden units that share one permutation, and all places where it acts.

    Args:
        name: of the first module that writes it.
        size: number of units.
        places: all of its places.
        scales, mixes, rotates: whether the function stays the same when the units are multiplied by positive numbers,
            by any invertible matrix, or by an orthogonal one (and their readers by the inverse).
        flips: number of independent sign flips of a unit; each is a set of places (``Place.flips``) whose weights
            change sign. The factors of a product, such as a gate and what it multiplies, flip independently.
        block: the stream whose units are blocks of units like these (attention heads), and the index of the block that
            holds this stream; None for a plain stream.
    """

    name: str
    size: int
    places: tuple[Place, ...]
    scales: bool = False
    flips: int = 0
    mixes: bool = False
    rotates: bool = False
    block: tuple[str, int] | None = None

    @property
    def rotatable(self) -> bool:
        """Whether an orthogonal matrix on its units leaves the function as it is."""
        return self.mixes or self.rotates

    def __str__(self) -> str:
        words = ("scales", "flips", "mixes") if self.mixes else ("scales", "flips", "rotates")
        allowed = [word for word in words if getattr(self, word)]
        also = f" ({', '.join(allowed)})" if allowed else ""
        return f"{self.name}: {self.size} units{also} in {', '.join(map(str, self.places))}"


@dataclass(frozen=True, eq=False)
class PermutationSpec:
    """The permutable hidden units of a network: a value; ``permutation_spec`` derives it.

    Args:
        streams: in the order in which permutations are applied; blocks come after the streams inside them.
        taps: stream → where modules return all its units (``tracer.Sight``), in the order of the forward pass.
        shapes: tensor name → shape, of all tensors with places.
    """

    streams: tuple[Stream, ...]
    taps: Mapping[str, tuple]
    shapes: Mapping[str, tuple[int, ...]]

    def __getitem__(self, name: str) -> Stream:
        for stream in self.streams:
            if stream.name == name:
                return stream
        raise AlignmentError(unknown("stream", name, [stream.name for stream in self.streams]))

    def __len__(self) -> int:
        return len(self.streams)

    def __str__(self) -> str:
        return "\n".join(map(str, self.streams))

    def inside(self, block: str) -> list[Stream]:
        """The streams inside the units of a stream of blocks."""
        return [stream for stream in self.streams if stream.block is not None and stream.block[0] == block]

    def identity(self) -> dict[str, Tensor]:
        """The identity permutation of every stream."""
        return {stream.name: torch.arange(stream.size) for stream in self.streams}

    def random(self, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """A uniformly random permutation of every stream."""
        return {stream.name: torch.randperm(stream.size, generator=generator) for stream in self.streams}

    def kinds(self, block: str) -> list[list[Stream]]:
        """The streams inside the units of a stream of blocks, one list a kind: one stream per block in each."""
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
    r"""A state dict with its units permuted.

    .. math:: W'_{i\,\cdot} = W_{p(i)\,\cdot}

    for the rows, and columns likewise.

    Args:
        permutation: stream → ``[size]``, for each unit the index of the old unit that takes its place; missing streams
            are left as they are.

    Returns:
        A new dict; tensors without places are the same objects.

    Exactness: exact (an index operation).
    """
    spec.check(state)
    changed = dict(state)
    for stream in spec.streams:
        if stream.name not in permutation:
            continue
        order = permutation[stream.name]
        if sorted(order.tolist()) != list(range(stream.size)):
            raise AlignmentError(
                f"Stream '{stream.name}' has {stream.size} units; {order.tolist()} is no permutation of them."
            )
        for place in stream.places:
            source = torch.arange(changed[place.tensor].shape[place.axis])
            source[place.index] = place.index[order]
            changed[place.tensor] = changed[place.tensor].index_select(
                place.axis, source.to(state[place.tensor].device)
            )
    return changed


def scale(spec: PermutationSpec, factors: Mapping[str, Tensor], state: StateDict) -> dict[str, Tensor]:
    r"""A state dict with its units multiplied by factors :math:`s_i`, and their readers divided by them.

    Args:
        factors: stream → ``[size]``, positive for a stream that scales, ±1 for one that flips; ``[flips, size]`` where
            it has several flips: the signs of each, and the magnitudes in the first row.

    Raises:
        AlignmentError: these factors would change the function.
    """
    spec.check(state)
    changed = dict(state)
    for name, values in factors.items():
        stream = spec[name]
        rows = values if values.ndim == 2 else values.unsqueeze(0)
        sizes, signs = rows[0].abs(), rows.sign()
        needed = int((signs < 0).any(1).nonzero().max()) + 1 if bool((signs < 0).any()) else 0
        bad = bool((rows == 0).any()) or bool((rows[1:].abs() != 1).any())
        if bad or needed > stream.flips or (bool((sizes != 1).any()) and not stream.scales):
            raise AlignmentError(
                f"Multiplying the units of stream '{stream}' by {values.tolist()} would change the function."
            )
        for place in stream.places:
            factor = sizes**place.sign
            for number, sign in enumerate(signs):
                factor = factor * sign if place.flips >> number & 1 else factor
            tensor = changed[place.tensor]
            line = torch.ones(tensor.shape[place.axis], dtype=tensor.dtype, device=tensor.device)
            line[place.index] = factor.to(tensor).unsqueeze(-1).expand(place.index.shape)
            changed[place.tensor] = tensor * line.reshape(-1, *(1,) * (tensor.ndim - place.axis - 1))
    return changed


def mix(spec: PermutationSpec, matrices: Mapping[str, Tensor], state: StateDict) -> dict[str, Tensor]:
    r"""A state dict with the units of streams mixed: writers by M, readers by :math:`M^{-\top}`.

    Args:
        matrices: stream → ``[size, size]``, invertible; orthogonal for a stream that rotates.

    Raises:
        AlignmentError: these matrices would change the function.
    """
    spec.check(state)
    changed = dict(state)
    for name, matrix in matrices.items():
        stream = spec[name]
        if not (stream.mixes or (stream.rotates and orthogonal(matrix))):
            how = "mixed by a matrix that is not orthogonal" if stream.rotates else "mixed"
            raise AlignmentError(f"The units of stream '{stream}' cannot be {how}.")
        for place in stream.places:
            tensor = changed[place.tensor].movedim(place.axis, 0).clone()
            factor = matrix.to(tensor) if place.sign > 0 else torch.linalg.inv(matrix.to(tensor)).mT
            tensor[place.index] = torch.einsum("ij,jk...->ik...", factor, tensor[place.index])
            changed[place.tensor] = tensor.movedim(0, place.axis)
    return changed


def orthogonal(matrix: Tensor, tolerance: float = 1e-6) -> bool:
    r"""Whether :math:`M M^\top` is the identity."""
    return bool(torch.allclose(matrix @ matrix.mT, torch.eye(len(matrix)).to(matrix), atol=tolerance))


def compose(first: Permutation, then: Permutation) -> dict[str, Tensor]:
    """The permutation that applies ``first``, then ``then``, for streams without blocks.

    ``apply(then, apply(first, state)) = apply(compose(first, then), state)``.
    """
    return {name: first[name][order] for name, order in then.items()}


def inverse(permutation: Permutation) -> dict[str, Tensor]:
    """The inverse permutation, for streams without blocks."""
    return {name: order.argsort() for name, order in permutation.items()}
