"""Is a trained network equivariant inside? Match it with its own transformed copy, merge the two, and look."""

from typing import TYPE_CHECKING

from geoequiv.importing import lazy_names

if TYPE_CHECKING:
    from geoequiv.alignment.activations import match_activations
    from geoequiv.alignment.barriers import BarrierReport, barrier, symmetry_barrier
    from geoequiv.alignment.derive import permutation_spec
    from geoequiv.alignment.fold import transformed_copy
    from geoequiv.alignment.matching import Matching
    from geoequiv.alignment.merge import barrier_of, evaluate, interpolate, path
    from geoequiv.alignment.norms import fold_norms
    from geoequiv.alignment.refine import match_sinkhorn, refine_straight_through
    from geoequiv.alignment.repairing import repair
    from geoequiv.alignment.representation import HiddenRepresentation, hidden_representation
    from geoequiv.alignment.spec import PermutationSpec, apply, mix, scale
    from geoequiv.alignment.weights import match_weights
else:  # imported on first use: an `align:` section is checked without torch
    __getattr__ = lazy_names(
        __name__,
        {
            "BarrierReport": "barriers",
            "HiddenRepresentation": "representation",
            "Matching": "matching",
            "PermutationSpec": "spec",
            "apply": "spec",
            "barrier": "barriers",
            "barrier_of": "merge",
            "evaluate": "merge",
            "fold_norms": "norms",
            "hidden_representation": "representation",
            "interpolate": "merge",
            "match_activations": "activations",
            "match_sinkhorn": "refine",
            "match_weights": "weights",
            "mix": "spec",
            "path": "merge",
            "permutation_spec": "derive",
            "refine_straight_through": "refine",
            "repair": "repairing",
            "scale": "spec",
            "symmetry_barrier": "barriers",
            "transformed_copy": "fold",
        },
    )

__all__ = [
    "BarrierReport",
    "HiddenRepresentation",
    "Matching",
    "PermutationSpec",
    "apply",
    "barrier",
    "barrier_of",
    "evaluate",
    "fold_norms",
    "hidden_representation",
    "interpolate",
    "match_activations",
    "match_sinkhorn",
    "match_weights",
    "mix",
    "path",
    "permutation_spec",
    "refine_straight_through",
    "repair",
    "scale",
    "symmetry_barrier",
    "transformed_copy",
]
