"""GATr, the geometric algebra transformer (Brehmer et al. 2023), for E(3)."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from geoequiv.errors import SignatureError
from geoequiv.fields import Signature
from geoequiv.models.layers.cloud import GEOMETRIC, Cloud, SignatureAdapter
from geoequiv.models.layers.geometric_algebra import GRADES, bilinear
from geoequiv.models.layers.multivector_distances import key_features, query_features
from geoequiv.models.layers.padding import Padding
from geoequiv.ranges import NonNegativeInt, PositiveInt, check_ranges

TINY = 1e-2  # of the published norm and of the published 1/w in the distance-aware attention (there .001)


@check_ranges
class GATr(nn.Module):
    r"""A transformer whose tokens are multivectors of G(3,0,1) and scalars.

    .. math::
        x \leftarrow x + \mathrm{Attention}(\mathrm{LN}(x)), \qquad
        x \leftarrow x + L_2\,\mathrm{GELU}_{\langle\cdot\rangle}\big(L_1[\,a b,\; c \vee d\,]\big),
        \quad a, b, c, d = \text{linear in } \mathrm{LN}(x)

    A point enters as the trivector :math:`e_{123} + e_0 (x e_{23} + y e_{31} + z e_{12})`; a vector v of a node at x as
    the translation :math:`e_0 v` (published) and as the plane through x that it is normal to,
    :math:`v + (v \cdot x)\, e_0`; further points of a node as trivectors; scalars beside. A displacement or vector
    comes out of a plane's normal, a line's direction, and a trivector seen from the node, :math:`p - w x`, all of which
    translations leave alone (published: the point p / w). An ``adjacency`` adds a linear function of its values to
    the logits of attention, one per head and the same in all blocks.

    Args:
        signature: of points, vectors and scalars.
        width: scalar features of a token.
        depth: blocks.
        heads: attention heads, a divisor of ``width``.
        multivectors: multivector features of a token, a multiple of ``2 · heads`` (of ``4 · heads`` if that is odd); 0
            chooses a quarter of ``width``, rounded down to such a number.

    Raises:
        SignatureError: for other field types, or features that the heads do not divide.

    Exactness: equivariant to E(3) and to permutations up to round-off; each cloud is centred first, so that far away
    ones do not lose digits. The published network commutes with Pin(3,0,1), where a mirrored point is minus a point: on
    points with weight +1 it is equivariant to SE(3) only (its join is corrected by a reference, its linear maps are
    not). Here half of the multivectors change sign under improper elements and products respect it (even × odd is odd;
    a join changes the parity), which makes reflections exact as well.
    Reference: Brehmer, de Haan, Behrends & Cohen 2023, sections 3 and 4; n-body there: 10 blocks, 128 scalars, 16
    multivectors, 8 heads with shared keys and values (here each head has its own). As published: `gatr_published`.
    """

    claims = "E(3)"
    compiles = "one graph; ragged batches in parts (their padding has a size that depends on the batch)"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        depth: PositiveInt = 4,
        *,
        heads: PositiveInt = 4,
        multivectors: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.adapter = adapter = SignatureAdapter(signature, kinds=GEOMETRIC, architecture="GATr")
        step = 2 * heads if heads % 2 == 0 else 4 * heads  # an even number of each parity, which heads divide
        multivectors = multivectors or step * max(1, width // (4 * step))
        if width % heads or multivectors % step:
            raise SignatureError(
                f"GATr: {heads} heads need a width that is a multiple of {heads} and multivectors that are one of "
                f"{step}; got width {width} and multivectors {multivectors}."
            )
        channels = multivectors // 2  # of each parity
        self.inputs = max(adapter.points, adapter.vectors, 1)
        self.embed = EquivariantLinear(self.inputs, channels, max(adapter.scalars, 1), width)
        self.relations = nn.Linear(adapter.relations, heads, bias=False) if adapter.relations else None
        self.blocks = nn.ModuleList(Block(channels, width, heads) for _ in range(depth))
        self.moves = adapter.out_points + adapter.out_vectors
        self.head = EquivariantLinear(channels, self.moves, width, 0, scale=0.1) if self.moves else None
        self.scalars = nn.Linear(width + channels, adapter.out_scalars) if adapter.out_scalars else None

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        multivectors, scalars, positions = self._enter(cloud)  # [16, 2, C, n], [n, S], [n, 3]
        lead: tuple[int, ...] = cloud.scalars.shape[:-1]
        mask = cloud.mask
        padding = None if cloud.batch is None else Padding.of(cloud.batch)
        if padding is not None:
            lead, mask = (padding.clouds, padding.longest), padding.mask
        visible = None
        if mask is not None:  # an empty cloud attends to its padding
            visible = (mask | ~mask.any(-1, keepdim=True)).reshape(-1, 1, 1, lead[-1])
        if self.relations is not None:
            bias = (
                self.relations(cloud.relations)
                .movedim(-1, -3)
                .reshape(-1, self.relations.out_features, *[lead[-1]] * 2)
            )
            visible = bias if visible is None else bias.masked_fill(~visible, float("-inf"))
        multivectors, scalars = self.embed(multivectors, scalars)
        twice = cloud.flat.requires_grad
        for block in self.blocks:
            multivectors, scalars = block(multivectors, scalars, lead[-1], visible, padding, twice)
        return self._leave(cloud, multivectors, scalars, positions)

    def _enter(self, cloud: Cloud) -> tuple[Tensor, Tensor, Tensor]:
        """Multivectors ``[16, 2, inputs, n]``, scalars ``[n, ·]`` and centred first points ``[n, 3]``."""
        points, vectors = cloud.points, cloud.vectors
        if self.adapter.points:
            centre = cloud.pooled(points[..., 0, :], mean=True)
            centre = centre.unsqueeze(-2) if cloud.batch is None else centre.index_select(0, cloud.batch)
            points = points - centre.unsqueeze(-2)
        nodes = cloud.scalars.shape[:-1].numel()
        points, vectors = points.reshape(nodes, self.adapter.points, 3), vectors.reshape(nodes, self.adapter.vectors, 3)
        position = points[:, 0] if self.adapter.points else vectors.new_zeros(nodes, 3)
        empty = position.new_zeros(nodes, self.inputs)
        more = F.pad(vectors, (0, 0, 0, self.inputs - self.adapter.vectors)).unbind(-1)  # [n, inputs] each
        offset = more[0] * position[:, :1] + more[1] * position[:, 1:2] + more[2] * position[:, 2:]
        even = [empty, *more, *[empty] * 4, offset, *more, *[empty] * 4]
        trivectors = F.pad(points, (0, 0, 0, self.inputs - self.adapter.points)).unbind(-1)
        weight = empty.clone()
        weight[:, : self.adapter.points] = 1.0
        odd = [*[empty] * 7, weight, *[empty] * 4, *trivectors, empty]
        scalars = cloud.scalars.reshape(nodes, -1) if self.adapter.scalars else position.new_ones(nodes, 1)
        return torch.stack([torch.stack(even), torch.stack(odd)], dim=1).mT.contiguous(), scalars, position

    def _leave(
        self, cloud: Cloud, multivectors: Tensor, scalars: Tensor, position: Tensor
    ) -> Tensor | dict[str, Tensor]:
        lead = cloud.scalars.shape[:-1]
        moves = position.new_zeros(*lead, 0, 3)
        if self.head is not None:
            even, odd = self.head(multivectors, scalars)[0].unbind(1)  # [16, moves, n]
            seen = odd[12:15] - odd[7] * position.T.unsqueeze(1)
            moves = (even[1:4] + odd[4:7] + seen).permute(2, 1, 0).reshape(*lead, self.moves, 3)
        steps, vectors = moves.split([self.adapter.out_points, self.adapter.out_vectors], dim=-2)
        values = cloud.scalars[..., :0]
        if self.scalars is not None:
            values = self.scalars(torch.cat([scalars, multivectors[0, 0].T], dim=-1)).reshape(*lead, -1)
        return self.adapter.write(cloud, points=self.adapter.origins(cloud) + steps, vectors=vectors, scalars=values)


class Block(nn.Module):
    """Attention and geometric perceptron, each on a normalised copy and added back.

    Args:
        channels: multivectors of each parity.
        width: scalars.
        heads: attention heads.
    """

    order: Tensor

    def __init__(self, channels: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.channels, self.width = heads, channels, width
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.query_key_value = EquivariantLinear(channels, 3 * channels, width, 3 * width)
        self.mix = EquivariantLinear(channels, channels, width, width)
        self.factors = EquivariantLinear(channels, 3 * channels, width, 0)
        with (
            torch.no_grad()
        ):  # the right factor of the geometric product starts near 1 (published: "almost unit scalar")
            self.factors.joint.bias[2 * channels : 2 * channels + channels // 2] += 1.0
        self.combine = EquivariantLinear(2 * channels, 2 * channels, width, 2 * width)
        self.last = EquivariantLinear(2 * channels, channels, 2 * width, width)
        self.register_buffer("order", product_order(), persistent=False)

    def forward(
        self,
        multivectors: Tensor,
        scalars: Tensor,
        nodes: int,
        visible: Tensor | None,
        padding: Padding | None,
        twice: bool,
    ) -> tuple[Tensor, Tensor]:
        """``[16, 2, channels, n]`` and ``[n, width]`` → the same.

        Args:
            multivectors: of all nodes of all clouds.
            scalars: of the same.
            nodes: N, of a cloud with its padding.
            visible: ``[clouds, 1, 1, N]``, True where a node is real; what is added to the logits, ``[clouds, heads,
                N, N]``; or None.
            padding: where the nodes of a ragged batch go, or None if they are in clouds of N.
            twice: take the attention kernel that has a second derivative.
        """
        update, change = self._attend(*self._normalised(multivectors, scalars), nodes, visible, padding, twice)
        multivectors, scalars = multivectors + update, scalars + change
        update, change = self._multiply(*self._normalised(multivectors, scalars))
        return multivectors + update, scalars + change

    def _normalised(self, multivectors: Tensor, scalars: Tensor) -> tuple[Tensor, Tensor]:
        lengths = multivectors[:8].flatten(0, 2)  # [8 · 2 · channels, n]; e0 has no length
        square = lengths.square().mean(0)
        return multivectors * (square + TINY).rsqrt(), self.norm(scalars)

    def _attend(
        self,
        multivectors: Tensor,
        scalars: Tensor,
        nodes: int,
        visible: Tensor | None,
        padding: Padding | None,
        twice: bool,
    ) -> tuple[Tensor, Tensor]:
        joint, scalars = self.query_key_value(multivectors, scalars)
        query, key, value = joint.chunk(3, dim=2)  # [16, 2, C, n] each
        parts = zip(
            (query_features(query, TINY), key_features(key, TINY), value), scalars.chunk(3, dim=-1), strict=True
        )
        heads = []
        for geometric, free in parts:
            rows = geometric.unflatten(2, (self.heads, -1)).permute(4, 2, 0, 1, 3).flatten(2)  # [n, heads, k·2·c]
            rows = torch.cat([rows, free.unflatten(-1, (self.heads, -1))], dim=-1)
            clouds = rows.unflatten(0, (-1, nodes)) if padding is None else padding.fill(rows)
            heads.append(clouds.transpose(-3, -2))  # [clouds, heads, N, ·]
        with sdpa_kernel(SDPBackend.MATH) if twice else nullcontext():
            seen = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], attn_mask=visible).transpose(-3, -2)
        rows = seen.flatten(0, 1) if padding is None else padding.strip(seen)
        each = 2 * 16 * self.channels // self.heads
        carried = rows[..., :each].unflatten(-1, (16, 2, -1)).permute(2, 3, 1, 4, 0).flatten(2, 3)
        return self.mix(carried, rows[..., each:].flatten(-2))

    def _multiply(self, multivectors: Tensor, scalars: Tensor) -> tuple[Tensor, Tensor]:
        factors, _ = self.factors(multivectors, scalars)
        # left factors have both parities; a right one has one: half of them are even, half odd
        half = self.channels // 2
        left, right = factors.split([2 * self.channels, self.channels], dim=2)
        left = left.unflatten(2, (2, 2, half)).transpose(1, 2)  # [16, bank, parity, kind of the right one, half, n]
        right = right.unflatten(2, (2, half)).transpose(1, 2).unsqueeze(2)  # [16, bank, 1, kind, half, n]
        products = bilinear(left, right, ("geometric", "join")).flatten(0, 3)
        products = products.index_select(0, self.order).unflatten(0, (16, 2, 4)).flatten(2, 3)
        hidden, scalars = self.combine(products, scalars)
        return self.last(hidden * F.gelu(hidden[0, 0]), F.gelu(scalars))


def product_order() -> Tensor:
    """Index of each slab (component, parity, bank, kind) of products in (component, bank, parity of the left, kind)."""
    slabs = torch.arange(16 * 8).view(16, 2, 2, 2).transpose(1, 2).clone()  # [component, parity, bank, kind]
    for bank, flipped in ((0, 1), (1, 0)):  # the right factor flips parity: odd in geometric products, even in joins
        slabs[:, :, bank, flipped] = slabs[:, :, bank, flipped].flip(1)
    return slabs.flatten()


class EquivariantLinear(nn.Module):
    r"""The linear maps of multivectors of both parities, and of the scalars beside them, that commute with E(3).

    .. math:: y = \sum_{k=0}^4 W_k \langle x \rangle_k + \sum_{k=0}^3 V_k\, e_0 \langle x \rangle_k

    Each parity has its own W and V. Even multivectors of grade 0 are scalars: they and the free ones mix.

    Args:
        inputs: multivectors of each parity.
        outputs: the same of the result.
        scalars: free scalars that come in.
        scalars_out: free scalars that go out.
        scale: of the initial weights, over those of ``nn.Linear``.

    Reference: Brehmer et al. 2023, equation 5 (proposition 2).
    """

    which: Tensor

    def __init__(self, inputs: int, outputs: int, scalars: int, scalars_out: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.outputs, self.scalars_out = outputs, scalars_out
        self.joint = nn.Linear(scalars, outputs + scalars_out)
        self.lengths = nn.Linear(inputs, scalars_out, bias=False) if scalars_out else None
        self.weight = nn.Parameter(torch.empty(18, outputs, inputs))  # W: even 0, odd 0, even 1, …; V the same
        bound = scale * inputs**-0.5
        nn.init.uniform_(self.weight, -bound, bound)
        slabs = [(grade, parity) for grade in GRADES for parity in (0, 1)]
        own = [2 * grade + parity for grade, parity in slabs]
        own += [2 * (grade + 1) + parity for grade, parity in slabs]
        raised = [10 + 2 * grade + parity for grade, parity in slabs]
        self.register_buffer("which", torch.tensor(own + raised), persistent=False)

    def forward(self, multivectors: Tensor, scalars: Tensor) -> tuple[Tensor, Tensor]:
        """``[16, 2, inputs, n]`` and ``[n, scalars]`` → ``[16, 2, outputs, n]`` and ``[n, scalars_out]``."""
        slabs = multivectors.flatten(0, 1)  # component and parity; the first is the scalars
        own, raised = self.weight.index_select(0, self.which).split([32, 16])
        result = torch.bmm(own, slabs)
        result[16:].baddbmm_(raised.to(result), slabs[:16].to(result))  # autocast does not cast in-position operations
        even, free = self.joint(scalars).split([self.outputs, self.scalars_out], dim=-1)
        result[0] += even.T
        if self.lengths is not None:
            free = free + self.lengths(slabs[0].T)
        return result.unflatten(0, (16, 2)), free
