"""The barrier between a network and its own transformed copy: how equivariant it is inside."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from geoequiv.alignment.activations import match_activations
from geoequiv.alignment.choices import METHODS
from geoequiv.alignment.derive import permutation_spec
from geoequiv.alignment.fold import transformed_copy
from geoequiv.alignment.matching import Matching
from geoequiv.alignment.merge import Loader, Metric, barrier_of, evaluate, interpolate, loaded, metric_of
from geoequiv.alignment.norms import fold_norms
from geoequiv.alignment.repairing import repair as repaired
from geoequiv.alignment.repairing import reset_batch_norms
from geoequiv.alignment.spec import PermutationSpec
from geoequiv.alignment.weights import match_weights
from geoequiv.errors import AlignmentError, unknown
from geoequiv.fields import Signature
from geoequiv.groups import Element

FOLDING = ("rotations", "invertible", "weight_rotations")
#: what "best" tries
TRIED = ("none", "weights", "activations", "scales", "rotations", "invertible")


@dataclass(frozen=True)
class BarrierReport:
    """The metric at the midpoint of two matched networks, beside that of the two.

    Args:
        first, second: the metric of the two networks (of a network and its transformed copy).
        middle: of the midpoint of their weights, with batch-norm statistics recomputed.
        repaired: of the midpoint after REPAIR; None where it was not asked for.
        unmatched: of the midpoint of the two networks as they are, without matching.
        better: which values of the metric are better, "lower" or "higher".
        matching: how the units were matched.
        folded: names of the norms that were folded into the weights before (see ``fold_norms``).
        how: the method by which they were matched.
        networks: the two, matched (with folded norms, if any): the ends of ``path``.
    """

    first: float
    second: float
    middle: float
    repaired: float | None
    unmatched: float
    better: str
    matching: Matching
    folded: tuple[str, ...] = ()
    how: str = "activations"
    networks: tuple[nn.Module, ...] = ()

    def _barrier(self, value: float, which: int) -> float:
        return barrier_of(self.first, self.second, value, self.better)[which]

    @property
    def barrier(self) -> float:
        """Relative barrier: after REPAIR where it was asked for."""
        return self._barrier(self.middle if self.repaired is None else self.repaired, 0)

    @property
    def absolute(self) -> float:
        """The same in the metric's unit."""
        return self._barrier(self.middle if self.repaired is None else self.repaired, 1)

    @property
    def without_repair(self) -> float:
        """Relative barrier of the midpoint before REPAIR."""
        return self._barrier(self.middle, 0)

    @property
    def without_matching(self) -> float:
        """Relative barrier of the midpoint without matching."""
        return self._barrier(self.unmatched, 0)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        names = ("first", "second", "middle", "repaired", "unmatched", "better", "barrier", "absolute",
                 "without_repair", "without_matching")  # fmt: skip
        counts = {"dead": sum(self.matching.dead.values()), "broken": sum(self.matching.broken.values()),
                  "samples": self.matching.samples, "unseen": list(self.matching.unseen),
                  "folded": list(self.folded), "how": self.how}  # fmt: skip
        return {name: getattr(self, name) for name in names} | counts


def barrier(
    first: nn.Module,
    second: nn.Module,
    signature: str | Signature,
    loader: Loader,
    metric: str | Metric,
    *,
    better: str | None = None,
    repair: bool = True,
    matching: str = "activations",
    data: Loader | None = None,
    spec: PermutationSpec | None = None,
    taps: str = "all",
) -> BarrierReport:
    """Match two networks, merge them at the midpoint, and measure it.

    Between two trainings from different seeds this is the seed-to-seed baseline.

    Args:
        first, second: of one architecture.
        loader: pairs of inputs and targets by name, on which the metric is measured. It is iterated several times.
        metric: "mse", "mae", "accuracy", or a function of output and target.
        better: "lower" or "higher"; known for the named metrics.
        repair: whether the merged network is also corrected by REPAIR.
        matching: "activations", "scales" (scaled permutations: positive factors and signs where streams allow them),
            "rotations" (orthogonal matrices where streams allow them, norms folded into the weights first),
            "invertible" (the same with any matrices), "weights", "weight_scales", "weight_rotations" (orthogonal
            matrices, folded norms), "none", or "best": whichever of ``TRIED`` has the best midpoint on ``data``, before
            REPAIR.
        data: what units are matched and repaired on (training data); None takes ``loader``.
        spec: of the architecture, if it is known already.
        taps: where activations are compared, "last" or "all" (see ``match_activations``).

    Raises:
        AlignmentError: different architectures, an unknown metric or matching, too little data.

    Exactness: that of the matching; the metrics are exact over the loader.
    Reference: Bökman & Kahl 2023, section 4; Jordan et al. 2023 for REPAIR.
    """
    signature = Signature.parse(signature)
    if matching not in METHODS:
        raise AlignmentError(unknown("matching", matching, METHODS))
    better = better or metric_of(metric)[1]
    if better is None:
        raise AlignmentError("Say which values of the metric are better: better='lower' or better='higher'.")
    loader = loader if isinstance(loader, list) or not hasattr(loader, "__next__") else list(loader)
    seen = [inputs for inputs, _ in (loader if data is None else data)]
    if not seen:
        raise AlignmentError("The loader is empty: a barrier needs data to be measured on.")
    naive = loaded(first, interpolate(first.state_dict(), second.state_dict()))
    naive = reset_batch_norms(naive, signature, seen)
    tried = TRIED if matching == "best" else (matching,)
    merged = [merge(first, second, spec, signature, seen, how, taps) for how in tried]
    chosen = merged[0]
    if matching == "best":
        values = [evaluate(each.normed, signature, loader if data is None else data, metric) for each in merged]
        least = values[0]
        for each, value in zip(merged, values, strict=True):
            if barrier_of(least, least, value, better)[1] < -1e-9 * abs(least):  # round-off is no merit
                chosen, least = each, value
    corrected = None
    if repair:
        corrected = repaired(chosen.midpoint, chosen.first, chosen.second, chosen.matching.spec, signature, seen)
    return BarrierReport(
        evaluate(chosen.first, signature, loader, metric),
        evaluate(chosen.second, signature, loader, metric),
        evaluate(chosen.normed, signature, loader, metric),
        None if corrected is None else evaluate(corrected, signature, loader, metric),
        evaluate(naive, signature, loader, metric),
        better,
        chosen.matching,
        chosen.folded,
        chosen.how,
        (chosen.first, chosen.second),
    )


@dataclass(frozen=True, eq=False)
class Merged:
    """Two matched networks and their midpoint.

    Args:
        first, second: matched.
        midpoint: the mean of their weights; ``normed``: the same with batch-norm statistics recomputed.
        matching, folded, how: see `BarrierReport`.
    """

    first: nn.Module
    second: nn.Module
    midpoint: nn.Module
    normed: nn.Module
    matching: Matching
    folded: tuple[str, ...]
    how: str


def merge(
    first: nn.Module, second: nn.Module, spec: PermutationSpec | None, signature: Signature, seen: list[Any], how: str,
    taps: str,
) -> Merged:  # fmt: skip
    """Match two networks by one method, with folded norms where it rotates streams, and merge them."""
    folded: tuple[str, ...] = ()
    if how in FOLDING:
        bare = [fold_norms(model, first_items(seen[0])) for model in (first, second)]
        folded = bare[0].norms
        if folded:
            first, second, spec = bare[0].model, bare[1].model, None
    if spec is None:
        spec = permutation_spec(first, first_items(seen[0]))
    found = matched(first, second, spec, seen, how, taps)
    one, two = (loaded(first, state) for state in (first.state_dict(), found.apply(second.state_dict())))
    midpoint = loaded(first, interpolate(one.state_dict(), two.state_dict()))
    return Merged(one, two, midpoint, reset_batch_norms(midpoint, signature, seen), found, folded, how)


def matched(
    first: nn.Module, second: nn.Module, spec: PermutationSpec, seen: Iterable[Any], how: str, taps: str = "all"
) -> Matching:  # fmt: skip
    """The matching by the method of this name."""
    if how == "none":
        return Matching(spec, ())
    if how in ("weights", "weight_scales", "weight_rotations"):
        ends = (first.state_dict(), second.state_dict())
        return match_weights(*ends, spec, scales=how == "weight_scales", mixes=how == "weight_rotations")
    allowed = {"scales": how == "scales", "mixes": how == "rotations", "invertible": how == "invertible"}
    return match_activations(first, second, spec, seen, taps=taps, **allowed)


def first_items(inputs: Mapping[str, Any], items: int = 2) -> dict[str, Any]:
    """The first items of a dense batch; a ragged one is kept whole."""
    if "batch" in inputs or any("index" in name for name in inputs):
        return dict(inputs)
    return {name: value[:items] if hasattr(value, "ndim") and value.ndim else value for name, value in inputs.items()}


def symmetry_barrier(
    model: nn.Module,
    signature: str | Signature,
    group_element: Element,
    loader: Loader,
    metric: str | Metric,
    repair: bool = True,
    **options: Any,
) -> BarrierReport:
    r"""The barrier between a network and its copy transformed by g, which is 0 for one that is equivariant inside.

    .. math:: g \cdot f = \rho_\text{out}(g)^{-1} \circ f \circ \rho_\text{in}(g)

    is folded into the weights; the copy is matched with the network, and the two are merged at the midpoint.

    Args:
        model: called with the signature's inputs by name.
        signature: how they transform, or the string.
        group_element: one element g, such as ``ge.group("SO(3)").sample()``.
        loader: pairs of inputs and targets by name.
        metric: "mse", "mae", "accuracy", or a function of output and target (then give ``better``).
        repair: whether the merged network is also corrected by REPAIR.
        options: ``better``, ``matching``, ``data``, ``spec``, ``taps`` (see ``barrier``).

    Raises:
        AlignmentError: the element cannot be folded into the weights, a layer cannot be traced, too little data.
        SignatureError: the element cannot act on the fields.

    Exactness: the copy is verified to 1e-8 in float64; a small barrier shows that the network is equivariant inside, a
    large one only that this matching did not find it.
    Reference: Bökman & Kahl 2023 (flips of images); here for any group and any signature.
    """
    pairs = loader if isinstance(loader, list) or not hasattr(loader, "__next__") else list(loader)
    first = next(iter(pairs), None)
    if first is None:
        raise AlignmentError("The loader is empty: a barrier needs data to be measured on.")
    copy = transformed_copy(model, signature, group_element, first_items(first[0], 4))
    return barrier(model, copy, signature, pairs, metric, repair=repair, **options)
