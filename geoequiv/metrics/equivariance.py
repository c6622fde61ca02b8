"""How equivariant a model is: E, E′, the distance to the group average, the relative error and the worst case."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from geoequiv.errors import GroupError
from geoequiv.fields import Signature, read_inputs
from geoequiv.groups import Element, Group
from geoequiv.groups import group as group_by_name
from geoequiv.metrics.estimate import Estimate, as_plain, estimate, jackknife
from geoequiv.metrics.measure import Model, SampledErrors, measure


@dataclass(frozen=True)
class EquivarianceReport:
    """Equivariance errors of a model on a set of inputs; norms are in the unit of the outputs.

    ``equivariance_error`` has the formulas and what each number is blind to.

    Args:
        E: norm of the difference of the means of gf(x) and of f(gx), as published with REMUL.
        E_prime: mean norm of the difference of gf(x) and f(gx), as published with REMUL.
        relative: the same over the mean of the two norms; no unit, between 0 and 2 for outputs without an offset.
        worst: largest relative error over items and group elements.
        worst_by_size: the same with the norms of outputs as they are, offsets included.
        to_average: distance of f(x) from its group average.
        per_element: mean relative error over the items, for each group element, in order.
        num_items, num_samples: how many items and group elements it was measured on.
        group: name of the group.
        dtype: of the outputs; float32 round-off alone is about 1e-7 … 1e-6.
        standard_errors: of ``E``, ``E_prime``, ``relative`` and ``to_average``, each an ``Estimate`` that keeps the two
            sources apart: the items seen and the elements drawn. ``worst`` has none: it is a maximum, and a lower bound
            of the largest error there is.
        worst_element, worst_item: where the largest relative error is, counted from 0.
    """

    E: float
    E_prime: float
    relative: float
    worst: float
    worst_by_size: float
    to_average: float
    per_element: tuple[float, ...]
    num_items: int
    num_samples: int
    group: str
    dtype: str
    standard_errors: dict[str, Estimate]
    worst_element: int
    worst_item: int

    @classmethod
    def of(cls, found: SampledErrors, group: Group, all_elements: bool) -> "EquivarianceReport":
        """Reduce the errors of single elements and items to the numbers of a report."""
        errors = {
            "E": jackknife(found.of_means, found.of_means_without, all_elements=all_elements),
            "E_prime": estimate(found.distance, all_elements=all_elements),
            "relative": estimate(found.relative, all_elements=all_elements),
            "to_average": jackknife(found.to_average, found.to_average_without, all_elements=all_elements),
        }
        element, item = found.worst_index()
        return cls(
            **{name: error.value for name, error in errors.items()},
            worst=float(found.relative.max()),
            worst_by_size=float(found.by_size.max()),
            per_element=tuple(found.relative.mean(-1).tolist()),
            num_items=found.distance.shape[-1],
            num_samples=len(found.distance),
            group=group.name,
            dtype=found.dtype,
            standard_errors=errors,
            worst_element=element,
            worst_item=item,
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON; ``standard_errors`` holds ``{"value", "se", "se_items", "se_elements"}`` by name."""
        return {name: as_plain(getattr(self, name)) for name in self.__dataclass_fields__}


def equivariance_error(
    model: Model,
    inputs: Any,
    signature: str | Signature,
    group: str | Group,
    num_samples: int | None = None,
    generator: torch.Generator | None = None,
    batch_size: int | None = None,
    *,
    names: Mapping[str, str] | None = None,
) -> EquivarianceReport:
    r"""Equivariance errors over group elements g_1 … g_M, the same for all n items.

    .. math::
        E  &= \frac{1}{n} \sum_x \Big\| \frac{1}{M} \sum_i \rho_\text{out}(g_i) f(x)
                                       - \frac{1}{M} \sum_i f(\rho_\text{in}(g_i) x) \Big\| \\
        E' &= \frac{1}{n M} \sum_{x, i} \big\| f(\rho_\text{in}(g_i) x) - \rho_\text{out}(g_i) f(x) \big\| \\
        \text{relative} &= \frac{1}{n M} \sum_{x, i} \frac{\| f(g_i x) - g_i f(x) \|}
                           {\tfrac12 \| f(g_i x) \| + \tfrac12 \| g_i f(x) \|} \\
        \text{to\_average} &= \frac{1}{n} \sum_x \Big\| f(x)
                           - \frac{1}{M} \sum_i \rho_\text{out}(g_i)^{-1} f(\rho_\text{in}(g_i) x) \Big\|

    ‖·‖ is the Euclidean norm of all outputs of one item together. By the triangle inequality E ≤ E′ and
    to_average ≤ E′.

    **Offsets.** In the denominator of ``relative`` and ``worst``, invariant scalars (also traces and 0e) count with
    their spread over the items: they are multiplied by their spread over their root mean square. Otherwise an energy
    of −4·10⁵ that varies by 5 would hide an error as large as its variation. ``worst_by_size`` is without this factor.
    Round-off in float32 is large beside such a spread, too: subtract the offset, or use float64.

    **What each is blind to.** E compares two means, so errors of opposite sign cancel: it is 0 for every linear map
    f(x) = Ax of vectors, equivariant or not, over a group whose matrices have mean zero (``C4`` in the plane, ``O``,
    ``SO(3)``, …). For a scalar output E is the distance of f(x) from its mean over the orbit. ``to_average`` sees such
    maps; it is 0 on whole orbits only if f is equivariant there, but errors may cancel at a single x. E′ is 0 only if
    f is equivariant on these inputs and elements. E, E′ and ``to_average`` have the unit and size of the outputs: a
    small output looks symmetric. ``relative`` has neither. ``worst`` is the worst case seen, not how frequent it is.

    Args:
        model: a module (put in evaluation mode while it is measured) or function.
        inputs: a dict of tensors (dense, or ragged with ``batch``) or a PyG object.
        signature: types of its inputs and outputs, or the string.
        group: the group to test, or its name. Its elements are shared by all items.
        num_samples: M; ``None`` takes all elements of a finite group, and 16 draws of any other.
        generator: source of the draws; ``None`` draws with a fixed seed, so that a report can be repeated.
        batch_size: dense batches only: items per call of the model; ``None`` takes all at once.
        names: roles of tensors that the model takes and the signature does not type, such as
            ``{"edges": "edge_index"}`` (see ``Signature``).

    Raises:
        GroupError, SignatureError, BatchError, ModelOutputError: if things do not fit together, or an input is not
            finite (the item is named).

    Exactness: exact over a finite group; a Monte-Carlo estimate with M draws otherwise. All numbers but ``worst`` have
    standard errors for the items and for the draws (E and ``to_average``: by the jackknife over parts of the draws).
    These two are norms of means and biased upwards, by about (spread over the draws)/√M, which is not in their
    standard errors: over ``SO(3)`` the E of a linear map is E′/√M or so, and 0 in the limit.

    Reference: E and E′: Elhag et al., "Relaxed equivariance via multitask learning" (2024), arXiv:2410.17878; the
    relative error after Bökman & Kahl (2023).
    """
    inputs, signature = read_inputs(inputs, signature, model, names)
    acting = group_by_name(group)
    signature.check_group(acting)
    elements = elements_to_try(acting, num_samples, generator)
    measured = measure(model, inputs, signature, elements, batch_size=batch_size)
    return EquivarianceReport.of(measured, acting, lists_all(acting, num_samples))


def lists_all(acting: Group, num_samples: int | None) -> bool:
    """Whether ``elements_to_try`` takes all elements."""
    return num_samples is None and acting.is_finite


def elements_to_try(acting: Group, num_samples: int | None, generator: torch.Generator | None) -> Element:
    """The elements ``[M]`` to measure with: all of a finite group, or draws.

    Raises:
        GroupError: for a number of draws below one.
    """
    if num_samples is not None and num_samples < 1:
        raise GroupError(f"num_samples must be a positive number, got {num_samples}.")
    if lists_all(acting, num_samples):
        return acting.elements()
    generator = generator if generator is not None else torch.Generator().manual_seed(0)
    return acting.sample(num_samples or 16, generator=generator)
