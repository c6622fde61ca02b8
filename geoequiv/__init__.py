"""geoequiv: declare once how a model's inputs and outputs transform; then average it, frame it, soften it, measure it.

The public names are imported on first use, so that ``import geoequiv`` costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

#: public name → where it lives
PUBLIC = {
    "group": "geoequiv.groups:group",
    "Element": "geoequiv.groups:Element",
    "compose": "geoequiv.groups:compose",
    "inverse": "geoequiv.groups:inverse",
    "cosets": "geoequiv.groups:cosets",
    "Signature": "geoequiv.fields:Signature",
    "transform": "geoequiv.fields:act",
    "GroupAveraging": "geoequiv.symmetrize:GroupAveraging",
    "FrameAveraging": "geoequiv.symmetrize:FrameAveraging",
    "LocalFrameAveraging": "geoequiv.symmetrize:LocalFrameAveraging",
    "group_averaging": "geoequiv.symmetrize:group_averaging",
    "frame_averaging": "geoequiv.symmetrize:frame_averaging",
    "Conservative": "geoequiv.models.conservative:Conservative",
    "REMUL": "geoequiv.objectives:REMUL",
    "InvarianceLoss": "geoequiv.objectives:InvarianceLoss",
    "LatentEquivariance": "geoequiv.objectives:LatentEquivariance",
    "TestTimeAveraging": "geoequiv.symmetrize:TestTimeAveraging",
    "Augmentation": "geoequiv.objectives:Augmentation",
    "equivariance_error": "geoequiv.metrics:equivariance_error",
    "invariance_error": "geoequiv.metrics:invariance_error",
    "worst_case": "geoequiv.metrics:worst_case",
    "lie_derivative": "geoequiv.metrics:lie_derivative",
    "discover_symmetry": "geoequiv.metrics:discover_symmetry",
    "data_symmetry_error": "geoequiv.metrics:data_symmetry_error",
    "certify": "geoequiv.metrics:certify",
    "Certificate": "geoequiv.metrics:Certificate",
    "alignment": "geoequiv.alignment",
    "testing": "geoequiv.testing",
    "Measurement": "geoequiv.measurements:Measurement",
    "task": "geoequiv.catalog:task",
    "Method": "geoequiv.methods:Method",
    "GeoequivError": "geoequiv.errors:GeoequivError",
}

__all__ = [*PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'geoequiv' has no attribute '{name}'")
    module, _, attribute = PUBLIC[name].partition(":")
    found = import_module(module)
    globals()[name] = getattr(found, attribute) if attribute else found
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)
