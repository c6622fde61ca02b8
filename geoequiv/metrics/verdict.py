"""What the errors of a certificate amount to: exact, approximate or broken."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from geoequiv.metrics.checks import Precision, Skipped
from geoequiv.metrics.diagnosis import Fault
from geoequiv.metrics.equivariance import EquivarianceReport

Verdict = Literal["exact", "approximate", "broken"]


class Judgement(NamedTuple):
    """A verdict, the largest relative error that counts as round-off of this model, and faults behind the verdict."""

    verdict: Verdict
    limit: float
    faults: tuple[Fault, ...]


def judge(
    errors: EquivarianceReport,
    largest: float,
    precision: Precision | Skipped,
    at_worst: Callable[[], Precision | Skipped],
    *,
    limit: float,
    factor: float,
    given: bool,
    approximate: float,
) -> Judgement:
    """The verdict on a model.

    Exact is a model without an error above the tolerance that is not round-off. Two cases are decided by float64,
    which shrinks round-off by nine orders of magnitude: an error above the tolerance that is below it beside an
    offset of the outputs, and an error below the tolerance in float32.

    Args:
        errors: of the draws.
        largest: relative error found in any way.
        precision: errors in float32 and float64 at some of the draws.
        at_worst: the same at the worst element that was found.
        limit: tolerance.
        factor: smallest spread over size of an output (see ``spread_factors``).
        given: whether the user chose the tolerance, which is then final for small errors.
        approximate: largest mean relative error that counts as approximate.
    """
    otherwise: Verdict = "approximate" if errors.relative <= approximate else "broken"
    if largest > limit:
        if errors.worst_by_size > limit:
            return Judgement(otherwise, limit, ())
        seen = f"Beside the size of the outputs the error is small ({errors.worst_by_size:.1e}), but not beside their "
        seen += f"spread over the items ({largest:.1e}): they have a large offset."
        if shrinks(precision) and shrinks(at_worst()):
            seen += " It shrinks from float32 to float64 as round-off does: a loss of precision. Subtract the offset."
            return Judgement("exact", limit / factor, (Fault("offset", seen),))
        return Judgement(otherwise, limit, (Fault("offset", seen),))
    if not given and isinstance(precision, Precision) and precision.shrinks is False:
        double = precision.errors["float64"]
        if double["worst"] > double["tolerance"]:
            sentence = (
                f"The error ({largest:.1e}) is within the tolerance of {errors.dtype}, but float64 does not shrink it "
                f"(worst {double['worst']:.1e} there): a small violation of the symmetry, not round-off."
            )
            return Judgement(otherwise, limit, (Fault("small-violation", sentence),))
    return Judgement("exact", limit / factor if shrinks(precision) else limit, ())


def shrinks(precision: Precision | Skipped) -> bool:
    """Whether float64 is known to shrink the error as it shrinks round-off."""
    return isinstance(precision, Precision) and precision.shrinks is True
