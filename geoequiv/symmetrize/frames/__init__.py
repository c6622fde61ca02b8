"""Frames: where the group elements of an average come from. One file each; ``table.py`` names them."""

from typing import TYPE_CHECKING

from geoequiv.importing import lazy_names
from geoequiv.symmetrize.frames.table import FRAMES

if TYPE_CHECKING:
    from geoequiv.symmetrize.frames.axial import AxialFrame
    from geoequiv.symmetrize.frames.by_name import frame_by_name
    from geoequiv.symmetrize.frames.coset import Coset
    from geoequiv.symmetrize.frames.frame import Frame
    from geoequiv.symmetrize.frames.group import GroupFrame
    from geoequiv.symmetrize.frames.jumps import JumpWarning
    from geoequiv.symmetrize.frames.learned import LearnedFrame
    from geoequiv.symmetrize.frames.minimal import MinimalFrame
    from geoequiv.symmetrize.frames.pca import PCAFrame
    from geoequiv.symmetrize.frames.product import ProductFrame
    from geoequiv.symmetrize.frames.sorting import SortingFrame
    from geoequiv.symmetrize.frames.stochastic import StochasticFrame
    from geoequiv.symmetrize.frames.weighted import WeightedFrame
else:  # imported on first use: the table is listed without torch
    __getattr__ = lazy_names(
        __name__,
        {
            "AxialFrame": "axial",
            "Coset": "coset",
            "Frame": "frame",
            "GroupFrame": "group",
            "JumpWarning": "jumps",
            "LearnedFrame": "learned",
            "MinimalFrame": "minimal",
            "PCAFrame": "pca",
            "ProductFrame": "product",
            "SortingFrame": "sorting",
            "StochasticFrame": "stochastic",
            "WeightedFrame": "weighted",
            "frame_by_name": "by_name",
        },
    )

__all__ = [
    "FRAMES",
    "AxialFrame",
    "Coset",
    "Frame",
    "GroupFrame",
    "JumpWarning",
    "LearnedFrame",
    "MinimalFrame",
    "PCAFrame",
    "ProductFrame",
    "SortingFrame",
    "StochasticFrame",
    "WeightedFrame",
    "frame_by_name",
]
