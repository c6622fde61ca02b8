"""Cells that colour refinement leaves undecided: individualize a node, refine, keep the least, level by level."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geoequiv.symmetrize.frames.refinement import ENTRIES, is_discrete, mix, refine, twins


@dataclass(frozen=True, eq=False)
class Found:
    """What the search of a batch of graphs found.

    Args:
        order: the node at each place, ``[B, n]``: one of the orders that the graph's automorphisms map to each other.
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

    All graphs go through the levels of the search together. Each open choice (a partition into cells) branches on the
    nodes of its first cell with more than one, of twins (nodes that can change places while all others stay) on the
    first alone. Each branch is refined; of the branches of one graph those with the least trace stay, and of those
    that an automorphism maps to each other, one (found by following each down to some leaf and comparing these).
    Of the leaves, which are orders, that one stays from which the pair colours are lexicographically least.

    The automorphisms that were met and the transpositions of twins generate all of them.

    Args:
        colours: refined, ``[B, n]`` int64.
        pairs: pair colours, ``[B, n, n]`` int64, below 2n².
        budget: largest number of open choices of one graph at one level.
        generator: for graphs above it, whose order is drawn: a random node of the first cell at every level.

    Exactness: whole numbers; leaves are compared entry by entry.
    """
    count, n = colours.shape
    alike, root = twins(colours, pairs), colours
    over = torch.zeros(count, dtype=torch.bool, device=colours.device)
    owner = torch.arange(count, device=colours.device)
    weight = torch.ones(count, dtype=torch.float64, device=colours.device)
    maps = [torch.empty(3, 0, n, dtype=torch.int64, device=colours.device)]
    while not bool(is_discrete(colours).all()):
        parent, node = choices(colours, alike[owner])
        over = over | (torch.bincount(owner[parent], minlength=count) > budget)
        keep = ~over[owner[parent]]
        parent, node = parent[keep], node[keep]
        colours, owner, weight = singled_out(colours[parent], node), owner[parent], weight[parent]
        if len(owner) == 0:
            break
        colours, traces = refine(colours, pairs, owner)
        keep = traces == least_of_each(traces, owner, count)[owner]
        colours, owner, weight = colours[keep], owner[keep], weight[keep]
        keep, weight, found = merged(colours, pairs, owner, weight, count)
        colours, owner, weight = colours[keep], owner[keep], weight[keep]
        maps.append(found)
    orders = colours.argsort(-1)
    keep = smallest(orders, pairs, owner)
    order, number = torch.empty_like(root), weight.new_full((count,), torch.nan)
    order[owner[keep]], number[owner[keep]] = orders[keep], weight[keep]
    if bool(over.any()):
        drawn = over.nonzero().squeeze(1)
        order[drawn] = descended(root[drawn], pairs, drawn, generator, random=True).argsort(-1)
    places = torch.arange(n, device=alike.device)
    members = torch.zeros_like(alike).scatter_add(-1, alike, torch.ones_like(alike))
    factorials = torch.cat([places.new_ones(1), places + 1]).double().cumprod(0)
    number = number * factorials[members].prod(-1)
    which, base, image = torch.cat(maps, 1)
    real = ~over[which[:, 0]]
    which, base, image = which[real, 0], base[real], image[real]
    across = torch.arange(n * n, device=alike.device).reshape(n, n)
    return Found(
        order,
        joined(alike, which, base, image),
        joined(
            twin_pairs(alike).flatten(1),
            which,
            across[base.unsqueeze(-1), base.unsqueeze(-2)].flatten(1),
            across[image.unsqueeze(-1), image.unsqueeze(-2)].flatten(1),
        ).reshape(count, n, n),
        number,
        over,
    )


def first_cell(colours: Tensor) -> Tensor:
    """Which nodes are in the first cell with more than one, ``[L, n]``; none where there is no such cell."""
    n = colours.shape[-1]
    sizes = torch.zeros_like(colours).scatter_add(-1, colours, torch.ones_like(colours))
    target = torch.where(sizes > 1, torch.arange(n, device=colours.device), n).amin(-1, keepdim=True)
    return colours == target


def choices(colours: Tensor, alike: Tensor) -> tuple[Tensor, Tensor]:
    """Branches of partitions ``[L, n]``: the row each comes from and the node it singles out; a leaf stays as it is."""
    n = colours.shape[-1]
    inside = first_cell(colours)
    places = torch.arange(n, device=colours.device).expand_as(colours)
    first = torch.full_like(colours, n).scatter_reduce(-1, alike, torch.where(inside, places, n), "amin")
    branches = inside & (first.gather(-1, alike) == places)
    branches[:, 0] |= ~inside.any(-1)
    parent, node = branches.nonzero(as_tuple=True)
    return parent, node


def singled_out(colours: Tensor, node: Tensor) -> Tensor:
    """Partitions ``[L, n]`` with the rest of the cell of a node ``[L]`` put behind it."""
    cell = colours == colours.gather(-1, node.unsqueeze(-1))
    return colours + cell.long().scatter(-1, node.unsqueeze(-1), 0)


def descended(
    colours: Tensor, pairs: Tensor, owner: Tensor, generator: torch.Generator | None = None, *, random: bool = False
) -> Tensor:
    """One leaf below each partition ``[L, n]``, by the first or a random node of the first cell at every level."""
    while not bool(is_discrete(colours).all()):
        inside = first_cell(colours)
        score = torch.rand(colours.shape, generator=generator).to(colours.device) if random else 0
        node = torch.where(inside, 1.0 + score, 0.0).argmax(-1)
        colours, _ = refine(singled_out(colours, node), pairs, owner)
    return colours


def merged(colours: Tensor, pairs: Tensor, owner: Tensor, weight: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Find partitions of the same graph that automorphisms map to each other.

    Returns:
        Which rows to keep ``[L]``, how many rows each of them now stands for ``[L]``, and the automorphisms
        ``[3, M, n]``: graphs, nodes, and what becomes of these.
    """
    places = torch.arange(len(owner), device=owner.device)
    busy = places[torch.bincount(owner, minlength=count)[owner] > 1]
    orders = descended(colours[busy], pairs, owner[busy]).argsort(-1)
    of = owner[busy]
    _, group = torch.stack([of, certificates(orders, pairs, of)]).unique(dim=1, return_inverse=True)
    rows = torch.arange(len(busy), device=owner.device)
    first = torch.full_like(rows, len(rows)).scatter_reduce(0, group, rows, "amin")[group]
    others = rows[first != rows]
    others = others[same_graph(orders[others], orders[first[others]], pairs, of[others])]
    keep = torch.ones(len(owner), dtype=torch.bool, device=owner.device)
    keep[busy[others]] = False
    weight = weight.index_add(0, busy[first[others]], weight[busy[others]])
    which = of[others].unsqueeze(-1).expand(-1, orders.shape[-1])
    return keep, weight, torch.stack([which, orders[first[others]], orders[others]])


def in_order(orders: Tensor, pairs: Tensor, owner: Tensor) -> Tensor:
    """Pair colours ``[L, n, n]`` of each owner from an order ``[L, n]``."""
    return pairs[owner[:, None, None], orders.unsqueeze(-1), orders.unsqueeze(-2)]


def certificates(orders: Tensor, pairs: Tensor, owner: Tensor) -> Tensor:
    """Numbers ``[L]`` that are equal where the same graph is seen from two orders."""
    n = orders.shape[-1]
    size = max(1, ENTRIES // n**2)
    places = mix(torch.arange(n * n, device=orders.device)).reshape(n, n)
    parts = zip(orders.split(size), owner.split(size), strict=True)
    return torch.cat([mix(in_order(o, pairs, w) ^ places).sum((-1, -2)) for o, w in parts])


def same_graph(first: Tensor, second: Tensor, pairs: Tensor, owner: Tensor) -> Tensor:
    """Whether a graph is the same from two orders ``[L, n]``, entry by entry, ``[L]``."""
    size = max(1, ENTRIES // first.shape[-1] ** 2)
    parts = zip(first.split(size), second.split(size), owner.split(size), strict=True)
    return torch.cat([(in_order(a, pairs, w) == in_order(b, pairs, w)).all(-1).all(-1) for a, b, w in parts])


def least_of_each(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """The least value ``[count]`` of the rows of each owner."""
    most = torch.iinfo(torch.int64).max
    return torch.full((count,), most, device=values.device).scatter_reduce(0, owner, values, "amin")


def smallest(orders: Tensor, pairs: Tensor, owner: Tensor) -> Tensor:
    """Which of the orders ``[L, n]`` shows each owner the lexicographically least pair colours, ``[L]``."""
    bits = int(pairs.max()).bit_length() or 1
    packed = 62 // bits  # entries compared at once
    alive = torch.ones(len(orders), dtype=torch.bool, device=orders.device)
    powers = 2 ** (bits * torch.arange(packed, device=orders.device)).flip(0)
    most = torch.iinfo(torch.int64).max
    for row in range(orders.shape[-1] if len(owner.unique()) < len(owner) else 0):
        seen = pairs[owner.unsqueeze(-1), orders[:, row : row + 1], orders]
        for some in seen.split(packed, dim=-1):
            value = (some * powers[-some.shape[-1] :]).sum(-1)
            alive &= value == least_of_each(torch.where(alive, value, most), owner, len(pairs))[owner]
    return alive


def joined(labels: Tensor, which: Tensor, base: Tensor, image: Tensor) -> Tensor:
    """Orbits ``[B, m]``, each named by its least member, once ``base`` and ``image`` ``[M, m]`` are joined.

    Args:
        labels: the least member of the orbit that each is known to be in, ``[B, m]``.
        which: the row of labels that each map belongs to, ``[M]``.
    """
    m = labels.shape[-1]
    flat = (labels + m * torch.arange(len(labels), device=labels.device).unsqueeze(-1)).flatten()
    size = max(1, ENTRIES // m)
    while True:
        former = flat
        for row, a, b in zip(which.split(size), base.split(size), image.split(size), strict=True):
            one, other = flat[(a + m * row.unsqueeze(-1)).flatten()], flat[(b + m * row.unsqueeze(-1)).flatten()]
            least = torch.minimum(one, other)
            flat = flat.scatter_reduce(0, one, least, "amin").scatter_reduce(0, other, least, "amin")
            while not torch.equal(flat, flat[flat]):
                flat = flat[flat]
        if torch.equal(flat, former):
            return flat.reshape(labels.shape) % m


def twin_pairs(alike: Tensor) -> Tensor:
    """Least member of the orbit of each ordered pair under transpositions of twins alone, ``[B, n, n]``, below n²."""
    n = alike.shape[-1]
    places = torch.arange(n, device=alike.device)
    later = torch.where(alike == places, n, places)
    second = torch.full_like(alike, n).scatter_reduce(-1, alike, later, "amin").gather(-1, alike)
    same = (alike.unsqueeze(-1) == alike.unsqueeze(-2)) & (places != places.unsqueeze(-1))
    other = torch.where(same, second.unsqueeze(-1), alike.unsqueeze(-2))
    return alike.unsqueeze(-1) * n + other
