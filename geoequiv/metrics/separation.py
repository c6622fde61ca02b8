"""Which items a network does not tell apart: pairs of embeddings that are close, found by sorting."""

import torch
from torch import Tensor

from geoequiv.errors import BatchError

#: candidates that are compared at once
BLOCK = 2**21


def distances(first: Tensor, second: Tensor) -> Tensor:
    """L1 distance of rows, ``[n, k]`` each, to ``[n]``."""
    return (first - second).abs().sum(-1)


def close_pairs(embeddings: Tensor, threshold: float) -> Tensor:
    r"""All pairs of rows whose L1 distance is at most a threshold.

    For all signs, :math:`|\sum_k s_k (x_k - y_k)| \le \|x - y\|_1`: close pairs are close in every signed sum. Rows
    are sorted by the signed sum that spreads most, each is compared with those that follow within the threshold, first
    in a second signed sum, then in full.

    Args:
        embeddings: ``[n, k]``, finite.
        threshold: positive.

    Returns:
        ``[2, P]`` int64, the smaller index first, in lexicographic order, each pair once.

    Raises:
        BatchError: rows that are not finite, or no matrix.

    Exactness: as if all n (n − 1) / 2 distances were taken in the dtype of the embeddings.

    >>> close_pairs(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0005, 0.0005], [1.0, 0.0]]), 1e-3).tolist()
    [[0, 1], [2, 3]]
    """
    if embeddings.ndim != 2 or not bool(embeddings.isfinite().all()):
        raise BatchError(f"Embeddings must be finite and [n, k], got {list(embeddings.shape)}.")
    wide = embeddings.double()
    sums = wide @ signed_directions(wide)  # [n, 2]
    order = sums[:, 0].argsort()
    rows, (key, other) = embeddings[order], sums[order].T.contiguous()
    slack = threshold + 1e-9 * (threshold + float(key.abs().max()) if len(key) else 0)
    slack += embeddings.shape[-1] * torch.finfo(embeddings.dtype).eps * threshold
    starts = torch.arange(len(rows)) + 1
    counts = torch.searchsorted(key, key + slack, right=True) - starts
    ends = counts.cumsum(0)
    found = [torch.zeros(2, 0, dtype=torch.int64)]
    begin, done = 0, 0
    while begin < len(rows):
        end = max(int(torch.searchsorted(ends, done + BLOCK, right=True)), begin + 1)
        some = counts[begin:end]
        first = torch.arange(begin, end).repeat_interleave(some)
        second = torch.arange(len(first)) - (some.cumsum(0) - some).repeat_interleave(some) + first + 1
        near = (other[first] - other[second]).abs() <= slack
        first, second = first[near], second[near]
        near = distances(rows[first], rows[second]) <= threshold
        found.append(torch.stack([order[first[near]], order[second[near]]]))
        begin, done = end, int(ends[end - 1])
    pairs = torch.cat(found, 1).sort(0).values
    return pairs[:, (pairs[0] * len(rows) + pairs[1]).argsort()]


def signed_directions(values: Tensor) -> Tensor:
    """Two vectors of signs along which rows ``[n, k]`` spread: those of the two leading principal axes, ``[k, 2]``."""
    centred = values - values.mean(0) if len(values) else values
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -2:].flip(1)
    signs = torch.where(axes < 0, -1.0, 1.0).to(values)
    return signs.expand(-1, 2) if signs.shape[1] == 1 else signs
