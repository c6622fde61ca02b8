"""Linear assignment of units, and of blocks of units."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from geoequiv.alignment.permutation_spec import PermutationSpec, Stream


def assign(score: Tensor) -> Tensor:
    r"""The permutation p that maximises :math:`\sum_i S_{i\,p(i)}`.

    Args:
        score: ``[n, n]``, how well unit j of the second network goes with unit i of the first.

    Exactness: exact (Jonker–Volgenant, ``scipy.optimize.linear_sum_assignment``). Among equal choices units stay.
    """
    matrix = score.double().cpu().numpy()
    spread = max(float(np.ptp(matrix)), 1e-300)
    _, columns = linear_sum_assignment(matrix + 1e-13 * spread * np.eye(len(matrix)), maximize=True)
    return torch.from_numpy(columns.astype(np.int64))


def assign_blocks(
    spec: PermutationSpec, block: Stream, score: Callable[[list[Stream]], Tensor], own: Tensor | None = None
) -> dict[str, Tensor]:
    """Exchange blocks (heads) and the units inside them at once.

    Args:
        score: for the streams of one kind, one in each block: ``[blocks·d, blocks·d]`` of their units in order.
        own: ``[blocks, blocks]``, what the blocks' own places say besides.

    Returns:
        Permutations of the streams inside and of the blocks, to be applied in this order (``apply`` does).

    Exactness: exact: every pair of blocks is matched inside, then the blocks by the best that their insides can do.
    """
    count = block.size
    total = torch.zeros(count, count, dtype=torch.float64) if own is None else own.double().clone()
    best: list[dict[tuple[int, int], Tensor]] = []
    kinds = spec.kinds(block.name)
    for kind in kinds:
        whole, size, inner = score(kind).double().cpu(), kind[0].size, {}
        for i in range(count):
            for j in range(count):
                part = whole[i * size : (i + 1) * size, j * size : (j + 1) * size]
                order = inner[i, j] = assign(part)
                total[i, j] += part.gather(1, order.unsqueeze(1)).sum()
        best.append(inner)
    blocks = assign(total)
    found = {}
    for kind, inner in zip(kinds, best, strict=True):
        for i, j in enumerate(blocks.tolist()):
            found[kind[j].name] = inner[i, j]
    return {**found, block.name: blocks}


def plain_streams(spec: PermutationSpec) -> list[Stream]:
    """Streams that are neither blocks nor inside one."""
    return [stream for stream in spec.streams if stream.block is None and not spec.inside(stream.name)]


def block_streams(spec: PermutationSpec) -> list[Stream]:
    """Streams whose units are blocks of others."""
    return [stream for stream in spec.streams if spec.inside(stream.name)]
