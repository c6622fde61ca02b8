"""Features of multivectors whose dot product is an inner product less a squared distance of points."""

import torch
from torch import Tensor


def query_features(query: Tensor, epsilon: float) -> Tensor:
    r"""Features of a query in its dot product with a key: ``[16, ...]`` → ``[12, ...]``.

    .. math::
        q \cdot k = \langle \tilde q k \rangle_{\text{without } e_{123}} - \| w_k p_q - w_q p_k \|^2

    where the trivector's weight w and position p are first scaled by :math:`w / (w^2 + \epsilon)`.
    Reference: Brehmer et al. 2023, equations 6 and 7.
    """
    weight, position = scaled_trivector(query, epsilon)
    return torch.cat([query[:7], position.square().sum(0, keepdim=True), weight.square(), weight * position])


def key_features(key: Tensor, epsilon: float) -> Tensor:
    """Features of a key in its dot product with a query: ``[16, ...]`` → ``[12, ...]``."""
    weight, position = scaled_trivector(key, epsilon)
    return torch.cat([key[:7], -weight.square(), -position.square().sum(0, keepdim=True), 2 * weight * position])


def scaled_trivector(multivectors: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Weight ``[1, ...]`` and position ``[3, ...]``, times w / (w² + ε): (1, x) for a point at x of large weight."""
    weight = multivectors[7:8]
    factor = weight / (weight.square() + epsilon)
    return weight * factor, multivectors[12:15] * factor
