"""Left cosets of a finite group."""

import torch
from torch import Tensor

from geoequiv.errors import GroupError
from geoequiv.groups.base import Group
from geoequiv.groups.element import Element, compose
from geoequiv.groups.names import group

TOLERANCE = 1e-6  # listed elements are exact to about 1e-14


def cosets(whole: str | Group, part: str | Group) -> Element:
    r"""The left cosets of a subgroup, each element of the group exactly once.

    .. math:: G = g_1 H \cup g_2 H \cup \dots, \qquad g_1 = 1

    >>> cosets("Oh", "O").shape
    torch.Size([2, 24])

    Args:
        whole: G, finite; a group or its name.
        part: H, a subgroup of G.

    Returns:
        ``[|G|/|H|, |H|]``: row i is g_i times the elements of H in their order, so that ``[:, 0]`` are
        representatives and row 0 is H itself.

    Raises:
        GroupError: if G cannot be listed, or H is no subgroup of it.
    """
    whole, part = group(whole), group(part)
    if not whole.is_finite:
        raise GroupError(f"Cosets are listed for finite groups; {whole} cannot be listed.")
    if not part.is_subgroup_of(whole):
        raise GroupError(f"{part} is not a subgroup of {whole}: it has elements outside, so there are no cosets.")
    listed, subgroup = whole.elements(), part.elements()
    places = coordinates(listed, whole.nodes)
    left = torch.ones(len(listed), dtype=torch.bool)
    rows = []
    while bool(left.any()):
        here = coordinates(compose(listed[int(left.nonzero()[0])], subgroup), whole.nodes)
        gaps, row = torch.cdist(here, places, p=float("inf")).min(-1)
        assert bool((gaps < TOLERANCE).all()), "a product has left the group"
        left[row] = False
        rows.append(row)
    return listed[torch.stack(rows)]


def coordinates(g: Element, nodes: int | None) -> Tensor:
    """Numbers that tell elements apart, ``[..., d² + n]`` float64."""
    numbers = [g.linear.flatten(-2)]
    if nodes is not None:
        labels = torch.arange(nodes).expand(*g.shape, nodes) if g.permutation is None else g.permutation
        numbers.append(labels.double())
    return torch.cat(numbers, -1)
