"""What the activations of two networks say of their units: correlations, sizes, signs and mean products."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from geoequiv.alignment.assignment import procrustes
from geoequiv.alignment.gauge import Gauge, between
from geoequiv.alignment.moments import Moments
from geoequiv.alignment.spec import PermutationSpec, Stream
from geoequiv.alignment.traced import Sight, Tap
from geoequiv.errors import AlignmentError

#: a unit whose variance is below this fraction of the largest of its layer is dead
DEAD = 1e-12


@dataclass
class Seen:
    """Activations of two networks' units, where they are compared.

    Args:
        spec: of both; ``sights``: stream → where it is compared; ``moments``: of all taps.
        gauges: the least networks of both, where streams are mixed by any matrix; None where they are not.
    """

    spec: PermutationSpec
    sights: dict[str, tuple[Sight, ...]]
    moments: dict[Tap, Moments]
    gauges: tuple[Gauge, Gauge] | None
    before: dict[str, float] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)

    def ranking(self, names: list[str]) -> list[tuple[Moments, Tensor, Sight]]:
        """Moments, coordinates and sights of these streams, concatenated, where there are as many rows as units.

        An embedding of positions has as many rows as there are positions, however much data there is.
        """
        found = [(self.moments[sights[0].tap], torch.cat([sight.index for sight in sights]), sights[0])
                 for sights in zip(*(self.sights[name] for name in names), strict=True)]  # fmt: skip
        enough = [each for each in found if each[0].rows >= len(each[1])]
        if not enough:
            most = max(seen.rows for seen, _, _ in found)
            raise AlignmentError(
                f"{most} samples are too few to match the {len(found[0][1])} units of '{names[0]}': give at least as "
                "many rows as units, counting items, nodes and pixels."
            )
        return enough

    def correlation(self, streams: list[Stream], flips: bool = False) -> tuple[Tensor, Tensor]:
        """Correlation of all units of these streams ``[n, n]``, and ratios of their standard deviations ``[n, n]``.

        If ``flips``, activations that change sign with a unit count by their absolute correlation.
        """
        names = [stream.name for stream in streams]
        ranking = self.ranking(names)
        size, like = sum(stream.size for stream in streams), ranking[0][0].sums[0]
        total, compared = (like.new_zeros(size, size) for _ in range(2))
        ratio: Tensor | None = None
        sick, still = (like.new_full((size,), value, dtype=torch.bool) for value in (False, True))
        for seen, whole, sight in ranking:
            signs = sight.signs
            assert seen.broken is not None
            bad = seen.broken[whole].any(-1)
            sick = sick | bad
            for sign, flip in sorted(set(zip(signs.tolist(), sight.flips.tolist(), strict=True)), reverse=True):
                these = (signs == sign) & (sight.flips == flip)
                covariance, one, two = seen.covariance(whole[:, these])
                quiet = [each <= DEAD * each[~bad].max().clamp(min=1e-300) if bool((~bad).any()) else bad
                         for each in (one, two)]  # fmt: skip
                scaled = covariance / (one.sqrt().unsqueeze(1) * two.sqrt()).clamp(min=1e-300)
                scaled[quiet[0] | bad] = 0.0
                scaled[:, quiet[1] | bad] = 0.0
                scaled = scaled.abs() if flips and flip else scaled
                total, still = total + scaled.clamp(-1, 1), still & (quiet[0] | quiet[1])
                compared = compared + ~((quiet[0] | bad).unsqueeze(1) & (quiet[1] | bad))
                if ratio is None:
                    ratio = (one.sqrt().unsqueeze(1) / two.sqrt().clamp(min=1e-300)).nan_to_num(1.0) ** sign
        assert ratio is not None
        total = total / compared.clamp(min=1)
        sizes = [stream.size for stream in streams]
        for name, ill, quiet, ones in zip(names, sick.split(sizes), still.split(sizes), total.diagonal().split(sizes),
                                          strict=True):  # fmt: skip
            self.broken[name], self.dead[name] = int(ill.sum()), int((quiet & ~ill).sum())
            self.before[name] = float(ones.mean())
        return total, ratio

    def moment(self, streams: list[Stream]) -> Tensor:
        """Mean products about 0 of all units of these streams ``[n, n]``, in their least networks if there are gauges.

        Every place where they are compared has the same weight.
        """
        names = [stream.name for stream in streams]
        total = torch.zeros(1, dtype=torch.float64)
        for seen, whole, sight in self.ranking(names):
            signs = sight.signs
            energy = seen.energy(whole)
            weight = (energy[0].sum() * energy[1].sum()).sqrt().clamp(min=1e-300)
            for sign in (1, -1):
                if not bool((signs == sign).any()):
                    continue
                found = seen.moment(whole[:, signs == sign])
                if self.gauges is not None:
                    found = self.least(0, streams, sign) @ found @ self.least(1, streams, sign).mT
                total = total + found / weight
        return total

    def least(self, which: int, streams: list[Stream], sign: int) -> Tensor:
        """The block-diagonal matrix that takes the units of these streams to those of the least network."""
        assert self.gauges is not None
        found = self.gauges[which].matrices
        parts = [found.get(stream.name, torch.eye(stream.size, dtype=torch.float64)) for stream in streams]
        return torch.block_diag(*(part if sign > 0 else torch.linalg.inv(part).mT for part in parts))

    def shows_sign(self, stream: Stream) -> bool:
        """Whether a stream has one sign flip, and every activation that is compared changes sign with it."""
        return stream.flips == 1 and all(bool((sight.flips == 1).all()) for sight in self.sights[stream.name])

    def rotation(self, stream: Stream) -> Tensor:
        """The matrix that takes a stream of the second network to the first."""
        return self.between(stream.name, stream.name, procrustes(self.moment([stream]))[0])

    def between(self, name: str, other: str, rotation: Tensor) -> Tensor:
        """A rotation between least networks as a matrix between the networks themselves."""
        return rotation if self.gauges is None else between(*self.gauges, name, other, rotation)
