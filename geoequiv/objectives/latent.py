"""Latent equivariance: a loss on hidden features instead of outputs."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import ConfigError, ModelOutputError, unknown
from geoequiv.fields import (
    FieldType,
    Layout,
    Side,
    Signature,
    call_model,
    layout_of,
    read_inputs,
    replicate,
    split_replicas,
)
from geoequiv.groups import Element, Group
from geoequiv.groups import group as group_by_name
from geoequiv.objectives.pointwise import PointwiseLoss, as_named, compare
from geoequiv.objectives.remul import RemulLoss
from geoequiv.objectives.sampling import draw
from geoequiv.ranges import NonNegativeFloat, check_ranges


@check_ranges
class LatentEquivariance:
    r"""Trains a hidden layer h of a model to transform like a field of a given type.

    .. math:: L = \ell(f(x), y) + \beta\, \overline{\big( h(\rho_\text{in}(g) x) - \rho_h(g)\, h(x) \big)^2},
              \qquad g \sim \text{Haar}(G)

    The mean is over all features of all nodes and items. The features are read by a hook while x and g x are evaluated
    as one batch. Only the layers up to h are constrained; later layers may break the symmetry again.

    Args:
        model: an ``nn.Module``, called with named inputs.
        signature: types of its inputs and outputs.
        group: where g is drawn from; one draw per item and call.
        loss: point-wise ℓ(prediction, target) → scalar, applied to each output and added up.
        weight: β.
        layer: name of the module whose output is h, a tensor ``[items, …, features]``. ``None``: the input of the
            ``nn.Linear`` that the model registers last, which in a model with one head is its last hidden layer.
        type: how h should transform, such as ``"scalar"`` (invariant features), ``"vector*16"`` or irreps. ``None``:
            scalars where all outputs are scalars, and else, in 3-space, about half of the features vectors and the
            others scalars.
        generator: source of the draws (on the CPU); ``None`` is torch's global one.

    Raises:
        ConfigError: no such layer (the nearest name is given), or no type and no default.
        ModelOutputError: the layer did not run, ran more than once, or has no axis of the items.
    """

    def __init__(
        self,
        model: nn.Module,
        signature: str | Signature,
        group: str | Group,
        loss: PointwiseLoss,
        weight: NonNegativeFloat = 1.0,
        layer: str | None = None,
        type: str | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        self.model, self.loss, self.weight, self.generator = model, loss, float(weight), generator
        self.signature, self.group = Signature.parse(signature), group_by_name(group)
        self.signature.check_group(self.group)
        self.layer, self.watched = layer, find_layer(model, layer)
        self.type = None if type is None else FieldType.parse(type)
        if self.type is not None:
            self.type.check_group(self.group, "hidden")

    def __call__(self, inputs: Any, targets: Tensor | Mapping[str, Tensor]) -> RemulLoss:
        """Loss of a batch: inputs as the model takes them, targets by name or the tensor of a single output."""
        inputs, _ = read_inputs(inputs, self.signature)
        layout = layout_of(inputs, self.signature, self.group.dim, self.group.acts_on_space)
        drawn = draw(self.group, 1, layout, self.generator)
        seen: list[Tensor] = []
        if self.layer is None:
            handle = self.watched.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        else:
            handle = self.watched.register_forward_hook(lambda _, args, output: seen.append(output))
        try:
            both = replicate(drawn, inputs, self.signature.inputs, layout, original=True)
            outputs = call_model(self.model, self.signature, both)
        finally:
            handle.remove()
        predictions = {name: self._halves(name, value, layout)[0] for name, value in outputs.items()}
        objective = compare(predictions, as_named(targets, self.signature), self.signature, self.loss)
        equivariance = self._penalty(seen, drawn, layout)
        total = objective + self.weight * equivariance
        return RemulLoss(total, objective.detach(), equivariance.detach(), 1.0, self.weight)

    def _penalty(self, seen: list[Tensor], drawn: Element, layout: Layout) -> Tensor:
        if len(seen) != 1 or not isinstance(seen[0], Tensor):
            found = "did not run" if not seen else "ran more than once or returned no tensor"
            raise ModelOutputError(f"The layer '{self.layer or 'before the last nn.Linear'}' {found}: name another.")
        here, there = self._halves("the hidden layer", seen[0], layout)
        kind = self.type or default_type(here.shape[-1], self.signature, self.group)
        expected = replicate(drawn, {"hidden": here}, Side((("hidden", kind),)), layout)["hidden"]
        return (there - expected.reshape(there.shape)).square().mean()

    @staticmethod
    def _halves(name: str, values: Tensor, layout: Layout) -> Tensor:
        stacked = split_replicas(values, 2, layout)
        if stacked is None:
            raise ModelOutputError(
                f"{name} has shape {list(values.shape)}, whose first axis does not hold two copies of the batch "
                f"{list(layout.shape)}: keep the axis of the items first."
            )
        return stacked


def find_layer(model: nn.Module, layer: str | None) -> nn.Module:
    """The module by this name, or the ``nn.Linear`` that is registered last."""
    if not isinstance(model, nn.Module):
        raise ConfigError("Hidden features are read from an nn.Module; this model is a function.")
    if layer is not None:
        named: dict[str, nn.Module] = dict(model.named_modules())
        if layer not in named or layer == "":
            raise ConfigError(unknown("layer", layer, [name for name in named if name]))
        return named[layer]
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ConfigError(
            f"{type(model).__name__} has no nn.Linear: name the layer=… whose output is to be equivariant."
        )
    return linear[-1]


def default_type(features: int, signature: Signature, group: Group) -> FieldType:
    """Scalars for scalar outputs; else as many vectors as fill at most half of the features, and scalars.

    >>> str(default_type(64, Signature.parse("pos: point -> pos: point"), group_by_name("SO(3)")))
    '34x0e+10x1o'
    """
    if all(kind.is_scalar for kind in signature.outputs.values()):
        return FieldType.parse("scalar")
    if group.dim != 3 or group.nodes is not None:
        raise ConfigError(f"Hidden features under {group} have no default type: give type='scalar' or another.")
    vectors = features // 6
    return FieldType.parse(f"{features - 3 * vectors}x0e+{vectors}x1o" if vectors else f"{features}x0e")
