"""GATr with the layers, widths and initialisation of its authors' code (Brehmer et al. 2023), for SE(3)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoequiv.errors import SignatureError
from geoequiv.fields import Signature
from geoequiv.models.layers.cloud import Cloud, SignatureAdapter
from geoequiv.models.layers.padding import Padding
from geoequiv.models.layers.published_algebra import (
    GeometricBilinear,
    MultiQueryAttention,
    MultivectorLinear,
    normalised,
)
from geoequiv.ranges import PositiveInt, check_ranges

LEAST_WEIGHT = 1e-3  # of a trivector, where it is read as a point


@check_ranges
class PublishedGATr(nn.Module):
    r"""A transformer whose tokens are multivectors of G(3,0,1) and scalars, as published.

    .. math::
        x \leftarrow x + \mathrm{Attention}(\mathrm{N}(x)), \qquad
        x \leftarrow x + L_2\,\mathrm{GELU}_{\langle\cdot\rangle}\big(L_1[\,a b,\; r\,(c \vee d)\,]\big),
        \quad a, b, c, d = \text{linear in } \mathrm{N}(x)

    A multivector that comes in is the sum of a scalar, a point (trivector) and a vector (the translation
    :math:`1 + e_0 v / 2`): the k-th of each. A point comes out as a trivector divided by its weight, where the cloud
    lies; scalars come out of components of grade 0. The reference r of joins is the mean weight :math:`e_{123}` of the
    multivectors that come in.

    Args:
        signature: of points, vectors and scalars; outputs are points and scalars.
        width: scalars of a token.
        depth: blocks.
        heads: of attention, which share one key and one value.
        multivectors: of a token.

    Raises:
        SignatureError: for other field types, a vector that goes out, or no point that comes in.

    Exactness: equivariant to SE(3) and to permutations up to round-off. Points are read where they are, without
        centring: clouds far from the origin lose digits. Reflections are not a symmetry; `gatr` has them.
    Deviations from the code: scalars beside multivectors start at 0 as there. The regulariser of the published
        training, ``regulariser``, is offered; suites do not add it to the loss.
    Reference: Brehmer, de Haan, Behrends & Cohen 2023; with the defaults the network of its n-body experiment.
    """

    claims = "SE(3)"
    compiles = "one graph; ragged batches in parts (their padding has a size that depends on the batch)"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 128,
        depth: PositiveInt = 10,
        *,
        heads: PositiveInt = 8,
        multivectors: PositiveInt = 16,
    ) -> None:
        super().__init__()
        self.adapter = adapter = SignatureAdapter(
            signature, kinds=("point", "vector", "scalar"), architecture="The published GATr", needs_point=True
        )
        if adapter.out_vectors:
            raise SignatureError(
                f"The published GATr predicts points and scalars; '{signature}' has vectors. `gatr` predicts them."
            )
        self.inputs = max(adapter.points, adapter.vectors, adapter.scalars)
        self.outputs = max(adapter.out_points, adapter.out_scalars)
        self.enter = MultivectorLinear(self.inputs, multivectors, 1, width)
        self.blocks = nn.ModuleList(PublishedBlock(multivectors, width, heads) for _ in range(depth))
        self.leave = MultivectorLinear(multivectors, self.outputs, width, 1)

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        found = self._through(cloud)
        points = self._points(found).reshape(*cloud.scalars.shape[:-1], self.adapter.out_points, 3)
        scalars = found[0].mT[:, : self.adapter.out_scalars].reshape(*cloud.scalars.shape[:-1], -1)
        return self.adapter.write(cloud, points=points, vectors=cloud.vectors[..., :0, :], scalars=scalars)

    def regulariser(self, graph: Any = None, /, **fields: Tensor) -> Tensor:
        r"""What the published training adds to its loss, a hundredth of it: one number for a batch of clouds.

        .. math:: \frac{1}{B} \sum_{i} \big(w_i - 1)^2 + s_i^2

        w is the weight e123 of the point and s the grade 0 of each node that comes out; padding is left out.

        Args:
            graph: fields as a PyG object, or
            fields: by name, as of ``forward``.
        """
        cloud = self.adapter.read(fields, graph)
        found = self._through(cloud)[:, : self.adapter.out_points]
        terms = ((found[7] - 1).square() + found[0].square()).sum(0).reshape(cloud.scalars.shape[:-1])
        if cloud.mask is not None:
            terms = terms * cloud.mask
        return cloud.pooled(terms.unsqueeze(-1)).mean()

    def _through(self, cloud: Cloud) -> Tensor:
        """The multivectors that come out, ``[16, outputs, n]``."""
        padding = None if cloud.batch is None else Padding.of(cloud.batch)
        multivectors = self._embedded(cloud)  # [n, 16, inputs]
        mask = cloud.mask
        if padding is not None:
            multivectors, mask = padding.fill(multivectors), padding.mask  # [clouds, N, 16, inputs]
        else:
            multivectors = multivectors.unflatten(0, (-1, cloud.scalars.shape[-2]))
        nodes = multivectors.shape[1]
        visible = None
        if mask is None:
            orientation = multivectors[:, :, 7].mean((1, 2), keepdim=True)
        else:
            mask = mask.reshape(-1, nodes)
            visible = (mask | ~mask.any(-1, keepdim=True))[:, None, None]  # an empty cloud attends to its padding
            count = mask.sum(-1, keepdim=True).clamp(min=1).unsqueeze(-1)
            orientation = (multivectors[:, :, 7] * mask.unsqueeze(-1)).mean(-1, keepdim=True).sum(1, True) / count
        orientation = orientation.expand(-1, nodes, 1).flatten()
        slabs = multivectors.flatten(0, 1).permute(1, 2, 0)  # [16, inputs, clouds · N]
        tokens, scalars = self.enter(slabs, slabs.new_zeros(slabs.shape[-1], 1))
        for block in self.blocks:
            tokens, scalars = block(tokens, scalars, nodes, visible, orientation)
        found: Tensor = self.leave(tokens, scalars)[0]
        if padding is None:
            return found
        return padding.strip(found.permute(2, 0, 1).unflatten(0, (-1, nodes))).permute(1, 2, 0)

    def _embedded(self, cloud: Cloud) -> Tensor:
        """The k-th scalar, point and vector of each node summed as multivectors, ``[n, 16, inputs]``."""
        points, vectors = (each.flatten(0, -3).mT for each in (cloud.points, cloud.vectors))  # [n, 3, ·]
        scalars = cloud.scalars.flatten(0, -2).unsqueeze(1)  # [n, 1, ·]

        def wide(values: Tensor) -> Tensor:
            return F.pad(values, (0, self.inputs - values.shape[-1]))

        weights, units = (wide(torch.ones_like(each[:, :1])) for each in (points, vectors))
        none = torch.zeros_like(weights)
        parts = [wide(scalars) + units, none.expand(-1, 6, -1), weights, none, wide(vectors) / 2, wide(points), none]
        return torch.cat(parts, 1)

    def _points(self, found: Tensor) -> Tensor:
        """Where trivectors ``[16, outputs, n]`` lie, ``[n, points, 3]``."""
        found = found[:, : self.adapter.out_points]
        weight = found[7]
        weight = torch.where(weight.abs() > LEAST_WEIGHT, weight, LEAST_WEIGHT)
        return (found[12:15] / weight).permute(2, 1, 0)


class PublishedBlock(nn.Module):
    """Attention and geometric perceptron, each on a normalised copy and added back.

    Args:
        channels: multivectors of a token.
        width: scalars of a token.
        heads: of attention.
    """

    def __init__(self, channels: int, width: int, heads: int) -> None:
        super().__init__()
        self.attention = MultiQueryAttention(channels, width, heads)
        self.bilinear = GeometricBilinear(channels, width, 2 * channels, 2 * width)
        self.last = MultivectorLinear(2 * channels, channels, 2 * width, width)

    def forward(
        self, multivectors: Tensor, scalars: Tensor, nodes: int, visible: Tensor | None, orientation: Tensor
    ) -> tuple[Tensor, Tensor]:
        """``[16, channels, n]`` and ``[n, width]`` → the same.

        Args:
            multivectors, scalars, nodes, visible: as of `MultiQueryAttention`.
            orientation: ``[n]``, the reference of joins.
        """
        update, change = self.attention(*normalised(multivectors, scalars), nodes, visible)
        multivectors, scalars = multivectors + update, scalars + change
        hidden, free = self.bilinear(*normalised(multivectors, scalars), orientation)
        update, change = self.last(hidden * F.gelu(hidden[:1], approximate="tanh"), F.gelu(free))
        return multivectors + update, scalars + change
