"""Warnings where a frame is discontinuous: gradients with respect to the inputs are not those of the average there."""

import warnings

import torch
from torch import Tensor

from geoequiv.fields import item_text

#: frames whose gradients were warned of
_warned: set[str] = set()


class JumpWarning(UserWarning):
    """A frame jumps at a cloud: any displacement may change it abruptly."""


def warn_of_jumps(frame: str, jumps: Tensor) -> None:
    """Warn that a frame jumps at some items ``[*shape]`` bool."""
    if not bool(jumps.any()):
        return
    item = item_text(jumps.nonzero()[0].tolist())
    warnings.warn(
        f"The {frame} frame jumps at {int(jumps.sum())} of {jumps.numel()} clouds (the first is {item}): such a cloud "
        "has a symmetry, as every planar molecule has, or close eigenvalues, and any displacement may change its "
        "frame abruptly. Gradients with respect to its positions, forces among them, are not those of the averaged "
        "model there. frame='weighted' is continuous.",
        JumpWarning,
        stacklevel=3,
    )


def warn_of_gradients(frame: str, jumps: Tensor, cloud: Tensor) -> None:
    """Warn, once for each frame, if gradients are taken with respect to a cloud at which it jumps."""
    if frame not in _warned and cloud.requires_grad and torch.is_grad_enabled() and bool(jumps.any()):
        _warned.add(frame)
        warn_of_jumps(frame, jumps)
