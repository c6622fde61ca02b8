"""Is a trained network equivariant inside? Match it with its own transformed copy, merge the two, and look."""

from geoequiv.alignment.activations import match_activations
from geoequiv.alignment.derive import permutation_spec
from geoequiv.alignment.fold import transformed_copy
from geoequiv.alignment.matching import Matching
from geoequiv.alignment.permutation_spec import PermutationSpec, apply, mix, scale
from geoequiv.alignment.weights import match_weights

__all__ = [
    "Matching",
    "PermutationSpec",
    "apply",
    "match_activations",
    "match_weights",
    "mix",
    "permutation_spec",
    "scale",
    "transformed_copy",
]
