"""The ways of getting symmetry ("methods"): one row each, with family, options, label, and how it is built."""

from geoequiv.methods.families import FAMILIES, Family, family
from geoequiv.methods.method import Method, Trained, WrongOption
from geoequiv.methods.table import METHODS, method, run_of_method

__all__ = ["FAMILIES", "METHODS", "Family", "Method", "Trained", "WrongOption", "family", "method", "run_of_method"]
