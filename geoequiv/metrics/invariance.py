"""How invariant the outputs of a model are, whatever they are declared to be."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch

from geoequiv.errors import SignatureError
from geoequiv.fields import FieldType, Side, Signature, read_inputs
from geoequiv.groups import Group
from geoequiv.groups import group as group_by_name
from geoequiv.metrics.equivariance import EquivarianceReport, elements_to_try, lists_all
from geoequiv.metrics.measure import Model, measure
from geoequiv.metrics.projected import comparable


def invariance_error(
    model: Model,
    inputs: Any,
    signature: str | Signature,
    group: str | Group,
    num_samples: int | None = None,
    generator: torch.Generator | None = None,
    batch_size: int | None = None,
    outputs: Literal["all", "scalars"] = "all",
    *,
    names: Mapping[str, str] | None = None,
) -> EquivarianceReport:
    r"""Relative invariance error: how much the outputs change when the inputs are transformed.

    .. math:: \text{relative} = \frac{1}{nM} \sum_{x, i} \frac{\| f(x) - f(\tau_i x) \|}
                                {\tfrac12 \| f(x) \| + \tfrac12 \| f(\tau_i x) \|}

    The other numbers of the report are those of ``equivariance_error`` with every output a scalar; under isometries
    ``E`` and ``to_average`` are then the same, the distance of f(x) from its mean over the draws.

    Args:
        outputs: ``"all"`` compares every output regardless of its declared type (what relabels nodes still relabels
            their rows); ``"scalars"`` those declared ``scalar`` only. The other arguments are those of
            ``equivariance_error``.

    Raises:
        SignatureError: with ``"scalars"``, if no output is declared a scalar. Else as ``equivariance_error``.

    Exactness: as ``equivariance_error``.

    Reference: Bökman & Kahl, "Investigating how ReLU-networks encode symmetries" (NeurIPS 2023).
    """
    inputs, signature = read_inputs(inputs, signature, model, names)
    acting = group_by_name(group)
    for name, kind in signature.inputs.items():
        kind.check_group(acting, name)
    scalars = signature.outputs.of_kind("scalar") if outputs == "scalars" else None
    if scalars == ():
        raise SignatureError(f"None of the outputs ({signature.outputs}) is declared a scalar: give outputs='all'.")
    model, signature = comparable(model, signature)
    flat = Side(tuple((name, as_scalar(kind)) for name, kind in signature.outputs.items()))
    elements = elements_to_try(acting, num_samples, generator)
    measured = measure(
        model, inputs, replace(signature, outputs=flat), elements, batch_size=batch_size, outputs=scalars, factors={}
    )
    return EquivarianceReport.of(measured, acting, lists_all(acting, num_samples))


def as_scalar(kind: FieldType) -> FieldType:
    """The same field as one that no isometry changes; nodes and pairs of nodes stay what they are."""
    return kind if kind.kind in ("scalar", "label", "node", "adjacency") else replace(kind, kind="scalar", irreps=None)
