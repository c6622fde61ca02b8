r"""Vector Neurons (Deng et al. 2021): layers whose every feature is a vector, for point-cloud networks.

Features are ``[..., channels, 3]``; a cloud of them is ``[..., N, channels, 3]``. All layers commute with O(3) and
do not centre the cloud. Stack them as `nn.Sequential`:

>>> import torch
>>> torch.manual_seed(0); layers = nn.Sequential(VNLinear(1, 8), VNBatchNorm(8), VNLeakyReLU(8))  # doctest: +ELLIPSIS
<torch._C.Generator object at ...>
>>> layers(torch.randn(2, 100, 1, 3)).shape
torch.Size([2, 100, 8, 3])
"""

import torch
from torch import Tensor, nn

from geoequiv.models.layers.cloud import smooth_norm
from geoequiv.models.layers.point_sets import PointNorm

TINY = 1e-6  # under squared lengths that divide, as in the published code


class VNLinear(nn.Linear):
    r"""Linear combinations of vectors: :math:`v'_c = \sum_k W_{ck} v_k`; a bias would single out a direction.

    Args:
        inputs: channels.
        outputs: channels.

    Exactness: commutes with every linear map of space.
    Reference: Deng et al. 2021, equation 2.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """``[..., inputs, 3]`` → ``[..., outputs, 3]``."""
        return self.weight @ vectors


class VNLeakyReLU(nn.Module):
    r"""Removes the component of a vector that points against its learned direction.

    .. math::
        v' = \alpha v + (1 - \alpha) \begin{cases} v & \langle v, d \rangle \ge 0 \\
            v - \langle v, d \rangle\, d / \|d\|^2 & \text{else} \end{cases}, \qquad d = U v

    Args:
        channels: of vectors.
        slope: α; 0 is the plain ReLU.
        shared: one direction for all channels.

    Exactness: commutes with O(3); continuous, its derivative jumps where :math:`\langle v, d \rangle = 0`.
    Reference: Deng et al. 2021, equations 4–6 (published slope 0.2; there d is of the layer's input, with a linear map
    in the same layer: put `VNLinear` before for that).
    """

    def __init__(self, channels: int, slope: float = 0.2, *, shared: bool = False) -> None:
        super().__init__()
        self.slope = slope
        self.direction = VNLinear(channels, 1 if shared else channels)

    def forward(self, vectors: Tensor) -> Tensor:
        """``[..., channels, 3]`` → the same."""
        direction = self.direction(vectors)
        against = (vectors * direction).sum(-1, keepdim=True).clamp(max=0.0)
        length = direction.square().sum(-1, keepdim=True) + TINY
        return vectors - (1 - self.slope) * against / length * direction


class VNBatchNorm(nn.Module):
    r"""Batch normalisation of lengths: :math:`v' = v\, \mathrm{BN}(\|v\|) / \|v\|`.

    Args:
        channels: of vectors.
        momentum: of the running averages.

    Exactness: commutes with O(3), in training as in evaluation (lengths are invariant). A normalised length may be
    negative, which reverses the vector. A single row is normalised by the running averages (see `PointNorm`).
    Reference: Deng et al. 2021, equation 8.
    """

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.lengths = PointNorm(channels, momentum=momentum)

    def forward(self, vectors: Tensor, mask: Tensor | None = None) -> Tensor:
        """``[..., channels, 3]`` → the same; statistics over all leading axes, or where ``mask`` ``[...]`` is True.

        Elsewhere the output is 0.
        """
        if mask is not None:
            vectors = vectors.masked_fill(~mask[..., None, None], 0.0)
        length = smooth_norm(vectors, TINY**2)  # [..., channels]
        if mask is None:
            normalised = self.lengths(length.flatten(0, -2)).view_as(length)
        else:
            normalised = torch.zeros_like(length)
            normalised[mask] = self.lengths(length[mask])
        return vectors * (normalised / length).unsqueeze(-1)


class VNMaxPool(nn.Module):
    r"""Per channel the vector of the node that reaches furthest along its own learned direction.

    .. math:: v'_c = v_{n^* c}, \qquad n^*(c) = \arg\max_n \langle v_{nc}, (W v_n)_c \rangle

    Args:
        channels: of vectors.

    Exactness: commutes with O(3) and is invariant to the order of nodes; discontinuous where two nodes are equal.
    Reference: Deng et al. 2021, equation 7. The choice has no derivative, so that W keeps its initial values, as in the
    published code.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.direction = VNLinear(channels, channels)

    def forward(self, vectors: Tensor, mask: Tensor | None = None) -> Tensor:
        """``[..., N, channels, 3]``, with ``mask`` ``[..., N]`` or without → ``[..., channels, 3]``."""
        reach = (vectors * self.direction(vectors)).sum(-1)  # [..., N, channels]
        if mask is not None:
            reach = reach.masked_fill(~mask.unsqueeze(-1), float("-inf"))
        chosen = reach.argmax(-2, keepdim=True).unsqueeze(-1)
        return vectors.take_along_dim(chosen, dim=-3).squeeze(-3)


class VNMeanPool(nn.Module):
    """The mean vector of each channel over the nodes: commutes with O(3), smooth; the published default."""

    def forward(self, vectors: Tensor, mask: Tensor | None = None) -> Tensor:
        """``[..., N, channels, 3]``, with ``mask`` ``[..., N]`` or without → ``[..., channels, 3]``."""
        if mask is None:
            return vectors.mean(-3)
        real = mask.unsqueeze(-1).unsqueeze(-1)
        return vectors.masked_fill(~real, 0.0).sum(-3) / real.sum(-3).clamp(min=1)


class VNInvariant(nn.Module):
    r"""Invariants of vectors: their coordinates in a learned frame that rotates with them.

    .. math:: z_{ck} = \langle v_c, t_k \rangle, \qquad t = \text{three vectors, learned from } v

    Args:
        channels: of vectors.
        frame: vectors of the frame.

    Exactness: invariant to O(3); t need not be orthogonal, z is a table of inner products whatever it is.
    Reference: Deng et al. 2021, equation 9.
    """

    def __init__(self, channels: int, frame: int = 3) -> None:
        super().__init__()
        half, quarter = max(channels // 2, 1), max(channels // 4, 1)
        self.frame = nn.Sequential(
            VNLinear(channels, half), VNLeakyReLU(half), VNLinear(half, quarter), VNLeakyReLU(quarter),
            VNLinear(quarter, frame),
        )  # fmt: skip

    def forward(self, vectors: Tensor) -> Tensor:
        """``[..., channels, 3]`` → ``[..., channels · frame]``."""
        return (vectors @ self.frame(vectors).mT).flatten(-2)
