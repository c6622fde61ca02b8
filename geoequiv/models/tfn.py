"""Tensor field network (Thomas et al. 2018)."""

from itertools import pairwise
from typing import Any, Literal

from torch import Tensor, nn

from geoequiv.fields import Signature
from geoequiv.models.layers.clebsch_gordan import Couplings, Harmonics
from geoequiv.models.layers.pairs import Pairs
from geoequiv.models.layers.steerable import (
    HEAD_SCALE,
    Activation,
    Channels,
    Steerable,
    SteerableAdapter,
    SteerableLinear,
    plus,
)
from geoequiv.models.layers.tensor_products import (
    Kernels,
    PairConvolution,
    RadialWeights,
    hidden_of,
    kinds_by_layer,
    pair_geometry,
    pair_scalars,
    triples_of,
)
from geoequiv.ranges import NonNegativeInt, PositiveInt, check_ranges


@check_ranges
class TFN(nn.Module):
    r"""Convolutions with learned radial functions times spherical harmonics, on features of several degrees.

    .. math::
        m_i &= \sum_{p} W^p \tfrac{1}{N-1} \sum_{j \neq i} R^p(\|r_{ij}\|, a_{ij}) \odot
            \bigl((U h_j)^{l_1} \otimes Y_{l_2}(\hat r_{ij})\bigr)^{l_3} \\
        h_i &\leftarrow h_i + \sigma(m_i + V h_i)

    Products act channel by channel (``uvu``) and a linear map mixes channels and paths: a full matrix of weights per
    pair, as first published, costs C times the radial function and is no better here. Pair features are the
    distance and the products of the scalars.

    Args:
        signature: fields of any type that has irreps, with at least one input point.
        width: channels of each degree.
        depth: convolutions.
        l_max: highest degree of features and of harmonics.
        parity: True for features with parities (O(3)); False without, which allows couplings that break reflections
            (SO(3), as first published).
        radial: hidden features of the radial functions.
        nonlinearity: σ, "gate" or "norm" (see ``Activation``).
        centred: whether positions relative to the centroid of the cloud are node features.
        node_scalars: whether scalars are node features, beside their products on pairs.

    Raises:
        SignatureError: for fields without irreps, or without an input point.

    Exactness: equivariant to E(3) (``parity=False``: SE(3)) and to permutations up to round-off. Directions of pairs
    closer than 1e-4 shrink smoothly to 0.
    Reference: Thomas et al. 2018, equations 3–9; the gate is that of Weiler et al. 2018, the residual ours.
    """

    claims = "E(3)"
    compiles = "one graph"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 32,
        depth: PositiveInt = 4,
        *,
        l_max: NonNegativeInt = 2,
        parity: bool = True,
        radial: PositiveInt = 32,
        nonlinearity: Literal["gate", "norm"] = "gate",
        centred: bool = True,
        node_scalars: bool = True,
    ) -> None:
        super().__init__()
        if not parity:
            self.claims = "SE(3)"
        self.adapter = adapter = SteerableAdapter(
            signature, architecture="TFN", parity=parity, centred=centred, node_scalars=node_scalars
        )
        hidden = adapter.hidden(width, l_max)
        l_max = max(degree for degree, _ in hidden)
        kinds = kinds_by_layer(adapter, hidden, depth, l_max)
        self.embed = SteerableLinear(adapter.inputs, hidden_of(kinds[0], width))
        layers = [
            Convolution(
                hidden_of(before, width), hidden_of(after, width), adapter.pair_invariants, l_max,
                parity=parity, radial=radial, nonlinearity=nonlinearity,
            )
            for before, after in pairwise(kinds)
        ]  # fmt: skip
        self.layers = nn.ModuleList(layers)
        self.head = SteerableLinear(hidden_of(kinds[-1], width), adapter.outputs, scale=HEAD_SCALE)
        self.harmonics = Harmonics(l_max)
        self.couplings = Couplings(triples_of(*(layer.convolve.paths for layer in layers)), l_max)

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        pairs = cloud.pairs()
        start, directions = self.adapter.start(cloud)
        kernels = pair_geometry(pairs, start, self.harmonics, self.couplings, mean=True)
        invariants = pair_scalars(cloud, pairs)
        nodes = self.embed(self.adapter.features(cloud, start, directions))
        for layer in self.layers:
            nodes = layer(pairs, kernels, nodes, invariants)
        return self.adapter.write_steerable(cloud, self.head(nodes))


class Convolution(nn.Module):
    """One convolution with its residual, self-interaction and gate.

    Args:
        before: channels that come in, the same number of each kind.
        after: channels that go out.
        invariants: features of a pair.
        l_max: highest degree of the harmonics.
        parity: whether features have parities (O(3)) or not (SO(3)).
        radial: hidden features of the radial functions.
        nonlinearity: "gate" or "norm".
    """

    def __init__(
        self,
        before: Channels,
        after: Channels,
        invariants: int,
        l_max: int,
        *,
        parity: bool,
        radial: int,
        nonlinearity: str,
    ) -> None:
        super().__init__()
        self.activation = Activation(nonlinearity, after)
        self.convolve = PairConvolution(before, self.activation.needs, l_max, parity)
        self.send = SteerableLinear(before, {kind: before[kind] for kind in self.convolve.sources}, bias=False)
        self.keep = SteerableLinear(before, self.activation.needs)
        self.radial = RadialWeights(invariants, radial, self.convolve.weights)

    def forward(self, pairs: Pairs, kernels: Kernels, nodes: Steerable, invariants: Tensor) -> Steerable:
        """Features of nodes → the same, with the kinds that go out."""
        received = self.convolve(pairs, kernels, self.send(nodes), self.radial(invariants))
        updated = self.activation(plus(received, self.keep(nodes)))
        return {kind: values + nodes[kind] if kind in nodes else values for kind, values in updated.items()}
