"""One certificate for any model."""

import platform
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

import geoequiv
from geoequiv.fields import Signature, layout_of, named_fields, read_inputs
from geoequiv.fields.graphs import device_of
from geoequiv.fields.outputs import model_name
from geoequiv.groups import Group
from geoequiv.groups import group as group_by_name
from geoequiv.metrics.certificate import Certificate
from geoequiv.metrics.checks import (
    Skipped,
    check_determinism,
    check_parts,
    check_precision,
    check_relabelling,
)
from geoequiv.metrics.diagnosis import diagnose
from geoequiv.metrics.discovery import Discovery, can_act, discover_symmetry, is_geometric
from geoequiv.metrics.element_text import first_line
from geoequiv.metrics.equivariance import EquivarianceReport, elements_to_try
from geoequiv.metrics.generators import generators
from geoequiv.metrics.items import few_items
from geoequiv.metrics.lie_derivative import LieReport, lie_derivative
from geoequiv.metrics.measure import Model, measure
from geoequiv.metrics.profiles import angle_profile, axis_profile, translation_profile
from geoequiv.metrics.tolerances import tolerance_of
from geoequiv.metrics.verdict import judge
from geoequiv.metrics.worst_case import search

Part = TypeVar("Part")
#: Mean relative error up to which a symmetry that is not exact counts as approximate.
APPROXIMATE = 0.05


def certify(
    model: Model,
    inputs: Any,
    signature: str | Signature,
    group: str | Group,
    *,
    num_samples: int | None = None,
    num_few: int = 16,
    steps: int = 16,
    batch_size: int | None = None,
    seed: int = 0,
    tolerance: float | None = None,
    approximate: float = APPROXIMATE,
    names: Mapping[str, str] | None = None,
    before: Model | None = None,
    relabelling: bool = True,
    layers: bool = True,
    name: str | None = None,
) -> Certificate:
    """Measure a model's symmetry in every way that this package knows, and give a verdict.

    Args:
        model: a module (measured in evaluation mode, whatever mode it is in) or function.
        inputs: a dict of tensors (dense, or ragged with ``batch``) or a PyG object.
        signature: types of its inputs and outputs, or the string.
        group: the group it should be equivariant to, or its name.
        num_samples: M, for E, E′ and the relative error on all items; ``None``: all of a finite group up to 120
            elements, 64 draws of any other.
        num_few: items of the parts that go into detail (profiles, Lie derivative, discovery, …). PyG objects are
            always taken whole.
        steps: of the search for the worst case.
        batch_size: dense batches only: items per call; ``None`` takes all at once.
        seed: of all draws.
        tolerance: largest relative error that counts as round-off; ``None`` takes that of the outputs' dtype.
        names: roles of tensors without a type, as of ``equivariance_error``.
        approximate: largest mean relative error that counts as approximate.
        before: the same model before training, measured on the same elements.
        relabelling: whether to check relabellings of the nodes too (dense batches).
        layers: whether to measure the Lie derivative of each layer.
        name: of the model; ``None`` takes its class.

    Returns:
        The certificate: ``str()`` prints it, ``as_dict()`` is ready for JSON.

    Raises:
        GroupError, SignatureError, BatchError, ModelOutputError: if things do not fit together. A part that cannot be
            measured is ``Skipped`` in the certificate with the reason, it raises nothing.

    Exactness: "exact" means that no error above round-off was found on these inputs, by draws and by optimisation:
    evidence, not a proof. Translations are drawn with the group's scale about the origin, in the unit of the
    coordinates.
    """
    inputs, signature = read_inputs(inputs, signature, model, names)
    acting = group_by_name(group)
    signature.check_group(acting)
    layout = layout_of(inputs, signature, acting.dim, acting.acts_on_space)
    if num_samples is None:
        num_samples = None if acting.is_finite and (acting.order or 121) <= 120 else 64
    elements = elements_to_try(acting, num_samples, torch.Generator().manual_seed(seed))
    measured = measure(model, inputs, signature, elements, batch_size=batch_size)
    errors = EquivarianceReport.of(measured, acting, num_samples is None)
    former = None
    if before is not None:
        earlier = measure(before, inputs, signature, elements, batch_size=batch_size)
        former = EquivarianceReport.of(earlier, acting, num_samples is None)
    worst = search(model, inputs, signature, acting, elements, measured, num_items=8, steps=steps)
    few = few_items(inputs, layout, num_few, signature.inputs)
    precision = attempt(lambda: check_precision(model, few, signature, elements[:16]))
    largest = max(errors.worst, worst.value)
    tolerated = tolerance_of(errors.dtype, tolerance)
    verdict, limit, faults = judge(
        errors, largest, precision,
        lambda: attempt(lambda: check_precision(model, inputs, signature, worst.element.reshape(1))),
        limit=tolerated, factor=min(measured.factors.values(), default=1.0),
        given=tolerance is not None, approximate=approximate,
    )  # fmt: skip
    dim = acting.dim
    can_rotate = is_geometric(signature) and can_act(signature, group_by_name(f"SO({dim})"))
    fixed = getattr(acting.linear_part, "axis", None) if not acting.is_finite else None
    fixed_fields = "rotations by any angle cannot act on these fields"
    lie = lie_of(model, few, signature, acting, layers)
    method: Any = lie.method if isinstance(lie, LieReport) else "finite-difference"
    parts = attempt(lambda: check_parts(model, few, signature, acting))
    angle = (
        attempt(lambda: angle_profile(model, few, signature, axis=fixed, dim=dim))
        if can_rotate
        else Skipped(fixed_fields)
    )
    axis = (
        attempt(lambda: axis_profile(model, few, signature))
        if can_rotate and dim == 3
        else Skipped(fixed_fields if dim == 3 else "the plane has one axis only")
    )
    length = (
        attempt(lambda: translation_profile(model, few, signature, dim=dim))
        if acting.translates
        else Skipped(f"{acting} has no translations")
    )
    discovered = attempt(lambda: discover_symmetry(model, few, signature, dim=dim, threshold=limit, method=method))
    permuted: Any = (
        attempt(lambda: check_relabelling(model, few, signature, dim)) if relabelling else Skipped("not asked for")
    )
    determinism = attempt(lambda: check_determinism(model, few, signature, dim))
    faults += diagnose(
        limit, largest, parts, precision, determinism, permuted, lie,
        discovered.largest if isinstance(discovered, Discovery) else (),
    )  # fmt: skip
    return Certificate(
        measured=facts(model, inputs, signature, acting, errors, few, seed, name),
        floor={"epsilon": torch.finfo(getattr(torch, errors.dtype)).eps, "tolerance": tolerated},
        verdict=verdict,
        thresholds={"exact": tolerated, "approximate": approximate},
        faults=faults,
        errors=errors,
        before=former,
        worst_element=elements[errors.worst_element],
        worst_optimised=worst,
        parts=parts,
        angle_profile=angle,
        axis_profile=axis,
        translation_profile=length,
        lie_derivative=lie,
        discovered=discovered,
        relabelling=permuted,
        determinism=determinism,
        precision=precision,
    )


def attempt(part: Callable[[], Part]) -> Part | Skipped:
    """A part of the certificate, or why it could not be measured."""
    try:
        return part()
    except Exception as error:  # the model's own, whatever it is
        return Skipped(first_line(error))


def lie_of(model: Model, inputs: Any, signature: Signature, acting: Group, layers: bool) -> LieReport | Skipped:
    """The Lie derivative in forward mode, or by finite differences where that fails; the report has the method."""
    if not len(generators(acting)):
        return Skipped(f"{acting} has no continuous part")
    wanted = layers and isinstance(model, nn.Module)
    try:
        return lie_derivative(model, inputs, signature, acting, layers=wanted)
    except Exception:  # no rule for an operation, lost derivatives, or an error of the model's own on dual numbers
        return attempt(
            lambda: lie_derivative(model, inputs, signature, acting, layers=wanted, method="finite-difference")
        )


def facts(
    model: Model,
    inputs: Any,
    signature: Signature,
    acting: Group,
    errors: EquivarianceReport,
    few: Any,
    seed: int,
    name: str | None,
) -> dict[str, Any]:
    """What was measured, and with what."""
    few_layout = layout_of(few, signature, acting.dim, acting.acts_on_space)
    items = 1
    for size in few_layout.shape:
        items *= size
    parameters = sum(p.numel() for p in model.parameters()) if isinstance(model, nn.Module) else None
    return {
        "model": name or model_name(model),
        "signature": str(signature),
        "group": acting.name,
        "num_items": errors.num_items,
        "num_samples": errors.num_samples,
        "num_few": items,
        "dtype": errors.dtype,
        "device": str(device_of({k: v for k, v in named_fields(inputs).items() if isinstance(v, Tensor)})),
        "seed": seed,
        "parameters": parameters,
        "versions": {
            "geoequiv": geoequiv.__version__, "torch": torch.__version__, "python": platform.python_version()
        },
    }  # fmt: skip
