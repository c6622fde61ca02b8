"""What a matching of two networks is: a value that any of the methods gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from geoequiv.alignment.permutation_spec import Permutation, PermutationSpec, StateDict, apply, mix, scale


@dataclass(frozen=True, eq=False)
class Matching:
    """How the units of a second network go with those of a first.

    Args:
        spec: of both networks.
        permutations: applied one after the other.
        factors: stream → ``[size]``, applied then (see ``scale``).
        matrices: stream → ``[size, size]``, applied last (see ``mix``).
        before, after: stream → mean correlation (or overlap of weights) of units that stand in the same place.
        dead: stream → units that never change in one of the networks: they are matched with each other, by weights.
        broken: stream → units with activations that are not finite.
        scores: stream that is in no block → correlations of all units of the first with all of the second, ``[size,
            size]``; of blocks the best that their insides can do.
        unseen: streams that no module shows whole; activation matching leaves them to weight matching, given the rest.
        samples: rows seen, of every stream's activations; 0 for weight matching.
    """

    spec: PermutationSpec
    permutations: tuple[Permutation, ...]
    factors: Mapping[str, Tensor] = field(default_factory=dict)
    matrices: Mapping[str, Tensor] = field(default_factory=dict)
    before: Mapping[str, float] = field(default_factory=dict)
    after: Mapping[str, float] = field(default_factory=dict)
    dead: Mapping[str, int] = field(default_factory=dict)
    broken: Mapping[str, int] = field(default_factory=dict)
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()
    samples: int = 0

    def apply(self, state: StateDict) -> dict[str, Tensor]:
        """The second network's state dict, brought to the first's order (and scale, and basis)."""
        moved = dict(state)
        for permutation in self.permutations:
            moved = apply(self.spec, permutation, moved)
        moved = scale(self.spec, self.factors, moved)
        return mix(self.spec, self.matrices, moved)

    def permutation(self, name: str) -> Tensor:
        """The old unit that each place of a plain stream gets."""
        order = torch.arange(self.spec[name].size)
        for permutation in self.permutations:
            if name in permutation:
                order = order[permutation[name]]
        return order
