"""EGNN with velocity (Satorras et al. 2021)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoequiv.fields import Signature
from geoequiv.models.layers.cloud import GEOMETRIC, SignatureAdapter, pair_invariants, smooth_norm
from geoequiv.models.layers.hooks import can_fuse
from geoequiv.models.layers.pairs import PairLinear, Pairs, fused_linears
from geoequiv.models.layers.perceptron import gain, linear_at, perceptron, silu
from geoequiv.ranges import PositiveFloat, PositiveInt, check_ranges

TINY = 1e-12  # squared; keeps the root differentiable for coincident nodes


@check_ranges
class EGNN(nn.Module):
    r"""Messages from distances; positions are updated along differences.

    .. math::
        m_{ij} &= \phi_e(h_i, h_j, \|x_i - x_j\|^2, a_{ij}) \\
        x_i &\leftarrow x_i + \sum_v \phi_v(h_i)_v\, v_i
            + \tfrac{1}{N-1} \sum_{j \neq i} (x_i - x_j)\, \phi_x(m_{ij}) \\
        h_i &\leftarrow h_i + \phi_h(h_i, \textstyle\sum_{j \neq i} m_{ij})

    Nodes start from the norms of their vectors and their scalars; pairs carry products of scalars and the squared
    distance at the input, :math:`a_{ij} = (s_i s_j, \|x_i^0 - x_j^0\|^2)`. One point of a node is updated and is the
    first output point. Further input points enter as vectors relative to it, further outputs are learned combinations
    of its displacement and these vectors.

    Args:
        signature: of points, vectors and scalars, with at least one input point.
        width: features of nodes and messages.
        depth: layers.
        node_scalars: whether scalars are node features, beside their products on pairs. The published n-body model has
            products only, which makes it invariant to a change of sign of all charges.
        velocity: whether positions are also updated along the vectors of a node (equation 7). Otherwise vectors enter
            only by their norms (and in the outputs above).
        attention: whether messages are gated, :math:`m_{ij} \leftarrow \sigma(w m_{ij} + b)\, m_{ij}` (section 3.3).
        tanh: whether :math:`\phi_x` ends in a tanh, which bounds a step by the distance.
        normalize: whether differences are divided by :math:`\|x_i - x_j\| + 1`, as in the published ``norm_diff``.
        max_step: longest mean step of one layer along the differences. The published code clamps each component to
            100, which is not equivariant; this bounds the norm.

    Raises:
        SignatureError: for other field types, or without an input point.

    Exactness: equivariant to E(3) and to permutations up to round-off.
    Reference: Satorras, Hoogeboom & Welling 2021, equations 3–7 and appendix C. The published n-body model is 64 × 4
    with ``node_scalars=False`` and the other options as they are here; batch 100, Adam, lr 5e-4.
    """

    claims = "E(3)"
    compiles = "one graph"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        depth: PositiveInt = 4,
        *,
        node_scalars: bool = True,
        velocity: bool = True,
        attention: bool = False,
        tanh: bool = False,
        normalize: bool = False,
        max_step: PositiveFloat = 100.0,
    ) -> None:
        super().__init__()
        self.adapter = adapter = SignatureAdapter(signature, kinds=GEOMETRIC, architecture="EGNN", needs_point=True)
        self.node_scalars = node_scalars
        directions = adapter.directions
        heads = adapter.out_vectors + max(adapter.out_points - 1, 0)
        self.embed = nn.Linear(max(directions + node_scalars * adapter.scalars, 1), width)
        reads_nodes = heads + adapter.out_scalars > 0
        self.layers = nn.ModuleList(
            EquivariantLayer(
                width,
                adapter.pair_invariants,
                directions if velocity else 0,
                max_step,
                reads_nodes or layer + 1 < depth,
                attention=attention,
                tanh=tanh,
                normalize=normalize,
            )
            for layer in range(depth)
        )
        self.scalars = perceptron(width, width, adapter.out_scalars) if adapter.out_scalars else None
        self.heads = perceptron(width, width, heads * (1 + directions)) if heads else None

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        pairs = cloud.pairs()
        start, directions = self.adapter.start(cloud)  # [..., N, 3], [..., N, directions, 3]
        invariants = smooth_norm(directions)
        if self.node_scalars:
            invariants = torch.cat([invariants, cloud.scalars], dim=-1)
        if not invariants.shape[-1]:
            invariants = torch.ones_like(start[..., :1])
        nodes, position, displacement = self.embed(invariants), start, torch.zeros_like(start)
        entered = (invariants, self.embed) if can_fuse(self.embed) else None
        edges = pair_invariants(cloud, pairs)
        for layer in self.layers:
            nodes, step = layer(pairs, nodes, position, directions, edges, entered)
            position, displacement = position + step, displacement + step  # position - start would lose digits
            entered = None
        scalars = cloud.scalars[..., :0] if self.scalars is None else self.scalars(nodes)
        basis = torch.cat([displacement.unsqueeze(-2), directions], dim=-2)  # [..., N, 1 + directions, 3]
        heads = basis[..., :0, :]
        if self.heads is not None:
            heads = self.heads(nodes).unflatten(-1, (-1, basis.shape[-2])) @ basis
        own = min(self.adapter.out_points, 1)
        further, vectors = heads.split([self.adapter.out_points - own, self.adapter.out_vectors], dim=-2)
        points = self.adapter.origins(cloud)[..., own:, :] + further
        points = torch.cat([position.unsqueeze(-2)[..., :own, :], points], dim=-2)
        return self.adapter.write(cloud, points=points, vectors=vectors, scalars=scalars)


class EquivariantLayer(nn.Module):
    """One round of messages: updates node features (where they are used) and computes steps of positions.

    Args:
        width: features of nodes and messages.
        edges: fixed features of a pair.
        directions: vectors of a node along which its position may be updated.
        max_step: longest mean step along the differences.
        updates_nodes: whether node features are updated.
        attention: whether messages are gated.
        tanh: whether the factor of a difference is bounded by 1.
        normalize: whether differences are divided by their length + 1.
    """

    def __init__(
        self,
        width: int,
        edges: int,
        directions: int,
        max_step: float,
        updates_nodes: bool,
        *,
        attention: bool = False,
        tanh: bool = False,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.max_step, self.tanh, self.normalize = max_step, tanh, normalize
        self.first = PairLinear(width, edges + 1, width)
        self.second = nn.Linear(width, width)
        self.gate = nn.Linear(width, 1) if attention else None
        self.step = gain(width, width)
        self.speed = perceptron(width, width, directions) if directions else None
        self.node = perceptron(2 * width, width, width) if updates_nodes else None

    def forward(
        self,
        pairs: Pairs,
        nodes: Tensor,
        position: Tensor,
        directions: Tensor,
        edges: Tensor,
        entered: tuple[Tensor, nn.Linear] | None,
    ) -> tuple[Tensor, Tensor]:
        """Nodes ``[..., N, width]``, positions ``[..., N, 3]``, edges ``[..., N, N−1, edges]`` → nodes, steps.

        In the first layer nodes are still a linear map of few invariants (``entered``).
        """
        difference = pairs.difference(position)
        distance = difference.square().sum(-1, keepdim=True)
        features = torch.cat([distance, edges], dim=-1)
        if can_fuse(self.first, self.second, self.gate, self.step, self.speed, self.node):
            factor, speeds, change = self.fused(pairs, nodes, features, entered)
        else:
            factor, speeds, change = self.separate(pairs, nodes, features)
        if self.tanh:
            factor = factor.tanh()
        if self.normalize:
            factor = factor / (1 + (distance + TINY).sqrt())
        step = pairs.mean(difference * factor)
        longest = self.max_step**2
        step = step * (longest / step.square().sum(-1, keepdim=True).clamp(min=longest)).sqrt()
        if speeds is not None:
            step = step + (speeds.unsqueeze(-1) * directions).sum(-2)
        return nodes if change is None else nodes + change, step

    def separate(self, pairs: Pairs, nodes: Tensor, features: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        r""":math:`\phi_x(m_{ij})`, :math:`\phi_v(h_i)` and :math:`\phi_h` by calling each module."""
        message = self.gated(F.silu(self.second(F.silu(self.first(pairs, nodes, features)))))
        speeds = None if self.speed is None else self.speed(nodes)
        change = None if self.node is None else self.node(torch.cat([nodes, pairs.sum(message)], dim=-1))
        return self.step(message), speeds, change

    def fused(
        self, pairs: Pairs, nodes: Tensor, features: Tensor, entered: tuple[Tensor, nn.Linear] | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The same, with one matrix product for all linear maps of the nodes and in-place activations.

        With ``entered``, these maps are applied to the invariants, :math:`W (E s + b) = (W E) s + W b`.
        """
        received, sent, *further = fused_linears(nodes, self.readers(), after=entered)
        message = silu(self.first.join(pairs, received, sent, features))
        message = self.gated(silu(self.second(message)))
        factor = self.step[2](silu(self.step[0](message)))
        speeds = None if self.speed is None else self.speed[2](F.silu(further.pop(0)))
        if self.node is None:
            return factor, speeds, None
        (own,) = further
        from_messages = F.linear(pairs.sum(message), linear_at(self.node, 0).weight[:, own.shape[-1] :])
        return factor, speeds, self.node[2](silu(from_messages + own))

    def gated(self, message: Tensor) -> Tensor:
        """Messages times their attention, where the layer has one."""
        return message if self.gate is None else message * self.gate(message).sigmoid()

    def readers(self) -> list[tuple[Tensor, Tensor | None]]:
        """Weights and biases of all linear maps of node features, which are applied in one product."""
        maps: list[tuple[Tensor, Tensor | None]] = [*self.first.of_nodes]
        if self.speed is not None:
            first = linear_at(self.speed, 0)
            maps.append((first.weight, first.bias))
        if self.node is not None:
            first = linear_at(self.node, 0)
            maps.append((first.weight[:, : first.out_features], first.bias))
        return maps
