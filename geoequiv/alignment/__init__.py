"""Is a trained network equivariant inside? Match it with its own transformed copy, merge the two, and look."""

from geoequiv.alignment.derive import permutation_spec
from geoequiv.alignment.permutation_spec import PermutationSpec, apply, mix, scale

__all__ = ["PermutationSpec", "apply", "mix", "permutation_spec", "scale"]
