"""Steerable E(3)-equivariant message passing (Brandstetter et al. 2022)."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import SignatureError
from geoequiv.fields import Signature
from geoequiv.models.layers.clebsch_gordan import Couplings, Harmonics, smooth_direction
from geoequiv.models.layers.pairs import Pairs
from geoequiv.models.layers.steerable import (
    HEAD_SCALE,
    SCALAR,
    Channels,
    Steerable,
    SteerableAdapter,
    gate,
    gated,
    label,
    plus,
)
from geoequiv.models.layers.steered_linear import Attributes, SteeredLinear, SteeredPairLinear
from geoequiv.models.layers.tensor_products import pair_scalars, paths_between, shares, triples_of
from geoequiv.ranges import NonNegativeInt, PositiveInt, check_ranges


@check_ranges
class SEGNN(nn.Module):
    r"""Messages and updates are perceptrons whose linear maps are steered by geometric attributes.

    .. math::
        m_{ij} &= \phi_m(h_i, h_j, \|r_{ij}\|, s_i s_j;\ Y(\hat r_{ij})) \\
        h_i &\leftarrow h_i + \phi_h(h_i, \textstyle\sum_{j \neq i} m_{ij};\ A_i), \qquad
        A_i = \operatorname{mean}_j Y(\hat r_{ij}) + \textstyle\sum_v Y(\hat v_i)

    Each φ is two tensor products with the attributes behind the semicolon, with gates. Nodes start from their position
    relative to the centroid of their cloud, their vectors, the norms of these, and their scalars.

    Args:
        signature: fields of any type that has irreps, with at least one input point.
        width: features of the plain perceptron that one tensor product of hidden features has as many weights as
            (published: 64, which makes 32 channels of degrees 0 and 1 each).
        depth: layers.
        l_max: highest degree of hidden features (published for n-body: 1).
        l_max_attributes: highest degree of the attributes (published for n-body: 1), at least that of the features.
        node_scalars: whether scalars are node features, beside their products on pairs. The published n-body model has
            products only.
        parity: True for features with parities (O(3), as published), False without (SO(3)).

    Raises:
        SignatureError: for fields without irreps, without an input point, or if an output cannot be reached.

    Exactness: equivariant to E(3) (``parity=False``: SE(3)) and to permutations up to round-off.
    Reference: Brandstetter, Hesselink, van der Pol, Bekkers & Welling 2022, equations 7–10 and section 5.1. The
    published code subtracts the mean of the three coordinates of a particle where the text means that of the system;
    this is the text. What is per graph is summed over nodes here, without the perceptron after the pooling.
    """

    claims = "E(3)"
    compiles = "one graph"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        depth: PositiveInt = 4,
        *,
        l_max: NonNegativeInt = 1,
        l_max_attributes: NonNegativeInt = 1,
        node_scalars: bool = True,
        parity: bool = True,
    ) -> None:
        super().__init__()
        if not parity:
            self.claims = "SE(3)"
        self.adapter = adapter = SteerableAdapter(
            signature, architecture="SEGNN", parity=parity, centred=True, node_scalars=node_scalars
        )
        kinds = adapter.hidden(1, l_max)
        attribute = max(l_max_attributes, *(degree for degree, _ in kinds))
        channels = math.ceil(width / math.sqrt(len(paths_between(kinds, kinds, attribute, parity))))
        hidden = dict.fromkeys(kinds, channels)
        self.embed = SteeredLinear(adapter.inputs, hidden, attribute, parity)
        present, self.layers = self.embed.outputs, nn.ModuleList()
        for _ in range(depth):
            layer = Layer(present, hidden, adapter.pair_invariants, attribute, parity)
            self.layers.append(layer)
            present = layer.outputs
        used = {first for first, _, _ in paths_between(hidden, adapter.outputs, attribute, parity)} | {SCALAR}
        self.decode = GatedLinear(present, {kind: channels for kind in hidden if kind in used}, attribute, parity)
        self.head = SteeredLinear(self.decode.outputs, adapter.outputs, attribute, parity, scale=HEAD_SCALE)
        for kind in adapter.outputs:
            if kind not in self.head.outputs:
                raise SignatureError(
                    f"SEGNN of depth {depth} cannot make an output of irrep {label(kind)} from the inputs of "
                    f"'{adapter.signature}'; take a larger depth."
                )
        products = [module for module in self.modules() if isinstance(module, SteeredLinear)]
        triples = triples_of(*(product.paths for product in products))
        self.harmonics = Harmonics(attribute)
        self.couplings = Couplings(tuple(each for each in triples if all(each)), attribute)

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        pairs = cloud.pairs()
        start, directions = self.adapter.start(cloud)
        difference = pairs.difference(start)
        angular = self.harmonics(smooth_direction(difference))
        steering = pairs.sum(angular * shares(pairs, angular, mean=True))
        if self.adapter.directions:
            steering = steering + self.harmonics(smooth_direction(directions)).sum(-2)
        pair_attributes = Attributes.of(angular, self.couplings)
        node_attributes = Attributes.of(steering, self.couplings)
        edges = pair_scalars(cloud, pairs)
        nodes = self.embed(self.adapter.features(cloud, start, directions), node_attributes)
        for layer in self.layers:
            nodes = layer(pairs, nodes, edges, pair_attributes, node_attributes)
        nodes = self.head(self.decode(nodes, node_attributes), node_attributes)
        return self.adapter.write_steerable(cloud, nodes)


class GatedLinear(nn.Module):
    """A steered linear map and a gate.

    Args:
        inputs: channels by kind.
        outputs: channels by kind; ``self.outputs`` are those that can be reached.
        l_max: highest degree of the attributes.
        parity: whether features have parities (O(3)) or not (SO(3)).
        edges: scalars of a pair if the map is over pairs, else None.
    """

    def __init__(
        self, inputs: Channels, outputs: Channels, l_max: int, parity: bool, *, edges: int | None = None
    ) -> None:
        super().__init__()
        reached = {last for _, _, last in paths_between(inputs, outputs, l_max, parity)}
        self.outputs = {kind: count for kind, count in outputs.items() if kind in reached}
        needed = gated(self.outputs)
        self.linear = (
            SteeredLinear(inputs, needed, l_max, parity)
            if edges is None
            else SteeredPairLinear(inputs, needed, l_max, parity, edges=edges)
        )

    def forward(self, *given: Any) -> Steerable:
        """What the linear map takes → features with ``outputs``."""
        return gate(self.linear(*given), self.outputs)


class Layer(nn.Module):
    """One round of steered messages with a residual update.

    Args:
        present: channels of the nodes by kind.
        hidden: channels of messages and of the result by kind.
        edges: scalars of a pair.
        l_max: highest degree of the attributes.
        parity: whether features have parities (O(3)) or not (SO(3)).
    """

    def __init__(self, present: Channels, hidden: Channels, edges: int, l_max: int, parity: bool) -> None:
        super().__init__()
        self.first = GatedLinear(present, hidden, l_max, parity, edges=edges)
        self.second = GatedLinear(self.first.outputs, hidden, l_max, parity)
        messages = self.second.outputs
        joined = {k: present.get(k, 0) + messages.get(k, 0) for k in hidden if k in present or k in messages}
        self.update = GatedLinear(joined, hidden, l_max, parity)
        self.last = SteeredLinear(self.update.outputs, hidden, l_max, parity)
        self.outputs = {kind: count for kind, count in hidden.items() if kind in present or kind in self.last.outputs}

    def forward(
        self, pairs: Pairs, nodes: Steerable, edges: Tensor, pair_attributes: Attributes, node_attributes: Attributes
    ) -> Steerable:
        """Features of nodes → the same."""
        messages = self.second(self.first(pairs, nodes, edges, pair_attributes), pair_attributes)
        joined = dict(nodes)
        for kind, values in messages.items():
            total = pairs.sum(values.flatten(-2)).unflatten(-1, tuple(values.shape[-2:]))
            joined[kind] = torch.cat([nodes[kind], total], dim=-1) if kind in nodes else total
        return plus(nodes, self.last(self.update(joined, node_attributes), node_attributes))
