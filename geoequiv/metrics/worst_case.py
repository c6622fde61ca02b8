"""The worst case over a group: by enumeration where it is finite, by climbing on the Lie algebra where it is not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from geoequiv.fields import Layout, Signature, act, call_model, layout_of, read_inputs
from geoequiv.groups import Element, Group, compose
from geoequiv.groups import group as group_by_name
from geoequiv.metrics.element_text import element_dict, first_line
from geoequiv.metrics.equivariance import elements_to_try
from geoequiv.metrics.generators import Generators, generators
from geoequiv.metrics.items import can_select, select_items
from geoequiv.metrics.measure import Model, SampledErrors, compare, evaluating, measure, ratio
from geoequiv.metrics.projected import comparable
from geoequiv.metrics.replicas import mask_of

#: Elements of a finite group that are tried one by one; above it only the draws are used.
LARGEST_ENUMERATED = 5040


@dataclass(frozen=True, eq=False)
class WorstCase:
    """The largest relative error that was found.

    Args:
        value: ‖f(gx) − g f(x)‖ over the mean of the two norms.
        element: g.
        item: which of the inputs, counted from 0.
        start: the largest error of the draws it began with; ``value`` is never below.
        method: ``"enumeration"`` (all elements on the items that were worst), ``"gradient"`` (climbing on the Lie
            algebra), or ``"draws"`` (nothing better than the start was looked for: the group is too large to list
            and has no continuous part, or the model failed there: see ``note``).
        items: on how many items it was looked for.
        steps: of the ascent.
        note: why elements could not be tried, or a gradient was not available, where that was so.
    """

    value: float
    element: Element
    item: int
    start: float
    method: Literal["enumeration", "gradient", "draws"]
    items: int
    steps: int
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the element by ``words``, ``linear``, ``translation``, ``permutation``."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "element"}
        return plain | {"element": element_dict(self.element)}


def worst_case(
    model: Model,
    inputs: Any,
    signature: str | Signature,
    group: str | Group,
    num_samples: int | None = None,
    generator: torch.Generator | None = None,
    *,
    num_items: int | None = 8,
    steps: int = 16,
    names: Mapping[str, str] | None = None,
) -> WorstCase:
    r"""The largest relative error over a group, looked for by optimisation and not only by draws.

    .. math:: \max_{x, g} \frac{\| f(gx) - g f(x) \|}{\tfrac12 \| f(gx) \| + \tfrac12 \| g f(x) \|}

    The items with the largest errors over M draws go on from their worst draw: finite groups through all elements,
    others by gradient ascent on the Lie algebra, ``g ← exp(Σ c_i ξ_i) g`` with a step that grows on success and
    shrinks on failure. Each item climbs on its own, all in one batch. Translations stay within the longest draw.

    Args:
        num_samples: M draws to begin with; ``None``: as ``equivariance_error``.
        num_items: how many items go on; ``None`` takes all.
        steps: of the ascent, each one forward and backward pass. The other arguments are as in ``equivariance_error``.

    Raises:
        As ``equivariance_error``.

    Exactness: of a finite group exact on the items that were searched; else a lower bound of the maximum, never below
    the worst of the draws.
    """
    inputs, signature = read_inputs(inputs, signature, model, names)
    acting = group_by_name(group)
    signature.check_group(acting)
    elements = elements_to_try(acting, num_samples, generator)
    draws = measure(model, inputs, signature, elements)
    return search(model, inputs, signature, acting, elements, draws, num_items=num_items, steps=steps)


def search(
    model: Model,
    inputs: Any,
    signature: Signature,
    acting: Group,
    elements: Element,
    draws: SampledErrors,
    *,
    num_items: int | None,
    steps: int,
) -> WorstCase:
    """``worst_case`` from the errors of draws that are known already."""
    layout = layout_of(inputs, signature, acting.dim, acting.acts_on_space)
    best, numbers = draws.relative.max(0)  # [n]
    kept = torch.arange(len(best))
    if num_items is not None and num_items < len(best) and can_select(inputs, layout, signature.inputs):
        kept = best.topk(num_items).indices.sort().values
        device = layout.batch.device if layout.batch is not None else "cpu"
        inputs = select_items(inputs, layout, kept.to(device), signature.inputs)
        layout = layout_of(inputs, signature, acting.dim, acting.acts_on_space)
    worst = int(best[kept].argmax())
    start = float(best[kept][worst])
    found = (elements[int(numbers[kept][worst])], int(kept[worst]), start)
    steps_taken, note = 0, ""
    method: Literal["enumeration", "gradient", "draws"] = "draws"
    algebra = generators(acting)
    if acting.is_finite and acting.order is not None and acting.order <= LARGEST_ENUMERATED:
        method, listed = "enumeration", acting.elements()
        if not same(listed, elements):  # as many draws as there are elements are not yet the elements
            try:
                errors = measure(model, inputs, signature, listed, factors=draws.factors).relative
                i, j = divmod(int(errors.argmax()), errors.shape[1])
                found = keep_larger(found, (listed[i], int(kept[j]), float(errors[i, j])))
            except Exception as error:  # raised by the model, which took all items but may refuse a few
                method, note = "draws", f"the elements could not be tried on {len(kept)} items: {first_line(error)}"
    elif len(algebra):
        begin = elements[numbers[kept]]
        radius = float(elements.translation.norm(dim=-1).max()) if elements.translation is not None else 0.0
        try:
            values, ends, steps_taken = climb(
                model, inputs, signature, layout, algebra, begin, radius, steps, draws.factors
            )
            method = "gradient"
            j = int(values.argmax())
            found = keep_larger(found, (ends[j], int(kept[j]), float(values[j])))
        except Exception as error:  # raised by the model
            note = f"no gradient with respect to the group on {len(kept)} items: {first_line(error)}"
    element, item, value = found
    return WorstCase(value, element, item, start, method, len(kept), steps_taken, note)


def same(a: Element, b: Element) -> bool:
    """Whether two lists hold the same elements in the same order."""
    parts = ((a.linear, b.linear), (a.translation, b.translation), (a.permutation, b.permutation))
    return all(x is y or (x is not None and y is not None and torch.equal(x, y)) for x, y in parts)


def keep_larger(a: tuple[Element, int, float], b: tuple[Element, int, float]) -> tuple[Element, int, float]:
    """The one with the larger value; the first of equals."""
    return b if b[2] > a[2] else a


def climb(
    model: Model,
    inputs: Any,
    signature: Signature,
    layout: Layout,
    algebra: Generators,
    begin: Element,
    radius: float,
    steps: int,
    factors: Mapping[str, float],
) -> tuple[Tensor, Element, int]:
    """Gradient ascent of every item from its own element ``[k]``: best values ``[k]``, their elements, steps made.

    Raises:
        RuntimeError: if the outputs do not depend on the inputs by differentiable operations.
    """
    items = len(begin)
    model, signature = comparable(model, signature)
    with evaluating(model):
        with torch.no_grad():
            here = call_model(model, signature, inputs)

        def value_and_slope(at: Element) -> tuple[Tensor, Tensor]:
            c = torch.zeros(items, len(algebra), dtype=torch.float64, requires_grad=True)
            with torch.enable_grad():
                g = compose(algebra.exp(c), at)
                g = g if layout.shape else g[0]
                transformed = act(g, inputs, signature.inputs, layout)
                there = call_model(model, signature, transformed)
                found = compare(g, here, there, signature, layout, mask_of(transformed, layout), None, factors)
                value = ratio(found.distance, found.scale)
                slope = torch.autograd.grad(value.sum(), c)[0]
            return value.detach().cpu(), slope.nan_to_num(0.0, 0.0, 0.0)  # ‖·‖ has no slope where it is 0

        at = begin
        value, slope = value_and_slope(at)
        size = torch.full((items, 1), 0.3, dtype=torch.float64)
        reach = torch.where(algebra.translation.any(-1), max(radius, 1e-12), 1.0)  # radians, or lengths of draws
        for _ in range(steps):
            direction = slope * reach
            direction = reach * direction / direction.norm(dim=-1, keepdim=True).clamp_min(1e-300)
            trial = within(compose(algebra.exp(size * direction), at), radius)
            new, steep = value_and_slope(trial)
            better = new > value
            at = chosen(better, trial, at)
            slope = torch.where(better[:, None], steep, slope)
            value = torch.where(better, new, value)
            size = torch.where(better[:, None], 1.5 * size, 0.4 * size)
    return value, at, steps


def within(g: Element, radius: float) -> Element:
    """Translations shortened to the radius."""
    if g.translation is None:
        return g
    length = g.translation.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return Element(g.linear, g.translation * (radius / length).clamp_max(1.0), g.permutation)


def chosen(first: Tensor, a: Element, b: Element) -> Element:
    """Element by element ``a`` where ``first [k]``, else ``b``."""
    translation = None
    if a.translation is not None:
        other = torch.zeros_like(a.translation) if b.translation is None else b.translation
        translation = torch.where(first[:, None], a.translation, other)
    return Element(torch.where(first[:, None, None], a.linear, b.linear), translation, a.permutation)
