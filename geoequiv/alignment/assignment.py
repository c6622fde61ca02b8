"""Linear assignment of hidden units, and of blocks of them."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from geoequiv.alignment.spec import PermutationSpec, Stream


def assign(score: Tensor) -> Tensor:
    r"""The permutation p that maximises :math:`\sum_i S_{i\,p(i)}`.

    Args:
        score: ``[n, n]``, how similar unit j of the second network is to unit i of the first.

    Exactness: exact (Jonker–Volgenant, ``scipy.optimize.linear_sum_assignment``). Among equal choices the identity
    wins.
    """
    matrix = score.double().cpu().numpy()
    spread = max(float(np.ptp(matrix)), 1e-300)
    _, columns = linear_sum_assignment(matrix + 1e-13 * spread * np.eye(len(matrix)), maximize=True)
    return torch.from_numpy(columns.astype(np.int64))


def procrustes(moment: Tensor) -> tuple[Tensor, Tensor]:
    r"""The orthogonal R that maximises :math:`\langle R, S \rangle`, and that maximum.

    Exactness: exact (the polar factor of S); not unique where S does not have full rank.
    """
    left, values, right = torch.linalg.svd(moment)
    return left @ right, values.sum()


def match_inside(scores: Tensor, count: int, rotated: bool) -> tuple[dict[tuple[int, int], Tensor], Tensor]:
    """Match the units inside every pair of blocks.

    Args:
        scores: ``[count·d, count·d]`` of the units in blocks, one block after the other.
        rotated: match by orthogonal matrices instead of permutations.

    Returns:
        (i, j) → the permutation or matrix that takes block j of the second network to block i of the first; and its
        score, ``[count, count]``.
    """
    size = len(scores) // count
    best, values = {}, torch.zeros(count, count, dtype=torch.float64)
    for i in range(count):
        for j in range(count):
            part = scores[i * size : (i + 1) * size, j * size : (j + 1) * size]
            if rotated:
                best[i, j], values[i, j] = procrustes(part)
            else:
                best[i, j] = assign(part)
                values[i, j] = part.gather(1, best[i, j].unsqueeze(1)).sum()
    return best, values


def assign_blocks(
    spec: PermutationSpec, block: Stream, score: Callable[[list[Stream]], Tensor], mixes: bool = False,
    even: bool = False,
) -> tuple[dict[str, Tensor], dict[str, tuple[str, Tensor]], Tensor]:  # fmt: skip
    """Permute blocks (heads) and the units inside them at once; with ``mixes``, rotate the units that can be rotated.

    Args:
        score: for the streams of one kind, one in each block: ``[blocks·d, blocks·d]`` of their units in order.
        even: whether rotations are weighted like correlations: 1 for a unit of the best pair of blocks.

    Returns:
        Permutations of the streams inside and of the blocks, to be applied in this order (as ``apply`` does); stream
        inside → the stream that takes its place, and the matrix to be applied then; the score of each pair of blocks.

    Exactness: exact: every pair of blocks is matched inside, then the blocks by those best scores.
    """
    total = torch.zeros(block.size, block.size, dtype=torch.float64)
    inner, kinds = [], spec.kinds(block.name)
    for kind in kinds:
        rotated = mixes and kind[0].rotates
        best, values = match_inside(score(kind).double().cpu(), block.size, rotated)
        total += values * (kind[0].size / values.max().clamp(min=1e-300)) if rotated and even else values
        inner.append(best)
    blocks = assign(total)
    orders, rotations = {}, {}
    for kind, best in zip(kinds, inner, strict=True):
        for i, j in enumerate(blocks.tolist()):
            if mixes and kind[0].rotates:
                rotations[kind[i].name] = (kind[j].name, best[i, j])
            else:
                orders[kind[j].name] = best[i, j]
    return {**orders, block.name: blocks}, rotations, total


def partners(spec: PermutationSpec, block: Stream, orders: Mapping[str, Tensor]) -> list[tuple[list[Stream], Tensor]]:
    """For each kind of streams inside that is permuted, not rotated: its streams, and the index of each unit's partner.

    Args:
        orders: as ``assign_blocks`` returns them.

    Returns:
        Index ``[blocks·d]`` into the units of all streams of the kind, of the unit that takes each unit's place.
    """
    found = []
    for kind in spec.kinds(block.name):
        if kind[0].name in orders:
            size = kind[0].size
            columns = [j * size + orders[kind[j].name] for j in orders[block.name].tolist()]
            found.append((kind, torch.cat(columns)))
    return found


def plain_streams(spec: PermutationSpec) -> list[Stream]:
    """Streams that are neither blocks nor inside one."""
    return [stream for stream in spec.streams if stream.block is None and not spec.inside(stream.name)]


def block_streams(spec: PermutationSpec) -> list[Stream]:
    """Streams whose units are blocks of others."""
    return [stream for stream in spec.streams if spec.inside(stream.name)]
