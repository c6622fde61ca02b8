"""Frames: where the group elements of an average come from. One file each; the table below names them."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from geoequiv.errors import GroupError, unknown
from geoequiv.groups import Group
from geoequiv.groups.orthogonal import AxialGroup
from geoequiv.groups.product import factors_of
from geoequiv.symmetrize.frames.axial import AxialFrame, planar_group
from geoequiv.symmetrize.frames.coset import Coset
from geoequiv.symmetrize.frames.frame import Frame
from geoequiv.symmetrize.frames.group import GroupFrame
from geoequiv.symmetrize.frames.learned import LearnedFrame
from geoequiv.symmetrize.frames.minimal import MinimalFrame
from geoequiv.symmetrize.frames.pca import PCAFrame
from geoequiv.symmetrize.frames.product import ProductFrame, product_frame
from geoequiv.symmetrize.frames.sorting import SortingFrame
from geoequiv.symmetrize.frames.stochastic import StochasticFrame
from geoequiv.symmetrize.frames.weighted import WeightedFrame

FRAMES: dict[str, Callable[..., Frame]] = {
    "pca": PCAFrame,
    "stochastic": StochasticFrame,
    "minimal": MinimalFrame,
    "weighted": WeightedFrame,
    "learned": LearnedFrame,
    "sorting": SortingFrame,
}


def frame_by_name(frame: str | Mapping[str, Any] | Frame, group: Group, **options: Any) -> Frame:
    """A frame of a group by name; a ``Frame`` passes through if it is one of this group, options and all its own.

    >>> from geoequiv.groups import group
    >>> frame_by_name({"name": "sorting", "budget": 100}, group("S(5)")).budget
    100

    About an axis the named frame is one of the plane across it; of a product it frames one factor, and the others are
    averaged over.
    """
    if isinstance(frame, Frame):
        if options.get("frame_from") is not None:
            raise GroupError("frame_from goes to the frame itself where one is given: PCAFrame(group, frame_from=…).")
        if frame.group != group:
            raise GroupError(f"The frame is one of {frame.group}, the averaging asks for {group}.")
        return frame
    name = frame
    if isinstance(frame, Mapping):
        name = frame.get("name")
        options |= {key: value for key, value in frame.items() if key != "name"}
    if not isinstance(name, str) or name not in FRAMES:
        raise GroupError(unknown("frame", str(name), FRAMES))
    known = [option for option in inspect.signature(FRAMES[name]).parameters if option != "group"]
    for option in options:
        if option not in known:
            raise GroupError(unknown(f"option of frame '{name}'", option, known))
    if isinstance(group.linear_part, AxialGroup):
        return AxialFrame(group, FRAMES[name](planar_group(group), **options))
    if len(factors_of(group)) > 1:
        return product_frame(group, lambda part: frame_by_name(name, part, **options))
    return FRAMES[name](group, **options)


__all__ = [
    "FRAMES",
    "AxialFrame",
    "Coset",
    "Frame",
    "GroupFrame",
    "LearnedFrame",
    "MinimalFrame",
    "PCAFrame",
    "ProductFrame",
    "SortingFrame",
    "StochasticFrame",
    "WeightedFrame",
    "frame_by_name",
]
