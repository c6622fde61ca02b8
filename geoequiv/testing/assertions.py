"""``assert_equivariant``: the measurement as a test, for users' own suites."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from geoequiv.fields import Signature
from geoequiv.groups import Element, Group
from geoequiv.groups import group as group_by_name
from geoequiv.metrics import EquivarianceReport, describe_element, equivariance_error
from geoequiv.metrics.checks import check_precision
from geoequiv.metrics.equivariance import elements_to_try
from geoequiv.metrics.measure import measure
from geoequiv.metrics.tolerances import TOLERANCES, tolerance_of

__all__ = ["TOLERANCES", "assert_equivariant"]


def assert_equivariant(
    model: Callable[..., Any],
    inputs: Any,
    signature: str | Signature,
    group: str | Group,
    tolerance: float | None = None,
    num_samples: int | None = None,
    generator: torch.Generator | None = None,
    *,
    names: Mapping[str, str] | None = None,
) -> EquivarianceReport:
    """Raise AssertionError unless a model is equivariant to a group on the given inputs.

    The message names the outputs that are off and by how much, the group element in words, and the item.

    Invariant scalars with a large offset are judged by their spread over the items (see ``equivariance_error``). Where
    only the offset brings an error below the tolerance, the model has to run in float64, and the error to vanish there.

    Args:
        tolerance: largest relative error, over all items and group elements; ``None`` takes that of the dtype
            (``TOLERANCES``). The other arguments are those of ``equivariance_error``.

    Returns:
        The report, for further checks.
    """
    parsed = Signature.parse(signature, names)
    state = None if generator is None else generator.get_state()
    report = equivariance_error(model, inputs, parsed, group, num_samples, generator)
    limit = tolerance_of(report.dtype, tolerance)
    if report.worst <= limit:
        return report
    if generator is not None and state is not None:
        generator.set_state(state)  # to draw the same elements again
    elements = elements_to_try(group_by_name(group), num_samples, generator)
    worst = elements[report.worst_element : report.worst_element + 1]
    if report.worst_by_size <= limit and check_precision(model, inputs, parsed, worst).shrinks:
        return report
    raise AssertionError(message(model, inputs, parsed, report, limit, elements))


def message(
    model: Callable[..., Any],
    inputs: Any,
    signature: Signature,
    report: EquivarianceReport,
    limit: float,
    elements: Element,
) -> str:
    """What is off, where and by how much."""
    worst = elements[report.worst_element]
    lines = [
        f"not equivariant to {report.group}: worst relative error {report.worst:.2e} > {limit:.0e} "
        f"(mean {report.relative:.2e} over {report.num_items} items × {report.num_samples} elements in {report.dtype})",
        f"  worst element: {describe_element(worst)} (number {report.worst_element}), on item {report.worst_item}",
    ]
    if report.worst_by_size <= limit:
        lines.append(
            f"  beside the size of the outputs, offsets included, it is {report.worst_by_size:.2e}, but float64 does "
            "not show that it is round-off: subtract the offset of the outputs, or measure in float64"
        )
    for name, kind in signature.outputs.items():
        one = measure(model, inputs, signature, elements[report.worst_element : report.worst_element + 1],
                      outputs=[name])  # fmt: skip
        off, relative = float(one.distance[0, report.worst_item]), float(one.relative[0, report.worst_item])
        state = "is fine" if relative <= limit else "is off"
        lines.append(
            f"  output '{name}' ({kind}) {state}: ‖f(gx) − g f(x)‖ = {off:.2e} there, relative error {relative:.2e}"
        )
    return "\n".join(lines)
