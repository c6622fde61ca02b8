"""Whether data itself is symmetric: from new labels of transformed inputs, or else from matched neighbours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from geoequiv.errors import BatchError
from geoequiv.fields import Layout, Side, Signature, act, layout_of, projected, projected_signature, read_inputs
from geoequiv.groups import Element, Group
from geoequiv.groups import group as group_by_name
from geoequiv.metrics.equivariance import elements_to_try, lists_all
from geoequiv.metrics.estimate import Estimate, as_plain, estimate
from geoequiv.metrics.measure import measure_outputs

Relabel = Callable[[Element, dict[str, Tensor]], Mapping[str, Tensor]]
#: Standard errors above the noise floor at which a violation counts as seen.
SEEN = 4.0
#: Largest share of the spread of labels that the noise floor may have for the estimate to be informative.
RESOLVED = 0.5


@dataclass(frozen=True)
class DataSymmetry:
    """How far labels are from equivariant.

    Args:
        group: its name.
        method: ``"relabelled"`` or ``"neighbours"``.
        relative: relabelled: the relative error of ``equivariance_error`` with labels in place of a model's outputs;
            neighbours: ``√(excess / spread)``, where ``excess`` is the mean square label gap beyond the noise floor
            and ``spread`` the mean square gap of random pairs.
        excess: neighbours only: mean of gap² − floor², in the unit of the labels squared.
        floor: neighbours only: mean square gap of matched pairs without a transformation.
        resolution: neighbours only: floor over spread; near 1, neighbours are uninformative.
        verdict: ``"respected"`` (relabelled: within the threshold; neighbours: nothing seen above the noise floor),
            ``"broken"``, or ``"undecided"`` (neighbours are too far apart).
    """

    group: str
    method: Literal["relabelled", "neighbours"]
    relative: Estimate
    excess: Estimate | None
    floor: float | None
    resolution: float | None
    verdict: Literal["respected", "broken", "undecided"]
    num_items: int
    num_samples: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: as_plain(getattr(self, name)) for name in self.__dataclass_fields__}


def data_symmetry_error(
    inputs: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    signature: str | Signature,
    group: str | Group,
    relabel: Relabel | None = None,
    *,
    num_samples: int | None = None,
    num_items: int = 256,
    generator: torch.Generator | None = None,
    threshold: float = 1e-4,
) -> DataSymmetry:
    r"""How far the labels of a data set are from equivariant under a group.

    With ``relabel`` (a simulator, a formula), labels of transformed inputs are compared with transformed labels.
    Without it, each transformed input g x_i is matched with its nearest neighbour x_j of the data (j ≠ i). The gap of
    their labels is compared with that of x_i and the x_k whose distance from x_i is closest to ‖g x_i − x_j‖:

    .. math:: \text{excess} = \operatorname{mean}_{i, g} \big( \| \rho(g) y_i - y_j \|^2 - \| y_i - y_k \|^2 \big),
              \qquad \| x_i - x_k \| \approx \| g x_i - x_j \|

    Args:
        inputs: dense fields ``[n, …]``.
        targets: labels ``[n, …]``, the outputs of the signature.
        relabel: ``(g, transformed inputs) → targets``; g is one element, which external forces may depend on.
        num_samples: elements; ``None``: all of a finite group, 16 draws of any other.
        num_items: neighbours only: how many items are transformed; neighbours are taken from all.
        threshold: with ``relabel``, the largest relative error that counts as respected.

    Raises:
        BatchError: for ragged batches, or fewer than 16 items without ``relabel``.

    Exactness: with ``relabel`` a mean over the draws. Neighbours: an estimate with limits. It needs data in few
    dimensions whose transformed inputs have neighbours (data in a single orientation have none: "undecided"). A
    violation smaller than the noise floor over √n is not seen. Labels are assumed to change equally fast in all
    directions of the inputs. "respected" means that no violation was seen, not that there is none.
    """
    inputs, signature = read_inputs(inputs, signature)
    acting = group_by_name(group)
    signature.check_group(acting)
    elements = elements_to_try(acting, num_samples, generator)
    inputs = dict(inputs)
    layout = layout_of(inputs, signature, acting.dim, acting.acts_on_space)
    outputs, signature = signature.outputs, projected_signature(signature)
    labels = projected({name: targets[name] for name in outputs}, outputs)
    every = lists_all(acting, num_samples)
    if relabel is not None:

        def label(g: Element, given: dict[str, Tensor]) -> dict[str, Tensor]:
            made = relabel(g, given)
            return projected({name: made[name] for name in labels}, outputs)

        found = measure_outputs(label, labels, inputs, signature, elements, layout, at_once=False)
        relative = estimate(found.relative, all_elements=every)
        verdict: Any = "respected" if relative.value <= threshold else "broken"
        shape = found.relative.shape
        return DataSymmetry(acting.name, "relabelled", relative, None, None, None, verdict, shape[1], shape[0])
    if layout.is_ragged or len(layout.shape) != 1 or layout.shape[0] < 16:
        raise BatchError("Matched neighbours take a dense batch [n, …] of at least 16 items; give relabel= otherwise.")
    return by_neighbours(inputs, labels, signature, acting, elements, layout, num_items, every)


def by_neighbours(
    inputs: dict[str, Tensor],
    labels: dict[str, Tensor],
    signature: Signature,
    acting: Group,
    elements: Element,
    layout: Layout,
    num_items: int,
    every: bool,
) -> DataSymmetry:
    """``data_symmetry_error`` by matched neighbours."""
    total = layout.shape[0]
    count = min(num_items, total)
    scales = {name: spread_of(inputs[name]) for name in signature.inputs}
    points = flat(inputs, signature.inputs, scales)
    own = torch.cdist(points[:count], points)
    own[torch.arange(count), torch.arange(count)] = float("inf")
    excess, floors = [], []
    for i in range(len(elements)):
        transformed = act(elements[i], inputs, signature.inputs, layout)
        expected = act(elements[i], labels, signature.outputs, layout)
        away = torch.cdist(flat(transformed, signature.inputs, scales)[:count], points)
        away[torch.arange(count), torch.arange(count)] = float("inf")
        distance, nearest = away.min(1)
        match = (own - distance[:, None]).abs().argmin(1)
        gap = squares({name: expected[name][:count] - labels[name][nearest] for name in labels})
        floor = squares({name: labels[name][:count] - labels[name][match] for name in labels})
        excess.append(gap - floor)
        floors.append(floor)
    shift = total // 2
    spread = float(squares({name: value - value.roll(shift, 0) for name, value in labels.items()}).mean())
    beyond = estimate(torch.stack(excess), all_elements=every)
    floor_mean = float(torch.stack(floors).mean())
    resolution = floor_mean / spread if spread else 1.0
    seen = beyond.value > SEEN * (beyond.se or 0.0)
    verdict: Any = "undecided" if resolution > RESOLVED else "broken" if seen else "respected"
    scale = max(spread, 1e-300)
    root = (max(beyond.value, 0.0) / scale) ** 0.5
    slope = 0.5 / (max(root, 1e-6) * scale)  # of √(excess / spread)
    errors = [None if se is None else min(se * slope, (se / scale) ** 0.5) for se in (beyond.items, beyond.elements)]
    return DataSymmetry(
        acting.name, "neighbours", Estimate(root, *errors), beyond, floor_mean, resolution, verdict, count,
        len(elements),
    )  # fmt: skip


def spread_of(values: Tensor) -> float:
    """Root mean square about the mean of all entries (one number a field, so that isometries keep distances)."""
    return float(values.double().std(correction=0)) or 1.0


def flat(fields: Mapping[str, Any], side: Side, scales: Mapping[str, float]) -> Tensor:
    """All fields of an item in one row, each over its spread, ``[n, D]``."""
    return torch.cat([fields[name].double().flatten(1) / scales[name] for name in side], 1)


def squares(values: dict[str, Tensor]) -> Tensor:
    """‖·‖² of all labels of each item, ``[n]``."""
    return torch.stack([value.double().flatten(1).square().sum(1) for value in values.values()]).sum(0)
