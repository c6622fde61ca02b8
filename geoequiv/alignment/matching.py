"""The matching of two networks: a value that every method returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from geoequiv.alignment.spec import Permutation, PermutationSpec, StateDict, apply, mix, scale


@dataclass(frozen=True, eq=False)
class Matching:
    """Which hidden units of a second network correspond to those of a first.

    Args:
        spec: of both networks.
        permutations: applied first, one after the other.
        factors: stream → ``[size]``, applied next (see ``scale``).
        matrices: stream → ``[size, size]``, applied last (see ``mix``).
        before, after: stream → mean correlation (or cosine of weights) of units at the same index.
        dead: stream → number of units that are constant in one of the networks; these are matched by their weights.
        broken: stream → number of units with activations that are not finite.
        scores: stream that is in no block → correlations of all units of the first with all of the second, ``[size,
            size]``; for blocks, the best score of the units inside.
        unseen: streams that no module returns whole; activation matching leaves them to weight matching.
        samples: rows of activations used for every stream; 0 for weight matching.
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
        """The second network's state dict in the first's order (and scale, and basis)."""
        changed = dict(state)
        for permutation in self.permutations:
            changed = apply(self.spec, permutation, changed)
        changed = scale(self.spec, self.factors, changed)
        return mix(self.spec, self.matrices, changed)

    def permutation(self, name: str) -> Tensor:
        """For each unit of a plain stream, the index of the old unit that takes its place."""
        order = torch.arange(self.spec[name].size)
        for permutation in self.permutations:
            if name in permutation:
                order = order[permutation[name]]
        return order
