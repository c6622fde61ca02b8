"""A certificate as figures: error by angle, by axis and by layer, where they were measured."""

from typing import TYPE_CHECKING

from geoequiv.metrics import Certificate, LieReport, Profile
from geoequiv.report.figures.profiles import error_by_angle, error_by_axis, error_by_layer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LAYERS = 30


def certificate_figures(certificate: Certificate) -> "dict[str, Figure]":
    """Name → figure of each part of the certificate that was measured.

    Args:
        certificate: what ``certify`` returned.

    Returns:
        Some of ``error-by-angle``, ``error-by-axis`` and ``error-by-layer`` (of more than 30 layers, the 30 with the
        largest errors of their own, in the order of the network).

    Raises:
        GeoequivError: matplotlib is not installed.
    """
    model, floor = certificate.measured["model"], certificate.floor["tolerance"]
    figures: dict[str, Figure] = {}
    angle, axis, lie = certificate.angle_profile, certificate.axis_profile, certificate.lie_derivative
    if isinstance(angle, Profile):
        known = [error.se or 0.0 for error in angle.errors]
        figures["error-by-angle"] = error_by_angle(
            angle.at, angle.values, known, floor, f"{model}: equivariance error by rotation angle, over {angle.over}"
        )
    if isinstance(axis, Profile):
        title = f"{model}: equivariance error by rotation axis, over {axis.over}"
        figures["error-by-axis"] = error_by_axis(axis.at, axis.values, floor, title)
    if isinstance(lie, LieReport):
        layers = [layer for layer in lie.layers if layer.own is not None]
        kept = {id(layer) for layer in sorted(layers, key=lambda layer: -layer.largest_own)[:MOST_LAYERS]}
        shown = [layer for layer in layers if id(layer) in kept]
        if shown:
            figures["error-by-layer"] = error_by_layer(
                [layer.name for layer in shown],
                [layer.largest_own for layer in shown],
                [max(layer.accumulated.values()) for layer in shown],
                floor,
                f"{model}: local equivariance error by layer, largest over the generators",
            )
    return figures
