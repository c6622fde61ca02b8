"""REPAIR: give the hidden units of a merged network the mean and spread of those of its two parents."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.alignment.labels import tensors_in
from geoequiv.alignment.spec import PermutationSpec
from geoequiv.errors import AlignmentError
from geoequiv.fields import Signature, call_model

#: modules whose output is, unit by unit, a multiple by a weight plus a bias → the axis of the units
AFFINE: dict[type, int] = {
    nn.Linear: -1, nn.Conv1d: 1, nn.Conv2d: 1, nn.Conv3d: 1, nn.LayerNorm: -1, nn.BatchNorm1d: 1, nn.BatchNorm2d: 1,
    nn.BatchNorm3d: 1,
}  # fmt: skip
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
#: a network is corrected in one pass over all data if no layer returns more numbers than this (1 GiB of float32)
MOST = 2**28


class Spread:
    """Running mean and standard deviation per unit; within a batch in its dtype, over batches in float64."""

    def __init__(self) -> None:
        self.rows, self.calls, self.total, self.square = 0, 0, torch.zeros(1), torch.zeros(1)

    def add(self, values: Tensor, axis: int) -> None:
        """One batch."""
        others = [dim for dim in range(values.ndim) if dim != axis % values.ndim]
        values = values.detach()
        mean = values.mean(others, keepdim=True)
        apart = (values - mean).square_().sum(others).double()
        rows, mean = values.numel() // mean.numel(), mean.flatten().double()
        self.rows, self.calls = self.rows + rows, self.calls + 1
        self.total, self.square = self.total + rows * mean, self.square + rows * mean.square() + apart

    def read(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation."""
        mean = self.total / self.rows
        return mean, (self.square / self.rows - mean.square()).clamp(min=0).sqrt()


def repairable(model: nn.Module, spec: PermutationSpec) -> dict[str, int]:
    """Names of the modules that write hidden units by a weight and a bias → the axis of the units."""
    names = {place.tensor for stream in spec.streams for place in stream.places if place.axis == 0}
    written = {id(tensor) for name, tensor in model.state_dict(keep_vars=True).items() if name in names}
    found = {}
    for name, module in model.named_modules():
        axis = next((axis for kind, axis in AFFINE.items() if isinstance(module, kind)), None)
        if axis is not None and id(module.weight) in written and getattr(module, "bias", None) is not None:
            found[name] = axis
    return found


@dataclass(frozen=True)
class Stage:
    """A module that is corrected by the statistics of all data there.

    Args:
        name: of the module; ``axis``: of its units; ``before``: whether its input is measured, or its output.
        correct: the correction, in place.
    """

    name: str
    axis: int
    before: bool
    correct: Callable[[Spread], None]


class Reached(Exception):
    """A pass has reached the module that is measured; the rest of it can be skipped."""


@contextmanager
def watching(model: nn.Module, stages: Iterable[Stage], see: Callable[[Stage, Tensor], bool]) -> Iterator[None]:
    """Call ``see`` with the values at each stage; a module that it corrected is computed again."""
    modules = dict(model.named_modules())

    def before(stage: Stage) -> Any:
        def hook(module: Any, args: Any, named: Any) -> None:
            see(stage, next(tensors_in((args, named))))

        return hook

    def after(stage: Stage) -> Any:
        def hook(module: Any, args: Any, named: Any, output: Tensor) -> Tensor | None:
            return module.forward(*args, **named) if see(stage, output) else None

        return hook

    handles = [
        modules[stage.name].register_forward_pre_hook(before(stage), with_kwargs=True)
        if stage.before
        else modules[stage.name].register_forward_hook(after(stage), with_kwargs=True)
        for stage in stages
    ]
    try:
        with torch.no_grad():
            yield
    finally:
        for handle in handles:
            handle.remove()


def spreads(
    model: nn.Module, signature: Signature, batches: Iterable[Mapping[str, Any]], axes: Mapping[str, int]
) -> dict[str, Spread]:
    """Statistics of the outputs of the named modules over all batches; modules that are not called are missing."""
    found: dict[str, Spread] = {}

    def see(stage: Stage, values: Tensor) -> bool:
        found.setdefault(stage.name, Spread()).add(values, stage.axis)
        return False

    with watching(model, [Stage(name, axis, False, lambda _: None) for name, axis in axes.items()], see):
        for inputs in batches:
            call_model(model, signature, inputs)
    return found


def correct_in_order(
    model: nn.Module, signature: Signature, batches: list[Mapping[str, Any]], stages: list[Stage]
) -> None:
    """Correct modules one after the other, in the order of the forward pass, each after all before it.

    One pass over all data does, if the batches can be concatenated, fit into memory (``MOST``), and call each module
    once. Otherwise there is a pass for each module, up to it.
    """
    order: list[Stage] = []
    largest = 0

    def note(stage: Stage, values: Tensor) -> bool:
        nonlocal largest
        largest = max(largest, values.numel())
        order.append(stage)
        return False

    with watching(model, stages, note):
        call_model(model, signature, batches[0])
    repeated = {stage for stage in order if order.count(stage) > 1}
    whole = concatenated(batches, signature) if not repeated and largest * len(batches) <= MOST else None

    def change(stage: Stage, values: Tensor) -> bool:
        spread = Spread()
        spread.add(values, stage.axis)
        with torch.no_grad():  # a network that differentiates has gradients on
            stage.correct(spread)
        return True

    if whole is not None:
        with watching(model, order, change):
            call_model(model, signature, whole)
        return
    for stage in dict.fromkeys(order):
        spread = Spread()

        def look(stage: Stage, values: Tensor, spread: Spread = spread) -> bool:
            spread.add(values, stage.axis)
            if stage not in repeated:
                raise Reached
            return False

        with watching(model, [stage], look):
            for inputs in batches:
                with suppress(Reached):
                    call_model(model, signature, inputs)
        with torch.no_grad():
            stage.correct(spread)


def concatenated(batches: list[Mapping[str, Any]], signature: Signature) -> Mapping[str, Any] | None:
    """All batches as one; None for ragged ones, graphs, and items of different shapes."""
    if len(batches) == 1:
        return batches[0]
    known = {*signature.inputs, "mask"}
    if not all(isinstance(batch, Mapping) and batch.keys() <= known for batch in batches):
        return None
    shapes = {tuple((name, value.shape[1:]) for name, value in batch.items()) for batch in batches}
    if len(shapes) > 1 or any(len({len(value) for value in batch.values()}) > 1 for batch in batches):
        return None
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def norms_of(model: nn.Module) -> list[Stage]:
    """The stages at which batch norms get the statistics of their inputs."""

    def measured(module: Any) -> Callable[[Spread], None]:
        def correct(spread: Spread) -> None:
            mean, deviation = spread.read()
            module.running_mean.copy_(mean)
            module.running_var.copy_(deviation.square())

        return correct

    return [
        Stage(name, 1, True, measured(module))
        for name, module in model.named_modules()
        if isinstance(module, BATCH_NORMS) and module.running_mean is not None
    ]


def reset_batch_norms(model: nn.Module, signature: Signature, batches: list[Mapping[str, Any]]) -> nn.Module:
    """A copy whose batch norms have the statistics of its own activations, layer by layer."""
    model = copy.deepcopy(model).eval()
    if stages := norms_of(model):
        correct_in_order(model, signature, batches, stages)
    return model


def repair(
    merged: nn.Module, first: nn.Module, second: nn.Module, spec: PermutationSpec, signature: str | Signature,
    batches: Iterable[Mapping[str, Any]],
) -> nn.Module:  # fmt: skip
    r"""Give every hidden unit of a merged network the average mean and standard deviation of its two parents.

    .. math:: w_u \leftarrow \frac{\tfrac12(\sigma_1 + \sigma_2)}{\sigma_m}\, w_u, \qquad
              b_u \leftarrow \tfrac12(\mu_1 + \mu_2) + \frac{\tfrac12(\sigma_1 + \sigma_2)}{\sigma_m} (b_u - \mu_m)

    folded into the weights, layer by layer from the inputs on, since each correction changes the inputs of later
    layers: one pass over all data for each of the three networks (see ``correct_in_order``).
    It is applied to every linear map, convolution, layer norm and batch norm that writes units of a stream and has a
    bias; statistics of batch norms are recomputed first. A map whose weights are read without calling it is left.

    Args:
        merged: the midpoint of the two; ``first`` and ``second`` as they were merged (matched).
        batches: inputs.

    Returns:
        A copy.

    Exactness: moments over all positions of the batches; units that are constant in the merged network are left.
    Reference: Jordan et al. 2023 (REPAIR), who apply it to convolutions before batch norms.
    """
    signature, batches = Signature.parse(signature), list(batches)
    axes = repairable(merged, spec)
    if not batches:
        raise AlignmentError("REPAIR needs data: no batches came.")
    ends = [spreads(model.eval(), signature, batches, axes) for model in (first, second)]
    model = copy.deepcopy(merged).eval()
    modules: dict[str, Any] = dict(model.named_modules())

    def between(name: str) -> Callable[[Spread], None]:
        def correct(spread: Spread) -> None:
            (mean_1, std_1), (mean_2, std_2), (mean, std) = (each.read() for each in (*(e[name] for e in ends), spread))
            alive = std > 1e-9 * std.max().clamp(min=1e-300)
            factor = torch.where(alive, (std_1 + std_2) / 2 / std.clamp(min=1e-300), 1.0)
            target = torch.where(alive, (mean_1 + mean_2) / 2, mean)
            weight, bias = modules[name].weight, modules[name].bias
            bias.copy_(target + factor * (bias.double() - mean))
            weight.mul_(factor.to(weight).reshape(-1, *(1,) * (weight.ndim - 1)))

        return correct

    stages = [Stage(name, axes[name], False, between(name)) for name in ends[0]]
    correct_in_order(model, signature, batches, [*norms_of(model), *stages])
    return model
