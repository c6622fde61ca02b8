"""Ties that colour refinement leaves: individualize a node, refine, keep what looks least, level by level."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geoequiv.symmetrize.frames.refinement import ENTRIES, is_discrete, refine, twins


@dataclass(frozen=True, eq=False)
class Found:
    """What the search of a batch of graphs found.

    Args:
        order: the node at each place, ``[B, n]``: one of the orders that the graph's symmetries turn into each other.
        nodes: number of the orbit of each node under these symmetries, ``[B, n]``.
        pairs: number of the orbit of each ordered pair, ``[B, n, n]``.
        automorphisms: their number ``[B]``, float64; NaN where the order was drawn.
        over: graphs with more open choices than the budget, ``[B]``: their order was drawn, and their orbits are
            those of twins alone.
    """

    order: Tensor
    nodes: Tensor
    pairs: Tensor
    automorphisms: Tensor
    over: Tensor


def search(colours: Tensor, pairs: Tensor, budget: int, generator: torch.Generator | None = None) -> Found:
    r"""Canonical orders of graphs and the orbits of their automorphisms.

    All graphs go through the levels of the search together: each open choice (a partition into cells) branches on the
    nodes of its first cell with more than one, of twins (nodes that can change places while all others stay) on the
    first alone; each branch is refined; of the branches of one graph those with the least trace stay. Of the leaves,
    which are orders, those stay from which the pair colours are lexicographically least. They are the coset of the
    automorphism group modulo exchanges of twins, which are taken into account in closed form.

    Args:
        colours: refined, ``[B, n]`` int64.
        pairs: pair colours, ``[B, n, n]`` int64, below 2n².
        budget: largest number of open choices of one graph.
        generator: for graphs above it, of which one branch is drawn at every further level.

    Exactness: whole numbers; leaves are compared entry by entry.
    """
    alike = twins(colours, pairs)
    over = torch.zeros(len(colours), dtype=torch.bool, device=colours.device)
    owner = torch.arange(len(colours), device=colours.device)
    traces: Tensor | None = None
    while True:
        discrete = is_discrete(colours)
        if bool(discrete.all()):
            break
        parent, node = choices(colours, alike[owner])
        child = colours[parent]
        split = node >= 0  # leaves go on as they are
        cell = child == child.gather(-1, node.clamp_min(0).unsqueeze(-1))
        chosen = torch.zeros_like(cell).scatter(-1, node.clamp_min(0).unsqueeze(-1), True)
        colours = child + (cell & ~chosen & split.unsqueeze(-1)).long()
        owner = owner[parent]
        counts = torch.bincount(owner, minlength=len(over))
        over = over | (counts > budget)
        if bool(over.any()):
            keep = ~over[owner] | one_of_each(owner, len(over), generator)
            colours, owner = colours[keep], owner[keep]
        colours, traces = refine(colours, pairs, owner)
        least = least_of_each(traces, owner, len(over))
        keep = traces == least[owner]
        colours, owner = colours[keep], owner[keep]
    orders = colours.argsort(-1)
    keep = smallest(orders, pairs, owner)
    orders, owner = orders[keep], owner[keep]
    return found(orders, owner, alike, over)


def choices(colours: Tensor, alike: Tensor) -> tuple[Tensor, Tensor]:
    """Branches of partitions ``[L, n]``: the row each comes from and the node it singles out; -1 for a leaf."""
    sizes = torch.zeros_like(colours).scatter_add(-1, colours, torch.ones_like(colours))
    n = colours.shape[-1]
    target = torch.where(sizes > 1, torch.arange(n, device=colours.device), n).amin(-1, keepdim=True)
    inside = colours == target
    places = torch.arange(n, device=colours.device).expand_as(colours)
    first = torch.full_like(colours, n).scatter_reduce(-1, alike, torch.where(inside, places, n), "amin")
    inside &= first.gather(-1, alike) == places
    leaf = target == n
    parent, node = torch.cat([inside, leaf], -1).nonzero(as_tuple=True)
    return parent, torch.where(node == n, -1, node)


def one_of_each(owner: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """One row of each owner at random, ``[L]`` bool."""
    draw = torch.randperm(len(owner), generator=generator).to(owner.device)
    return draw == least_of_each(draw, owner, count)[owner]


def least_of_each(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """The least value ``[count]`` of the rows of each owner."""
    most = torch.iinfo(torch.int64).max
    return torch.full((count,), most, device=values.device).scatter_reduce(0, owner, values, "amin")


def smallest(orders: Tensor, pairs: Tensor, owner: Tensor) -> Tensor:
    """Orders ``[L, n]`` from which the graph of each owner has the lexicographically least pair colours, ``[L]``."""
    n, count = orders.shape[-1], len(pairs)
    bits = int(pairs.max()).bit_length() or 1
    packed = 62 // bits  # entries compared at once
    alive = torch.ones(len(orders), dtype=torch.bool, device=orders.device)
    powers = 2 ** (bits * torch.arange(packed, device=orders.device)).flip(0)
    most = torch.iinfo(torch.int64).max
    for row in range(n):
        seen = pairs[owner.unsqueeze(-1), orders[:, row : row + 1], orders]
        for some in seen.split(packed, dim=-1):
            value = (some * powers[-some.shape[-1] :]).sum(-1)
            least = least_of_each(torch.where(alive, value, most), owner, count)
            alive &= value == least[owner]
    return alive


def found(orders: Tensor, owner: Tensor, alike: Tensor, over: Tensor) -> Found:
    """Orbits from the orders that are left."""
    count, n = alike.shape
    places = torch.arange(len(owner), device=owner.device)
    order = orders[least_of_each(places, owner, count)]
    base, images = order[owner], alike[owner.unsqueeze(-1), orders]
    nodes = torch.full((count * n,), n, device=owner.device)
    nodes = nodes.scatter_reduce(0, (owner.unsqueeze(-1) * n + base).flatten(), images.flatten(), "amin")
    twin = twin_pairs(alike)
    pairs = torch.full((count * n * n,), n * n, device=owner.device)
    for here in places.split(max(1, ENTRIES // n**2)):
        item, of, to = owner[here, None, None], base[here], orders[here]
        where = (item * n + of.unsqueeze(-1)) * n + of.unsqueeze(-2)
        what = twin[item, to.unsqueeze(-1), to.unsqueeze(-2)]
        pairs = pairs.scatter_reduce(0, where.flatten(), what.flatten(), "amin")
    members = torch.zeros_like(alike).scatter_add(-1, alike, torch.ones_like(alike))
    factorials = torch.arange(n + 1, device=owner.device).clamp_min(1).double().cumprod(0)
    exchanges = factorials[members].prod(-1)
    number = torch.bincount(owner, minlength=count) * exchanges
    number = torch.where(over, torch.nan, number)
    return Found(order, nodes.reshape(count, n), pairs.reshape(count, n, n), number, over)


def twin_pairs(alike: Tensor) -> Tensor:
    """Number of the orbit of each ordered pair under exchanges of twins alone, ``[B, n, n]``, below n²."""
    n = alike.shape[-1]
    places = torch.arange(n, device=alike.device)
    later = torch.where(alike == places, n, places)
    second = torch.full_like(alike, n).scatter_reduce(-1, alike, later, "amin").gather(-1, alike)
    first = alike
    same = (first.unsqueeze(-1) == first.unsqueeze(-2)) & (places != places.unsqueeze(-1))
    other = torch.where(same, second.unsqueeze(-1), first.unsqueeze(-2))
    return first.unsqueeze(-1) * n + other
