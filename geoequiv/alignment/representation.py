"""Do the hidden units of a network carry a representation? Matching with all copies of a finite group at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import lcm
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.alignment.activations import match_activations
from geoequiv.alignment.assignment import assign, block_streams, plain_streams
from geoequiv.alignment.derive import permutation_spec
from geoequiv.alignment.fold import transformed_copy
from geoequiv.alignment.spec import PermutationSpec
from geoequiv.errors import AlignmentError, GroupError
from geoequiv.fields import Signature
from geoequiv.groups import Element, Group, compose
from geoequiv.groups import group as group_by_name


@dataclass(frozen=True, eq=False)
class HiddenRepresentation:
    """How far the permutations that match a network with its transformed copies are from a representation of the group.

    Args:
        permutations: stream → ``[|G|, size]``, in the order of ``group.elements()``.
        independent: the same, each element matched on its own.
        error: fraction of units, over all pairs of elements, where P(g)P(h) ≠ P(gh).
        error_independent: the same before the matchings were made consistent.
        correlation: mean correlation of matched units over elements and units.
        invariant, regular, zero: stream → fraction of units that every element fixes, whose orbit has |G| units, and
            that are dead. A dead unit counts as neither of the others.
        orders: stream → order of the permutation of each element.
    """

    permutations: Mapping[str, Tensor]
    independent: Mapping[str, Tensor]
    error: float
    error_independent: float
    correlation: float
    invariant: Mapping[str, float]
    regular: Mapping[str, float]
    zero: Mapping[str, float]
    orders: Mapping[str, tuple[int, ...]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        plain = ("error", "error_independent", "correlation")
        by_stream = ("invariant", "regular", "zero", "orders")
        return {name: getattr(self, name) for name in plain} | {name: dict(getattr(self, name)) for name in by_stream}


def hidden_representation(
    model: nn.Module,
    signature: str | Signature,
    group: str | Group,
    batches: Iterable[Mapping[str, Any]],
    *,
    spec: PermutationSpec | None = None,
    consistency: float = 0.5,
    max_rounds: int = 50,
) -> HiddenRepresentation:
    r"""Match a network with its transformed copies by all elements of a finite group, consistently.

    Each P(g) is first assigned by correlations :math:`C_g` alone; then each is updated, until nothing changes, by

    .. math:: P(g) \leftarrow \arg\max_P \Big\langle P,\; C_g + \tfrac{\lambda}{|G|} \sum_h P(gh) P(h)^{-1}\Big\rangle

    Args:
        group: finite, or its name.
        batches: inputs by name; they are kept in memory.
        consistency: λ, the weight of the other elements; 0 matches each element on its own.

    Raises:
        GroupError: an infinite group.
        AlignmentError: an element that cannot be folded into the weights, or too little data.

    Exactness: a local optimum. For blocks of units (heads) it gives their permutation, not that of the units inside.
    Streams that no module returns whole are left out.
    Reference: orders of permutations after Bökman & Kahl 2023, figure 4; consistency over the group is this project's.
    """
    signature, acting = Signature.parse(signature), group_by_name(group)
    signature.check_group(acting)
    if not acting.is_finite:
        raise GroupError(f"{acting} is infinite: take a finite subgroup such as C4, T or O.")
    seen = list(batches)
    if not seen:
        raise AlignmentError("Matching needs data: no batches came.")
    elements = acting.elements()
    if spec is None:
        spec = permutation_spec(model, {k: v[:2] if isinstance(v, Tensor) else v for k, v in seen[0].items()})
    few = {name: value[:4] if isinstance(value, Tensor) else value for name, value in seen[0].items()}
    matchings = [
        match_activations(model, transformed_copy(model, signature, elements[i], few), spec, seen)
        for i in range(len(elements))
    ]
    table = multiplication_table(elements)
    streams = (*plain_streams(spec), *block_streams(spec))
    names = [stream.name for stream in streams if stream.name in matchings[0].scores]
    alone = {name: torch.stack([assign(found.scores[name]) for found in matchings]) for name in names}
    final, agree = {}, []
    for name in names:
        scores = torch.stack([found.scores[name] for found in matchings])
        final[name] = consistent(scores, alone[name], table, consistency, max_rounds)
        agree.append(scores.gather(2, final[name].unsqueeze(-1)).mean())
    alive = {name: torch.stack([found.scores[name] for found in matchings]).abs().amax((0, 2)) > 0 for name in names}
    sizes = {name: orbit_sizes(final[name]) for name in names}
    return HiddenRepresentation(
        final,
        alone,
        homomorphism_error(final, table),
        homomorphism_error(alone, table),
        float(torch.stack(agree).mean()) if agree else 0.0,
        {name: float(((sizes[name] == 1) & alive[name]).double().mean()) for name in names},
        {name: float(((sizes[name] == len(elements)) & alive[name]).double().mean()) for name in names},
        {name: float((~alive[name]).double().mean()) for name in names},
        {name: tuple(order_of(p) for p in final[name]) for name in names},
    )


def multiplication_table(elements: Element) -> Tensor:
    """The index of g_i g_j in the list, ``[|G|, |G|]``, by isometry and permutation of nodes."""

    def coordinates(g: Element, batch: int) -> Tensor:
        parts = [g.linear.double().flatten(batch)]
        if g.permutation is not None:
            parts.append(g.permutation.double())
        return torch.cat(parts, -1)

    listed = coordinates(elements, 1)
    product = coordinates(compose(elements.reshape(-1, 1), elements.reshape(1, -1)), 2)
    return torch.cdist(product, listed.expand(len(listed), *listed.shape)).argmin(-1)


def consistent(scores: Tensor, start: Tensor, table: Tensor, weight: float, max_rounds: int) -> Tensor:
    """Permutations ``[|G|, n]`` from scores ``[|G|, n, n]`` and from each other (see ``hidden_representation``)."""
    found = start.clone()
    count, size = found.shape
    for _ in range(max_rounds if weight else 0):
        former = found.clone()
        for g in range(count):
            votes = torch.zeros(size, size, dtype=torch.float64)
            for h in range(count):
                # p_gh = p_g ∘ p_h, so that p_g sends p_h(i) to p_gh(i)
                votes[found[h], found[table[g, h]]] += 1.0 / count
            found[g] = assign(scores[g] + weight * votes)
        if torch.equal(found, former):
            break
    return found


def homomorphism_error(permutations: Mapping[str, Tensor], table: Tensor) -> float:
    """Fraction of units, over streams and pairs of elements, where p_g(p_h(i)) is not p_gh(i)."""
    wrong, total = 0, 0
    for found in permutations.values():
        for g in range(len(found)):
            for h in range(len(found)):
                wrong += int((found[g][found[h]] != found[table[g, h]]).sum())
                total += found.shape[1]
    return wrong / max(total, 1)


def orbit_sizes(permutations: Tensor) -> Tensor:
    """Size of the orbit of each unit, ``[n]``, under permutations ``[|G|, n]``."""
    return torch.tensor([len(set(column)) for column in permutations.mT.tolist()])


def order_of(permutation: Tensor) -> int:
    """The order of a permutation: the smallest power that is the identity."""
    order, left = 1, set(range(len(permutation)))
    places = permutation.tolist()
    while left:
        start = place = left.pop()
        length = 1
        while places[place] != start:
            place = places[place]
            left.discard(place)
            length += 1
        order = lcm(order, length)
    return order
