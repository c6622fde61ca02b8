"""Data augmentation: ℓ(f(gx), gy)."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geoequiv.fields import Signature, layout_of, read_inputs
from geoequiv.groups import Group
from geoequiv.groups import group as group_by_name
from geoequiv.objectives.pointwise import PointwiseLoss, as_named, compare
from geoequiv.objectives.replicas import predict_replicas, transform_outputs
from geoequiv.objectives.sampling import draw
from geoequiv.ranges import PositiveInt, check_ranges


class AugmentedLoss(NamedTuple):
    """Value of the augmented objective."""

    total: Tensor


@check_ranges
class Augmentation:
    r"""``ℓ(f(gx), gy)`` with Haar draws for each item and call; the untransformed batch is not used.

    .. math:: L = \frac1K \sum_k \ell(f(g_k x), g_k y), \qquad g_k \sim \text{Haar}(G)

    Args:
        model: called with named inputs.
        signature: types of its inputs and outputs.
        group: where g is drawn from.
        loss: point-wise ℓ(prediction, target) → scalar, applied to each output and added up.
        generator: of the draws (on the CPU); ``None``: torch's global one.
        num_samples: K, transformed replicas of the batch in one step.
        fused: whether all replicas are evaluated as one batch.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        signature: str | Signature,
        group: str | Group,
        loss: PointwiseLoss,
        generator: torch.Generator | None = None,
        num_samples: PositiveInt = 1,
        fused: bool = True,
    ) -> None:
        self.model, self.loss = model, loss
        self.signature, self.group = Signature.parse(signature), group_by_name(group)
        self.signature.check_group(self.group)
        self.generator, self.num_samples, self.fused = generator, num_samples, fused

    def __call__(self, inputs: Any, targets: Tensor | Mapping[str, Tensor]) -> AugmentedLoss:
        named = as_named(targets, self.signature)
        inputs, _ = read_inputs(inputs, self.signature)
        layout = layout_of(inputs, self.signature, self.group.dim, self.group.acts_on_space)
        elements = draw(self.group, self.num_samples, layout, self.generator)
        fused = self.fused and self.num_samples > 1
        copies = predict_replicas(self.model, self.signature, inputs, elements, layout, original=False, fused=fused)
        labels = transform_outputs(elements, named, self.signature, layout)
        terms = [compare(there, label, self.signature, self.loss) for there, label in zip(copies, labels, strict=True)]
        return AugmentedLoss(torch.stack(terms).mean())
