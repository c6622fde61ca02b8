"""Permuting a node axis: the representation of S(n)."""

from torch import Tensor, take_along_dim


def relabel(values: Tensor, permutation: Tensor, axis: int) -> Tensor:
    r"""Row i of an axis becomes row p(i).

    .. math:: y_{p(i)} = x_i, \quad \text{that is} \quad y_j = x_{p^{-1}(j)}

    Args:
        values: ``[*S, ..., n, ...]`` of any dtype.
        permutation: p, ``[*S, n]`` int64; lengths of 1 in S broadcast over the items.
        axis: which axis holds the nodes.

    Returns:
        Tensor of the values' shape. Exactness: bit for bit; differentiable in the values.
    """
    axis = axis % values.ndim
    source = permutation.to(values.device).argsort(-1)
    if source.numel() == source.shape[-1]:  # the same for every item
        return values.index_select(axis, source.flatten())
    lead = source.ndim - 1
    after = values.ndim - axis - 1
    return take_along_dim(values, source.reshape(*source.shape[:-1], *(1,) * (axis - lead), -1, *(1,) * after), axis)
