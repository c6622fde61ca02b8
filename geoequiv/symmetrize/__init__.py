"""One operator and many small frames: symmetry by averaging."""

from typing import TYPE_CHECKING

from geoequiv.importing import lazy_names
from geoequiv.symmetrize.frames.table import FRAMES

if TYPE_CHECKING:
    from geoequiv.symmetrize.decorators import frame_averaging, group_averaging
    from geoequiv.symmetrize.evaluation import TestTimeAveraging
    from geoequiv.symmetrize.frames import (
        AxialFrame,
        Frame,
        GroupFrame,
        JumpWarning,
        LearnedFrame,
        MinimalFrame,
        PCAFrame,
        ProductFrame,
        SortingFrame,
        StochasticFrame,
        WeightedFrame,
    )
    from geoequiv.symmetrize.local import LocalFrameAveraging
    from geoequiv.symmetrize.symmetrizer import Symmetrizer, symmetrize
    from geoequiv.symmetrize.wrappers import FrameAveraging, GroupAveraging
else:  # imported on first use: the table of frames is listed without torch
    __getattr__ = lazy_names(
        __name__,
        {
            "AxialFrame": "frames",
            "Frame": "frames",
            "FrameAveraging": "wrappers",
            "GroupAveraging": "wrappers",
            "GroupFrame": "frames",
            "JumpWarning": "frames",
            "LocalFrameAveraging": "local",
            "LearnedFrame": "frames",
            "MinimalFrame": "frames",
            "PCAFrame": "frames",
            "ProductFrame": "frames",
            "SortingFrame": "frames",
            "StochasticFrame": "frames",
            "Symmetrizer": "symmetrizer",
            "TestTimeAveraging": "evaluation",
            "WeightedFrame": "frames",
            "frame_averaging": "decorators",
            "group_averaging": "decorators",
            "symmetrize": "symmetrizer",
        },
    )

__all__ = [
    "FRAMES",
    "AxialFrame",
    "Frame",
    "FrameAveraging",
    "GroupAveraging",
    "GroupFrame",
    "JumpWarning",
    "LearnedFrame",
    "LocalFrameAveraging",
    "MinimalFrame",
    "PCAFrame",
    "ProductFrame",
    "SortingFrame",
    "StochasticFrame",
    "Symmetrizer",
    "TestTimeAveraging",
    "WeightedFrame",
    "frame_averaging",
    "group_averaging",
    "symmetrize",
]
