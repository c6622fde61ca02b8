"""Likely faults of a model, from the measurements, where the evidence is clear."""

from dataclasses import asdict, dataclass
from typing import Any

from geoequiv.metrics.checks import Determinism, Parts, Precision, Skipped
from geoequiv.metrics.equivariance import EquivarianceReport
from geoequiv.metrics.layers import LayerDerivative
from geoequiv.metrics.lie_derivative import LieReport

#: Smallest Lie derivative of a layer by itself that counts as a break, forward mode and finite differences.
BREAK = {"forward-mode": 1e-4, "finite-difference": 2e-2}


@dataclass(frozen=True)
class Fault:
    """A likely fault.

    Args:
        code: ``"not-deterministic"``, ``"batch-leak"``, ``"precision"``, ``"forgotten-centroid"``,
            ``"absolute-coordinates"``, ``"handedness"``, ``"unlike-sides"``, ``"preferred-direction"``,
            ``"permutation-leak"``, ``"no-symmetry"``, ``"offset"`` or ``"small-violation"``.
        sentence: what was seen, and the likely cause.
    """

    code: str
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def diagnose(
    tolerance: float,
    worst: float,
    parts: Parts | Skipped,
    precision: Precision | Skipped,
    determinism: Determinism | Skipped,
    relabelling: EquivarianceReport | Skipped,
    lie: LieReport | Skipped,
    largest: tuple[str, ...],
) -> tuple[Fault, ...]:
    """Faults that the evidence points to, the most basic ones first.

    Args:
        tolerance: largest relative error that counts as round-off.
        worst: the largest that was found.
        largest: names of the largest groups that were found to be respected.
    """
    faults = []
    if isinstance(determinism, Determinism):
        faults += repeated(determinism, tolerance)
    lost = precision_fault(precision) if worst > tolerance and isinstance(precision, Precision) else []
    faults += lost
    if worst > tolerance and not lost and isinstance(parts, Parts):
        faults += geometry(tolerance, parts, lie, largest)
    if isinstance(relabelling, EquivarianceReport) and relabelling.worst > tolerance and not lost:
        faults.append(
            Fault(
                "permutation-leak",
                f"Relabelling the nodes changes more than their order (relative error {relabelling.relative:.1e}, "
                f"worst {relabelling.worst:.1e} under {relabelling.group}): a permutation leak. Something depends "
                "on the index of a node, such as a flattened cloud, a positional encoding or a first node.",
            )
        )
    return tuple(faults)


def repeated(found: Determinism, tolerance: float) -> list[Fault]:
    """Outputs that differ from call to call, or with the other items of the batch."""
    named = f" Random layers: {', '.join(found.random_layers)}." if found.random_layers else ""
    if found.evaluation > 0:
        return [
            Fault(
                "not-deterministic",
                f"Two calls with the same inputs give different outputs in evaluation mode (relative difference "
                f"{found.evaluation:.1e}): this noise is part of every error below.{named}",
            )
        ]
    if found.training:
        return [
            Fault(
                "not-deterministic",
                f"The model was given in training mode, where two calls give different outputs (relative "
                f"difference {found.training:.1e}). It was measured in evaluation mode; call model.eval().{named}",
            )
        ]
    if found.batch is not None and found.batch > tolerance:
        return [
            Fault(
                "batch-leak",
                f"The output of an item depends on what else is in the batch (relative difference {found.batch:.1e} "
                "between a batch and the same batch beside a copy): items depend on each other or on their index. "
                "Small batches are measured as several replicas at once, so every error below includes it.",
            )
        ]
    return []


def precision_fault(found: Precision) -> list[Fault]:
    """A loss of precision: the model is equivariant in exact arithmetic."""
    single, double = found.errors.get("float32", {}), found.errors.get("float64", {})
    on = [name for name in ("allow_tf32", "autocast") if found.settings[name]]
    if found.settings["float32_matmul_precision"] != "highest":
        on.append(f"float32_matmul_precision = {found.settings['float32_matmul_precision']}")
    set_to = f" Set in this process: {', '.join(on)}." if on else ""
    if "worst" in single and "worst" in double and double["worst"] <= double["tolerance"] < single["tolerance"]:
        if single["worst"] <= single["tolerance"]:
            return []
        return [
            Fault(
                "precision",
                f"Exact in float64 (worst {double['worst']:.1e}), but {single['worst']:.1e} in float32, where up to "
                f"{single['tolerance']:.0e} is round-off: a loss of precision, not of symmetry. Look for TF32, "
                f"autocast, or sums of numbers of very different size.{set_to}",
            )
        ]
    if found.lowest in ("float16", "bfloat16"):
        worst = max(entry.get("worst", 0.0) for entry in (single, double))
        return (
            [
                Fault(
                    "precision",
                    f"The model computes in {found.lowest} inside, and its error ({worst:.1e}) is of the size of that "
                    f"round-off: a loss of precision.{set_to}",
                )
            ]
            if worst <= 50 * {"float16": 1e-3, "bfloat16": 8e-3}[found.lowest]
            else []
        )
    return []


def geometry(tolerance: float, parts: Parts, lie: LieReport | Skipped, largest: tuple[str, ...]) -> list[Fault]:
    """Which kind of group element is not respected, and where."""

    def fine(name: str) -> bool:
        return parts.worst.get(name, 0.0) <= tolerance

    faults = []
    where = culprit(lie) if isinstance(lie, LieReport) else None
    if not fine("translations"):
        rest = "" if fine("proper") else " Rotations are broken as well (about the origin)."
        seen = f"Translations are broken (relative error {parts.translations:.1e})."
        if parts.still is not None and parts.still <= tolerance:
            faults.append(
                Fault(
                    "forgotten-centroid",
                    f"{seen} An output declared as a point does not translate with the inputs: a forgotten "
                    f"centroid. Add back the centroid that was subtracted, or declare a vector.{rest}",
                )
            )
        elif where:
            faults.append(Fault("absolute-coordinates", f"{seen} {where}{rest}"))
        else:
            faults.append(
                Fault(
                    "absolute-coordinates",
                    f"{seen} Something depends on absolute coordinates: take differences or subtract the "
                    f"centroid.{rest}",
                )
            )
    if fine("proper") and not fine("improper"):
        faults.append(reflections(tolerance, parts))
    if not fine("proper") and fine("translations"):
        left = [name for name in largest if not name.startswith("T(")]
        if left:
            faults.append(
                Fault(
                    "preferred-direction",
                    f"Rotations are broken (relative error {parts.proper:.1e}) down to {', '.join(left)}: something "
                    f"points in a fixed direction, such as gravity or a coordinate axis. {where or ''}".strip(),
                )
            )
        else:
            faults.append(
                Fault(
                    "no-symmetry",
                    f"Rotations are broken (relative error {parts.proper:.1e}) and none of the candidate groups is "
                    f"respected. {where or ''}".strip(),
                )
            )
    return faults


def reflections(tolerance: float, parts: Parts) -> Fault:
    """The likely fault where reflections are broken and rotations, if the group has any, are not."""
    exchanged = " that permute nodes" if "improper" in parts.exchanging else ""
    rotates = "proper" in parts.worst
    seen = f"Rotations are respected, but reflections{exchanged} are not" if rotates else f"Reflections{exchanged} fail"
    seen += f" (relative error {parts.improper:.1e})"
    if parts.mirrored is not None and parts.mirrored <= tolerance:
        return Fault(
            "handedness",
            f"{seen}: a handedness bug. Equivariance holds if the outputs have the other parity (vector ↔ "
            "pseudovector, scalar ↔ pseudoscalar): the declaration is wrong, or there is a cross product too many.",
        )
    search = "Look for a cross product, a determinant, a triple product, or a frame of fixed handedness."
    if exchanged:
        return Fault(
            "unlike-sides",
            f"{seen}: a node and the node that it is permuted with are not treated alike. Look "
            "for weights that depend on the index of a node, a wrong pair of nodes, or a preferred direction.",
        )
    if rotates:
        return Fault("handedness", f"{seen}: a handedness bug. {search}")
    return Fault("handedness", f"{seen}: a handedness bug or a preferred direction. {search}")


def culprit(lie: LieReport) -> str | None:
    """A sentence that names the layer that breaks the symmetry, where the evidence is clear."""
    limit = BREAK[lie.method]
    layers = outside_healthy(lie)
    broken = [layer for layer in layers if layer.fits and layer.largest_own > limit]
    inner = [layer for layer in broken if not any(holds(layer, other) for other in broken)]
    mixed = next((layer for layer in layers if not layer.fits), None)
    entry = (
        f" The first layer to get features that transform like no type is '{mixed.name}' ({mixed.kind})."
        if mixed is not None
        else ""
    )
    if inner:
        first = max(inner, key=lambda layer: layer.largest_own) if len(inner) > 3 else inner[0]
        return (
            f"The layer '{first.name}' ({first.kind}) breaks it: its inputs ({', '.join(first.types_in) or 'none'}) "
            f"transform as they should, and its own Lie derivative is {first.largest_own:.1e}.{entry}"
        )
    return f"It breaks in the model's own forward, outside its layers.{entry}" if entry else None


def outside_healthy(lie: LieReport) -> list[LayerDerivative]:
    """The layers that are not inside a layer which is equivariant by itself.

    Features inside an equivariant layer may transform like no type that is known here, without any fault.
    """
    healthy = [
        layer for layer in lie.layers if layer.fits and layer.own is not None and layer.largest_own <= BREAK[lie.method]
    ]
    return [layer for layer in lie.layers if not any(holds(other, layer) for other in healthy)]


def holds(layer: LayerDerivative, other: LayerDerivative) -> bool:
    """Whether a layer holds another one."""
    return other.name.partition("#")[0].startswith(layer.name.partition("#")[0] + ".")
