"""Inputs that break the continuous symmetry of a cloud without telling a direction."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import BatchError
from geoequiv.fields import Layout, Side, act
from geoequiv.groups import Element, group
from geoequiv.groups.orthogonal import rotation_about


def check_fixed(
    frames: Tensor, where: Tensor, line: Tensor, fields: Mapping[str, Any], side: Side, layout: Layout
) -> None:
    """Raise BatchError if an input breaks the continuous symmetry of the cloud but gives no directions.

    Args:
        frames: one frame ``[D, d, d]`` of each of the items ``where`` ``[D]``; ``line``: whether it is about a line.
    """
    broken = Side(tuple((name, kind) for name, kind in side.items() if kind.kind in ("tensor", "irreps")))
    if not broken:
        return
    dim = frames.shape[-1]
    rotation = rotation_about(frames.new_tensor([0.0, 0.0, 1.0]), frames.new_tensor(torch.pi / 3))[:dim, :dim]
    for generator in group("I").elements().linear[1:3].to(frames):
        local = torch.where(line[:, None, None] | (dim == 2), rotation, generator[:dim, :dim])
        linear = torch.eye(dim, dtype=frames.dtype, device=frames.device).repeat(math.prod(layout.shape), 1, 1)
        linear[where] = frames @ local @ frames.mT
        transformed = act(Element(linear.reshape(*layout.shape, dim, dim)), fields, broken, layout)
        for name in broken:
            scale = fields[name].abs().max()
            if bool(((transformed[name] - fields[name]).abs() > 1e-4 * scale).any()):
                raise BatchError(
                    f"All points of item {int(where[0])} are collinear or coincident, but its input '{name}' "
                    f"({broken[name]}) is not symmetric about it: such a cloud cannot be framed by directions alone. "
                    "Give a vector input as well, or degenerate='ignore'."
                )
