"""Linear maps steered by attributes: the fully connected tensor product with harmonics of which there is one each.

Its weights are shared by all nodes (or pairs), so that it is a few matrix products and small constant couplings.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geoequiv.models.layers.clebsch_gordan import Couplings, Triple
from geoequiv.models.layers.pairs import Pairs
from geoequiv.models.layers.steerable import SCALAR, Channels, Kind, Steerable
from geoequiv.models.layers.tensor_products import Path, paths_between, sent


@dataclass(frozen=True)
class Attributes:
    """Harmonics that steer, by degree, and the matrices that couple features to them.

    Args:
        degrees: ``[..., 2l+1]`` for l = 0, 1, …; degree 0 is 1 and is not read.
        kernels: ``[..., 2l3+1, 2l1+1]`` by degrees, where neither l1 nor l2 nor l3 is 0.
    """

    degrees: tuple[Tensor, ...]
    kernels: dict[Triple, Tensor]

    @classmethod
    def of(cls, harmonics: Tensor, couplings: Couplings) -> "Attributes":
        """Attributes from ``[..., (l_max + 1)²]``; ``couplings`` of the degrees of which none is 0."""
        l_max = math.isqrt(harmonics.shape[-1]) - 1
        degrees = harmonics.split([2 * degree + 1 for degree in range(l_max + 1)], dim=-1)
        return cls(degrees, couplings(harmonics) if couplings.triples else {})

    def couple(self, triple: Triple, values: Tensor) -> Tensor:
        """(x ⊗ Y)^{l3}: ``[..., 2l1+1, C]`` → ``[..., 2l3+1, C]``, each channel by itself."""
        l1, l2, l3 = triple
        if l2 == 0:
            return values
        if l1 == 0:
            return values * self.degrees[l2].unsqueeze(-1)
        if l3 == 0:
            return (values * (self.degrees[l2] * (2 * l2 + 1) ** -0.5).unsqueeze(-1)).sum(-2, keepdim=True)
        return self.kernels[triple] @ values


class SteeredLinear(nn.Module):
    r"""All couplings of features with attributes, each with a full matrix of weights.

    .. math:: o^{k_3} = \sum_{k_1, l_2} (h^{k_1} \otimes Y_{l_2})^{k_3} W^{k_1 l_2 k_3} + b

    Channels are mixed on the side of the coupling that has fewer components.

    Args:
        inputs: channels by kind.
        outputs: channels by kind; those that no coupling reaches are left out of the result.
        l_max: highest degree of the attributes.
        parity: whether features have parities (O(3)) or not (SO(3)).
        scale: factor on the initial weights.
        sides: nodes with ``inputs`` each that it maps at once: 2 for a pair (`SteeredPairLinear`).
        edges: scalars of a pair.
    """

    def __init__(
        self,
        inputs: Channels,
        outputs: Channels,
        l_max: int,
        parity: bool,
        *,
        scale: float = 1.0,
        sides: int = 1,
        edges: int = 0,
    ) -> None:
        super().__init__()
        self.inputs = dict(inputs)
        self.paths = paths_between(inputs, outputs, l_max, parity)
        self.outputs: Channels = {
            kind: count for kind, count in outputs.items() if any(last == kind for _, _, last in self.paths)
        }
        self.before: dict[Kind, list[Path]] = {kind: [] for kind in inputs}  # mixed, then coupled
        self.after: list[Path] = []  # coupled, then mixed
        for path in self.paths:
            if path[0][0] <= path[2][0] or path[1] == 0:
                self.before[path[0]].append(path)
            else:
                self.after.append(path)
        fan = dict.fromkeys(self.outputs, 0)
        for first, _, last in self.paths:
            fan[last] += sides * inputs[first] + (edges if first == SCALAR else 0)

        def drawn(rows: int, path: Path) -> Tensor:
            bound = scale * (4 * math.pi * fan[path[2]]) ** -0.5
            return torch.empty(rows, self.outputs[path[2]]).uniform_(-bound, bound)

        def joint(side_rows: int, kind: Kind) -> nn.Parameter:
            return nn.Parameter(torch.cat([drawn(side_rows, path) for path in self.before[kind]], dim=1))

        self.mix = nn.ModuleList(
            nn.ParameterList(joint(count, kind) for kind, count in inputs.items() if self.before[kind])
            for _ in range(sides)
        )
        self.mix_after = nn.ModuleList(
            nn.ParameterList(nn.Parameter(drawn(inputs[path[0]], path)) for path in self.after) for _ in range(sides)
        )
        self.mix_edges = joint(edges, SCALAR) if edges else None
        self.bias = nn.Parameter(torch.zeros(self.outputs[SCALAR])) if SCALAR in self.outputs else None

    def forward(self, features: Steerable, attributes: Attributes) -> Steerable:
        """``[..., 2l+1, C]`` by kind, attributes ``[..., ·]`` → features with ``outputs``."""
        mixed = self._mixed(features, 0)
        result = self._couple(mixed, attributes)
        for path, weight in zip(self.after, weights_of(self.mix_after, 0), strict=True):
            add_to(result, path[2], attributes.couple(degrees(path), features[path[0]]) @ weight)
        return self._biased(result)

    def _mixed(self, features: Steerable, side: int) -> Steerable:
        kinds = [kind for kind in self.inputs if self.before[kind]]
        return {kind: features[kind] @ weight for kind, weight in zip(kinds, weights_of(self.mix, side), strict=True)}

    def _couple(self, mixed: Steerable, attributes: Attributes) -> Steerable:
        result: Steerable = {}
        for kind, values in mixed.items():
            sizes = [self.outputs[path[2]] for path in self.before[kind]]
            for path, part in zip(self.before[kind], values.split(sizes, dim=-1), strict=True):
                add_to(result, path[2], attributes.couple(degrees(path), part))
        return result

    def _biased(self, result: Steerable) -> Steerable:
        if self.bias is not None:
            result[SCALAR] = result[SCALAR] + self.bias
        return result


class SteeredPairLinear(SteeredLinear):
    """The same of receivers, senders and scalars of pairs side by side, without the concatenation.

    What can be mixed before it is coupled is mixed once per node, not once per pair.

    Args:
        inputs: channels of a node by kind.
        outputs: channels of a pair by kind.
        l_max: highest degree of the attributes.
        parity: whether features have parities (O(3)) or not (SO(3)).
        edges: scalars of a pair.
    """

    def __init__(self, inputs: Channels, outputs: Channels, l_max: int, parity: bool, *, edges: int) -> None:
        super().__init__(inputs, outputs, l_max, parity, sides=2, edges=edges)

    def forward(  # type: ignore[override]
        self, pairs: Pairs, nodes: Steerable, edges: Tensor, attributes: Attributes
    ) -> Steerable:
        """Features of nodes and ``[..., N, N−1, edges]`` (or ``[E, edges]``) → features of pairs with ``outputs``."""
        receive, send = self._mixed(nodes, 0), self._mixed(nodes, 1)
        mixed = {kind: received(pairs, receive[kind]) + sent(pairs, send[kind]) for kind in receive}
        if self.mix_edges is not None:
            mixed[SCALAR] = mixed[SCALAR] + (edges @ self.mix_edges.T.contiguous().T).unsqueeze(-2)
        result = self._couple(mixed, attributes)
        sources = {path[0] for path in self.after}
        ends = [{kind: side(pairs, nodes[kind]) for kind in sources} for side in (received, sent)]
        for number, side in enumerate(ends):
            for path, weight in zip(self.after, weights_of(self.mix_after, number), strict=True):
                add_to(result, path[2], attributes.couple(degrees(path), side[path[0]]) @ weight)
        return self._biased(result)


def weights_of(lists: nn.ModuleList, side: int) -> nn.ParameterList:
    """The weights of one side."""
    found = lists[side]
    assert isinstance(found, nn.ParameterList)
    return found


def degrees(path: Path) -> Triple:
    """The degrees of a path."""
    return path[0][0], path[1], path[2][0]


def received(pairs: Pairs, values: Tensor) -> Tensor:
    """Features of i for each pair: ``[..., N, 2l+1, C]`` → ``[..., N, 1, 2l+1, C]`` (or ``[E, 2l+1, C]``)."""
    return pairs.receiver(values.flatten(-2)).unflatten(-1, tuple(values.shape[-2:]))


def add_to(result: Steerable, kind: Kind, values: Tensor) -> None:
    """Add to what is there of this kind."""
    result[kind] = result[kind] + values if kind in result else values
