"""Scales of a task's fields, fitted on its training split."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from geoequiv.fields import Side, Signature
from geoequiv.models.scaled import Scaled
from geoequiv.tasks.task import Head, Split

#: kinds that a scale makes comparable; one-hot kinds and relations are of the order of one already
SCALED = ("vector", "pseudovector", "tensor")


def normalising_head(signature: Signature, train: Split) -> Head:
    """A head between the units of the data and those of the model (see `Scaled`), fitted on a training split."""
    inputs, outputs = scales_of(signature, train)
    return Head(signature, partial(Scaled, signature=signature, inputs=inputs, outputs=outputs))


def scales_of(signature: Signature, train: Split) -> tuple[dict[str, float], dict[str, float]]:
    r"""Scales of inputs and outputs.

    Points share one length: the root mean square of the distances of nodes from the centroid of their own cloud, over
    the first input point, per coordinate. Vectors and tensors have the root mean square of their components. Nothing is
    shifted, and scalars stay as they are.

    Args:
        signature: of the task.
        train: the training split, and no other.

    Returns:
        Input name → scale, output name → scale; a field that is zero all over is left out.
    """
    points = signature.inputs.of_kind("point")
    length = 0.0
    if points:
        cloud = train.inputs[points[0]].double()
        length = root_mean_square(cloud - cloud.mean(dim=tuple(range(1, cloud.ndim - 1)), keepdim=True))

    def of_side(side: Side, fields: Mapping[str, Tensor]) -> dict[str, float]:
        found = {name: root_mean_square(fields[name]) for name in side.of_kind(*SCALED)}
        found |= dict.fromkeys(side.of_kind("point"), length)
        return {name: scale for name, scale in found.items() if scale > 0}

    return of_side(signature.inputs, train.inputs), of_side(signature.outputs, train.targets)


def root_mean_square(values: Tensor) -> float:
    """√(mean of the squares), in float64."""
    return float(torch.sqrt(values.double().square().mean()))
