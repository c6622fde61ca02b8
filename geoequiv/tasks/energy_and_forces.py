"""Loss, metrics and heads of tasks that ask for energies and forces."""

import math
from collections.abc import Callable, Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from geoequiv.errors import ConfigError
from geoequiv.fields import Signature
from geoequiv.models.conservative import Conservative, energy_signature
from geoequiv.models.scaled import Scale, Scaled
from geoequiv.tasks.normalisation import root_mean_square
from geoequiv.tasks.task import Head, Metric, PointwiseLoss, Split

MEV = 43.364  # meV in one kcal/mol


def energy_force_loss(energy_weight: float, force_weight: float) -> dict[str, PointwiseLoss]:
    r"""Losses of the two outputs, which training adds up.

    .. math:: L = w_E\, (\hat E - E)^2 + w_F\, \tfrac1N \sum_i \| \hat F_i - F_i \|^2

    averaged over a batch. Raises ConfigError for weights that are no finite numbers, negative, or both zero.
    """
    weights = (energy_weight, force_weight)
    numbers = all(isinstance(each, int | float) and math.isfinite(each) for each in weights)
    if not (numbers and min(weights) >= 0 and max(weights) > 0):
        raise ConfigError(
            f"The weights of energies and forces must be numbers, not negative nor both zero; got {energy_weight!r} "
            f"and {force_weight!r}."
        )

    def energy(prediction: Tensor, target: Tensor) -> Tensor:
        return energy_weight * F.mse_loss(prediction, target)

    def forces(prediction: Tensor, target: Tensor) -> Tensor:
        return 3.0 * force_weight * F.mse_loss(prediction, target)  # three components to an atom

    return {"energy": energy, "forces": forces}


def absolute_error(field: str, factor: float) -> Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]:
    """Mean absolute error of the components of one output, per item, times a factor: ``[n]``, float64."""

    def per_item(predictions: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        return factor * (predictions[field].double() - targets[field].double()).abs().flatten(1).mean(dim=1)

    return per_item


#: what ranks: the mean absolute error of a force component
FORCE_MAE = Metric("force_mae", "meV/Å", "lower", absolute_error("forces", MEV))
#: what is recorded besides
FURTHER = (
    Metric("energy_mae", "meV", "lower", absolute_error("energy", MEV)),
    Metric("force_mae", "kcal/mol/Å", "lower", absolute_error("forces", 1.0)),
    Metric("energy_mae", "kcal/mol", "lower", absolute_error("energy", 1.0)),
)


def force_field_head(signature: Signature, train: Split, zero: Scale, *, gradient: bool) -> Head:
    """Units of energies and forces, fitted on the training split, and the derivative.

    With ``gradient`` the unit of energy is the root mean square of a force component, times one unit of length; else
    energies and forces have units of their own.

    Args:
        signature: of energy and forces (see `Conservative`).
        train: the training split.
        zero: what has been taken off all energies: a constant, or an energy for each element.
        gradient: whether forces are minus the gradient of the energy, or predicted as they are.
    """
    inner = energy_signature(signature)
    (energy,), (forces,) = inner.outputs, signature.outputs.of_kind("vector")
    force = root_mean_square(train.targets[forces]) or 1.0
    if not gradient:
        units = {energy: root_mean_square(train.targets[energy]) or 1.0, forces: force}

        def direct(model: nn.Module) -> nn.Module:
            return Scaled(model, signature, outputs=units, zeros={energy: zero})

        return Head(signature, direct)

    def conservative(model: nn.Module) -> nn.Module:
        return Conservative(Scaled(model, inner, outputs={energy: force}, zeros={energy: zero}), signature)

    return Head(inner, conservative)
