"""One operator and many small frames: symmetry by averaging."""

from geoequiv.symmetrize.decorators import frame_averaging, group_averaging
from geoequiv.symmetrize.evaluation import TestTimeAveraging
from geoequiv.symmetrize.frames import (
    FRAMES,
    Frame,
    GroupFrame,
    LearnedFrame,
    MinimalFrame,
    PCAFrame,
    SortingFrame,
    StochasticFrame,
    WeightedFrame,
)
from geoequiv.symmetrize.symmetrizer import FrameAveraging, GroupAveraging, Symmetrizer, symmetrize

__all__ = [
    "FRAMES",
    "Frame",
    "FrameAveraging",
    "GroupAveraging",
    "GroupFrame",
    "LearnedFrame",
    "MinimalFrame",
    "PCAFrame",
    "SortingFrame",
    "StochasticFrame",
    "Symmetrizer",
    "TestTimeAveraging",
    "WeightedFrame",
    "frame_averaging",
    "group_averaging",
    "symmetrize",
]
