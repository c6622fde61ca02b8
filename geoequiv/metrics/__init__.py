"""Honest measurement of symmetry."""

from geoequiv.metrics.certificate import Certificate
from geoequiv.metrics.certify import certify
from geoequiv.metrics.checks import Skipped
from geoequiv.metrics.data_symmetry import DataSymmetry, data_symmetry_error
from geoequiv.metrics.diagnosis import Fault
from geoequiv.metrics.discovery import Discovery, discover_symmetry
from geoequiv.metrics.element_text import describe_element
from geoequiv.metrics.equivariance import EquivarianceReport, equivariance_error
from geoequiv.metrics.estimate import Estimate
from geoequiv.metrics.invariance import invariance_error
from geoequiv.metrics.lie_derivative import DerivativeError, LieReport, lie_derivative
from geoequiv.metrics.profiles import Profile, angle_profile, axis_profile, translation_profile
from geoequiv.metrics.tolerances import TOLERANCES
from geoequiv.metrics.worst_case import WorstCase, worst_case

__all__ = [
    "TOLERANCES",
    "Certificate",
    "DataSymmetry",
    "DerivativeError",
    "Discovery",
    "EquivarianceReport",
    "Estimate",
    "Fault",
    "LieReport",
    "Profile",
    "Skipped",
    "WorstCase",
    "angle_profile",
    "axis_profile",
    "certify",
    "data_symmetry_error",
    "describe_element",
    "discover_symmetry",
    "equivariance_error",
    "invariance_error",
    "lie_derivative",
    "translation_profile",
    "worst_case",
]
