"""REPAIR: a merged network whose units have the spread of the two it was merged from."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.alignment.permutation_spec import PermutationSpec
from geoequiv.errors import AlignmentError
from geoequiv.fields import Signature, call_model

#: modules whose output is, unit by unit, a weight's multiple plus a bias → the axis of the units
AFFINE: dict[type, int] = {
    nn.Linear: -1, nn.Conv1d: 1, nn.Conv2d: 1, nn.Conv3d: 1, nn.LayerNorm: -1, nn.BatchNorm1d: 1, nn.BatchNorm2d: 1,
    nn.BatchNorm3d: 1,
}  # fmt: skip
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Spread:
    """Streamed mean and standard deviation per unit, in float64."""

    def __init__(self) -> None:
        self.rows, self.total, self.square = 0, torch.zeros(1), torch.zeros(1)

    def add(self, values: Tensor, axis: int) -> None:
        """One batch."""
        flat = values.detach().movedim(axis, -1).flatten(0, -2).double()
        self.rows += len(flat)
        self.total, self.square = self.total + flat.sum(0), self.square + flat.square().sum(0)

    def read(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation."""
        mean = self.total / self.rows
        return mean, (self.square / self.rows - mean.square()).clamp(min=0).sqrt()


def repairable(model: nn.Module, spec: PermutationSpec) -> dict[str, int]:
    """Names of the modules that write hidden units by a weight and a bias → the axis of the units, in forward order.

    Forward order is that of registration, which every model here keeps.
    """
    names = {place.tensor for stream in spec.streams for place in stream.places if place.axis == 0}
    written = {id(tensor) for name, tensor in model.state_dict(keep_vars=True).items() if name in names}
    found = {}
    for name, module in model.named_modules():
        axis = next((axis for kind, axis in AFFINE.items() if isinstance(module, kind)), None)
        if axis is not None and id(module.weight) in written and getattr(module, "bias", None) is not None:
            found[name] = axis
    return found


def spreads(
    model: nn.Module, signature: Signature, batches: Iterable[Mapping[str, Any]], axes: Mapping[str, int],
    before: bool = False,
) -> dict[str, Spread]:  # fmt: skip
    """Of what the named modules return (or get, if ``before``), over all batches."""
    found = {name: Spread() for name in axes}
    modules = dict(model.named_modules())

    def listen(name: str) -> Any:
        return lambda module, args, output: found[name].add(args[0] if before else output, axes[name])

    handles = [modules[name].register_forward_hook(listen(name)) for name in axes]
    try:
        with torch.no_grad():
            for inputs in batches:
                call_model(model, signature, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def reset_batch_norms(model: nn.Module, signature: Signature, batches: list[Mapping[str, Any]]) -> nn.Module:
    """A copy whose batch norms have the statistics of its own activations, layer by layer."""
    model = copy.deepcopy(model).eval()
    for name, module in model.named_modules():
        if isinstance(module, BATCH_NORMS) and module.running_mean is not None:
            mean, deviation = spreads(model, signature, batches, {name: 1}, before=True)[name].read()
            module.running_mean.copy_(mean)
            assert module.running_var is not None
            module.running_var.copy_(deviation.square())
    return model


def repair(
    merged: nn.Module, first: nn.Module, second: nn.Module, spec: PermutationSpec, signature: str | Signature,
    batches: Iterable[Mapping[str, Any]],
) -> nn.Module:  # fmt: skip
    r"""Give every hidden unit of a merged network the mean and deviation that lie between those of its two parents.

    .. math:: w_u \leftarrow \frac{\tfrac12(\sigma_1 + \sigma_2)}{\sigma_m}\, w_u, \qquad
              b_u \leftarrow \tfrac12(\mu_1 + \mu_2) + \frac{\tfrac12(\sigma_1 + \sigma_2)}{\sigma_m} (b_u - \mu_m)

    folded into the weights, layer by layer from the inputs on, since each correction changes what later layers see.
    It is done to every linear map, convolution, layer norm and batch norm that writes units of a stream and has a bias;
    statistics of batch norms are measured anew first. A map whose weights are read without calling it is left.

    Args:
        merged: the network between the two; ``first`` and ``second`` as they were merged (matched).
        batches: inputs.

    Returns:
        A copy.

    Exactness: moments over all positions of the batches; units that never change in the merged network are left.
    Reference: Jordan et al. 2023 (REPAIR), who do it to convolutions before batch norms.
    """
    signature, batches = Signature.parse(signature), list(batches)
    axes = repairable(merged, spec)
    if not batches:
        raise AlignmentError("REPAIR needs data: no batches came.")
    ends = [spreads(model.eval(), signature, batches, axes) for model in (first, second)]
    model = copy.deepcopy(merged).eval()
    modules: dict[str, Any] = dict(model.named_modules())
    for name, module in modules.items():
        if isinstance(module, BATCH_NORMS) and module.running_mean is not None:
            mean, deviation = spreads(model, signature, batches, {name: 1}, before=True)[name].read()
            module.running_mean.copy_(mean)
            module.running_var.copy_(deviation.square())
        if name not in axes or not ends[0][name].rows:
            continue
        (mean_1, std_1), (mean_2, std_2) = (end[name].read() for end in ends)
        mean, std = spreads(model, signature, batches, {name: axes[name]})[name].read()
        alive = std > 1e-9 * std.max().clamp(min=1e-300)
        factor = torch.where(alive, (std_1 + std_2) / 2 / std.clamp(min=1e-300), 1.0)
        target = torch.where(alive, (mean_1 + mean_2) / 2, mean)
        with torch.no_grad():
            weight, bias = module.weight, module.bias
            bias.copy_(target + factor * (bias.double() - mean))
            weight.mul_(factor.to(weight).reshape(-1, *(1,) * (weight.ndim - 1)))
    return model
