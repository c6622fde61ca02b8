"""Checks beside the equivariance error: determinism, round-off, order of the nodes, kinds of group element."""

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from geoequiv.errors import GeoequivError
from geoequiv.fields import FieldType, Side, Signature, call_model, layout_of, named_fields
from geoequiv.fields.graphs import is_graph, with_fields
from geoequiv.groups import Element, Group, identity
from geoequiv.groups import group as group_by_name
from geoequiv.metrics.element_text import first_line
from geoequiv.metrics.equivariance import equivariance_error
from geoequiv.metrics.estimate import as_plain
from geoequiv.metrics.invariance import as_scalar
from geoequiv.metrics.items import can_select, select_items
from geoequiv.metrics.measure import Model, evaluating, item_norm, measure, ratio
from geoequiv.metrics.projected import comparable
from geoequiv.metrics.replicas import replicas_per_call
from geoequiv.metrics.tolerances import tolerance_of

#: Round-off of float64 over that of float32, 2⁻²⁹, with a factor of 1000 to spare.
SHRINKS = 1000 * 2.0**-29
MIRRORED = {"vector": "pseudovector", "pseudovector": "vector", "scalar": "pseudoscalar", "pseudoscalar": "scalar"}


@dataclass(frozen=True)
class Skipped:
    """A part that was not measured, and why."""

    reason: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON: ``{"skipped": reason}``."""
        return {"skipped": self.reason}


@dataclass(frozen=True)
class Determinism:
    """Whether the same input gives the same output twice.

    Args:
        evaluation: largest relative difference of two calls in evaluation mode.
        mode: the mode in which the model was given, ``"training"``, ``"evaluation"`` or ``"function"``.
        training: the same in training mode, on a copy; ``None`` where the model was not in it.
        batch: largest relative difference between the outputs of items by themselves and in a batch with copies of
            them: above round-off where items see each other; ``None`` where the batch cannot be copied.
        random_layers: submodules that draw random numbers in training, by name and class.
    """

    evaluation: float
    mode: str
    training: float | None
    random_layers: tuple[str, ...]
    batch: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: as_plain(getattr(self, name)) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Precision:
    """The error in both dtypes, on the same few items and elements.

    Args:
        errors: by dtype: ``relative``, ``worst``, ``worst_by_size``, the largest ``distance``, the ``tolerance`` of the
            dtype and the ``narrowest`` dtype inside; or the reason as ``"skipped"``.
        lowest: the narrowest floating-point dtype that a call computed in.
        settings: of the process: ``float32_matmul_precision``, ``allow_tf32``, ``autocast``.
    """

    errors: dict[str, Any]
    lowest: str
    settings: dict[str, Any]

    @property
    def shrinks(self) -> bool | None:
        """Whether float64 shrinks the error as it shrinks round-off; ``None`` if it was not measured in both dtypes.

        A model that computes in a narrower dtype in float64, too, tells nothing, unless its error is exactly 0.
        """
        single, double = self.errors.get("float32", {}), self.errors.get("float64", {})
        if "distance" not in single or "distance" not in double:
            return None
        if double["distance"] <= SHRINKS * single["distance"]:
            return True
        return None if double["narrowest"] != "float64" else False

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: as_plain(getattr(self, name)) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Parts:
    """Mean relative errors under one kind of element at a time; ``None`` where the group has none.

    Args:
        translations, proper, improper, relabellings: pure translations; rotations; elements with determinant −1;
            pure relabellings. Where the group couples them to a permutation of the nodes (see ``CoupledGroup``), they
            are measured together with it.
        still: error under pure translations if all outputs are taken to be invariant: near 0 for outputs that do not
            translate.
        mirrored: error under improper elements if vectors are taken for pseudovectors, and so on: near 0 for outputs
            that are declared with the wrong parity.
        worst: largest relative error by the same names.
        exchanging: names of those that are coupled to a permutation of the nodes.
    """

    translations: float | None
    proper: float | None
    improper: float | None
    relabellings: float | None
    still: float | None
    mirrored: float | None
    worst: dict[str, float]
    exchanging: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: as_plain(getattr(self, name)) for name in self.__dataclass_fields__}


def check_determinism(model: Model, inputs: Any, signature: Signature, dim: int) -> Determinism:
    """Call a model twice with the same inputs, in evaluation mode and in its own mode.

    Training mode is tried on a copy, which leaves running statistics as they are; torch's global random state is
    restored.
    """
    layout = layout_of(inputs, signature, dim)

    def twice(called: Model) -> float:
        called, compared = comparable(called, signature)
        with torch.no_grad():
            a, b = call_model(called, compared, inputs), call_model(called, compared, inputs)
        gap = item_norm({name: a[name] - b[name] for name in a}, layout, compared.outputs)
        return float(ratio(gap, item_norm(a, layout, compared.outputs)).max())

    with torch.random.fork_rng(devices=[]):
        with evaluating(model):
            still = twice(model)
        beside = None
        if replicas_per_call(inputs, signature, layout, 2) > 1:
            beside = float(measure(model, inputs, signature, identity(dim, 2)).relative.max())
        if not isinstance(model, nn.Module):
            return Determinism(still, "function", None, (), beside)
        mode = "training" if any(part.training for part in model.modules()) else "evaluation"
        training = twice(copy.deepcopy(model)) if mode == "training" else None
    layers = tuple(
        f"{name or 'model'} ({type(part).__name__}, p = {part.p})"
        for name, part in model.named_modules()
        if isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0
    )
    return Determinism(still, mode, training, layers, beside)


class NarrowestDtype(TorchDispatchMode):
    """Records the narrowest floating-point dtype of all results."""

    def __init__(self) -> None:
        super().__init__()
        self.found: torch.dtype | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.is_floating_point():
                here = torch.finfo(leaf.dtype).eps
                if self.found is None or here > torch.finfo(self.found).eps:
                    self.found = leaf.dtype
        return result


def check_precision(model: Model, inputs: Any, signature: Signature, elements: Element) -> Precision:
    """Measure in the dtype given and in the other one of float32 and float64, on a copy of the model."""
    here = next(iter(named_fields(inputs)[name].dtype for name in signature.inputs))
    errors: dict[str, Any] = {}
    lowest = here
    other = torch.float32 if here == torch.float64 else torch.float64
    for dtype in (here, other):
        name = str(dtype).removeprefix("torch.")
        try:
            called = model if dtype == here else recast(model, dtype)
            given = inputs if dtype == here else cast(inputs, dtype)
            with evaluating(called), torch.no_grad(), NarrowestDtype() as watch:
                call_model(called, signature, given)
            narrowest = watch.found or dtype
            lowest = narrowest if dtype == here else lowest
            found = measure(called, given, signature, elements)
            errors[name] = {
                "relative": float(found.relative.mean()), "worst": float(found.relative.max()),
                "worst_by_size": float(found.by_size.max()), "distance": float(found.distance.max()),
                "tolerance": tolerance_of(found.dtype if dtype == here else name),
                "narrowest": str(narrowest).removeprefix("torch."),
            }  # fmt: skip
        except Exception as error:  # raised by the model
            if dtype == here:
                raise
            errors[name] = {"skipped": f"the model does not run in {name}: {first_line(error)}"}
    settings = {
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "allow_tf32": torch.backends.cuda.matmul.allow_tf32,
        "autocast": torch.is_autocast_enabled("cuda") or torch.is_autocast_enabled("cpu"),
    }
    return Precision(errors, str(lowest).removeprefix("torch."), settings)


def recast(model: Model, dtype: torch.dtype) -> Model:
    """A copy of a module in another dtype; a function is itself."""
    return copy.deepcopy(model).to(dtype) if isinstance(model, nn.Module) else model


def cast(inputs: Any, dtype: torch.dtype) -> Any:
    """All floating-point fields in another dtype."""
    changed = {
        name: value.to(dtype)
        for name, value in named_fields(inputs).items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }
    return with_fields(inputs, changed) if is_graph(inputs) else {**inputs, **changed}


def check_relabelling(model: Model, inputs: Any, signature: Signature, dim: int, num_samples: int = 4) -> Any:
    """Relative error under relabellings of the nodes (``EquivarianceReport`` of S(n)), or ``Skipped``.

    Of ragged batches with graphs of different sizes, those of the most frequent size are taken. Where an offset of the
    outputs hides what float32 could tell, the report is that of float64, if the model runs there.
    """
    layout = layout_of(inputs, signature, dim)
    nodes = layout.nodes
    if layout.batch is not None:
        sizes = torch.bincount(layout.batch)
        nodes = int(sizes.mode().values)
        alike = (sizes == nodes).nonzero().flatten()
        if len(alike) < len(sizes):
            if not can_select(inputs, layout, signature.inputs):
                return Skipped("the graphs are of different sizes")
            inputs = select_items(inputs, layout, alike, signature.inputs)
    if nodes < 2:
        return Skipped("the items have no nodes to relabel")
    acting = group_by_name(f"S({nodes})", dim=dim)
    try:
        report = equivariance_error(model, inputs, signature, acting, num_samples)
    except GeoequivError as error:
        return Skipped(str(error))
    if report.dtype == "float32" and report.worst_by_size <= tolerance_of(report.dtype) < report.worst:
        try:
            wide = recast(model, torch.float64), cast(inputs, torch.float64)
            return equivariance_error(*wide, signature, acting, num_samples)
        except Exception:  # raised by the model: it does not run in float64
            return report
    return report


def check_parts(model: Model, inputs: Any, signature: Signature, acting: Group, num_samples: int = 8) -> Parts:
    """Measure the kinds of element that a group has one by one (see ``Parts``)."""
    g = acting.sample(4 * num_samples, generator=torch.Generator().manual_seed(1))
    eye = torch.eye(acting.dim, dtype=torch.float64)
    rotates = (g.linear - eye).abs().amax((-1, -2)) > 1e-9
    kinds: dict[str, Element] = {}
    exchanging: tuple[str, ...] = ()
    if acting.translates and g.translation is not None:
        kinds["translations"] = Element(eye.expand_as(g.linear), g.translation)[:num_samples]
    for name, which in (("proper", rotates & (g.det > 0)), ("improper", g.det < 0)):
        if not bool(which.any()):
            continue
        kinds[name] = Element(g.linear[which])[:num_samples]
        if not bool(acting.contains(kinds[name]).all()):
            assert g.permutation is not None
            kinds[name] = Element(g.linear[which], None, g.permutation[which])[:num_samples]
            exchanging += (name,)
    if g.permutation is not None:
        alone = Element(eye.expand_as(g.linear), None, g.permutation)[:num_samples]
        if bool(acting.contains(alone).all()):
            kinds["relabellings"] = alone
    found = {name: measure(model, inputs, signature, elements).relative for name, elements in kinds.items()}
    means: dict[str, float | None] = {name: float(values.mean()) for name, values in found.items()}
    still = mirrored = None
    outputs = signature.outputs
    if "translations" in kinds and outputs.of_kind("point"):
        names = outputs.of_kind("point")
        flat = replace(signature, outputs=Side(tuple((n, as_scalar(k)) for n, k in outputs.items())))
        still = float(measure(model, inputs, flat, kinds["translations"], outputs=names, factors={}).relative.mean())
    if "improper" in kinds and any(kind.kind in MIRRORED for kind in outputs.values()):
        names = tuple(name for name, kind in outputs.items() if kind.kind in MIRRORED)
        swapped = replace(signature, outputs=Side(tuple((n, swap(k)) for n, k in outputs.items())))
        mirrored = float(measure(model, inputs, swapped, kinds["improper"], outputs=names).relative.mean())
    worst = {name: float(values.max()) for name, values in found.items()}
    return Parts(
        means.get("translations"), means.get("proper"), means.get("improper"), means.get("relabellings"),
        still, mirrored, worst, exchanging,
    )  # fmt: skip


def swap(kind: FieldType) -> FieldType:
    """The type of the other parity, where there is one."""
    return replace(kind, kind=MIRRORED[kind.kind]) if kind.kind in MIRRORED else kind
