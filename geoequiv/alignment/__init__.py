"""Is a trained network equivariant inside? Match it with its own transformed copy, merge the two, and look."""

from geoequiv.alignment.activations import match_activations
from geoequiv.alignment.barrier import BarrierReport, barrier, symmetry_barrier
from geoequiv.alignment.derive import permutation_spec
from geoequiv.alignment.fold import transformed_copy
from geoequiv.alignment.matching import Matching
from geoequiv.alignment.merge import barrier_of, evaluate, interpolate, path
from geoequiv.alignment.norms import fold_norms
from geoequiv.alignment.permutation_spec import PermutationSpec, apply, mix, scale
from geoequiv.alignment.refine import match_sinkhorn, refine_straight_through
from geoequiv.alignment.repair import repair
from geoequiv.alignment.representation import HiddenRepresentation, hidden_representation
from geoequiv.alignment.weights import match_weights

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
