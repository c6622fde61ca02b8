"""Scales of a task's fields, fitted on its training split."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from geoequiv.fields import Side, Signature
from geoequiv.models.scaled import Scale, Scaled
from geoequiv.tasks.task import Head, Split

#: kinds that a scale makes comparable; one-hot kinds and relations are of the order of one already
SCALED = ("vector", "pseudovector", "tensor")


def normalising_head(signature: Signature, train: Split, zeros: Mapping[str, Scale] | None = None) -> Head:
    """A head between the units of the data and those of the model (see `Scaled`), fitted on a training split.

    Args:
        signature: of the task.
        train: the training split, and no other.
        zeros: scalar output → what has been taken off its targets; such outputs are scaled by the root mean square of
            what is left, each column of a ``scalar*k`` by its own.
    """
    inputs, fitted = scales_of(signature, train)
    outputs: dict[str, Scale] = dict(fitted)
    for name in zeros or {}:
        target = train.targets[name]
        if signature.outputs[name].multiplicity > 1:
            outputs[name] = [root_mean_square(column) or 1.0 for column in target.unbind(-1)]
        elif scale := root_mean_square(target):
            outputs[name] = scale
    return Head(signature, partial(Scaled, signature=signature, inputs=inputs, outputs=outputs, zeros=zeros))


def scales_of(signature: Signature, train: Split) -> tuple[dict[str, float], dict[str, float]]:
    r"""Scales of inputs and outputs.

    Points share one length: the root mean square of the distances of nodes from the centroid of their own cloud, over
    the first input point that nodes have, per coordinate. The vectors of a periodic ``cell`` share it. Other vectors
    and tensors have the root mean square of their components. Nothing is shifted, and scalars stay as they are.

    Args:
        signature: of the task.
        train: the training split, and no other.

    Returns:
        Input name → scale, output name → scale; a field that is zero all over is left out.
    """
    points = [name for name in signature.inputs.of_kind("point") if not signature.inputs[name].per_graph]
    mask = train.inputs.get("mask")
    length = root_mean_square(centred(train.inputs[points[0]], mask)) if points else 0.0

    def of_side(side: Side, fields: Mapping[str, Tensor]) -> dict[str, float]:
        found = {
            name: root_mean_square(fields[name] if side[name].per_graph else real(fields[name], mask))
            for name in side.of_kind(*SCALED)
        }
        found |= dict.fromkeys(side.of_kind("point"), length)
        found |= {"cell": length} if "cell" in found and length else {}  # walls are where points are
        return {name: scale for name, scale in found.items() if scale > 0}

    return of_side(signature.inputs, train.inputs), of_side(signature.outputs, train.targets)


def centred(points: Tensor, mask: Tensor | None) -> Tensor:
    """Points ``[n, N, …]`` relative to the centroid of their cloud, padding left out."""
    points = points.double()
    weight = torch.ones(points.shape[:2], dtype=torch.float64) if mask is None else mask.double()
    weight = weight.reshape(*weight.shape, *(1,) * (points.ndim - 2))
    centre = (points * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
    if points.ndim == 4:  # several points to a node: about one centre
        centre = centre.mean(2, keepdim=True)
    return real(points - centre, mask)


def real(values: Tensor, mask: Tensor | None) -> Tensor:
    """The rows of a field that lives on nodes which are no padding."""
    return values if mask is None else values[mask]


def root_mean_square(values: Tensor) -> float:
    """√(mean of the squares), in float64."""
    return float(torch.sqrt(values.double().square().mean()))
