"""Colour refinement of a batch of graphs, in whole numbers: the same bits whatever the order of the nodes."""

import torch
from torch import Tensor

#: entries of the largest intermediate tensor
ENTRIES = 2**22


def mix(values: Tensor) -> Tensor:
    """A fixed scrambling of int64 numbers (SplitMix64), so that sums of them tell multisets apart.

    Two multisets have the same sum by chance with a probability of about 2⁻⁶⁴.
    """
    values = values - 7046029254386353131
    values = (values ^ ((values >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    values = (values ^ ((values >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return values ^ ((values >> 31) & 0x1FFFFFFFF)


def ranks(values: Tensor) -> Tensor:
    """Number of smaller distinct values in the same row, ``[B, m]`` of any dtype to int64."""
    ordered, index = values.sort(-1)
    steps = torch.nn.functional.pad((ordered[:, 1:] != ordered[:, :-1]).long(), (1, 0)).cumsum(-1)
    return torch.empty_like(index).scatter(-1, index, steps)


def joint_ranks(columns: list[Tensor]) -> Tensor:
    """Ranks of tuples in lexicographic order, from columns ``[B, m]``."""
    joint = ranks(columns[0])
    for column in columns[1:]:
        if int(joint.amax(-1).min()) == joint.shape[-1] - 1:
            break  # all apart already
        joint = ranks(joint * column.shape[-1] + ranks(column))
    return joint


def snapped(values: Tensor, tolerance: float) -> Tensor:
    """Values ``[B, m]`` of which those within a relative tolerance of one another bear the smallest one's bits.

    Values count as equal if a chain of steps of at most tolerance × (largest absolute value of the row) joins them.
    """
    values = values + 0.0  # no negative zeros
    if tolerance == 0:
        return values
    ordered, index = values.sort(-1)
    limit = tolerance * values.abs().amax(-1, keepdim=True)
    starts = torch.nn.functional.pad((ordered.diff(dim=-1) > limit).long(), (1, 0)) * torch.arange(
        values.shape[-1], device=values.device
    )
    return torch.empty_like(values).scatter(-1, index, ordered.gather(-1, starts.cummax(-1).values))


def cells_of(colours: Tensor, finer: Tensor) -> Tensor:
    """Colours ``[L, n]`` (numbers of nodes in earlier cells), each cell split in the order of ``finer`` ``[L, n]``."""
    index = finer.argsort(-1)
    index = index.gather(-1, colours.gather(-1, index).argsort(dim=-1, stable=True))
    first, second = colours.gather(-1, index), finer.gather(-1, index)
    new = (first[:, 1:] != first[:, :-1]) | (second[:, 1:] != second[:, :-1])
    places = torch.arange(1, colours.shape[-1], device=colours.device)
    starts = torch.nn.functional.pad(new.long() * places, (1, 0)).cummax(-1).values
    return torch.empty_like(colours).scatter(-1, index, starts)


def refine(colours: Tensor, pairs: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
    r"""Split cells by what their nodes see, until nothing splits any more (1-WL with edge colours).

    .. math:: c_i \leftarrow \Big(c_i, \sum_j h(e_{ij}, c_j)\Big)

    Args:
        colours: ``[L, n]`` int64, the number of nodes in earlier cells.
        pairs: colours e of the ordered pairs of nodes, ``[B, n, n]`` int64, below 2n².
        owner: which graph each row of colours belongs to, ``[L]``.

    Returns:
        The refined colours, and a number for each row that does not depend on the order of its nodes ``[L]``.

    Exactness: whole numbers only. A chance collision of sums leaves a cell unsplit; that is still equivariant.
    """
    size = max(1, ENTRIES // pairs.shape[-1] ** 2)
    parts = [
        refined(c, pairs if len(pairs) == 1 else pairs[o])
        for c, o in zip(colours.split(size), owner.split(size), strict=True)
    ]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def refined(colours: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """``refine`` with the pairs of each row, ``[L, n, n]``."""
    n = colours.shape[-1]
    scaled = pairs * n
    limit = (int(pairs.max()) + 1) * n
    table = mix(torch.arange(limit, device=pairs.device)) if limit < len(colours) * n * n else None
    while True:
        joint = scaled + colours.unsqueeze(-2)
        seen = (mix(joint) if table is None else table[joint]).sum(-1)
        finer = cells_of(colours, seen)
        if torch.equal(finer, colours):
            return colours, mix(mix(colours) ^ seen).sum(-1)
        colours = finer


def is_discrete(colours: Tensor) -> Tensor:
    """Whether every node has a cell of its own, ``[L]``."""
    places = torch.arange(colours.shape[-1], device=colours.device)
    return (colours.sort(-1).values == places).all(-1)


def twins(colours: Tensor, pairs: Tensor) -> Tensor:
    """For each node the first one that it can change places with while all others stay, ``[B, n]`` (or itself)."""
    n = colours.shape[-1]
    eye = torch.eye(n, dtype=torch.bool, device=colours.device)
    same = (colours.unsqueeze(-1) == colours.unsqueeze(-2)) & (pairs == pairs.mT)
    for k in range(n):
        same &= (pairs[:, :, None, k] == pairs[:, None, :, k]) | eye[k] | eye[k].unsqueeze(-1)
    return (same | eye).to(torch.uint8).argmax(-1)
