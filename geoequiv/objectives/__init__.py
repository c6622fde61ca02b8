"""Objectives in plain torch: callables ``(inputs, targets) → named tuple`` whose ``total`` is to be minimised."""

from geoequiv.objectives.augment import Augmentation, AugmentedLoss
from geoequiv.objectives.invariance import InvarianceLoss
from geoequiv.objectives.latent import LatentEquivariance
from geoequiv.objectives.remul import REMUL, RemulLoss
from geoequiv.objectives.task import TaskLoss, TaskObjective

__all__ = [
    "REMUL",
    "Augmentation",
    "AugmentedLoss",
    "InvarianceLoss",
    "LatentEquivariance",
    "RemulLoss",
    "TaskLoss",
    "TaskObjective",
]
