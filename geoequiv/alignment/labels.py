"""Labels that follow tensors through a network: which hidden unit each number belongs to.

A *layer* of a tensor is an int64 tensor of its shape that gives, for each of its numbers, the label of one unit (0:
none, fixed). A weight matrix has two layers, for its rows and its columns; features have one. Operations that reshape,
slice or concatenate tensors are applied to the layers as well, so that only operations that compute something need a
rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

Layers = list[Tensor]

#: what would change the function, as bits: multiplying a unit by a positive number, by −1, mixing it with others by an
#: invertible matrix, by an orthogonal one
NOT_SCALED, NOT_FLIPPED, NOT_MIXED, NOT_ROTATED = 1, 2, 4, 8
ONLY_SIGN = NOT_SCALED | NOT_MIXED | NOT_ROTATED
ONLY_ORDER = NOT_SCALED | NOT_FLIPPED | NOT_MIXED | NOT_ROTATED


def varies(layer: Tensor, dim: int) -> bool:
    """Whether a tensor is not constant along an axis."""
    if layer.shape[dim] <= 1 or layer.stride(dim) == 0:
        return False
    return bool((layer != layer.narrow(dim, 0, 1)).any())


def varying_axes(layer: Tensor) -> list[int]:
    """The axes along which a layer varies."""
    return [dim for dim in range(layer.ndim) if varies(layer, dim)]


def thin(layer: Tensor) -> Tensor:
    """A layer reduced to length 1 along every axis where it is constant."""
    for dim in range(layer.ndim):
        if layer.shape[dim] > 1 and not varies(layer, dim):
            layer = layer.narrow(dim, 0, 1)
    return layer


@dataclass
class Ledger:
    """What a trace learns about labels.

    Args:
        same: pairs of labels of one unit, and +1 (they scale alike) or −1 (inversely).
        inside: pairs (label, block): the unit is part of the block.
        fixed: labels that cannot be permuted.
        touched: label → the operations applied to it; units that are treated differently differ in them.
        limited: label → bits of what would change the function.
        tied: pairs of labels of one unit, with independent signs.
        products: ``[3, n]`` labels of products and of their two factors, whose signs multiply to that of the product.
        known: what ``same`` holds already.
        least: the least label of each unit, and the state of the ledger when it was computed.
    """

    count: int = 1
    same: list[tuple[np.ndarray, np.ndarray, int]] = field(default_factory=list)
    inside: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    fixed: list[np.ndarray] = field(default_factory=list)
    touched: list[tuple[np.ndarray, int]] = field(default_factory=list)
    limited: list[tuple[np.ndarray, int]] = field(default_factory=list)
    tied: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    products: list[np.ndarray] = field(default_factory=list)
    known: set[tuple[bytes, int]] = field(default_factory=set)
    least: tuple[tuple[int, int], Tensor] | None = None

    def fresh(self, size: int) -> Tensor:
        """New labels ``[size]``."""
        self.count += size
        return torch.arange(self.count - size, self.count)

    def unify(self, a: Tensor, b: Tensor, sign: int = 1) -> None:
        """Two layers (broadcast) label the same units; where one of them has none, the other is fixed."""
        a, b = torch.broadcast_tensors(a, b)
        pairs = np.unique(np.stack([a.reshape(-1).numpy(), b.reshape(-1).numpy()]), axis=1)
        some = (pairs != 0).all(0)
        if (key := (pairs.tobytes(), sign)) in self.known:
            return
        self.known.add(key)
        self.same.append((pairs[0, some], pairs[1, some], sign))
        self.fixed.append(pairs[:, ~some].reshape(-1))

    def settled(self, layer: Tensor) -> Tensor:
        """A layer in which all labels that are known to be one unit are replaced by the least of them."""
        state = (self.count, len(self.same))
        if self.least is None or self.least[0] != state:
            pairs = (
                np.concatenate([np.stack(pair[:2]) for pair in self.same], axis=1) if self.same else np.zeros((2, 0))
            )
            graph = coo_matrix((np.ones(pairs.shape[1]), pairs.astype(np.int64)), (self.count, self.count))
            parts, root = connected_components(graph, directed=False)
            least = np.full(parts, self.count, np.int64)
            np.minimum.at(least, root, np.arange(self.count))
            self.least = (state, torch.from_numpy(least[root]))
        return self.least[1][layer]

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        """The layer of an elementwise product of two layers of the same units: same order, signs of its own."""
        shape = torch.broadcast_shapes(a.shape, b.shape)
        a, b = torch.broadcast_tensors(*thin_pair(a.expand(shape), b.expand(shape)))
        pairs, place = np.unique(np.stack([a.reshape(-1).numpy(), b.reshape(-1).numpy()]), axis=1, return_inverse=True)
        some = (pairs != 0).all(0)
        self.fixed.append(pairs[:, ~some].reshape(-1))
        labels = np.zeros(len(some), np.int64)
        labels[some] = self.fresh(int(some.sum())).numpy()
        triples = np.stack([labels[some], *pairs[:, some]])
        self.products.append(triples)
        self.tied += [(triples[0], triples[1]), (triples[0], triples[2])]
        self.limited.append((triples.reshape(-1), ONLY_SIGN))
        return torch.from_numpy(labels[place.reshape(-1)]).reshape(a.shape).expand(shape)

    def belong(self, units: Tensor, blocks: Tensor) -> None:
        """Units are parts of blocks (broadcast)."""
        units, blocks = torch.broadcast_tensors(units, blocks)
        pairs = np.unique(np.stack([units.reshape(-1).numpy(), blocks.reshape(-1).numpy()]), axis=1)
        pairs = pairs[:, (pairs != 0).all(0)]
        self.inside.append((pairs[0], pairs[1]))

    def fix(self, layer: Tensor) -> None:
        """These units cannot be permuted."""
        self.fixed.append(np.unique(thin(layer).numpy()))

    def touch(self, layer: Tensor, event: int) -> None:
        """An operation was applied to these units."""
        self.touched.append((np.unique(thin(layer).numpy()), event))

    def colour(self, layer: Tensor, dim: int) -> None:
        """Units at different positions along an axis are treated differently."""
        for place, part in enumerate(layer.unbind(dim)):
            self.touch(part, hash((-1 - len(self.touched), place)))

    def limit(self, layer: Tensor, bits: int) -> None:
        """Doing to these units what the bits say would change the function."""
        if bits:
            self.limited.append((np.unique(thin(layer).numpy()), bits))

    def block(self, layer: Tensor, dims: list[int]) -> Tensor:
        """Labels of the blocks of units along some axes: the layer's shape, 1 along them.

        The units become parts of their block. Numbers that hold the same units get the same label.
        """
        key = layer.amin(dims, keepdim=True)
        values, place = torch.unique(key, return_inverse=True)
        fresh = self.fresh(len(values))[place].reshape(key.shape)
        self.belong(thin_pair(layer, fresh)[0], thin_pair(layer, fresh)[1])
        return fresh

    def join(self, found: Layers, *, sign: int = 1) -> Layers:
        """Merge layers of one tensor: equal partitions become one, and blocks are dropped in favour of their units."""
        kept: Layers = []
        for layer in found:
            if not bool(thin(layer).any()):
                continue
            for i, other in enumerate(kept):
                relation = self.relation(other, layer)
                if relation == "same":
                    self.unify(*thin_pair(other, layer), sign)
                elif relation == "first is finer":
                    self.belong(*thin_pair(other, layer))
                    self.limit(layer, ONLY_ORDER)
                elif relation == "second is finer":
                    self.belong(*thin_pair(layer, other))
                    self.limit(other, ONLY_ORDER)
                    kept[i] = layer
                else:
                    continue
                break
            else:
                kept.append(layer)
        return kept

    @staticmethod
    def relation(a: Tensor, b: Tensor) -> str:
        """How the partitions into units by two layers of one tensor are related."""
        a, b = thin_pair(a, b)
        a, b = (part.reshape(-1).numpy() for part in torch.broadcast_tensors(a, b))
        some = (a != 0) & (b != 0)
        pairs = np.unique(np.stack([a[some], b[some]]), axis=1)
        first, second, both = len(np.unique(pairs[0])), len(np.unique(pairs[1])), pairs.shape[1]
        if both == first == second:
            return "same"
        return "first is finer" if both == first else "second is finer" if both == second else "unrelated"


def thin_pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two layers of one tensor, reduced to length 1 along the axes where both are constant."""
    for dim in range(a.ndim):
        if not varies(a, dim) and not varies(b, dim):
            a, b = a.narrow(dim, 0, 1), b.narrow(dim, 0, 1)
    return a, b


def tensors_in(tree: object) -> Iterator[Tensor]:
    """All tensors of nested lists, tuples and dicts, in order."""
    from torch.utils._pytree import tree_flatten

    return (leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor))
