"""What this package tests itself with, for users' own suites."""

from geoequiv.testing.assertions import TOLERANCES, assert_equivariant
from geoequiv.testing.inputs import random_inputs
from geoequiv.testing.laws import assert_frame_laws, assert_group_axioms

__all__ = ["TOLERANCES", "assert_equivariant", "assert_frame_laws", "assert_group_axioms", "random_inputs"]
