"""SE(3)-Transformer (Fuchs et al. 2020)."""

from itertools import pairwise
from typing import Any, Literal

from torch import Tensor, nn

from geoequiv.errors import SignatureError
from geoequiv.fields import Signature
from geoequiv.models.layers.clebsch_gordan import Couplings, Harmonics
from geoequiv.models.layers.pairs import AllPairs, Pairs
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
    sent,
    softmax_over_senders,
    triples_of,
)
from geoequiv.ranges import NonNegativeInt, PositiveInt, check_ranges


@check_ranges
class SE3Transformer(nn.Module):
    r"""Attention between nodes whose queries, keys and values are features of several degrees.

    .. math::
        k_{ij} = \sum_p R^p_K(\|r_{ij}\|, a_{ij}) \odot (U_K h_j \otimes Y_{l_2}(\hat r_{ij})), \qquad
        \alpha_{ij} = \operatorname{softmax}_j \langle Q h_i, k_{ij} \rangle, \qquad
        h_i \leftarrow h_i + \sigma\bigl(V h_i + \textstyle\sum_j \alpha_{ij} v_{ij}\bigr)

    with values :math:`v_{ij}` made as the keys are, but with a linear map of the paths. Inner products are over all
    degrees, components and the channels of a head, so that attention is invariant. Couplings act channel by channel
    (``uvu``) as in our TFN; keys are never formed per component: the transposed kernel is applied to the query instead.

    Args:
        signature: fields of any type that has irreps, with at least one input point.
        width: channels of each degree.
        depth: attention layers (published: 4).
        l_max: highest degree of features and of harmonics (published: 3).
        heads: attention heads, a divisor of ``width / division``.
        division: channels of the features over those of queries, keys and values (published code: ``div``).
        parity: True for features with parities (O(3)); False, as published, without (SO(3)).
        radial: hidden features of the radial functions (published: 32).
        nonlinearity: σ, "gate" or "norm" (see ``Activation``).
        centred: whether positions relative to the centroid of the cloud are node features.
        node_scalars: whether scalars are node features, beside their products on pairs.

    Raises:
        SignatureError: for fields without irreps, without an input point, or heads that do not divide the channels.

    Exactness: equivariant to SE(3) (``parity=True``: E(3)) and to permutations up to round-off.
    Reference: Fuchs, Worrall, Fischer & Welling 2020, equations 10–13; the gate and the residual are ours.
    """

    claims = "SE(3)"
    compiles = "one graph"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 32,
        depth: PositiveInt = 4,
        *,
        l_max: NonNegativeInt = 2,
        heads: PositiveInt = 4,
        division: PositiveInt = 2,
        parity: bool = False,
        radial: PositiveInt = 32,
        nonlinearity: Literal["gate", "norm"] = "gate",
        centred: bool = True,
        node_scalars: bool = True,
    ) -> None:
        super().__init__()
        if parity:
            self.claims = "E(3)"
        if width % (heads * division):
            raise SignatureError(
                f"SE3Transformer: a width of {width} divided by {division} does not split into {heads} heads."
            )
        self.adapter = adapter = SteerableAdapter(
            signature, architecture="SE3Transformer", parity=parity, centred=centred, node_scalars=node_scalars
        )
        hidden = adapter.hidden(width, l_max)
        l_max = max(degree for degree, _ in hidden)
        kinds = kinds_by_layer(adapter, hidden, depth, l_max)
        self.embed = SteerableLinear(adapter.inputs, hidden_of(kinds[0], width))
        layers = [
            Attention(
                hidden_of(before, width), hidden_of(after, width), adapter.pair_invariants, l_max,
                parity=parity, radial=radial, nonlinearity=nonlinearity, heads=heads, division=division,
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
        kernels = pair_geometry(pairs, start, self.harmonics, self.couplings, mean=False)
        invariants = pair_scalars(cloud, pairs)
        nodes = self.embed(self.adapter.features(cloud, start, directions))
        for layer in self.layers:
            nodes = layer(pairs, kernels, nodes, invariants)
        return self.adapter.write_steerable(cloud, self.head(nodes))


class Attention(nn.Module):
    """One attention layer with its residual, self-interaction and nonlinearity.

    Args:
        before: channels that come in, the same number of each kind.
        after: channels that go out.
        invariants: features of a pair.
        l_max: highest degree of the harmonics.
        parity: whether features have parities (O(3)) or not (SO(3)).
        radial: hidden features of the radial functions.
        nonlinearity: "gate" or "norm".
        heads: attention heads.
        division: channels over those of queries, keys and values.
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
        heads: int,
        division: int,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.activation = Activation(nonlinearity, after)
        inner = {kind: channels // division for kind, channels in before.items()}
        self.convolve = PairConvolution(inner, self.activation.needs, l_max, parity)
        self.compared = [path for path in self.convolve.paths if path[2] in before]  # those that a query exists for
        sources = {kind: inner[kind] for kind in self.convolve.sources}
        self.value = SteerableLinear(before, sources, bias=False)
        self.key = SteerableLinear(before, {path[0]: inner[path[0]] for path in self.compared}, bias=False)
        self.query = SteerableLinear(before, {path[2]: inner[path[2]] for path in self.compared}, bias=False)
        self.keep = SteerableLinear(before, self.activation.needs)
        self.key_weights = len(self.compared) * self.convolve.width
        self.radial = RadialWeights(invariants, radial, self.key_weights + self.convolve.weights)
        terms = sum(2 * path[2][0] + 1 for path in self.compared) * self.convolve.width / heads
        self.temperature = terms**-0.5

    def forward(self, pairs: Pairs, kernels: Kernels, nodes: Steerable, invariants: Tensor) -> Steerable:
        """Features of nodes → the same, with the kinds that go out."""
        key_weights, value_weights = self.radial(invariants).split([self.key_weights, self.convolve.weights], dim=-1)
        attention = softmax_over_senders(pairs, self._logits(pairs, kernels, nodes, key_weights))
        by_head = value_weights.unflatten(-1, (len(self.convolve.paths), self.heads, -1))
        value_weights = (by_head * attention.unsqueeze(-1).unsqueeze(-3)).flatten(-3)
        received = self.convolve(pairs, kernels, self.value(nodes), value_weights)
        updated = self.activation(plus(received, self.keep(nodes)))
        return {kind: values + nodes[kind] if kind in nodes else values for kind, values in updated.items()}

    def _logits(self, pairs: Pairs, kernels: Kernels, nodes: Steerable, weights: Tensor) -> Tensor:
        """⟨q_i, k_ij⟩ per head: ``[..., N, N−1, heads]`` (or ``[E, heads]``)."""
        queries = self.query(nodes)
        keys = {kind: sent(pairs, values) for kind, values in self.key(nodes).items()}
        each = weights.unflatten(-1, (len(self.compared), self.convolve.width)).unbind(-2)
        total: Tensor | None = None
        for (first, degree, last), weight in zip(self.compared, each, strict=True):
            pulled = pull_back(pairs, kernels[first[0], degree, last[0]], queries[last], 2 * first[0] + 1)
            term = (pulled * keys[first]).sum(-2) * weight
            total = term if total is None else total + term
        assert total is not None
        return total.unflatten(-1, (self.heads, -1)).sum(-1) * self.temperature


def pull_back(pairs: Pairs, kernel: Tensor, values: Tensor, components: int) -> Tensor:
    r""":math:`K_{ij}^\top q_i`: ``[..., N, 2l3+1, C]`` → ``[..., N, N−1, components, C]`` (or ``[E, ·, C]``)."""
    if isinstance(pairs, AllPairs):
        return (kernel.mT @ values).unflatten(-2, (pairs.nodes - 1, components))
    received = pairs.receiver(values.flatten(-2)).unflatten(-1, tuple(values.shape[-2:]))
    return kernel.mT @ received
