"""Layers of GATr as published: linear maps of multivectors, their norm, geometric products and joins, attention."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoequiv.models.layers.geometric_algebra import GRADES, bilinear
from geoequiv.models.layers.multivector_distances import key_features, query_features

Init = Literal["default", "small", "almost_unit_scalar"]
#: scale of the multivector weights of an initialisation, of its scalar outputs, and shift of the scalar bias
SCHEMES: dict[str, tuple[float, float, float]] = {
    "default": (1.0, 1.0, 0.0), "small": (0.1, 0.1, 0.0), "almost_unit_scalar": (0.5, 1.0, 1.0)
}  # fmt: skip
#: squared factors of the bounds: of the grades 0 to 4, then of the maps that multiply a grade by e0
FACTORS = (1.0, 4.0, 6.0, 2.0, 0.5, 0.5, 1.5, 1.5, 0.5)
#: components that a projection to a grade keeps, and that a multiplication by e0 reaches: squared norms of the maps
SIZES = (1.0, 4.0, 6.0, 4.0, 1.0, 1.0, 3.0, 3.0, 1.0)
LEAST_SQUARE = 0.01  # of the norm
EPSILON = 1e-3  # of the distance-aware attention


class MultivectorLinear(nn.Module):
    r"""The nine linear maps of multivectors that commute with Pin(3,0,1), and linear maps between scalars beside them.

    .. math:: y = \sum_{k=0}^4 W_k \langle x \rangle_k + \sum_{k=0}^3 V_k\, e_0 \langle x \rangle_k

    Args:
        inputs: multivectors that come in.
        outputs: multivectors that go out.
        scalars: scalars that come in; they are added to components of grade 0.
        scalars_out: scalars that go out, from components of grade 0 and from scalars.
        init: "default", "small" (at the end of attention) or "almost_unit_scalar" (the result is near the number 1).

    Each map is divided by its Frobenius norm; weights are uniform within bounds by map.

    Reference: Brehmer, de Haan, Behrends & Cohen 2023, equation 5 (proposition 2), and the code of its authors.
    """

    which: Tensor
    norms: Tensor

    def __init__(
        self, inputs: int, outputs: int, scalars: int = 0, scalars_out: int = 0, init: Init = "default"
    ) -> None:
        super().__init__()
        multivector, free, shift = SCHEMES[init]
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 9))
        self.from_scalars = nn.Linear(scalars, outputs) if scalars else None
        self.bias = None if scalars else nn.Parameter(torch.full((outputs,), shift))
        self.to_scalars = nn.Linear(inputs, scalars_out) if scalars_out else None
        self.between_scalars = nn.Linear(scalars, scalars_out, bias=False) if scalars and scalars_out else None
        own = [*GRADES, *(grade + 1 for grade in GRADES)]
        raised = [5 + grade for grade in GRADES]
        self.register_buffer("which", torch.tensor([*own, *raised]), persistent=False)
        self.register_buffer("norms", torch.tensor(SIZES).sqrt(), persistent=False)
        bounds = torch.tensor(FACTORS).sqrt() * multivector / math.sqrt(inputs)
        if self.from_scalars is not None:
            bounds[0] /= math.sqrt(2)
            nn.init.uniform_(self.from_scalars.weight, *around(0.0, multivector / math.sqrt(2 * scalars)))
            nn.init.uniform_(self.from_scalars.bias, *around(shift, 1 / math.sqrt(scalars + inputs)))
        with torch.no_grad():
            self.weight.uniform_(-1, 1).mul_(bounds)
        if self.to_scalars is not None:
            maps = 1 if self.between_scalars is None else 2
            nn.init.uniform_(self.to_scalars.weight, *around(0.0, free / math.sqrt(maps * inputs)))
            nn.init.uniform_(self.to_scalars.bias, *around(0.0, free / math.sqrt(inputs + scalars)))
        if self.between_scalars is not None:
            nn.init.uniform_(self.between_scalars.weight, *around(0.0, free / math.sqrt(2 * scalars)))

    def forward(self, multivectors: Tensor, scalars: Tensor) -> tuple[Tensor, Tensor]:
        """``[16, inputs, n]`` and ``[n, scalars]`` → ``[16, outputs, n]`` and ``[n, scalars_out]``."""
        maps = (self.weight / self.norms).movedim(-1, 0).index_select(0, self.which)  # [24, outputs, inputs]
        own, raised = maps.split([16, 8])
        plain = own @ multivectors
        if self.from_scalars is None:
            assert self.bias is not None
            number = self.bias.unsqueeze(-1)
        else:
            number = self.from_scalars(scalars).mT
        # written without operations in place: autocast and compilation read it as it stands
        first = plain[:1] + number
        result = torch.cat([first, plain[1:8], plain[8:] + raised @ multivectors[:8]])
        free = scalars[:, :0]
        if self.to_scalars is not None:
            free = self.to_scalars(multivectors[0].mT)
            if self.between_scalars is not None:
                free = free + self.between_scalars(scalars)
        return result, free


def around(middle: float, bound: float) -> tuple[float, float]:
    """The ends of an interval."""
    return middle - bound, middle + bound


def normalised(multivectors: Tensor, scalars: Tensor) -> tuple[Tensor, Tensor]:
    r"""Tokens of length one, without learned weights.

    .. math:: x \leftarrow x \Big/ \sqrt{\max\big(\tfrac1C \textstyle\sum_c \langle x_c, x_c \rangle,\, 0.01\big)}

    Args:
        multivectors: ``[16, C, n]``; only the eight components without e0 have a length.
        scalars: ``[n, k]``, through a layer norm.
    """
    square = multivectors[:8].square().sum(0).mean(0)
    return multivectors * square.clamp(min=LEAST_SQUARE).rsqrt(), F.layer_norm(scalars, scalars.shape[-1:])


class GeometricBilinear(nn.Module):
    """Geometric products and joins of linear maps of the tokens, then a linear map of both.

    Args:
        channels: multivectors that come in.
        width: scalars that come in.
        hidden: multivectors that go out, an even number.
        scalars_out: scalars that go out.
    """

    def __init__(self, channels: int, width: int, hidden: int, scalars_out: int) -> None:
        super().__init__()
        half = hidden // 2
        self.left = MultivectorLinear(channels, half, width)
        self.right = MultivectorLinear(channels, half, width, init="almost_unit_scalar")
        self.join_left, self.join_right = (MultivectorLinear(channels, half, width) for _ in range(2))
        self.combine = MultivectorLinear(hidden, hidden, width, scalars_out)

    def forward(self, multivectors: Tensor, scalars: Tensor, orientation: Tensor) -> tuple[Tensor, Tensor]:
        """``[16, channels, n]``, ``[n, width]`` and the sign of joins ``[n]`` → ``[16, hidden, n]``, ``[n, out]``."""
        lefts, rights = (
            torch.stack([each(multivectors, scalars)[0] for each in pair], 1)
            for pair in ((self.left, self.join_left), (self.right, self.join_right))
        )
        product, join = bilinear(lefts, rights, ("geometric", "join")).unbind(1)
        found: tuple[Tensor, Tensor] = self.combine(torch.cat([product, join * orientation], 1), scalars)
        return found


class MultiQueryAttention(nn.Module):
    r"""Attention whose heads have a query each and share one key and one value.

    .. math::
        \mathrm{logit}_{ij} = \frac{1}{\sqrt{d}} \Big( \sum_c \langle q_c k_c \rangle
            - e^{w_c} \| w_{k_c} p_{q_c} - w_{q_c} p_{k_c} \|^2 + s_q \cdot s_k \Big)

    Args:
        channels: multivectors of a token.
        width: scalars of a token.
        heads: of attention. A head has ``max(2 channels // heads, 1)`` multivectors and ``max(2 width // heads, 4)``
            scalars.

    d counts the products of a logit: twelve of a multivector and one of a scalar. The inner product leaves out e123,
    which the distances see; their weights w are learned, from 0, by head and multivector.
    """

    def __init__(self, channels: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.channels, self.width = heads, max(2 * channels // heads, 1), max(2 * width // heads, 4)
        self.query = MultivectorLinear(channels, heads * self.channels, width, heads * self.width)
        self.key, self.value = (MultivectorLinear(channels, self.channels, width, self.width) for _ in range(2))
        self.out = MultivectorLinear(heads * self.channels, channels, heads * self.width, width, init="small")
        self.log_weight = nn.Parameter(torch.zeros(heads, 1, self.channels))

    def forward(
        self, multivectors: Tensor, scalars: Tensor, nodes: int, visible: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """``[16, channels, clouds · N]`` and ``[clouds · N, width]`` → the same.

        Args:
            multivectors: of all nodes of all clouds.
            scalars: of the same.
            nodes: N, of a cloud with its padding.
            visible: ``[clouds, 1, 1, N]``, True where a node is real, or None.
        """
        geometric, free = self.query(multivectors, scalars)
        # channels of queries are (channel of a head, head)
        geometric, free = geometric.unflatten(1, (-1, self.heads)), free.unflatten(-1, (-1, self.heads))
        features = query_features(geometric, EPSILON)  # [12, c, heads, n]
        weights = self.log_weight.exp().permute(2, 0, 1)  # [c, heads, 1]
        features = torch.cat([features[:7], features[7:] * weights])
        query = torch.cat([features.permute(3, 2, 0, 1).flatten(-2), free.mT], -1)  # [n, heads, 12 c + s]
        shared, beside = self.key(multivectors, scalars)
        key = torch.cat([key_features(shared, EPSILON).permute(2, 0, 1).flatten(-2), beside], -1)
        carried, further = self.value(multivectors, scalars)
        value = torch.cat([carried.permute(2, 0, 1).flatten(-2), further], -1)
        queries = query.unflatten(0, (-1, nodes)).transpose(1, 2)  # [clouds, heads, N, ·]
        keys, values = (each.unflatten(0, (-1, nodes)).unsqueeze(1) for each in (key, value))
        shape = (-1, self.heads, -1, -1)
        seen = F.scaled_dot_product_attention(
            queries, keys.expand(shape), values.expand(shape), attn_mask=visible, scale=query.shape[-1] ** -0.5
        )
        rows = seen.transpose(1, 2).flatten(0, 1)  # [n, heads, 16 c + s]
        moved = rows[..., : 16 * self.channels].unflatten(-1, (16, self.channels))
        found: tuple[Tensor, Tensor] = self.out(
            moved.permute(2, 1, 3, 0).flatten(1, 2), rows[..., 16 * self.channels :].flatten(1)
        )
        return found
