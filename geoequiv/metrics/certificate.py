"""The certificate: everything that is measured about a model's symmetry, in a fixed order."""

from dataclasses import dataclass
from typing import Any

from geoequiv.metrics.checks import Determinism, Parts, Precision, Skipped
from geoequiv.metrics.diagnosis import Fault, outside_healthy
from geoequiv.metrics.discovery import Discovery
from geoequiv.metrics.element_text import element_dict
from geoequiv.metrics.equivariance import EquivarianceReport
from geoequiv.metrics.estimate import as_plain
from geoequiv.metrics.lie_derivative import LieReport
from geoequiv.metrics.profiles import Profile
from geoequiv.metrics.verdict import Verdict
from geoequiv.metrics.worst_case import WorstCase


@dataclass(frozen=True, eq=False)
class Certificate:
    """What ``certify`` measured. A part that does not apply, or could not be measured, is ``Skipped`` with the reason.

    Attributes are listed in the order of ``str()`` and ``as_dict()``; their names are its keys.

    Args:
        measured: ``model``, ``signature``, ``group``, ``num_items``, ``num_samples``, ``num_few`` (items of the parts
            after ``worst_optimised``), ``dtype``, ``device``, ``seed``, ``parameters``, ``versions``.
        floor: ``epsilon`` of the dtype, ``tolerance``: the largest relative error that counts as round-off.
        verdict: ``"exact"``: no relative error above the tolerance that float64 does not shrink (see ``judge``);
            ``"approximate"``: the mean relative error is within ``thresholds["approximate"]``; else ``"broken"``.
        thresholds: ``exact`` and ``approximate``.
        faults: likely faults, each a ``code`` and a ``sentence``.
        errors: E, E′, the distance to the group average and the relative error with standard errors, worst of M (an
            ``EquivarianceReport``); ``before`` is the same of the model before training, where one was given.
        worst_element: the element of the worst of M, in words and numbers.
        worst_optimised: the worst case by optimisation.
        parts: pure translations, proper and improper elements, relabellings, one by one.
        angle_profile, axis_profile, translation_profile: relative error against angle, axis and length.
        lie_derivative: local errors by generator and by layer.
        discovered: groups that are respected.
        relabelling: errors under S(n) on the nodes.
        determinism, precision: repeatability; float32 against float64.
    """

    measured: dict[str, Any]
    floor: dict[str, float]
    verdict: Verdict
    thresholds: dict[str, float]
    faults: tuple[Fault, ...]
    errors: EquivarianceReport
    before: EquivarianceReport | None
    worst_element: Any
    worst_optimised: WorstCase
    parts: Parts | Skipped
    angle_profile: Profile | Skipped
    axis_profile: Profile | Skipped
    translation_profile: Profile | Skipped
    lie_derivative: LieReport | Skipped
    discovered: Discovery | Skipped
    relabelling: EquivarianceReport | Skipped
    determinism: Determinism | Skipped
    precision: Precision | Skipped

    @property
    def passed(self) -> bool:
        """Whether the verdict is ``"exact"``."""
        return self.verdict == "exact"

    @property
    def worst(self) -> float:
        """The largest relative error that was found in any way."""
        return max(self.errors.worst, self.worst_optimised.value)

    @property
    def diagnosis(self) -> str:
        """The sentences of the faults, or a sentence that there are none."""
        if self.faults:
            return " ".join(fault.sentence for fault in self.faults)
        if self.passed:
            return f"Equivariant to {self.measured['group']} up to round-off."
        return "No single fault stands out from what was measured."

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the attributes by name, in their order, and ``diagnosis``."""
        plain = {name: as_plain(getattr(self, name)) for name in self.__dataclass_fields__ if name != "worst_element"}
        plain["errors"]["worst_element_words"] = element_dict(self.worst_element)
        return plain | {"diagnosis": self.diagnosis}

    def __str__(self) -> str:
        return "\n".join(f"{name + ':' if name else '':<19}{text}" if text else name for name, text in self.lines())

    def lines(self) -> list[tuple[str, str]]:
        """Name and text of each line, in the fixed order; a name without text is a heading."""
        m, e = self.measured, self.errors
        lines = [
            (f"Certificate: {m['model']} under {m['group']}", ""),
            ("verdict", f"{self.verdict.upper()} (exact: worst ≤ {self.thresholds['exact']:.0e}; "
             f"approximate: mean ≤ {self.thresholds['approximate']:g})"),
            ("diagnosis", self.diagnosis),
            ("signature", m["signature"]),
            ("measured on", f"{m['num_items']} items × {m['num_samples']} elements, {m['dtype']} on {m['device']}, "
             f"seed {m['seed']}; profiles on {m['num_few']} items"),
            ("round-off", f"epsilon {self.floor['epsilon']:.1e}, counted as exact up to {self.floor['tolerance']:.0e}"),
            ("E", str(e.standard_errors["E"])),
            ("E′", str(e.standard_errors["E_prime"])),
            ("to average", str(e.standard_errors["to_average"])),
            ("relative", str(e.standard_errors["relative"])),
            ("worst of M", f"{e.worst:.2e} (item {e.worst_item}, {element_dict(self.worst_element)['words']})"),
            ("worst found", worst_line(self.worst_optimised)),
        ]  # fmt: skip
        if self.before is not None:
            b = self.before.standard_errors
            lines.append(("before training", f"E {b['E']}, E′ {b['E_prime']}, relative {b['relative']}"))
        lines.append(("parts", parts_line(self.parts)))
        for name, text in (("angle", "by angle"), ("axis", "by axis"), ("translation", "by length")):
            lines.append((text, profile_line(getattr(self, f"{name}_profile"))))
        lines += lie_lines(self.lie_derivative)
        lines.append(("discovered", discovery_line(self.discovered)))
        lines.append(("relabelling", relabelling_line(self.relabelling)))
        lines.append(("determinism", determinism_line(self.determinism)))
        lines.append(("precision", precision_line(self.precision)))
        versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
        return [*lines, ("versions", versions)]


def worst_line(found: WorstCase) -> str:
    """The worst case in a line."""
    how = {
        "gradient": f"gradient ascent, {found.steps} steps",
        "enumeration": "all elements",
        "draws": "draws only" + (f"; {found.note}" if found.note else ""),
    }[found.method]
    words = element_dict(found.element)["words"]
    return f"{found.value:.2e} (item {found.item}, {words}; {how} on {found.items} items)"


def parts_line(parts: Parts | Skipped) -> str:
    """Errors of the kinds of element."""
    if isinstance(parts, Skipped):
        return skipped(parts)
    known = {n: getattr(parts, n) for n in ("translations", "proper", "improper", "relabellings")}
    return ", ".join(f"{name} {value:.1e}" for name, value in known.items() if value is not None)


def profile_line(profile: Profile | Skipped) -> str:
    """A profile in a line; of many axes the best and the worst."""
    if isinstance(profile, Skipped):
        return skipped(profile)
    if profile.coordinate == "axis":
        order = sorted(range(len(profile.at)), key=lambda i: profile.values[i])
        ends = [(order[0], "least"), (order[-1], "most")]
        return ", ".join(
            f"{word} about ({', '.join(f'{x:.2f}' for x in profile.at[i])}): {profile.values[i]:.1e}"
            for i, word in ends
        )
    unit = (lambda x: f"{x * 57.29577951:.0f}°") if profile.coordinate == "angle" else (lambda x: f"{x:g}")
    return ", ".join(f"{unit(x)}: {value:.1e}" for x, value in zip(profile.at, profile.values, strict=True))


def lie_lines(lie: LieReport | Skipped) -> list[tuple[str, str]]:
    """Local errors by generator, and the layers that add to them."""
    if isinstance(lie, Skipped):
        return [("Lie derivative", skipped(lie))]
    lines = [("Lie derivative", ", ".join(f"{n}: {value.value:.1e}" for n, value in lie.relative.items())
             + f" (relative, {lie.method})")]  # fmt: skip
    worst = sorted(outside_healthy(lie), key=lambda layer: -layer.largest_own)[:3]
    named = [f"{layer.name} ({layer.kind}) {layer.largest_own:.1e}" for layer in worst if layer.largest_own > 0]
    if named:
        lines.append(("by layer, own", ", ".join(named)))
    return lines


def discovery_line(found: Discovery | Skipped) -> str:
    """Largest groups respected, and the best axis."""
    if isinstance(found, Skipped):
        return skipped(found)
    text = ", ".join(found.largest) if found.largest else f"none of {len(found.candidates)} candidates"
    if found.best_axis is not None:
        axis = ", ".join(f"{x:.3f}" for x in found.best_axis.axis)
        state = "respected" if found.best_axis.respected else "not respected"
        text += f"; best axis ({axis}): {state}, relative {max(found.best_axis.profile.values):.1e}"
    return text


def relabelling_line(found: EquivarianceReport | Skipped) -> str:
    """The permutation check."""
    if isinstance(found, Skipped):
        return skipped(found)
    return f"relative {found.standard_errors['relative']}, worst {found.worst:.1e} under {found.group}, {found.dtype}"


def determinism_line(found: Determinism | Skipped) -> str:
    """Repeatability."""
    if isinstance(found, Skipped):
        return skipped(found)
    differ = f"outputs differ by {found.evaluation:.1e} from call to call"
    same = differ if found.evaluation else "same output twice"
    training = "" if not found.training else f"; in training mode they differ by {found.training:.1e}"
    return f"{same} (given in mode: {found.mode}){training}"


def precision_line(found: Precision | Skipped) -> str:
    """Errors by dtype."""
    if isinstance(found, Skipped):
        return skipped(found)
    lines = [
        f"{dtype}: {entry['skipped']}" if "skipped" in entry else f"{dtype} worst {entry['worst']:.1e}"
        for dtype, entry in found.errors.items()
    ]
    return f"{', '.join(lines)}; narrowest dtype inside: {found.lowest}"


def skipped(part: Skipped) -> str:
    """A part that was not measured."""
    return f"not measured: {part.reason}"
